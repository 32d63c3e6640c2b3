//! What agents ask for: requests for tokens and certificates.

use std::collections::BTreeMap;

use crate::domain::digest::Digest;
use crate::domain::id::Lineage;
use crate::domain::limits::{CSR_BYTES_MAX, PARAMETERS_MAX};
use crate::domain::parameter::{Integer, Parameter, ParameterName, Text, Value};
use crate::domain::request::{ActionRequest, Confirmation, Justification};
use crate::domain::time::Ttl;
use crate::proto::v1;

use super::{BadField, optional, parsed};

/// Where a certificate's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The caller's PKCS#10 request in DER, not parsed yet.
    Csr(Vec<u8>),
    /// The broker makes the key pair and sends the private key once.
    Generated,
}

/// The agent's own words, which no request that is decided on has a place for (promise P13).
///
/// # Errors
/// When they are too long.
pub fn justification(message: Option<&v1::ActionRequest>) -> Result<Option<Justification>, BadField> {
    let text = message.map_or("", |message| message.justification.as_str());
    optional("request.justification", text)
}

/// Parses a request for a token.
///
/// # Errors
/// The first bad field.
pub fn token(message: v1::IssueTokenRequest) -> Result<(ActionRequest, Confirmation), BadField> {
    Ok((action_request(message.request)?, confirmation(message.binding)?))
}

/// Parses a request for a certificate.
///
/// # Errors
/// The first bad field.
pub fn certificate(message: v1::IssueCertificateRequest) -> Result<(ActionRequest, KeySource), BadField> {
    let request = action_request(message.request)?;
    let source = key_source(message.key)?;
    if source == KeySource::Generated && request.idempotency_key.is_some() {
        let expected =
            "nothing beside `generate_key`: the private key is not kept, so a retry can't get it again";
        return Err(BadField::new("request.idempotency_key", expected));
    }
    if source == KeySource::Generated && request.approval.is_some() {
        let expected = "nothing beside `generate_key`: an approval is for one key, and this one is made anew";
        return Err(BadField::new("request.approval_id", expected));
    }
    Ok((request, source))
}

fn action_request(message: Option<v1::ActionRequest>) -> Result<ActionRequest, BadField> {
    let message = message.ok_or(BadField::new("request", "an action and a resource, got no message"))?;
    Ok(ActionRequest {
        action: parsed("request.action", &message.action)?,
        resource: parsed("request.resource", &message.resource)?,
        parameters: parameters(message.parameters)?,
        ttl: message.ttl.as_ref().map(ttl).transpose()?,
        args: args(&message.args_sha256)?,
        purpose: optional("request.purpose", &message.purpose)?,
        idempotency_key: optional("request.idempotency_key", &message.idempotency_key)?,
        approval: optional("request.approval_id", &message.approval_id)?,
        session: session(&message.break_glass_session)?,
    })
}

fn session(text: &str) -> Result<Option<Lineage>, BadField> {
    if text.is_empty() {
        return Ok(None);
    }
    let field = "request.break_glass_session";
    text.parse().map(Some).map_err(|error| BadField::from_error(field, &error))
}

/// The parameters, sorted by name; each name once, so that no reader takes the first and another the last.
fn parameters(messages: Vec<v1::Parameter>) -> Result<Vec<Parameter>, BadField> {
    if messages.len() > PARAMETERS_MAX {
        let expected = format!("at most {PARAMETERS_MAX} parameters, got `{}`", messages.len());
        return Err(BadField::new("request.parameters", expected));
    }
    let mut sorted = BTreeMap::new();
    for (at, message) in messages.into_iter().enumerate() {
        let (name, value) = parameter(at, message)?;
        if sorted.insert(name, value).is_some() {
            let field = format!("request.parameters[{at}].name");
            return Err(BadField::new(field, "each name once, got a duplicate"));
        }
    }
    Ok(sorted.into_iter().map(|(name, value)| Parameter { name, value }).collect())
}

