//! What a build weighs, as it is and as a web server would send it, and the budget that it must keep.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{config::Build, process, setup::Tools};

/// Node has zlib and brotli, at the levels at which files are prepared for a web server.
const WEIGH: &str = "
    const { gzipSync, brotliCompressSync } = require('node:zlib');
    const file = require('node:fs').readFileSync(process.argv[1]);
    const [gzip, brotli] = [gzipSync(file, { level: 9 }), brotliCompressSync(file)];
    console.log(JSON.stringify({ raw: file.length, gzip: gzip.length, brotli: brotli.length }));
";

/// The sizes of a file, in bytes.
#[derive(Debug, Deserialize, Serialize)]
struct Sizes {
    raw: u64,
    gzip: u64,
    brotli: u64,
}

/// A build's wasm, weighed.
#[derive(Debug, Serialize)]
pub(crate) struct Weight {
    build: String,
    #[serde(flatten)]
    sizes: Sizes,
    /// The most that `gzip` may be.
    budget: u64,
}

impl Weight {
    /// Weighs `wasm`, which `build` made, and says so.
    pub(super) fn of(build: &Build, wasm: &Path, tools: &Tools) -> Result<Self> {
        let sizes = weigh(wasm, tools)?;
        let Sizes { raw, gzip, brotli } = sizes;
        eprintln!("build: {}: {gzip} bytes gzip of at most {}, {brotli} brotli, {raw} raw", build.name, build.budget);
        Ok(Weight { build: build.name.clone(), sizes, budget: build.budget })
    }

    /// Whether the build keeps its budget; if not, says by how much.
    pub(crate) fn is_within_budget(&self) -> bool {
        let excess = self.sizes.gzip.saturating_sub(self.budget);
        if excess > 0 {
            eprintln!("build: {}: {excess} bytes over the budget in wasm-pack.toml; see docs/size.md", self.build);
        }
        excess == 0
    }
}

/// All weights as one line of JSON.
pub(crate) fn report(weights: &[Weight]) -> String {
    json!({ "sizes": weights }).to_string()
}

fn weigh(file: &Path, tools: &Tools) -> Result<Sizes> {
    let printed = process::output_of(tools.command("node").args(["-e", WEIGH, "--"]).arg(file))?;
    serde_json::from_str(&printed).with_context(|| format!("the sizes of {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_weighs_little() {
        let file = std::env::temp_dir().join(format!("xtask-size-{}", std::process::id()));
        std::fs::write(&file, [7; 100_000]).unwrap();
        let sizes = weigh(&file, &Tools::default()).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(sizes.raw, 100_000);
        assert!(sizes.gzip < 1_000 && sizes.brotli < sizes.gzip, "{sizes:?}");
    }

    #[test]
    fn a_build_may_weigh_its_budget_and_no_more() {
        let weight = |budget| Weight { build: "kernel".into(), sizes: Sizes { raw: 30, gzip: 20, brotli: 10 }, budget };
        assert!(weight(20).is_within_budget() && !weight(19).is_within_budget());
        let line = r#"{"sizes":[{"build":"kernel","raw":30,"gzip":20,"brotli":10,"budget":20}]}"#;
        assert_eq!(report(&[weight(20)]), line);
    }
}
