//! Reads Rust text without compiling it: code without comments, texts and unit tests, and the paths it names.

/// The code of a file, line for line: comments, the insides of texts and the unit tests are blank.
pub(crate) fn code(text: &str) -> String {
    without_tests(&without_prose(text))
}

/// Blanks from `#[cfg(test)]` on: unit tests stand at a file's end and may use what they like.
fn without_tests(code: &str) -> String {
    let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
    code.char_indices().map(|(at, c)| if at < end || c == '\n' { c } else { ' ' }).collect()
}

/// Blanks comments and the insides of texts.
fn without_prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, kept) = match prose(rest) {
            Some(length) => (length, false),
            None => (first.len_utf8(), true),
        };
        let (piece, tail) = rest.split_at(taken);
        if kept {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = tail;
    }
    out
}

/// The length of the comment, text or character that `rest` begins with.
fn prose(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            return Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()));
        }
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return Some(closing(inside, '"').map_or(rest.len(), |end| end + 2));
    }
    character(rest)
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut chars = inside.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        return closing(inside, '\'').map(|end| end + 2);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 2)
}

/// Where the first `quote` stands that no backslash escapes.
fn closing(inside: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// A path that the code names, with its line; groups are spelled out: `a::{b, c}` is `a::b` and `a::c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// Every path in the code.
pub(crate) fn paths(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if is_word(&tokens[at].1) { path(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

/// Reads one path with its groups from `at`, below `above`; gives where it ends.
fn path(tokens: &[(usize, String)], start: usize, above: &[String], found: &mut Vec<Named>) -> usize {
    let line = tokens[start].0;
    let mut words = above.to_vec();
    words.push(tokens[start].1.clone());
    let mut at = start + 1;
    while at + 1 < tokens.len() && tokens[at].1 == "::" {
        let next = &tokens[at + 1].1;
        if is_word(next) {
            words.push(next.clone());
            at += 2;
        } else if next == "{" {
            at += 2;
            while at < tokens.len() && tokens[at].1 != "}" {
                at = if is_word(&tokens[at].1) { path(tokens, at, &words, found) } else { at + 1 };
            }
            return at + 1;
        } else {
            break;
        }
    }
    found.push(Named { line, path: words });
    at
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let sign = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            let (token, tail) = rest.split_at(if word > 0 { word } else { sign });
            found.push((number + 1, token.to_owned()));
            rest = tail.trim_start();
        }
    }
    found
}

#[test]
fn prose_and_tests_are_blank_and_lines_stay() {
    let text = "a // b\n/* c\nd */ \"e\\\"f\" 'g' '\\'' r#\"h\"i\"# &'j k\n#[cfg(test)]\nmod tests { l }\n";
    let code = code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "&'j", "k"]);
}

#[test]
fn groups_of_paths_are_spelled_out() {
    let found = paths("use crate::{a, b::{c, self}};\nstd::fs::read(x)");
    let texts: Vec<String> = found.iter().map(|named| named.path.join("::")).collect();
    for path in ["crate::a", "crate::b::c", "crate::b::self", "std::fs::read"] {
        assert!(texts.iter().any(|text| text == path), "{path}: {texts:?}");
    }
    assert_eq!(found.last().map(|named| named.line), Some(2));
}
