//! Text from the world, made fit for a line and a terminal.
//!
//! # Guarantees
//! What comes out holds no control character (also none of C1, which some terminals obey), no
//! character that changes the direction of writing, no separator of lines or paragraphs and no
//! character that is invisible, so that two different texts also look different.

use std::fmt::Write as _;

/// Whether a character is shown as its number rather than as itself.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// The text for a person's eyes: harmful characters stand as `\u{…}`. Not reversible.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut shown, c);
    }
    shown
}

/// Appends a character, or its number where it is harmful.
pub(crate) fn push_escaped(out: &mut String, c: char) {
    if is_harmful(c) {
        let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
    } else {
        out.push(c);
    }
}

/// JSON in which every character that is not plain stands escaped, so that a terminal can show it.
/// Harmful characters occur in JSON only within strings, so the value stays the same.
pub fn escape_json(value: &serde_json::Value) -> String {
    let text = value.to_string();
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_json_escaped(&mut shown, c);
    }
    shown
}

/// Appends a character as JSON strings write it when it is harmful, else as it is.
pub(crate) fn push_json_escaped(out: &mut String, c: char) {
    if !is_harmful(c) {
        out.push(c);
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _infallible = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_a_number() {
        assert_eq!(
            escape("a\u{1b}[2Jb\u{202e}\r\n"),
            "a\\u{1b}[2Jb\\u{202e}\\u{d}\\u{a}"
        );
        assert_eq!(
            escape("\u{9b}31m\u{e0041}\u{200b}"),
            "\\u{9b}31m\\u{e0041}\\u{200b}"
        );
        assert_eq!(escape("käthe 北京 <a@b>"), "käthe 北京 <a@b>");
    }

    #[test]
    fn escape_json_means_the_same() {
        let value = serde_json::json!({"k\u{202e}": "a\u{1b}\u{7f}\u{85}\u{e0041}é\"\\"});
        let shown = escape_json(&value);
        assert!(!shown.chars().any(is_harmful), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"),
            value
        );
    }
}
