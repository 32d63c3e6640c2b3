//! Checkpoints and verifier keys: one spelling each.
#![no_main]

use hotwork::domain::note::{Checkpoint, VerifierKey};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_text(), text.trim());
        assert_eq!(VerifierKey::new(key.name.clone(), key.key), key);
    }
    let key = VerifierKey::new("example.org/log".to_owned(), [7; 32]);
    let Ok((checkpoint, signature)) = Checkpoint::parse(text, &key) else { return };
    assert!(text.starts_with(&checkpoint.body()), "what was signed is not what was read");
    let again = Checkpoint::parse(&checkpoint.signed(&key, &signature), &key);
    assert_eq!(again, Ok((checkpoint, signature)));
});
