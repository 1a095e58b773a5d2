//! One built wasm file: made smaller, and checked for what it asks of its surroundings.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasmparser::{Parser, Payload};

use crate::{process, setup::Tools};

/// Runs wasm-opt over `file`, in place. The names of functions stay.
pub(crate) fn optimize(tools: &Tools, file: &Path, arguments: &[String]) -> Result<()> {
    process::run_quietly(tools.command("wasm-opt").arg("-g").args(arguments).arg(file).arg("-o").arg(file))
}

/// The same code without the names of its functions, which are for those who read stack traces.
pub(crate) fn without_names(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut copied = 0;
    let mut text = Vec::with_capacity(wasm.len());
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CustomSection(section) = payload? else { continue };
        if section.name() != "name" {
            continue;
        }
        // A section is its number, its length and what follows; the range is that of what follows.
        let range = section.range();
        let start = range.start - leb128_length(range.len()) - 1;
        text.extend(wasm.get(copied..start).context("a section that is not there")?);
        copied = range.end;
    }
    text.extend(wasm.get(copied..).unwrap_or_default());
    Ok(text)
}

/// How many bytes a number takes, unless its writer was wasteful, which [`check_imports`] would notice.
fn leb128_length(number: usize) -> usize {
    std::iter::successors(Some(number >> 7), |rest| (*rest > 0).then_some(rest >> 7)).count()
}

/// Refuses imports from `env`: they are C symbols that some dependency expects of an operating system, and no browser has them.
pub(crate) fn check_imports(wasm: &[u8]) -> Result<()> {
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ImportSection(imports) = payload? else { continue };
        for import in imports {
            let import = import?;
            ensure!(import.module != "env", "the wasm imports `{}` from `env`", import.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that imports one function, `f`, from `module`.
    fn importing(module: &str) -> Vec<u8> {
        let length = u8::try_from(module.len()).unwrap();
        let mut wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0".to_vec();
        wasm.extend([2, 6 + length, 1, length]);
        wasm.extend(module.as_bytes());
        wasm.extend(b"\x01f\0\0");
        wasm
    }

    #[test]
    fn imports_from_env_are_refused_by_name() {
        check_imports(&importing("wbg")).unwrap();
        let error = check_imports(&importing("env")).unwrap_err();
        assert!(error.to_string().contains("`f` from `env`"), "{error}");
    }

    #[test]
    fn only_the_names_go() {
        let plain = importing("wbg");
        for length in [1_usize, 200, 20_000] {
            let mut named = plain.clone();
            let body = [b"\x04name".as_slice(), &vec![7; length]].concat();
            named.push(0);
            let mut rest = body.len();
            while rest > 0x7f {
                named.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                rest >>= 7;
            }
            named.push(u8::try_from(rest).unwrap());
            named.extend(&body);
            assert_eq!(without_names(&named).unwrap(), plain);
        }
    }

    #[test]
    fn what_is_no_wasm_is_refused() {
        assert!(check_imports(b"<!doctype html>").is_err());
    }
}
