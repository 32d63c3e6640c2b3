//! Key files: opening is total and spends little, a file is of one use, and none opens with a passphrase but those that
//! were locked with it.
#![no_main]

use hotwork::domain::limits::KEY_DERIVATION_KIB_MAX;
use hotwork::signer::container::{BadContainer, KeyUse, Opener};
use hotwork::signer::key::LocalSigner;
use hotwork::signer::secret::Passphrase;

const USES: [KeyUse; 5] =
    [KeyUse::ActionCa, KeyUse::IdentityCa, KeyUse::Log, KeyUse::RootCa, KeyUse::Token];
/// The one file that was locked with `right`.
const LOCKED: &[u8] = include_bytes!("../seeds/containers/locked");

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let plain: Vec<_> = USES.iter().filter_map(|usage| Opener::new(None).open(*usage, file).ok()).collect();
    assert!(plain.len() <= 1, "one file, two uses");
    for (algorithm, pkcs8) in plain {
        assert!(file.len() == 16 + pkcs8.len() && file.ends_with(&pkcs8));
        let _ = LocalSigner::from_pkcs8(algorithm, &pkcs8);
    }
    // What a file may ask for is bounded, and still too slow for here.
    let memory_kib = file.get(16..20).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("4 bytes")));
    let passes = file.get(20..24).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("4 bytes")));
    if (memory_kib > 512 && memory_kib <= KEY_DERIVATION_KIB_MAX) || (memory_kib <= 512 && passes > 4) {
        return;
    }
    let passphrase = Passphrase::new(b"right".to_vec()).expect("a passphrase");
    for usage in USES {
        match Opener::new(Some(&passphrase)).open(usage, file) {
            Ok(_) => assert_eq!(file, LOCKED, "a second file opens"),
            Err(error) => {
                let known = memory_kib <= KEY_DERIVATION_KIB_MAX || error != BadContainer::WrongPassphrase;
                assert!(known, "the derivation was run");
            }
        }
    }
});
