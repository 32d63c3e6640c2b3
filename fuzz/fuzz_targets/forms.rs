//! Forms over HTTP: no name stands twice, and nothing panics.
#![no_main]

use hotwork::api::form::parse;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(parameters) = parse(text) else { return };
    assert!(parameters.len() <= text.matches('&').count() + 1);
    for (at, (name, value)) in parameters.iter().enumerate() {
        assert!(name.len() + value.len() <= text.len());
        assert!(!parameters[..at].iter().any(|(earlier, _)| earlier == name), "a name stands twice");
    }
});
