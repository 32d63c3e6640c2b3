//! `hotwork credential inspect`: what a token or certificate says. Nothing is checked, and it says so.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::der_parser::parse_der;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::client::Context;
use super::failure::{Exit, Failure};
use super::output::Screen;
use super::{duration, files, table};
use crate::domain::digest::Digest;
use crate::domain::limits::TOKEN_BYTES_MAX;

/// A credential as it was decoded; nothing about it was checked.
pub enum Decoded {
    /// A certificate.
    Certificate {
        /// The leaf in DER.
        der: Vec<u8>,
        /// Its lifetime in seconds since the epoch.
        lifetime: (i64, i64),
        /// What it says.
        shown: Value,
    },
    /// A token.
    Token {
        /// The token itself. Secret.
        text: Zeroizing<String>,
        /// Its header.
        header: Value,
        /// Its claims.
        claims: Value,
    },
}

impl Decoded {
    /// From when and until when it says to be good, in seconds since the epoch.
    pub fn lifetime(&self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Certificate { lifetime: (from, until), .. } => (Some(*from), Some(*until)),
            Self::Token { claims, .. } => {
                let claim = |name: &str| claims.get(name).and_then(Value::as_i64);
                (claim("nbf"), claim("exp"))
            }
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Certificate { shown, .. } => json!({"checked": false, "certificate": shown}),
            Self::Token { header, claims, .. } => {
                json!({"checked": false, "token": {"header": header, "claims": claims}})
            }
        }
    }

    fn id(&self) -> String {
        let id = match self {
            Self::Certificate { shown, .. } => shown.get("serial"),
            Self::Token { claims, .. } => claims.get("jti"),
        };
        id.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// `hotwork credential inspect`.
///
/// # Errors
/// When the file can't be read or is neither token nor certificate.
pub fn run(context: &Context, file: &Path) -> Result<(), Failure> {
    let decoded = read(file)?;
    context
        .screen
        .note("decoded only: no signature, time or state was checked (`hotwork credential verify` does)");
    let value = decoded.to_value();
    context.screen.show_value(&value, || vec![decoded.id()], |screen| shown(screen, &value))
}

/// Reads a token, or a certificate in PEM or DER. Of several certificates the first counts: the leaf.
///
/// # Errors
/// When the file can't be read or is neither.
pub fn read(file: &Path) -> Result<Decoded, Failure> {
    let bytes = files::read(file, TOKEN_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let decoded = if text.contains("-----BEGIN ") {
        from_pem(&bytes)
    } else if bytes.first() == Some(&0x30) {
        certificate(bytes.to_vec())
    } else {
        token(text.trim())
    };
    decoded.ok_or_else(|| {
        Failure::new(Exit::Failed, "malformed", "this is neither a token nor a certificate")
            .hint("give the file `token` or `cert.pem` that `hotwork issue --out DIR` writes")
    })
}

fn token(text: &str) -> Option<Decoded> {
    let mut parts = text.split('.');
    let mut object = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
    };
    let (header, claims) = (object()?, object()?);
    URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
    parts.next().is_none().then(|| Decoded::Token { text: Zeroizing::new(text.to_owned()), header, claims })
}

fn from_pem(bytes: &[u8]) -> Option<Decoded> {
    let blocks = Pem::iter_from_buffer(bytes).filter_map(Result::ok);
    let mut certificates = blocks.filter(|block| block.label == "CERTIFICATE");
    certificate(certificates.next()?.contents)
}

fn certificate(der: Vec<u8>) -> Option<Decoded> {
    let (rest, parsed) = X509Certificate::from_der(&der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let validity = parsed.validity();
    let lifetime = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let mut shown = json!({
        "subject": parsed.subject().to_string(),
        "issuer": parsed.issuer().to_string(),
        "serial": hex::encode(parsed.raw_serial()),
        "notBefore": duration::seconds(lifetime.0),
        "notAfter": duration::seconds(lifetime.1),
        "publicKeyAlgorithm": parsed.public_key().algorithm.algorithm.to_id_string(),
        "signatureAlgorithm": parsed.signature_algorithm.algorithm.to_id_string(),
        "sha256": Digest::of(&der).to_string(),
    });
    if let Some(object) = shown.as_object_mut() {
        object.insert("extensions".to_owned(), parsed.extensions().iter().map(extension).collect());
    }
    Some(Decoded::Certificate { lifetime, shown, der })
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the parser's long list; the rest is shown raw")]
fn extension(extension: &x509_parser::prelude::X509Extension<'_>) -> Value {
    let said = match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().map(name).collect(),
        ParsedExtension::BasicConstraints(basic) => json!(format!("CA:{}", basic.ca)),
        ParsedExtension::KeyUsage(usage) => json!(usage.to_string()),
        ParsedExtension::ExtendedKeyUsage(usage) => {
            json!({"clientAuth": usage.client_auth, "serverAuth": usage.server_auth})
        }
        // Our identifier is the deployment's own, so the binding is known by its shape.
        _ => binding(extension.value).unwrap_or_else(|| json!(hex::encode(extension.value))),
    };
    json!({"oid": extension.oid.to_id_string(), "critical": extension.critical, "value": said})
}

/// The action binding of PROFILES 3, if `value` is one of version 1.
fn binding(value: &[u8]) -> Option<Value> {
    let (rest, object) = parse_der(value).ok()?;
    let fields = object.as_sequence().ok()?;
    let [version, id, action, resource, audience, details, depth, tier, txn, principal] = fields.as_slice()
    else {
        return None;
    };
    if !rest.is_empty() || version.as_u32() != Ok(1) {
        return None;
    }
    Some(json!({
        "credential": id.as_str().ok()?,
        "action": action.as_str().ok()?,
        "resource": resource.as_str().ok()?,
        "audience": audience.as_str().ok()?,
        "detailsSha256": hex::encode(details.as_slice().ok()?),
        "depth": depth.as_u32().ok()?,
        "tier": tier.as_str().ok()?,
        "txn": txn.as_str().ok()?,
        "principalSha256": hex::encode(principal.as_slice().ok()?),
    }))
}

fn name(name: &GeneralName<'_>) -> Value {
    if let GeneralName::URI(uri) = name { json!(format!("URI:{uri}")) } else { json!(name.to_string()) }
}

/// Each leaf of the JSON on its own line, under its path.
fn shown(screen: &Screen, value: &Value) -> String {
    let mut lines = Vec::new();
    flatten(value, String::new(), &mut lines);
    let fields: Vec<(&str, String)> =
        lines.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    table::fields(screen, &fields)
}

fn flatten(value: &Value, path: String, lines: &mut Vec<(String, String)>) {
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(value, under(name), lines)),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(item, under(&at.to_string()), lines);
            }
        }
        Value::Number(number) if is_time(&path) => {
            let time = number.as_i64().map(duration::seconds).unwrap_or_default();
            lines.push((path, format!("{number} ({time})")));
        }
        Value::String(text) => lines.push((path, text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => lines.push((path, value.to_string())),
    }
}

