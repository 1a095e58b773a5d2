//! What one page of Markdown links to, and what can be linked to in it.

use std::{collections::BTreeSet, ops::Range};

use pulldown_cmark::{BrokenLink, CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{slug::Slugs, table};

/// A page, read.
#[derive(Default)]
pub(super) struct Page {
    pub(super) links: Vec<Link>,
    pub(super) anchors: BTreeSet<String>,
    /// What is wrong with the page by itself: lines, counted from 1, and what is the matter there.
    pub(super) faults: Vec<(usize, String)>,
}

/// A link or an image.
pub(super) struct Link {
    /// Counted from 1.
    pub(super) line: usize,
    /// As written, entities decoded.
    pub(super) target: String,
}

impl Page {
    /// Reads a page as GitHub does.
    pub(super) fn read(text: &str) -> Self {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_GFM;
        let mut undefined = Vec::new();
        let on_undefined = |link: BrokenLink<'_>| {
            // A word in brackets alone is mostly meant as just that.
            if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
                undefined.push((link.span.start, link.reference.to_string()));
            }
            None
        };
        let mut reader =
            Reader { text, page: Page::default(), slugs: Slugs::default(), heading: None, images: 0, table: 0 };
        for (event, range) in
            Parser::new_with_broken_link_callback(text, options, Some(on_undefined)).into_offset_iter()
        {
            reader.event(&event, range);
        }
        let mut page = reader.page;
        for (offset, name) in undefined {
            page.faults.push((line_of(text, offset), format!("`[{name}]` is defined nowhere")));
        }
        page
    }
}

struct Reader<'a> {
    text: &'a str,
    page: Page,
    slugs: Slugs,
    /// The text so far of the heading that is being read.
    heading: Option<String>,
    /// How many images the reader is inside of.
    images: usize,
    /// Where the last table ended.
    table: usize,
}

impl Reader<'_> {
    fn event(&mut self, event: &Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => self.link(dest_url, range.start),
            Event::Start(Tag::Image { dest_url, .. }) => {
                self.images = self.images.saturating_add(1);
                self.link(dest_url, range.start);
            }
            Event::End(TagEnd::Image) => self.images = self.images.saturating_sub(1),
            Event::Start(Tag::Heading { .. }) => {
                self.look_for_rows(&range);
                self.heading = Some(String::new());
            }
            Event::End(TagEnd::Heading(_)) => {
                let heading = self.heading.take().unwrap_or_default();
                self.page.anchors.insert(self.slugs.next(&heading));
            }
            Event::Text(text) | Event::Code(text) if self.images == 0 => {
                if let Some(heading) = &mut self.heading {
                    heading.push_str(text);
                }
            }
            Event::Start(Tag::Table(_)) => {
                for (line, what) in table::uneven_rows(self.source(&range)) {
                    self.fault(range.start, line, what);
                }
                self.table = range.end;
            }
            Event::Start(Tag::Paragraph | Tag::CodeBlock(CodeBlockKind::Indented)) => self.look_for_rows(&range),
            Event::Start(Tag::HtmlBlock) | Event::InlineHtml(_) => self.html(&range),
            _ => {}
        }
    }

    fn link(&mut self, target: &str, offset: usize) {
        self.page.links.push(Link { line: line_of(self.text, offset), target: target.to_owned() });
    }

    fn source(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// A fault so many lines below `offset`.
    fn fault(&mut self, offset: usize, lines: usize, what: String) {
        self.page.faults.push((line_of(self.text, offset).saturating_add(lines), what));
    }

    /// Rows that are in no table, for it was split or never began.
    fn look_for_rows(&mut self, range: &Range<usize>) {
        let between = self.text.get(self.table..range.start).unwrap_or_default();
        let after_table = self.table > 0 && between.chars().all(|c| c.is_whitespace() || c == '>');
        if let Some(line) = table::stray_row(self.source(range), after_table) {
            self.fault(range.start, line, table::STRAY.to_owned());
        }
    }

    /// Links and anchors of tags.
    fn html(&mut self, range: &Range<usize>) {
        let html = without_comments(self.source(range));
        for name in ["id", "name"] {
            self.page.anchors.extend(attributes(&html, name).map(|(_, value)| value.to_owned()));
        }
        let line = line_of(self.text, range.start);
        for name in ["href", "src"] {
            for (offset, target) in attributes(&html, name) {
                let line = line.saturating_add(line_of(&html, offset)).saturating_sub(1);
                self.page.links.push(Link { line, target: target.to_owned() });
            }
        }
    }
}

/// The line that an offset is in, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count().saturating_add(1)
}

/// The same with blanks for comments, so that lines keep their numbers.
fn without_comments(html: &str) -> String {
    let mut rest = html;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("<!--") {
        let (comment, after) = after.split_once("-->").unwrap_or((after, ""));
        kept.push_str(before);
        kept.extend(comment.chars().filter(|&c| c == '\n'));
        rest = after;
    }
    kept + rest
}

/// The quoted values of an attribute, with their offsets.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    html.match_indices(name).filter_map(move |(offset, _)| {
        let before = html.get(..offset)?;
        // Inside a tag, and the whole of the attribute's name.
        let in_tag = before.rfind('<') > before.rfind('>') && before.ends_with(char::is_whitespace);
        let rest = html.get(offset..)?.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|c| in_tag && matches!(c, '"' | '\''))?;
        Some((offset, rest.get(1..)?.split(quote).next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_tags_are_anchors() {
        let text = "# `a_b` *and*![not this](e) [c](d)\n\nSecond\n------\n\n<a id=\"third\"></a> <a name='4th'></a>\n\n\
            <div id = \"fifth\">\n<!-- <a id=\"none\"> -->\n</div>\n\nid=\"none\"\n\n# Second\n\n> ## In a quotation\n";
        let anchors = ["4th", "a_b-and-c", "fifth", "in-a-quotation", "second", "second-1", "third"];
        assert_eq!(Page::read(text).anchors, anchors.map(str::to_owned).into());
    }

    #[test]
    fn links_of_all_kinds_have_their_lines() {
        let text = "[a](1)\n![b](2)\n<img\nsrc='4'>\n[c][d] <https://6>\n\n[d]: 5\n\n<p>\n<!-- two\nlines -->\n<a href=\"12\">e</a>\n</p>\n";
        let page = Page::read(text);
        let found: Vec<_> = page.links.iter().map(|link| (link.line, link.target.as_str())).collect();
        // The line of a tag's attribute is its own.
        assert_eq!(found, [(1, "1"), (2, "2"), (4, "4"), (5, "5"), (5, "https://6"), (12, "12")]);
    }

    #[test]
    fn what_only_looks_like_a_link_is_none() {
        let page =
            Page::read("`[a](1)` \\[b](2) [KERNEL:X] [ ] x[0]\n\n    [c](3)\n\n<!-- [d](4) <a href=\"5\"> -->\n");
        assert!(page.links.is_empty() && page.faults.is_empty(), "{:?}", page.faults);
    }
}
