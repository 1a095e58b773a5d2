//! What is in the tree, as someone has it who has cloned it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Files and folders, by their paths from the root.
pub(super) struct Tree {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Tree {
    /// Finds everything but what `.gitignore` says is no part of it. Of `.gitignore` only lines such as `/www/dist` are understood,
    /// which are all that this tree has.
    pub(super) fn walk(root: &Path) -> Result<Self> {
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let ignored: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('/')).map(PathBuf::from).collect();
        let mut tree = Tree { root: root.to_owned(), files: BTreeSet::new(), folders: BTreeSet::new() };
        let mut due = vec![PathBuf::new()];
        while let Some(folder) = due.pop() {
            for entry in fs::read_dir(root.join(&folder)).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if ignored.contains(&path) || entry.file_name() == ".git" {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    due.push(path);
                } else {
                    tree.files.insert(path);
                }
            }
            tree.folders.insert(folder);
        }
        Ok(tree)
    }

    pub(super) fn files_with_extension(&self, extension: &str) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path).filter(move |file| file.extension() == Some(OsStr::new(extension)))
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.contains(path) || self.folders.contains(path)
    }

    /// How many lines a text file has.
    pub(super) fn lines(&self, file: &Path) -> Option<usize> {
        Some(fs::read_to_string(self.root.join(file)).ok()?.lines().count())
    }
}
