//! The names that GitHub gives to headings.

use std::collections::BTreeMap;

/// Names of the headings of one page so far.
#[derive(Default)]
pub(super) struct Slugs(BTreeMap<String, u32>);

impl Slugs {
    /// The name of the next heading: a second one of the same name gets `-1`, a third one `-2`.
    pub(super) fn next(&mut self, heading: &str) -> String {
        let slug = slug(heading);
        let times = self.0.entry(slug.clone()).or_default();
        let name = if *times == 0 { slug } else { format!("{slug}-{times}") };
        *times = times.saturating_add(1);
        name
    }
}

/// Small letters; blanks become hyphens, one for one; all but letters, digits, hyphens and `_` goes.
fn slug(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' | '-' => Some('-'),
        c if c == '_' || c.is_alphabetic() || c.is_ascii_digit() => Some(c),
        _ => None,
    };
    heading.trim().to_lowercase().chars().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_named_as_github_names_them() {
        for (heading, expected) in [
            ("What is durable when", "what-is-durable-when"),
            ("11. Restarts, cuts & give-ups", "11-restarts-cuts--give-ups"),
            ("§5 – The wire (`hello`)", "5--the-wire-hello"),
            ("snake_case, kebab-case", "snake_case-kebab-case"),
            ("Größe: 48 KB!", "größe-48-kb"),
            ("a\tb", "ab"),
            ("???", ""),
        ] {
            assert_eq!(slug(heading), expected);
        }
    }

    #[test]
    fn headings_of_one_name_are_numbered() {
        let mut slugs = Slugs::default();
        assert_eq!(["A", "B", "a", "A!"].map(|heading| slugs.next(heading)), ["a", "b", "a-1", "a-2"]);
    }
}
