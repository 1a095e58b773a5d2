//! In a fuzzing build, libFuzzer's entry; otherwise a program that replays files: `fuzz-targets TARGET FILE…`.

#![cfg_attr(fuzzing, no_main)]
#![allow(missing_docs)] // of what libFuzzer's macro makes

#[cfg(fuzzing)]
mod entry {
    use std::sync::OnceLock;

    use fuzz_targets::{Target, find};

    /// libFuzzer owns the command line, so the environment names the target.
    fn chosen() -> &'static Target {
        static CHOSEN: OnceLock<&Target> = OnceLock::new();
        CHOSEN.get_or_init(|| {
            let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
            find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is no target"))
        })
    }

    libfuzzer_sys::fuzz_target!(|data: &[u8]| (chosen().run)(data));
}

#[cfg(not(fuzzing))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: fuzz-targets TARGET FILE…")?;
    let target = fuzz_targets::find(&name).ok_or_else(|| format!("{name} is no target"))?;
    for file in arguments {
        (target.run)(&std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?);
        println!("{file}: every property holds");
    }
    Ok(())
}
