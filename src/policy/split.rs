//! Cuts a policy file into its policies, so that each is parsed by itself and one mistake hides no other.
//!
//! Knows of Cedar's syntax only what a string and a comment are: outside of both, `;` ends a policy.

/// One policy's text and where it begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The text, from its first word or annotation to its `;`.
    pub(super) text: &'a str,
    /// Byte offset in the file.
    pub(super) offset: usize,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    Comment,
    Text,
    TextEscape,
}

/// The policies of a file in order.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut state = State::Code;
    let mut start = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        state = match (state, c) {
            (State::Code, '/') if chars.peek().is_some_and(|(_, next)| *next == '/') => State::Comment,
            (State::Code, c) => {
                if !c.is_whitespace() {
                    start.get_or_insert(at);
                }
                if c == ';' {
                    pieces.extend(start.take().and_then(|from| piece(text, from, at.saturating_add(1))));
                }
                if c == '"' { State::Text } else { State::Code }
            }
            (State::Comment, '\n') | (State::Text, '"') => State::Code,
            (State::Text, '\\') => State::TextEscape,
            (State::Text | State::TextEscape, _) => State::Text,
            (State::Comment, _) => State::Comment,
        };
    }
    pieces.extend(start.and_then(|from| piece(text, from, text.len())));
    pieces
}

fn piece(text: &str, from: usize, to: usize) -> Option<Piece<'_>> {
    text.get(from..to).map(|text| Piece { text, offset: from })
}

/// Line and column in characters, both from 1, of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or(before);
    (line, last.chars().count().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_semicolon_in_code_ends_a_policy() {
        let text = "// a; b\n@id(\"x;\\\"y\")\npermit(a);\n\n  forbid(b) // c;\n ; // d;";
        let found = pieces(text);
        let texts: Vec<&str> = found.iter().map(|piece| piece.text).collect();
        assert_eq!(texts, ["@id(\"x;\\\"y\")\npermit(a);", "forbid(b) // c;\n ;"]);
        let places: Vec<_> = found.iter().map(|piece| position(text, piece.offset)).collect();
        assert_eq!(places, [(2, 1), (5, 3)]);
    }

    #[test]
    fn a_last_policy_without_its_semicolon_is_not_lost() {
        assert_eq!(pieces("permit(a)").len(), 1);
        assert_eq!(pieces("permit(a); \"").len(), 2);
        assert!(pieces("  // only words;\n").is_empty());
    }
}
