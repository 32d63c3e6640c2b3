//! `/proc/PID/cgroup`: what is read is a part of the text, and ids and units have their forms.
#![no_main]

use hotwork::attest::unix::cgroup::parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(placement) = parse(bytes) else { return };
    assert!(placement.path.starts_with('/') && !placement.path.contains("/../"));
    assert!(!placement.path.chars().any(char::is_control));
    let below = |name: Option<&str>| name.is_none_or(|name| placement.path.contains(name));
    assert!(below(placement.container) && below(placement.unit) && below(placement.user_unit));
    let is_id = |id: &str| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(placement.container.is_none_or(is_id));
    let is_name = |unit: &str| !unit.is_empty() && !unit.contains('/');
    assert!(placement.unit.is_none_or(is_name) && placement.user_unit.is_none_or(is_name));
});
