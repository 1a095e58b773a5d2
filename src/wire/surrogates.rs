//! Lone surrogates: JavaScript's strings may hold half a character, and `JSON.stringify` writes it as an escape, such as
//! `\ud800`, that stands for no text.

/// The JSON text with U+FFFD in the place of every such escape; nothing if there is none.
pub(super) fn without_lone_surrogates(json: &str) -> Option<String> {
    let mut replaced: Option<String> = None;
    let (mut rest, mut kept) = (json, json);
    while let Some((before, escape)) = rest.split_once('\\') {
        let (length, is_lone) = match unit(escape) {
            Some(0xd800..=0xdbff) if is_low(escape.get(5..)) => (11, false),
            Some(0xd800..=0xdfff) => (5, true),
            // What is escaped may be a backslash.
            _ => (escape.chars().next().map_or(0, char::len_utf8), false),
        };
        let (_, after) = escape.split_at_checked(length)?;
        if is_lone {
            let until = kept.len().saturating_sub(rest.len()).saturating_add(before.len());
            let text = replaced.get_or_insert_default();
            text.push_str(kept.get(..until)?);
            text.push_str("\\ufffd");
            kept = after;
        }
        rest = after;
    }
    replaced.map(|text| text + kept)
}

/// The UTF-16 unit of an escape whose backslash was taken.
fn unit(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

fn is_low(rest: Option<&str>) -> bool {
    rest.and_then(|rest| unit(rest.strip_prefix('\\')?)).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_of_a_character_is_replaced_and_nothing_else() {
        for text in
            ["", "{}", r#""\ud83d\ude00 \n \\ud800 é \u00e9 \\\\udc00""#, r#""\u""#, r#""\"#, r#""\u12"#, r#""\ué0""#]
        {
            assert_eq!(without_lone_surrogates(text), None, "{text}");
        }
        for (text, replaced) in [
            (r#""\ud800""#, r#""\ufffd""#),
            (r#""\uDC00\uD83D\uDE00\udbff""#, r#""\ufffd\uD83D\uDE00\ufffd""#),
            (r#""\ud800\ud800\udc00 x""#, r#""\ufffd\ud800\udc00 x""#),
            (r#""\\\ud800 \\ud800 \ud800\n""#, r#""\\\ufffd \\ud800 \ufffd\n""#),
            (r#"["é\udfff","ü"]"#, r#"["é\ufffd","ü"]"#),
        ] {
            assert_eq!(without_lone_surrogates(text).as_deref(), Some(replaced));
            serde_json::from_str::<serde_json::Value>(replaced).unwrap();
            serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        }
    }
}
