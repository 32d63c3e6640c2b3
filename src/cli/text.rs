//! What a server, a file or a log says is text of strangers: it must not steer the terminal.

/// `text` with everything that can steer a terminal or reorder a line shown as `\u{..}`. Line feeds and tabs too.
pub fn clean(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`clean`], but line feeds stay: for texts of several lines, such as PEM.
pub fn clean_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !keep(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// `json` with the characters escaped that its serializer leaves raw. They can stand in strings only.
pub fn clean_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) && c != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters (ECMA-48 C0, DEL, C1), line separators, and bidirectional marks and overrides.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        assert_eq!(
            clean("a\u{1b}[31mb\r\n\u{9b}2J\u{7f}\u{202e}"),
            "a\\u{1b}[31mb\\u{d}\\u{a}\\u{9b}2J\\u{7f}\\u{202e}"
        );
        assert_eq!(clean("grün / naïve"), "grün / naïve");
        assert_eq!(clean_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = serde_json::to_string(&["\u{9b}\u{202e}\u{1b}é"]).unwrap();
        let cleaned = clean_json(&json);
        assert!(cleaned.chars().all(|c| !steers(c)), "{cleaned}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&cleaned).unwrap(), ["\u{9b}\u{202e}\u{1b}é"]);
    }
}
