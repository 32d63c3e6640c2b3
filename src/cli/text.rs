//! What a server, a file or a log says is text of strangers: it must not steer the terminal.

use unicode_width::UnicodeWidthChar as _;

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
            // Above U+FFFF JSON has surrogates (RFC 8259 section 7).
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` in lines that fit `width` columns, each after its mark: `first` stands before every line of the text, `next`
/// before what of it goes on. A line that the terminal wraps by itself goes on at its edge, where it looks like a line of
/// ours.
pub fn marked(text: &str, width: usize, (first, next): (&str, &str)) -> String {
    let mut out = String::with_capacity(text.len());
    for line in clean_lines(text).lines() {
        out.push_str(first);
        let mut used = columns(first);
        for c in line.chars() {
            let wide = c.width().unwrap_or_default();
            if used.saturating_add(wide) > width.max(WIDTH_MIN) {
                out.push('\n');
                out.push_str(next);
                used = columns(next);
            }
            out.push(c);
            used = used.saturating_add(wide);
        }
        out.push('\n');
    }
    out
}

/// Narrower than this nothing can be read, and every mark would need more room than it marks.
const WIDTH_MIN: usize = 20;

fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or_default()).sum()
}

/// What steers a terminal, or is there and can't be seen: control characters (ECMA-48 C0, DEL, C1), line separators,
/// bidirectional marks and overrides, the code points that Unicode has ignored by default (DerivedCoreProperties,
/// `Default_Ignorable_Code_Point`), annotations, and private use, whose look is the font's.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
                | '\u{f0000}'..='\u{10ffff}'
        )
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
    fn nothing_is_there_that_can_not_be_seen() {
        for hidden in
            ['\u{ad}', '\u{200b}', '\u{2060}', '\u{3164}', '\u{fe0f}', '\u{feff}', '\u{e000}', '\u{e0041}']
        {
            assert_eq!(clean(&format!("a{hidden}b")), format!("a\\u{{{:x}}}b", u32::from(hidden)));
        }
        assert_eq!(clean("สวัสดี 你好 e\u{301}"), "สวัสดี 你好 e\u{301}");
    }

    #[test]
    fn no_line_goes_on_without_its_mark() {
        let words =
            format!("please{}approved by  2 of 2\nstate: approved\n{}", " ".repeat(60), "你".repeat(40));
        for width in [0, 20, 21, 40, 80] {
            let text = marked(&words, width, ("  | ", "  | "));
            for line in text.lines() {
                assert!(
                    line.starts_with("  | ") && columns(line) <= width.max(WIDTH_MIN),
                    "{width}: {line:?}"
                );
            }
            let bare: String = text.lines().filter_map(|line| line.strip_prefix("  | ")).collect();
            assert_eq!(bare, words.replace('\n', ""));
        }
        assert_eq!(marked("ab\u{1b}", 80, ("> ", "  ")), "> ab\\u{1b}\n");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let hidden = "\u{9b}\u{202e}\u{1b}é\u{feff}\u{e0041}";
        let json = serde_json::to_string(&[hidden]).unwrap();
        let cleaned = clean_json(&json);
        assert!(cleaned.chars().all(|c| !steers(c)), "{cleaned}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&cleaned).unwrap(), [hidden]);
    }
}
