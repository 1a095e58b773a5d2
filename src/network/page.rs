//! What becomes of a page in a browser, and what that means for its connections.

use std::time::Duration;

use crate::runtime::Timestamp;

/// Who was away for so long may have lost connections without knowing; a glance at another tab is no reason to ask.
const AWAY: Duration = Duration::from_secs(30);

/// What the browser tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// There is a network again.
    Online,
    /// Something about the way to the network changed: its kind (`wifi`, `cellular`), where the browser tells, or what is
    /// guessed of its speed.
    Connection {
        /// The kind.
        kind: Option<String>,
    },
    /// Nobody sees the page.
    Hidden,
    /// Somebody sees it again.
    Shown,
    /// It was frozen, or kept aside, and runs again.
    Revived,
    /// It is left, and will most likely not come back.
    Left,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Connections may be dead, and what failed before may succeed.
    Changed,
    /// Peers are to learn at once that nobody is here any more.
    Left,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    connection: Option<String>,
    hidden_since: Option<Timestamp>,
}

impl Page {
    /// A page whose connection is of this kind, if that is known.
    pub(crate) fn new(connection: Option<String>) -> Self {
        Page { connection, hidden_since: None }
    }

    /// What an event means, if anything.
    pub(crate) fn hear(&mut self, event: PageEvent, now: Timestamp) -> Option<Meaning> {
        let changed = match event {
            PageEvent::Online => true,
            PageEvent::Connection { kind } => {
                let differs = kind != self.connection;
                self.connection = kind;
                differs
            }
            PageEvent::Hidden => {
                self.hidden_since.get_or_insert(now);
                false
            }
            PageEvent::Shown => self.hidden_since.take().is_some_and(|since| now.since(since) >= AWAY),
            PageEvent::Revived => true,
            PageEvent::Left => return Some(Meaning::Left),
        };
        changed.then_some(Meaning::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(page: &mut Page, event: PageEvent, second: u64) -> Option<Meaning> {
        page.hear(event, Timestamp::from_millis(second * 1_000))
    }

    #[test]
    fn a_guess_of_the_speed_is_no_change_of_the_way_and_another_kind_is() {
        let connection = |kind: Option<&str>| PageEvent::Connection { kind: kind.map(str::to_owned) };
        let mut unknown = Page::new(None);
        assert_eq!(hear(&mut unknown, connection(None), 1), None, "most browsers tell no kind");
        let mut page = Page::new(Some("wifi".to_owned()));
        assert_eq!(hear(&mut page, connection(Some("wifi")), 1), None);
        assert_eq!(hear(&mut page, connection(Some("cellular")), 2), Some(Meaning::Changed));
        assert_eq!(hear(&mut page, connection(Some("cellular")), 3), None);
        assert_eq!(hear(&mut page, PageEvent::Online, 4), Some(Meaning::Changed));
    }

    #[test]
    fn a_page_that_was_away_for_long_looks_after_its_connections_and_one_that_is_left_closes_them() {
        let mut page = Page::new(None);
        assert_eq!(hear(&mut page, PageEvent::Hidden, 100), None);
        assert_eq!(hear(&mut page, PageEvent::Shown, 129), None, "a glance at another tab");
        assert_eq!(hear(&mut page, PageEvent::Hidden, 200), None);
        assert_eq!(hear(&mut page, PageEvent::Shown, 230), Some(Meaning::Changed));
        assert_eq!(hear(&mut page, PageEvent::Shown, 300), None, "it was not hidden");
        assert_eq!(hear(&mut page, PageEvent::Revived, 400), Some(Meaning::Changed));
        assert_eq!(hear(&mut page, PageEvent::Left, 500), Some(Meaning::Left));
    }
}
