//! Statements: what parses is printable, says each thing once, and is made of its lines.
#![no_main]

use hotwork::domain::statement::Statement;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(statement) = text.parse::<Statement>() else { return };
    assert_eq!(statement.as_str(), text);
    assert!(text.bytes().all(|b| b == b'\n' || b == b' ' || b.is_ascii_graphic()));
    let title = text.lines().next().expect("a title");
    let mut whole = format!("{title}\n");
    for (key, value) in statement.lines() {
        assert_eq!(statement.value(key), Some(value), "{key} stands there twice");
        whole.push_str(&format!("{key}: {value}\n"));
    }
    assert_eq!(whole, text);
});
