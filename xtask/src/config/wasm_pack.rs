//! `wasm-pack.toml`: which builds of the crate the npm package holds, and how they are made.

use std::{
    collections::HashSet,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, ensure};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WasmPack {
    /// The version of wasm-pack, for example `0.15.1`.
    pub(crate) version: String,
    /// Arguments of wasm-opt for builds that ask for it.
    pub(crate) wasm_opt: Vec<String>,
    /// The builds, at least one; each has its own folder in one package folder.
    #[serde(rename = "build")]
    pub(crate) builds: Vec<Build>,
}

/// One build of the crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Build {
    /// Names the files: `<name>.js`, `<name>.wasm`, `<name>.d.ts`.
    pub(crate) name: String,
    /// Cargo features; default features are off.
    pub(crate) features: Vec<String>,
    /// The kind of JavaScript around the wasm.
    pub(crate) target: Target,
    /// Cargo's profile.
    pub(crate) profile: Profile,
    /// Where the files go, relative to the tree's root: `<package>/<folder>`.
    pub(crate) out_dir: PathBuf,
    /// Whether wasm-opt goes over the build.
    pub(crate) optimize: bool,
    /// The most that the wasm may weigh, in bytes of gzip.
    pub(crate) budget: u64,
}

/// wasm-pack's targets that make sense in a browser.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    Web,
    Bundler,
    NoModules,
}

/// The profiles that wasm-pack knows, and those that Cargo.toml has for browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    Dev,
    Profiling,
    Release,
    Balanced,
    Size,
}

impl WasmPack {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let file: Self = toml::from_str(text)?;
        ensure!(!file.builds.is_empty(), "at least one [[build]] is needed");
        let mut folders = HashSet::new();
        for build in &file.builds {
            let folder = build.package_folder();
            ensure!(
                folder.is_some() && folder == file.package_folder(),
                "out-dir of build `{}` must be `<package>/<folder>` with the same <package> for all builds, not `{}`",
                build.name,
                build.out_dir.display()
            );
            ensure!(folders.insert(&build.out_dir), "two builds have the out-dir `{}`", build.out_dir.display());
        }
        Ok(file)
    }

    /// The folder that becomes the npm package, relative to the tree's root.
    pub(crate) fn package_folder(&self) -> Option<&Path> {
        self.builds.first().and_then(Build::package_folder)
    }
}

impl Build {
    /// The features as cargo takes them.
    pub(crate) fn cargo_args(&self) -> [String; 3] {
        ["--no-default-features".to_owned(), "--features".to_owned(), self.features.join(",")]
    }

    /// The wasm file's name in the package.
    pub(crate) fn wasm_file(&self) -> String {
        format!("{}.wasm", self.name)
    }

    fn package_folder(&self) -> Option<&Path> {
        // The package folder is emptied before a build, so it must not reach out of the tree.
        let plain = self.out_dir.components().all(|part| matches!(part, Component::Normal(_)));
        let two = self.out_dir.components().count() == 2;
        if plain && two { self.out_dir.parent() } else { None }
    }
}

impl Target {
    /// The value of wasm-pack's `--target`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Target::Web => "web",
            Target::Bundler => "bundler",
            Target::NoModules => "no-modules",
        }
    }
}

impl Profile {
    /// wasm-pack's arguments.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Profile::Dev => &["--dev"],
            Profile::Profiling => &["--profiling"],
            Profile::Release => &["--release"],
            Profile::Balanced => &["--profile", "balanced"],
            Profile::Size => &["--profile", "size"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        version = "0.15.1"
        wasm-opt = ["-Os"]
        [[build]]
        name = "kernel"
        features = ["kernel"]
        target = "web"
        profile = "release"
        out-dir = "pkg/kernel"
        optimize = true
        budget = 300_000
    "#;

    fn error(text: &str) -> String {
        format!("{:#}", WasmPack::parse(text).unwrap_err())
    }

    #[test]
    fn a_build_is_read_as_written() {
        let file = WasmPack::parse(FILE).unwrap();
        let build = &file.builds[0];
        assert_eq!(build.cargo_args(), ["--no-default-features", "--features", "kernel"]);
        assert_eq!(
            (build.target.as_str(), build.profile.arguments(), build.optimize),
            ("web", &["--release"][..], true)
        );
        assert_eq!(build.budget, 300_000);
        assert_eq!(file.package_folder(), Some(Path::new("pkg")));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_and_the_known_keys() {
        let of_build = error(&FILE.replace("features =", "feature ="));
        assert!(of_build.contains("unknown field `feature`"), "{of_build}");
        for known in ["name", "features", "target", "profile", "out-dir", "optimize", "budget"] {
            assert!(of_build.contains(&format!("`{known}`")), "{of_build}");
        }
        let of_file = error(&format!("wasm-opts = []\n{FILE}"));
        assert!(of_file.contains("unknown field `wasm-opts`") && of_file.contains("`wasm-opt`"), "{of_file}");
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let message = error(&FILE.replace("\"web\"", "\"wbe\""));
        assert!(message.contains("`wbe`") && message.contains("`bundler`"), "{message}");
    }

    #[test]
    fn a_folder_outside_the_package_is_refused() {
        for folder in ["../kernel", "/tmp/kernel", "pkg", "pkg/../src", "src/a/b"] {
            let message = error(&FILE.replace("pkg/kernel", folder));
            assert!(message.contains("out-dir of build `kernel`"), "{message}");
        }
        let second = FILE.split_once("[[build]]").unwrap().1;
        let elsewhere = format!("{FILE}[[build]]{}", second.replace("pkg/kernel", "other/kernel"));
        assert!(error(&elsewhere).contains("not `other/kernel`"));
        assert!(error(&format!("{FILE}[[build]]{second}")).contains("two builds have the out-dir `pkg/kernel`"));
    }

    #[test]
    fn a_file_without_builds_is_refused() {
        let head = FILE.split_once("[[build]]").unwrap().0;
        assert!(error(&format!("{head}\nbuild = []")).contains("at least one"));
    }
}
