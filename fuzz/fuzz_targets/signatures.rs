//! SSH signatures over a statement: what is accepted is the registered key's, and stays accepted in its own form.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotwork::domain::operator::Operator;
use hotwork::domain::statement::Namespace;
use hotwork::ssh::verify;

const TEXT: &[u8] = b"hotwork approval v1\n";
/// The public keys of the seeds.
const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN0gxv+zJF8A1u5kJlcdUVolSeec7RBmnzPTMkxzxnJP",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBNrcciQ47YJdJqeeNZVSZVInuZ7v6K9wQYZ9tv6o2PHtl3+J0aMdWctScg4YTdGylGrGuBG037Z6BFYI5fPSZ1Y=",
];

libfuzzer_sys::fuzz_target!(|text: &str| {
    let keys = KEYS.iter().map(|key| key.parse().expect("a key")).collect();
    let operator = Operator {
        name: "alice".parse().expect("a name"),
        uid: None,
        roles: Vec::new(),
        tenants: Vec::new(),
        ssh_keys: keys,
        own: Vec::new(),
        aliases: Vec::new(),
    };
    let Ok(signed) = verify(Namespace::Approval, TEXT, text, [&operator]) else { return };
    assert_eq!(signed.operator().as_str(), "alice");
    let again = STANDARD.encode(signed.signature());
    let again = format!("-----BEGIN SSH SIGNATURE-----\n{again}\n-----END SSH SIGNATURE-----");
    assert_eq!(verify(Namespace::Approval, TEXT, &again, [&operator]), Ok(signed));
    assert!(verify(Namespace::BreakGlass, TEXT, &again, [&operator]).is_err());
    assert!(verify(Namespace::Approval, b"", &again, [&operator]).is_err());
});
