//! Runs every fuzz target over its seeds, and over simple changes of them, in the ordinary test run: so the
//! targets compile, the seeds are ones that reach something, and a finding stays fixed once its input is
//! a seed. `scripts/fuzz.sh` searches further.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::uninlined_format_args,
    unused_attributes,
    missing_docs,
    reason = "the targets stop at what must not be"
)]

// The targets are compiled as modules of this test; these names stand for the crates they use there.
extern crate self as hotwork_fuzz;
extern crate self as libfuzzer_sys;

use std::fs;
use std::path::PathBuf;

#[path = "../fuzz/src/lib.rs"]
mod shared;
pub use shared::{one_json, one_spelling};

/// The targets' entry point, as a plain function.
#[macro_export]
macro_rules! fuzz_target {
    (|$text:ident: &str| $body:block) => {
        pub(crate) fn run(bytes: &[u8]) {
            if let Ok($text) = std::str::from_utf8(bytes) $body
        }
    };
    (|$bytes:ident: &[u8]| $body:block) => {
        pub(crate) fn run($bytes: &[u8]) $body
    };
}

/// Changes of each seed: few enough for every test run.
const CHANGES: u64 = 300;

/// Declares the targets, each with its test.
macro_rules! targets {
    ($($name:ident $path:literal)*) => {
        $(#[path = $path] mod $name;)*

        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        mod withstands {
            $(
                #[test]
                fn $name() {
                    super::replay(stringify!($name), super::$name::run);
                }
            )*
        }
    };
}

targets! {
    agent_ids "../fuzz/fuzz_targets/agent_ids.rs"
    certificates "../fuzz/fuzz_targets/certificates.rs"
    cgroups "../fuzz/fuzz_targets/cgroups.rs"
    configurations "../fuzz/fuzz_targets/configurations.rs"
    containers "../fuzz/fuzz_targets/containers.rs"
    csrs "../fuzz/fuzz_targets/csrs.rs"
    entries "../fuzz/fuzz_targets/entries.rs"
    forms "../fuzz/fuzz_targets/forms.rs"
    glass "../fuzz/fuzz_targets/glass.rs"
    handed_on "../fuzz/fuzz_targets/handed_on.rs"
    identifiers "../fuzz/fuzz_targets/identifiers.rs"
    index_values "../fuzz/fuzz_targets/index_values.rs"
    journal "../fuzz/fuzz_targets/journal.rs"
    jwks "../fuzz/fuzz_targets/jwks.rs"
    ledger "../fuzz/fuzz_targets/ledger.rs"
    merkle "../fuzz/fuzz_targets/merkle.rs"
    names "../fuzz/fuzz_targets/names.rs"
    notes "../fuzz/fuzz_targets/notes.rs"
    parameters "../fuzz/fuzz_targets/parameters.rs"
    peers "../fuzz/fuzz_targets/peers.rs"
    policies "../fuzz/fuzz_targets/policies.rs"
    proofs "../fuzz/fuzz_targets/proofs.rs"
    receipts "../fuzz/fuzz_targets/receipts.rs"
    registries "../fuzz/fuzz_targets/registries.rs"
    requests "../fuzz/fuzz_targets/requests.rs"
    resources "../fuzz/fuzz_targets/resources.rs"
    routes "../fuzz/fuzz_targets/routes.rs"
    signatures "../fuzz/fuzz_targets/signatures.rs"
    statements "../fuzz/fuzz_targets/statements.rs"
    templates "../fuzz/fuzz_targets/templates.rs"
    tokens "../fuzz/fuzz_targets/tokens.rs"
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn replay(name: &str, run: fn(&[u8])) {
    let mut seeds = 0;
    for entry in fs::read_dir(folder("seeds").join(name)).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        run(&seed);
        (0..CHANGES).for_each(|number| run(&changed(&seed, number)));
        seeds += 1;
    }
    assert!(seeds > 0, "`{name}` has no seeds");
    run(b"");
}

/// The seed with one byte replaced, taken out, put in or repeated; the same in every run.
fn changed(seed: &[u8], number: u64) -> Vec<u8> {
    let mut dice = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut roll = |sides: usize| {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=roll(3) {
        let at = roll(bytes.len());
        let byte = b"\0\n /.%{}\"+-0129afAZ\x7f\xc3\xff"[roll(22)];
        match roll(4) {
            0 if !bytes.is_empty() => bytes[at] = byte,
            1 if !bytes.is_empty() => drop(bytes.remove(at)),
            2 => bytes.extend_from_within(at..),
            _ => bytes.insert(at, byte),
        }
    }
    bytes
}

#[test]
fn every_target_is_declared_and_replayed() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let mut there: Vec<String> = fs::read_dir(folder("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    there.sort();
    assert_eq!(there, TARGETS, "the list in this file");
    let undeclared: Vec<&String> =
        there.iter().filter(|name| !manifest.contains(&format!("name = \"{name}\""))).collect();
    assert!(undeclared.is_empty(), "not in fuzz/Cargo.toml: {undeclared:?}");
}