fn is_time(path: &str) -> bool {
    ["iat", "nbf", "exp"].iter().any(|name| path.rsplit('.').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn a_token_is_decoded_and_only_whole() {
        let good = format!("{}.{}.{}", encoded("{}"), encoded(r#"{"jti":"i","exp":5}"#), encoded("sig"));
        let decoded = token(&good).unwrap();
        assert_eq!((decoded.id(), decoded.lifetime()), ("i".to_owned(), (None, Some(5))));
        let bad = [
            "",
            "a.b.c",
            "..",
            good.get(1..).unwrap(),
            &format!("{good}.x"),
            &good.replace('.', " "),
            &encoded("{}"),
        ];
        for bad in bad {
            assert!(token(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_is_decoded_from_pem_and_der() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        let uri = "spiffe://example.org/action/acme/bot/1";
        parameters.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
        let made = parameters.self_signed(&key).unwrap();
        for bytes in [made.pem().into_bytes(), made.der().to_vec()] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("cert");
            std::fs::write(&path, &bytes).unwrap();
            let decoded = read(&path).unwrap();
            assert!(decoded.to_value().to_string().contains(&format!("URI:{uri}")));
            assert!(matches!(decoded, Decoded::Certificate { .. }));
        }
    }

    #[test]
    fn the_action_binding_is_read_by_its_shape_and_nothing_else_is() {
        let text = |text: &str| [vec![0x0c, u8::try_from(text.len()).unwrap()], text.into()].concat();
        let fields = [
            vec![2, 1, 1],
            text("id"),
            text("demo.read"),
            text("demo/hello"),
            text("https://x"),
            vec![4, 1, 0xab],
            vec![2, 1, 0],
            text("auto"),
            text("lineage"),
            vec![4, 1, 0xcd],
        ]
        .concat();
        let der = [vec![0x30, u8::try_from(fields.len()).unwrap()], fields].concat();
        let read = binding(&der).unwrap();
        assert_eq!((&read["action"], &read["resource"]), (&json!("demo.read"), &json!("demo/hello")));
        assert_eq!(binding(&[der.clone(), vec![0]].concat()), None);
        assert_eq!(binding(&der.iter().map(|b| if *b == 1 { 2 } else { *b }).collect::<Vec<_>>()), None);
        assert_eq!(binding(&[4, 1, 0]), None);
    }

    #[test]
    fn a_private_key_is_not_a_credential() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert_eq!(read(&path).err().unwrap().reason, "malformed");
    }
}
