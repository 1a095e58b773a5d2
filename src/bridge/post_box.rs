//! Messages that wait for the end of the turn, to be posted together: a post costs more than what it carries.

#![forbid(unsafe_code)]

use std::mem;

use serde_json::Value;

use super::connection::About;

/// Messages in one post. The more, the longer the other end is busy before its event loop turns again.
pub(super) const LIMIT: usize = 64;

/// Text in one post, in bytes, unless one message alone has more: a `chrome.runtime.Port` refuses posts that are too long.
const TEXT_LIMIT: usize = 256 << 10;

/// Either calls or answers: then what an answer wakes has run before the next call is looked at, as without sharing.
#[derive(Default)]
pub(super) struct PostBox {
    is_in_use: bool,
    messages: Vec<Value>,
    abouts: Vec<About>,
    text: usize,
}

impl PostBox {
    pub(super) fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    /// When it is not in use, what is in it was for somebody who is gone.
    pub(super) fn use_if(&mut self, is_in_use: bool) {
        if !is_in_use {
            self.empty();
        }
        self.is_in_use = is_in_use;
    }

    /// Whether there is room for a message about this.
    pub(super) fn takes(&self, message: &Value, about: &About) -> bool {
        self.messages.len() < LIMIT
            && (self.text.saturating_add(text_of(message)) <= TEXT_LIMIT || self.messages.is_empty())
            && self.abouts.last().is_none_or(|last| mem::discriminant(last) == mem::discriminant(about))
    }

    /// True for the first, whose sender sees to it that the box is emptied.
    pub(super) fn put(&mut self, message: Value, about: About) -> bool {
        self.text = self.text.saturating_add(text_of(&message));
        self.messages.push(message);
        self.abouts.push(about);
        self.messages.len() == 1
    }

    /// One message to post, and what it is about.
    pub(super) fn empty(&mut self) -> Option<(Value, Vec<About>)> {
        let mut messages = mem::take(&mut self.messages);
        let abouts = mem::take(&mut self.abouts);
        self.text = 0;
        let message = if messages.len() == 1 { messages.pop()? } else { Value::Array(messages) };
        (!abouts.is_empty()).then_some((message, abouts))
    }
}

/// The length of what may be long in a message: what a peer sent, or is to be sent, or a reply.
fn text_of(message: &Value) -> usize {
    let text = message.pointer("/params/message").or_else(|| message.get("result"));
    text.and_then(Value::as_str).map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_put_in_comes_out_together_and_one_alone_as_it_is() {
        let mut post_box = PostBox::default();
        assert_eq!(post_box.empty(), None);
        assert!(post_box.put(json!(1), About::Call(1)));
        assert_eq!(post_box.empty(), Some((json!(1), vec![About::Call(1)])));
        assert!(post_box.put(json!(1), About::Call(1)));
        assert!(!post_box.put(json!(2), About::Call(2)));
        assert_eq!(post_box.empty(), Some((json!([1, 2]), vec![About::Call(1), About::Call(2)])));
        assert!(post_box.put(json!(3), About::Call(3)));
    }

    #[test]
    fn it_takes_one_kind_and_is_bounded() {
        let mut post_box = PostBox::default();
        for number in 0..LIMIT {
            let about = About::Answer(json!(number));
            assert!(post_box.takes(&json!(number), &about));
            assert!(!post_box.takes(&json!(number), &About::Call(1)) || number == 0);
            post_box.put(json!(number), about);
        }
        assert!(!post_box.takes(&json!(1), &About::Answer(json!("x"))));
    }

    #[test]
    fn a_long_text_goes_alone() {
        let call = |length: usize| json!({ "params": { "message": "x".repeat(length) } });
        let mut post_box = PostBox::default();
        assert!(post_box.takes(&call(2 * TEXT_LIMIT), &About::Call(1)));
        post_box.put(call(1), About::Call(1));
        assert!(post_box.takes(&call(TEXT_LIMIT - 1), &About::Call(2)));
        assert!(!post_box.takes(&call(TEXT_LIMIT), &About::Call(2)));
        post_box.empty();
        post_box.put(json!({ "result": "x".repeat(TEXT_LIMIT) }), About::Answer(json!(1)));
        assert!(post_box.takes(&json!({ "result": null }), &About::Answer(json!(2))));
        assert!(!post_box.takes(&json!({ "result": "x" }), &About::Answer(json!(2))));
    }

    #[test]
    fn what_nobody_can_take_is_thrown_away() {
        let mut post_box = PostBox::default();
        post_box.use_if(true);
        post_box.put(json!(1), About::Call(1));
        post_box.use_if(false);
        assert_eq!((post_box.is_in_use(), post_box.empty()), (false, None));
    }
}
