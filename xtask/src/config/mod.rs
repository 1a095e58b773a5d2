//! The two files that say what to build: `wasm-pack.toml` (the builds) and `pkg.json` (what the npm package says of itself).
//!
//! An unknown key is an error that names the file, the key and the known keys: a misspelt key must not be passed over.

mod manifest;
mod wasm_pack;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

pub(crate) use self::{
    manifest::Manifest,
    wasm_pack::{Build, Profile, Target, WasmPack},
};

const WASM_PACK: &str = "wasm-pack.toml";
const MANIFEST: &str = "pkg.json";

/// Both files, read and checked.
pub(crate) struct Config {
    /// The builds.
    pub(crate) wasm_pack: WasmPack,
    /// The manifest laid over wasm-pack's.
    pub(crate) manifest: Manifest,
}

impl Config {
    /// Reads both files of the tree at `root`.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let read = |name| fs::read_to_string(root.join(name)).context(name);
        let wasm_pack = WasmPack::parse(&read(WASM_PACK)?).context(WASM_PACK)?;
        let manifest = Manifest::parse(&read(MANIFEST)?).context(MANIFEST)?;
        Ok(Config { wasm_pack, manifest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_this_tree_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let config = Config::load(root).unwrap();
        let names: Vec<_> = config.wasm_pack.builds.iter().map(|build| build.name.as_str()).collect();
        assert_eq!(names, ["kernel", "kernel-without-store", "remotes", "network"]);
    }

    #[test]
    fn an_error_names_the_file() {
        let empty = std::env::temp_dir().join("no-such-folder");
        let error = Config::load(&empty).err().unwrap();
        assert!(format!("{error:#}").starts_with("wasm-pack.toml: "), "{error:#}");
    }
}
