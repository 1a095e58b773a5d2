//! JavaScript strings that need not be made anew for each message.

use std::{cell::RefCell, collections::VecDeque, ops::RangeInclusive};

use js_sys::JsString;
use wasm_bindgen::JsValue;

use crate::bridge::{
    message::{JSONRPC, MEMBERS, SIGNALS},
    methods,
};

/// Lengths of the texts that are likely to come again soon: peer ids. A key seed, which must not be kept, has 64.
const RECURRING: RangeInclusive<usize> = 46..=60;

/// Texts of that kind that are kept.
const RECENT: usize = 32;

/// Digits of a number that JavaScript writes as we do.
const EXACT_DIGITS: usize = 15;

struct Words {
    known: Vec<(&'static str, JsString)>,
    recent: RefCell<VecDeque<(String, JsString)>>,
}

thread_local! {
    static WORDS: Words = Words {
        known: [JSONRPC].iter().chain(&SIGNALS).chain(&MEMBERS).chain(&methods::WORDS).chain(&methods::ID_PREFIXES)
            .map(|word| (*word, JsString::from(*word)))
            .collect(),
        recent: RefCell::default(),
    };
}

impl Words {
    fn find(&self, text: &str) -> Option<&JsString> {
        self.known.iter().find(|(word, _)| *word == text).map(|(_, string)| string)
    }

    /// A text like `m42`, of a known prefix and a number.
    fn numbered(&self, text: &str) -> Option<JsString> {
        let (prefix, digits) = text.split_at(text.bytes().rposition(|byte| !byte.is_ascii_digit())?.checked_add(1)?);
        if digits.is_empty() || digits.len() > EXACT_DIGITS || digits.starts_with('0') {
            return None;
        }
        let number = JsValue::from_f64(digits.parse().ok()?);
        self.find(prefix).map(|prefix| prefix.concat(&number))
    }

    fn recurring(&self, text: &str) -> JsString {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, string)) = recent.iter().find(|(known, _)| known == text) {
            return string.clone();
        }
        let string = JsString::from(text);
        recent.truncate(RECENT - 1);
        recent.push_front((text.to_owned(), string.clone()));
        string
    }
}

/// Calls `work` with a text that is likely to be a known word.
pub(super) fn with_word<T>(text: &str, work: impl FnOnce(&JsString) -> T) -> T {
    WORDS.with(|words| match words.find(text) {
        Some(word) => work(word),
        None => work(&JsString::from(text)),
    })
}

/// Any text.
pub(super) fn to_js_string(text: &str) -> JsString {
    if text.len() > *RECURRING.end() {
        return JsString::from(text);
    }
    WORDS.with(|words| {
        if RECURRING.contains(&text.len()) {
            words.recurring(text)
        } else {
            let known = words.find(text).cloned();
            known.or_else(|| words.numbered(text)).unwrap_or_else(|| JsString::from(text))
        }
    })
}