fn parameter(at: usize, message: v1::Parameter) -> Result<(ParameterName, Value), BadField> {
    use v1::parameter::Value as Wire;
    let field = |part: &str| format!("request.parameters[{at}].{part}");
    let name = message.name.parse().map_err(|error| BadField::from_error(field("name"), &error))?;
    let value = match message.value {
        Some(Wire::Flag(flag)) => Value::Flag(flag),
        Some(Wire::Integer(integer)) => Integer::try_from(integer)
            .map(Value::Integer)
            .map_err(|error| BadField::from_error(field("integer"), &error))?,
        Some(Wire::Text(text)) => text
            .parse::<Text>()
            .map(Value::Text)
            .map_err(|error| BadField::from_error(field("text"), &error))?,
        None => return Err(BadField::new(field("value"), "`integer`, `text` or `flag`, got none")),
    };
    Ok((name, value))
}

fn ttl(message: &prost_types::Duration) -> Result<Ttl, BadField> {
    if message.nanos != 0 {
        return Err(BadField::new("request.ttl", "whole seconds"));
    }
    let seconds = u32::try_from(message.seconds).ok().and_then(|seconds| Ttl::from_seconds(seconds).ok());
    seconds.ok_or_else(|| {
        let expected = format!("1 s to {} s, got `{} s`", Ttl::MAX.seconds(), message.seconds);
        BadField::new("request.ttl", expected)
    })
}

fn args(bytes: &[u8]) -> Result<Option<Digest>, BadField> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let array = <[u8; 32]>::try_from(bytes);
    array
        .map(|bytes| Some(Digest::from_bytes(bytes)))
        .map_err(|_| BadField::new("request.args_sha256", format!("32 bytes or none, got `{}`", bytes.len())))
}

/// The holder's key. Two thumbprints can't be shown to be of one key (PROFILES 1 asks that), so only one
/// is taken; an empty message is not silently a bearer token.
fn confirmation(message: Option<v1::KeyBinding>) -> Result<Confirmation, BadField> {
    let Some(message) = message else { return Ok(Confirmation::default()) };
    let jkt = optional("binding.jkt", &message.jkt)?;
    let x5t_s256 = optional("binding.x5t_s256", &message.x5t_s256)?;
    match (&jkt, &x5t_s256) {
        (None, None) => {
            let expected = "`jkt` or `x5t_s256`; leave the whole message out to ask for a bearer token";
            Err(BadField::new("binding", expected))
        }
        (Some(_), Some(_)) => Err(BadField::new("binding", "one of `jkt` and `x5t_s256`, got both")),
        (None, Some(_)) | (Some(_), None) => Ok(Confirmation { jkt, x5t_s256 }),
    }
}

