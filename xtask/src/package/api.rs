//! The package's interface as it was last agreed to, so that it does not change without a word in CHANGELOG.md.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{config::Config, project::Project};

/// Copies of the types of the package, and of the part of CHANGELOG.md that described them.
const AGREED: &str = "tests/package/api";
const CHANGELOG: &str = "CHANGELOG.md";
const DESCRIBED: &str = "described.md";
/// What a version that is not published yet has instead of a date.
const UNRELEASED: &str = "unreleased";

/// Files of types by their path in the package.
type Api = BTreeMap<PathBuf, String>;

/// Fails if the interface is not the one that was agreed to, or CHANGELOG.md does not begin with this version.
pub(crate) fn check(project: &Project, config: &Config) -> Result<()> {
    let section = top_section(&changelog(project)?, &project.locked_version("ocap-remotes")?)?;
    let (built, agreed) = (built(project, config)?, read(&project.root().join(AGREED))?);
    for (file, text) in &built {
        if agreed.get(file) != Some(text) {
            bail!(
                "{} is not as in {AGREED}: describe the change in {CHANGELOG}, then run `cargo xtask package --accept-api`",
                file.display()
            );
        }
    }
    if let Some(gone) = agreed.keys().find(|file| !built.contains_key(*file) && *file != Path::new(DESCRIBED)) {
        bail!("{} of {AGREED} is not in the package any more", gone.display());
    }
    ensure!(!section.text.is_empty(), "{CHANGELOG} says nothing of this version");
    Ok(())
}

/// Agrees to the interface as it is built, if CHANGELOG.md says what changed.
pub(crate) fn accept(project: &Project, config: &Config) -> Result<()> {
    let folder = project.root().join(AGREED);
    let section = top_section(&changelog(project)?, &project.locked_version("ocap-remotes")?)?;
    let mut agreed = read(&folder)?;
    let described = agreed.remove(Path::new(DESCRIBED)).unwrap_or_default();
    let built = built(project, config)?;
    may_change(&section, &described, built != agreed)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    for (file, text) in built.iter().chain([(&PathBuf::from(DESCRIBED), &section.text)]) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&folder))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn may_change(section: &Section, described: &str, changed: bool) -> Result<()> {
    ensure!(
        !changed || section.is_unreleased,
        "this version is published; its interface cannot change. Raise it in Cargo.toml and begin a section in {CHANGELOG}"
    );
    ensure!(
        !changed || section.text != described,
        "the interface changed, and what {CHANGELOG} says of this version did not"
    );
    Ok(())
}

/// What CHANGELOG.md says of one version.
struct Section {
    is_unreleased: bool,
    text: String,
}

/// The first section, which must be that of `version`: `## 0.1.0 - unreleased`, or with a date.
fn top_section(changelog: &str, version: &str) -> Result<Section> {
    let (_, rest) = changelog.split_once("\n## ").with_context(|| format!("{CHANGELOG} has no section"))?;
    let text = rest.split("\n## ").next().unwrap_or_default();
    let (title, text) = text.split_once('\n').unwrap_or((text, ""));
    let (of, when) = title.split_once(" - ").unwrap_or((title, ""));
    ensure!(of == version, "{CHANGELOG} begins with {of}, and Cargo.toml has version {version}");
    Ok(Section { is_unreleased: when == UNRELEASED, text: text.trim().to_owned() })
}

fn changelog(project: &Project) -> Result<String> {
    fs::read_to_string(project.root().join(CHANGELOG)).context(CHANGELOG)
}

fn built(project: &Project, config: &Config) -> Result<Api> {
    let package = config.wasm_pack.package_folder().context("no build")?;
    let mut api = read(&project.root().join(package))?;
    api.retain(|file, _| file.to_string_lossy().ends_with(".d.ts"));
    Ok(api)
}

/// The text files of a folder and of those in it.
fn read(folder: &Path) -> Result<Api> {
    let mut api = Api::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop().filter(|inner| inner.is_dir()) {
        for entry in fs::read_dir(&inner)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ts" || extension == "md") {
                api.insert(path.strip_prefix(folder)?.to_owned(), fs::read_to_string(&path)?);
            }
        }
    }
    Ok(api)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: &str = "# Changes\n\nIntro.\n\n## 0.2.0 - unreleased\n\n- New.\n\n## 0.1.0 - 2026-01-01\n\n- Old.\n";

    #[test]
    fn the_first_section_is_this_versions() {
        let section = top_section(CHANGES, "0.2.0").unwrap();
        assert_eq!((section.is_unreleased, section.text.as_str()), (true, "- New."));
        let Err(error) = top_section(CHANGES, "0.3.0") else { panic!("another version") };
        assert!(error.to_string().contains("begins with 0.2.0"), "{error}");
    }

    #[test]
    fn the_interface_changes_with_a_word_about_it_and_before_the_version_is_out() {
        let section = |is_unreleased| Section { is_unreleased, text: "- New.".to_owned() };
        may_change(&section(true), "", true).unwrap();
        may_change(&section(false), "- New.", false).unwrap();
        assert!(may_change(&section(true), "- New.", true).is_err());
        assert!(may_change(&section(false), "", true).is_err());
    }
}
