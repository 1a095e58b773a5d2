//! One built wasm file: made smaller, and checked for what it asks of its surroundings.

use std::path::Path;

use anyhow::{Result, ensure};
use wasmparser::{Parser, Payload};

use crate::{process, setup::Tools};

/// Runs wasm-opt over `file`, in place.
pub(crate) fn optimize(tools: &Tools, file: &Path, arguments: &[String]) -> Result<()> {
    process::run_quietly(tools.command("wasm-opt").args(arguments).arg(file).arg("-o").arg(file))
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
    fn what_is_no_wasm_is_refused() {
        assert!(check_imports(b"<!doctype html>").is_err());
    }
}
