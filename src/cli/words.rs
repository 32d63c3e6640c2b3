//! The words that people read for what the wire has in numbers.

use crate::proto::v1;
use crate::proto::v1::parameter::Value;

/// A credential's kind.
pub fn kind(kind: i32) -> String {
    word(v1::CredentialKind::try_from(kind).map(|kind| kind.as_str_name()), "CREDENTIAL_KIND_")
}

/// A credential's state.
pub fn state(state: i32) -> String {
    word(v1::CredentialState::try_from(state).map(|state| state.as_str_name()), "CREDENTIAL_STATE_")
}

/// An action's tier.
pub fn tier(tier: i32) -> String {
    word(v1::Tier::try_from(tier).map(|tier| tier.as_str_name()), "TIER_")
}

/// Where a request for approval is.
pub fn approval(state: i32) -> String {
    word(v1::ApprovalState::try_from(state).map(|state| state.as_str_name()), "APPROVAL_STATE_")
}

/// Where a break-glass session is in its life.
pub fn session_state(state: i32) -> String {
    word(v1::SessionState::try_from(state).map(|state| state.as_str_name()), "SESSION_STATE_")
}

/// An action's access class.
pub fn access(access: i32) -> String {
    word(v1::Access::try_from(access).map(|access| access.as_str_name()), "ACCESS_")
}

/// A decision's outcome.
pub fn effect(effect: i32) -> String {
    word(v1::Effect::try_from(effect).map(|effect| effect.as_str_name()), "EFFECT_")
}

/// As what somebody is enrolled.
pub fn enrolled_as(kind: i32) -> String {
    word(v1::EnrolledAs::try_from(kind).map(|kind| kind.as_str_name()), "ENROLLED_AS_")
}

/// A newer broker may have values that this version does not know.
fn word<E>(name: Result<&'static str, E>, prefix: &str) -> String {
    let name = name.unwrap_or("UNKNOWN");
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => "-".to_owned(),
        word => word.to_ascii_lowercase().replace('_', "-"),
    }
}

/// Parameters as `name=value`.
pub fn parameters(parameters: &[v1::Parameter]) -> String {
    let shown = parameters.iter().map(|parameter| {
        let value = match &parameter.value {
            Some(Value::Integer(value)) => value.to_string(),
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Flag(flag)) => flag.to_string(),
            None => "?".to_owned(),
        };
        format!("{}={value}", parameter.name)
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Parameter rules as `amount:integer 1..1000 required`.
pub fn rules(rules: &[v1::ParameterRule]) -> String {
    rules.iter().map(rule).collect::<Vec<_>>().join(", ")
}

fn rule(rule: &v1::ParameterRule) -> String {
    let mut text = format!("{}:{}", rule.name, rule.r#type);
    if rule.min.is_some() || rule.max.is_some() {
        let bound = |bound: Option<i64>| bound.map_or_else(String::new, |bound| bound.to_string());
        text.push_str(&format!(" {}..{}", bound(rule.min), bound(rule.max)));
    }
    if !rule.one_of.is_empty() {
        text.push_str(&format!(" {}", rule.one_of.join("|")));
    }
    if rule.required {
        text.push_str(" required");
    }
    text
}

/// An agent's short name: the last segment of its SPIFFE ID.
pub fn agent(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enums_read_as_words_and_unknown_ones_say_so() {
        assert_eq!(kind(2), "certificate");
        assert_eq!(state(3), "revoked");
        assert_eq!(tier(3), "break-glass");
        assert_eq!(access(0), "-");
        assert_eq!(effect(77), "unknown");
    }

    #[test]
    fn rules_say_type_bounds_and_need() {
        let amount = v1::ParameterRule {
            name: "amount".to_owned(),
            r#type: "integer".to_owned(),
            required: true,
            max: Some(1000),
            min: Some(1),
            one_of: Vec::new(),
        };
        let currency = v1::ParameterRule {
            name: "currency".to_owned(),
            r#type: "text".to_owned(),
            one_of: vec!["EUR".to_owned(), "USD".to_owned()],
            ..v1::ParameterRule::default()
        };
        assert_eq!(rules(&[amount, currency]), "amount:integer 1..1000 required, currency:text EUR|USD");
    }
}
