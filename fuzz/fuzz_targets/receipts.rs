//! Receipts: what is read has one spelling.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotwork::store::proof::parse_receipt;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok((index, hashes, note)) = parse_receipt(text) else { return };
    let hashes: String = hashes.iter().map(|hash| STANDARD.encode(hash.as_bytes()) + "\n").collect();
    assert_eq!(format!("c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{note}"), text);
});