fn key_source(key: Option<v1::issue_certificate_request::Key>) -> Result<KeySource, BadField> {
    use v1::issue_certificate_request::Key;
    match key {
        Some(Key::CsrDer(der)) if der.is_empty() || der.len() > CSR_BYTES_MAX => {
            let expected =
                format!("a PKCS#10 request in DER of 1 to {CSR_BYTES_MAX} bytes, got `{}`", der.len());
            Err(BadField::new("csr_der", expected))
        }
        Some(Key::CsrDer(der)) => Ok(KeySource::Csr(der)),
        Some(Key::GenerateKey(true)) => Ok(KeySource::Generated),
        Some(Key::GenerateKey(false)) => Err(BadField::new("generate_key", "`true`, or `csr_der` instead")),
        None => Err(BadField::new("key", "`csr_der` or `generate_key`, got none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn good() -> v1::ActionRequest {
        v1::ActionRequest {
            action: "demo.read".into(),
            resource: "demo/hello".into(),
            parameters: vec![integer("b", 2), text("a", "EUR")],
            ttl: Some(prost_types::Duration { seconds: 120, nanos: 0 }),
            args_sha256: vec![7; 32],
            purpose: "nightly-build".into(),
            idempotency_key: "retry-1".into(),
            break_glass_session: "0190163d-8694-739b-aea5-966c26f8ad91".into(),
            ..v1::ActionRequest::default()
        }
    }

    fn integer(name: &str, value: i64) -> v1::Parameter {
        v1::Parameter { name: name.into(), value: Some(v1::parameter::Value::Integer(value)) }
    }

    fn text(name: &str, value: &str) -> v1::Parameter {
        v1::Parameter { name: name.into(), value: Some(v1::parameter::Value::Text(value.into())) }
    }

    fn refused(change: impl FnOnce(&mut v1::ActionRequest)) -> String {
        let mut request = good();
        change(&mut request);
        token(v1::IssueTokenRequest { request: Some(request), binding: None }).unwrap_err().to_string()
    }

    #[test]
    fn a_good_request_becomes_typed_with_parameters_sorted() {
        let (request, confirmation) =
            token(v1::IssueTokenRequest { request: Some(good()), binding: None }).unwrap();
        let names: Vec<&str> = request.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(request.ttl, Ttl::from_seconds(120).ok());
        assert_eq!(request.args, Some(Digest::from_bytes([7; 32])));
        assert!(confirmation.is_bearer());
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let request = v1::ActionRequest {
            action: "demo.read".into(),
            resource: "demo/hello".into(),
            ..v1::ActionRequest::default()
        };
        let (request, _) = token(v1::IssueTokenRequest { request: Some(request), binding: None }).unwrap();
        assert_eq!((request.ttl, request.args), (None, None));
        assert!(request.purpose.is_none() && request.idempotency_key.is_none());
    }

    #[test]
    fn every_bad_text_field_is_named() {
        type Set = fn(&mut v1::ActionRequest, String);
        let fields: [(&str, Set, &[&str]); 4] = [
            (
                "request.action",
                |r, v| r.action = v,
                &["", "demo", "Demo.read", "demo.*", "demo.read\0", "дemo.read"],
            ),
            (
                "request.resource",
                |r, v| r.resource = v,
                &["", "/a", "a/", "a//b", "../a", "a/*", "a%2f", "раypal"],
            ),
            ("request.purpose", |r, v| r.purpose = v, &["A", "a b", "a_b", "é"]),
            ("request.idempotency_key", |r, v| r.idempotency_key = v, &["a b", "é", "\n"]),
        ];
        for (field, set, values) in fields {
            let oversized = "a".repeat(100_000);
            for value in values.iter().copied().chain([oversized.as_str()]) {
                let error = refused(|request| set(request, value.to_owned()));
                assert!(error.starts_with(&format!("{field}: expected ")), "{error}");
                assert!(error.len() < 300, "a long value must not come back");
            }
        }
    }

    #[test]
    fn lifetimes_are_whole_seconds_within_the_bound() {
        let ttl =
            |seconds, nanos| refused(|request| request.ttl = Some(prost_types::Duration { seconds, nanos }));
        for seconds in [0, -1, 901, i64::MAX, i64::MIN, 1 << 32] {
            assert_eq!(ttl(seconds, 0), format!("request.ttl: expected 1 s to 900 s, got `{seconds} s`"));
        }
        for nanos in [1, -1, 999_999_999, i32::MIN] {
            assert_eq!(ttl(60, nanos), "request.ttl: expected whole seconds");
        }
        let longest = prost_types::Duration { seconds: 900, nanos: 0 };
        assert_eq!(super::ttl(&longest), Ok(Ttl::MAX));
    }

    #[test]
    fn every_bad_parameter_is_named_by_its_place() {
        let with = |parameters: Vec<v1::Parameter>| refused(|request| request.parameters = parameters);
        let unset = v1::Parameter { name: "a".into(), value: None };
        let cases = [
            (vec![unset], "request.parameters[0].value: expected `integer`, `text` or `flag`, got none"),
            (vec![text("a", "x"), integer("a", 1)], "request.parameters[1].name: expected each name once"),
            (vec![text("", "x")], "request.parameters[0].name: expected a lowercase letter"),
            (vec![text("A", "x")], "request.parameters[0].name: expected"),
            (vec![text(&"a".repeat(65), "x")], "request.parameters[0].name: expected"),
            (vec![text("a", "")], "request.parameters[0].text: expected printable ASCII"),
            (vec![text("a", &"x".repeat(257))], "request.parameters[0].text: expected"),
            (vec![text("a", "a\u{1b}[0m")], "request.parameters[0].text: expected"),
            (vec![text("a", "еur")], "request.parameters[0].text: expected"),
            (vec![integer("a", i64::MAX)], "request.parameters[0].integer: expected an integer between"),
            (vec![integer("a", i64::MIN)], "request.parameters[0].integer: expected"),
        ];
        for (parameters, expected) in cases {
            let error = with(parameters);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn sixteen_parameters_fit_and_seventeen_do_not() {
        let many = |n: usize| (0..n).map(|at| integer(&format!("p{at}"), 1)).collect::<Vec<_>>();
        assert_eq!(parameters(many(16)).map(|list| list.len()), Ok(16));
        let error = parameters(many(17)).unwrap_err().to_string();
        assert_eq!(error, "request.parameters: expected at most 16 parameters, got `17`");
    }

    #[test]
    fn an_argument_digest_has_32_bytes() {
        for length in [1, 31, 33, 64] {
            let error = refused(|request| request.args_sha256 = vec![0; length]);
            assert_eq!(error, format!("request.args_sha256: expected 32 bytes or none, got `{length}`"));
        }
    }

    #[test]
    fn a_missing_request_is_named() {
        let error = token(v1::IssueTokenRequest::default()).unwrap_err();
        assert_eq!(error.field, "request");
        assert_eq!(certificate(v1::IssueCertificateRequest::default()).unwrap_err().field, "request");
    }

    #[test]
    fn a_binding_names_exactly_one_key() {
        let binding = |jkt: &str, x5t: &str| {
            confirmation(Some(v1::KeyBinding { jkt: jkt.into(), x5t_s256: x5t.into() }))
        };
        assert!(binding(THUMBPRINT, "").unwrap().jkt.is_some());
        assert!(binding("", THUMBPRINT).unwrap().x5t_s256.is_some());
        for (jkt, x5t, field) in [
            ("", "", "binding"),
            (THUMBPRINT, THUMBPRINT, "binding"),
            ("x", "", "binding.jkt"),
            ("", "x", "binding.x5t_s256"),
            (&*format!("{THUMBPRINT}="), "", "binding.jkt"),
        ] {
            assert_eq!(binding(jkt, x5t).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_certificate_has_exactly_one_source_of_its_key() {
        use v1::issue_certificate_request::Key;
        let source = |key| {
            let request = v1::ActionRequest { idempotency_key: String::new(), ..good() };
            certificate(v1::IssueCertificateRequest { request: Some(request), key })
                .map(|(_, source)| source)
                .map_err(|error| error.field.into_owned())
        };
        assert_eq!(
            source(Some(Key::CsrDer(vec![0; CSR_BYTES_MAX]))),
            Ok(KeySource::Csr(vec![0; CSR_BYTES_MAX]))
        );
        assert_eq!(source(Some(Key::GenerateKey(true))), Ok(KeySource::Generated));
        assert_eq!(source(Some(Key::CsrDer(vec![0; CSR_BYTES_MAX + 1]))), Err("csr_der".into()));
        assert_eq!(source(Some(Key::CsrDer(Vec::new()))), Err("csr_der".into()));
        assert_eq!(source(Some(Key::GenerateKey(false))), Err("generate_key".into()));
        assert_eq!(source(None), Err("key".into()));
    }

    #[test]
    fn a_generated_key_can_not_be_asked_for_twice() {
        let key = Some(v1::issue_certificate_request::Key::GenerateKey(true));
        let message = v1::IssueCertificateRequest { request: Some(good()), key };
        let error = certificate(message).unwrap_err();
        assert_eq!(error.field, "request.idempotency_key");
        assert!(error.to_string().contains("generate_key"), "{error}");
    }
}
