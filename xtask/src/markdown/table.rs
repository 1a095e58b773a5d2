//! Tables that GitHub would show otherwise than they were meant.

/// What is said of a row outside of tables.
pub(super) const STRAY: &str = "a row of no table; a blank line ends a table, and one begins with a line of dashes";

/// The rows of a table's source that have another number of cells than its head: what is too much is not shown.
pub(super) fn uneven_rows(table: &str) -> Vec<(usize, String)> {
    let mut rows = table.lines().map(cells).enumerate();
    let Some((_, columns)) = rows.next() else { return Vec::new() };
    rows.filter(|(_, cells)| *cells != columns)
        .map(|(line, cells)| (line, format!("a row of {cells} in a table of {columns} columns")))
        .collect()
}

/// The first line of a paragraph that looks like a row: it begins with a `|`, or has one and comes straight `after_table`.
pub(super) fn stray_row(paragraph: &str, after_table: bool) -> Option<usize> {
    paragraph.lines().map(inner).position(|line| line.starts_with('|') || (after_table && cells(line) > 1))
}

/// How many cells a row has. Code does not protect a `|`, only a backslash does.
fn cells(row: &str) -> usize {
    let row = inner(row);
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').filter(|rest| !rest.ends_with('\\')).unwrap_or(row);
    let mut before = ' ';
    let mut cells: usize = 1;
    for c in row.chars() {
        if c == '|' && before != '\\' {
            cells = cells.saturating_add(1);
        }
        before = c;
    }
    cells
}

/// A line without the marks of quotations around it.
fn inner(line: &str) -> &str {
    line.trim_start_matches(|c: char| c == '>' || c.is_whitespace()).trim_end()
}

#[cfg(test)]
mod tests {
    use crate::markdown::page::Page;

    fn faults(text: &str) -> Vec<usize> {
        Page::read(text).faults.into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_table_in_one_piece_is_whole() {
        for table in [
            "| a | b |\n| --- | --- |\n| 1 | 2 |\n\nText.\n",
            "a | b\n- | -\n1 | 2\n\nText with a | b in it, later\n\nand a | b.\n".split("\n\nText").next().unwrap(),
            "> | a | b |\n> | - | - |\n> | 1 | 2 |\n>\n> Text.\n",
            "- | a | b |\n  | - | - |\n  | `x \\| y` | 2 \\|\n",
            "```\n| a |\n\n| b |\n```\n\nText with `a | b`.\n",
        ] {
            assert_eq!(faults(table), [0; 0], "{table}");
        }
    }

    #[test]
    fn rows_that_lost_their_table_are_found() {
        for (text, line) in [
            ("| a | b |\n| - | - |\n| 1 | 2 |\n\n| 3 | 4 |\n| 5 | 6 |\n", 5),
            ("a | b\n- | -\n1 | 2\n\n3 | 4\n", 5),
            ("> | a |\n> | - |\n> | 1 |\n>\n> | 2 |\n", 5),
            ("| a | b |\n| - | - |\n| 1 | 2 |\n\n    | 3 | 4 |\n", 5),
            ("Text:\n\n| a | b |\n| 1 | 2 |\n", 3),
            ("| a | b |\n| - |\n| 1 | 2 |\n", 1),
            ("| a | b |\n---\n", 1),
        ] {
            assert_eq!(faults(text), [line], "{text}");
        }
    }

    #[test]
    fn rows_of_another_length_are_found() {
        let text = "| a | b |\n| - | - |\n| 1 | `x | y` |\n| 3 |\n| 4 | 5 |\ntext at once\n";
        assert_eq!(faults(text), [3, 4, 6]);
    }
}
