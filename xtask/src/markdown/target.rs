//! Where a link leads.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::{page::Page, tree::Tree};

/// What is wrong with a link's target on the page `file`, if anything is.
pub(super) fn fault(target: &str, file: &Path, tree: &Tree, pages: &BTreeMap<PathBuf, Page>) -> Option<String> {
    if is_on_the_web(target) {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = path.split('?').next().unwrap_or_default();
    let (Some(path), Some(anchor)) = (decoded(path), decoded(anchor)) else {
        return Some("has a `%` that stands for nothing".to_owned());
    };
    let Some(path) = resolved(&path, file) else {
        return Some("leads out of the tree".to_owned());
    };
    if !tree.has(&path) {
        return Some("is not in the tree".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    // GitHub shows a folder with its page.
    let page = pages.get(&path).or_else(|| pages.get(&path.join("README.md")));
    match page {
        Some(page) if page.anchors.contains(&anchor) => None,
        Some(_) => Some("leads to a page that has no such anchor".to_owned()),
        None => match (last_line(&anchor), tree.lines(&path)) {
            (Some(last), Some(lines)) if last <= lines => None,
            (Some(_), Some(lines)) => Some(format!("leads to a file of {lines} lines")),
            _ => Some("has an anchor, and does not lead to Markdown".to_owned()),
        },
    }
}

/// Whether it has a scheme, as `https:`, or a host.
fn is_on_the_web(target: &str) -> bool {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme || target.starts_with("//")
}

/// The path from the tree's root; none if it leaves the tree.
fn resolved(path: &str, file: &Path) -> Option<PathBuf> {
    if path.is_empty() {
        return Some(file.to_owned());
    }
    let mut resolved = if path.starts_with('/') { PathBuf::new() } else { file.parent()?.to_owned() };
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir if !resolved.pop() => return None,
            _ => {}
        }
    }
    Some(resolved)
}

/// Bytes instead of `%41`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

/// The last line of `L3` or `L3-L5`.
fn last_line(anchor: &str) -> Option<usize> {
    let line = |text: &str| text.strip_prefix('L')?.parse().ok();
    match anchor.split_once('-') {
        Some((first, last)) => line(last).filter(|last| line(first).is_some_and(|first: usize| first <= *last)),
        None => line(anchor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_from_its_page_or_from_the_root() {
        let from = |path| resolved(path, Path::new("docs/a.md")).map(|path| path.display().to_string());
        assert_eq!(from("b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(from("./x/../b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(from("..").as_deref(), Some(""));
        assert_eq!(from("/src/").as_deref(), Some("src"));
        assert_eq!(from("").as_deref(), Some("docs/a.md"));
        assert_eq!(from("../../b.md"), None);
    }

    #[test]
    fn percent_signs_stand_for_bytes() {
        assert_eq!(decoded("a%20%c3%a4").as_deref(), Some("a ä"));
        assert_eq!((decoded("%2"), decoded("%zz"), decoded("%ff")), (None, None, None));
    }

    #[test]
    fn lines_of_code_are_anchors_in_order() {
        assert_eq!(
            (last_line("L3"), last_line("L3-L5"), last_line("L5-L3"), last_line("x")),
            (Some(3), Some(5), None, None)
        );
    }

    #[test]
    fn only_what_has_a_scheme_or_host_is_on_the_web() {
        assert!(["https://a.b", "mailto:a@b", "//a.b/c"].into_iter().all(is_on_the_web));
        assert!(!["a.md", "../b", "#c", "x/y:z.md", "1:2"].into_iter().any(is_on_the_web));
    }
}
