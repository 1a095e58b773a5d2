//! Keeps the machine's paths out of the wasm, where its panics would name them: the bytes are the same wherever it is built.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::crates::Crate;
use crate::{process, project::Project, setup::Tools};

/// What the compiler is told, as `CARGO_ENCODED_RUSTFLAGS` has it. It takes the place of flags that the machine's user may have set.
pub(super) fn flags(project: &Project, tools: &Tools, crates: &[Crate]) -> Result<String> {
    let print = |argument: &[&str]| process::output_of(tools.wasm_command("rustc").args(argument));
    let version = print(&["-vV"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    let sources = Path::new(&print(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    let fetched: BTreeSet<_> =
        crates.iter().filter(|it| it.is_fetched()).filter_map(|it| it.folder().parent()).collect();
    // The last that fits counts, so what may be inside another folder comes after it.
    let mut names = vec![
        (project.root(), "ocap-remotes".to_owned()),
        (project.target(), "target".to_owned()),
        (&sources, format!("/rustc/{commit}")),
    ];
    names.extend(fetched.into_iter().map(|folder| (folder, "crates".to_owned())));
    Ok(encoded(&names))
}

fn encoded(names: &[(&Path, String)]) -> String {
    let flag = |(folder, name): &(&Path, String)| format!("--remap-path-prefix={}={name}", folder.display());
    names.iter().map(flag).collect::<Vec<_>>().join("\x1f")
}

/// Refuses a wasm that has a path of this machine in it.
pub(super) fn check(wasm: &[u8], flags: &str) -> Result<()> {
    for flag in flags.split('\x1f') {
        let folder = format!("{}/", flag.split('=').nth(1).context("a flag without a folder")?);
        let is_there = wasm.windows(folder.len()).any(|part| part == folder.as_bytes());
        ensure!(!is_there, "the wasm has this machine's folder `{folder}` in it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_machine_in_the_wasm_is_refused() {
        let flags =
            encoded(&[(Path::new("/a/tree"), "tree".to_owned()), (Path::new("/b/registry"), "crates".to_owned())]);
        assert_eq!(flags, "--remap-path-prefix=/a/tree=tree\x1f--remap-path-prefix=/b/registry=crates");
        check(b"\0tree/src/lib.rs\0crates/x-1.0.0/src/lib.rs", &flags).unwrap();
        let error = check(b"\0/b/registry/x-1.0.0/src/lib.rs", &flags).unwrap_err();
        assert!(error.to_string().contains("`/b/registry/`"), "{error}");
    }
}
