//! The tree's Markdown as GitHub shows it: links that lead to a file, anchors that are there, and tables in one piece.
//!
//! Addresses on the web are not asked, since a check must not depend on the network.

mod page;
mod slug;
mod table;
mod target;
mod tree;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

use self::{page::Page, tree::Tree};

/// Says of each fault where it is and what it is: `docs/store.md:12: ...`.
pub(crate) fn faults(root: &Path) -> Result<Vec<String>> {
    let tree = Tree::walk(root)?;
    let mut pages = BTreeMap::new();
    for file in tree.files_with_extension("md") {
        let text = fs::read_to_string(root.join(file)).with_context(|| file.display().to_string())?;
        pages.insert(file.to_owned(), Page::read(&text));
    }
    let mut faults = Vec::new();
    for (file, page) in &pages {
        let dead = page.links.iter().filter_map(|link| {
            let what = target::fault(&link.target, file, &tree, &pages)?;
            Some((link.line, format!("`{}` {what}", link.target)))
        });
        let mut of_page: Vec<_> = page.faults.iter().cloned().chain(dead).collect();
        of_page.sort();
        faults.extend(of_page.into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Faults of a tree that has these files.
    fn faults_of(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let root = std::env::temp_dir().join(format!("xtask-markdown-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let faults = faults(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
        faults
    }

    #[test]
    fn a_tree_whose_links_all_lead_somewhere_has_no_fault() {
        let readme = "# The house\n\n[itself](#the-house) [page](docs/a.md) [part](docs/a.md#its-parts--more) [folder](docs)\n\
            [folder's page](docs/#inside) [web](https://example.org/none.md#x) [mail](mailto:a@b.c) [line](src/lib.rs#L2)\n\
            [spaces](<docs/a b.md>) [coded](docs/a%20b.md) [from the root](/docs/a.md) ![picture](docs/p.png)\n\
            [by name][a] [a] <a href=\"docs/a.md\">in HTML</a> `[code](none.md)`\n\n[a]: docs/a.md\n";
        let a = "Its `parts`, & more\n===================\n\n[up](../README.md) [beside](./a%20b.md)\n\n\
            ~~~md\n[shown](none.md)\n~~~\n";
        let files = [
            ("README.md", readme),
            ("docs/a.md", a),
            ("docs/a b.md", ""),
            ("docs/README.md", "## Inside\n"),
            ("docs/p.png", ""),
            ("src/lib.rs", "1\n2\n"),
        ];
        assert_eq!(faults_of("whole", &files), [""; 0]);
    }

    #[test]
    fn each_dead_link_is_named_with_its_line() {
        let page = "# A\n\n[gone](b.md)\n[gone](#b)\n[gone](a.md#c)\n[out](../../x.md)\n[case](A.md)\n[line](l.rs#L3)\n\
            [no part](l.rs#x)\n![gone](p.png)\n<img src=\"q.png\">\n[undefined][c]\n[built](../target/x.md)\n[defined]\n\n\
            [defined]: d.md\n";
        let files = [
            ("docs/a.md", page),
            ("docs/l.rs", "1\n2\n"),
            (".gitignore", "/target\n"),
            ("target/x.md", "[gone](y.md)"),
        ];
        let lines: Vec<_> = faults_of("dead", &files)
            .iter()
            .map(|fault| fault.strip_prefix("docs/a.md:").unwrap().split(':').next().unwrap().to_owned())
            .collect();
        assert_eq!(lines, (3..=14).map(|line| line.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_split_table_is_a_fault() {
        let faults = faults_of("split", &[("a.md", "| a | b |\n| - | - |\n| 1 | 2 |\n\n| 3 | 4 |\n")]);
        assert_eq!(
            faults,
            ["a.md:5: a row of no table; a blank line ends a table, and one begins with a line of dashes"]
        );
    }

    #[test]
    fn the_markdown_of_this_tree_has_no_fault() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        assert_eq!(faults(&root).unwrap(), [""; 0]);
    }
}
