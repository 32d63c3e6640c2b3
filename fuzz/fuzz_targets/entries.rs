//! Log entries: what is read has one canonical form, which reads back as the same entry.
#![no_main]

use hotwork::domain::entry::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = Entry::from_json(bytes) else { return };
    let Ok(canonical) = entry.to_canonical_json() else { return };
    let back = Entry::from_json(&canonical).expect("our own entry is read back");
    assert_eq!(back, entry);
    assert_eq!(back.to_canonical_json().expect("it had a form before"), canonical);
});
