//! Parameters in JSON, and their rules: reading and checking are total.
#![no_main]

use hotwork::domain::parameter::{Parameter, ParameterKind, ParameterRule, Value};
use hotwork_fuzz::one_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(parameters) = serde_json::from_slice::<Vec<Parameter>>(bytes) else { return };
    one_json(&parameters);
    for Parameter { name, value } in parameters {
        let kinds = [
            ParameterKind::Flag,
            ParameterKind::Integer { min: -10, max: 10 },
            ParameterKind::Text { one_of: vec!["a".into()] },
            ParameterKind::Text { one_of: Vec::new() },
        ];
        let rules = kinds.map(|kind| ParameterRule { name: name.clone(), required: true, kind });
        let fitting = rules.iter().filter(|rule| rule.check(&value).is_ok()).count();
        let most = if matches!(value, Value::Text(_)) { 2 } else { 1 };
        assert!(fitting <= most, "a value of two types");
    }
});
