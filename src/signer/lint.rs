//! The linter: reads what is about to be signed with other code than wrote it, and holds every field
//! against the record. It stands before the key, so that a fault of the writer can't become a credential.
//!
//! It knows no keys.

use super::certificate::CertificateForm;
use super::claims::{RawClaims, RawConstraint, RawDetails, RawHeader, RawStatus, Rule, Scalar, part};
use super::der::{element, tag};
use super::extension::{self, ActionBinding};
use super::mint::LintError;
use super::token::{self, DELEGATION_DEPTH_MAX, DETAILS_TYPE, TYPE, TokenForm, session};
use super::x509::{Tbs, oid};
use crate::domain::credential::{Issuance, Kind};
use crate::domain::digest::Digest;
use crate::domain::limits::{
    CALLS_MAX, CERTIFICATE_NOT_BEFORE_SLACK_SECONDS, CRL_INTERVAL_SECONDS, NOT_BEFORE_SLACK_SECONDS,
    PARAMETERS_MAX, TOKEN_BYTES_MAX, TTL_SECONDS_MAX,
};
use crate::domain::parameter::{RESERVED_NAMES, Value};
use crate::domain::status_list::{self, LIST_SIZE};

/// Fails with the field's name unless the two are the same.
fn same<T: PartialEq + Copy>(field: &'static str, found: T, expected: T) -> Result<(), LintError> {
    if found == expected { Ok(()) } else { Err(LintError::Differs(field)) }
}

fn hold(rule: &'static str, holds: bool) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(LintError::Rule(rule)) }
}

/// What must be so of any record, whatever its form.
fn record_rules(record: &Issuance) -> Result<(), LintError> {
    let life = record.expires.seconds() - record.issued.seconds();
    hold("lifetime", life >= 1 && life <= i64::from(TTL_SECONDS_MAX))?;
    hold("whole seconds", record.expires.millis() % 1000 == 0)?;
    hold("number of parameters", record.parameters.len() <= PARAMETERS_MAX)?;
    let names: Vec<&str> = record.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    hold("parameters sorted, each once", names.is_sorted_by(|a, b| a < b))?;
    hold("parameter names not reserved", !names.iter().any(|name| RESERVED_NAMES.contains(name)))?;
    hold("principal", !record.principal.is_empty())?;
    hold("one bound of the calls", !record.single_use || record.max_calls.is_none())?;
    hold("number of calls", record.calls_max().is_none_or(|calls| calls <= CALLS_MAX))?;
    let listed = status_list::is_listed(record.kind, record.issued, record.expires);
    hold("status exactly when listed", record.status.is_some() == listed)?;
    hold("status index", record.status.is_none_or(|status| status.index < LIST_SIZE))
}

/// A token's signing input against its record.
pub(super) fn token(form: &TokenForm, record: &Issuance, input: &[u8]) -> Result<(), LintError> {
    record_rules(record)?;
    hold("kind", record.kind == Kind::Token)?;
    hold("size", input.len() <= TOKEN_BYTES_MAX)?;
    let dot = input.iter().position(|byte| *byte == b'.').ok_or(LintError::Malformed("parts"))?;
    let (head, tail) = input.split_at_checked(dot).ok_or(LintError::Malformed("parts"))?;
    let header = part(head).ok_or(LintError::Malformed("header"))?;
    let payload = tail.get(1..).and_then(part).ok_or(LintError::Malformed("payload"))?;
    let header: RawHeader<'_> =
        serde_json::from_slice(&header).map_err(|_| LintError::Malformed("header"))?;
    let claims: RawClaims<'_> =
        serde_json::from_slice(&payload).map_err(|_| LintError::Malformed("payload"))?;
    same("alg", &*header.alg, form.algorithm.jose())?;
    same("kid", &*header.kid, &*form.kid)?;
    same("typ", &*header.typ, TYPE)?;
    claims_match(form, record, &claims)
}

fn claims_match(form: &TokenForm, record: &Issuance, claims: &RawClaims<'_>) -> Result<(), LintError> {
    let agent = record.agent.as_str();
    let actor = (*record.principal != *agent).then_some(agent);
    same("act", claims.act.as_ref().map(|act| &*act.sub), actor)?;
    same("aud", &*claims.aud, record.audience.as_str())?;
    same("client_id", &*claims.client_id, agent)?;
    same("cnf", &claims.cnf, &record.cnf)?;
    same("del_depth", claims.del_depth, 0)?;
    same("del_max_depth", claims.del_max_depth, DELEGATION_DEPTH_MAX)?;
    let approval = record.approval.map(|used| used.id.to_string());
    same("hotwork_approval", claims.hotwork_approval.as_deref(), approval.as_deref())?;
    let session = session(record).map(ToString::to_string);
    same("hotwork_session", claims.hotwork_session.as_deref(), session.as_deref())?;
    same("hotwork_tier", &*claims.hotwork_tier, record.tier.as_str())?;
    same("iss", &*claims.iss, form.issuer.as_str())?;
    same("jti", &*claims.jti, &*record.id.to_string())?;
    same("scope", &*claims.scope, record.action.as_str())?;
    status_matches(form, record, claims.status.as_ref())?;
    same("sub", &*claims.sub, &*record.principal)?;
    same("txn", &*claims.txn, &*record.lineage.to_string())?;
    same("iat", claims.iat, record.issued.seconds())?;
    same("nbf", claims.nbf, record.issued.seconds() - i64::from(NOT_BEFORE_SLACK_SECONDS))?;
    same("exp", claims.exp, record.expires.seconds())?;
    let [details] = &claims.authorization_details;
    details_match(record, details)
}

fn status_matches(
    form: &TokenForm,
    record: &Issuance,
    found: Option<&RawStatus<'_>>,
) -> Result<(), LintError> {
    let hour = record.expires.seconds() / 3600;
    let expected = record
        .status
        .map(|status| (status.index, format!("{}/status/{hour}/{}", form.issuer.as_str(), status.list)));
    let found = found.map(|found| (found.status_list.idx, &*found.status_list.uri));
    same("status", found, expected.as_ref().map(|(index, uri)| (*index, uri.as_str())))
}

fn details_match(record: &Issuance, details: &RawDetails<'_>) -> Result<(), LintError> {
    same("authorization_details.type", &*details.kind, DETAILS_TYPE)?;
    let [scope] = &details.scopes;
    same("authorization_details.scopes", &**scope, record.action.as_str())?;
    let mut rest = details.constraints.iter();
    let mut next = || rest.next().ok_or(LintError::Differs("constraints"));
    text_is(next()?, "resource", record.resource.as_str())?;
    for parameter in &record.parameters {
        parameter_is(next()?, parameter.name.as_str(), &parameter.value)?;
    }
    if let Some(digest) = &record.args {
        text_is(next()?, "args_sha256", &digest.to_string())?;
    }
    if let Some(max) = record.calls_max() {
        let calls = next()?;
        let bounded = matches!(calls.rule(), Some(Rule::MaxLifetime(found)) if found == u64::from(max));
        same("max_calls", (&*calls.key, bounded), ("max_calls", true))?;
    }
    same("constraints", rest.next().is_none(), true)
}

fn text_is(constraint: &RawConstraint<'_>, key: &str, expected: &str) -> Result<(), LintError> {
    let found = matches!(constraint.rule(), Some(Rule::OneOf([Scalar::Text(text)])) if *text == expected);
    same("constraints", (&*constraint.key, found), (key, true))
}

fn parameter_is(constraint: &RawConstraint<'_>, key: &str, expected: &Value) -> Result<(), LintError> {
    let found = match (constraint.rule(), expected) {
        (Some(Rule::OneOf([Scalar::Flag(found)])), Value::Flag(flag)) => found == flag,
        (Some(Rule::Max(found)), Value::Integer(integer)) => found == i64::from(*integer),
        (Some(Rule::OneOf([Scalar::Text(found)])), Value::Text(text)) => *found == text.as_str(),
        (_, Value::Flag(_) | Value::Integer(_) | Value::Text(_)) => false,
    };
    same("constraints", (&*constraint.key, found), (key, true))
}

/// A to-be-signed certificate against its record.
pub(super) fn certificate(form: &CertificateForm, record: &Issuance, tbs: &[u8]) -> Result<(), LintError> {
    record_rules(record)?;
    hold("kind", record.kind == Kind::Certificate)?;
    let bound = record.cnf.jkt.as_ref();
    hold("cnf names the certified key", bound.is_none_or(|jkt| jkt.as_str() == form.subject.jkt()))?;
    hold("cnf names no certificate", record.cnf.x5t_s256.is_none())?;
    let tbs = Tbs::read(tbs).map_err(|_| LintError::Malformed("certificate"))?;
    let serial = record.serial.ok_or(LintError::Rule("serial"))?;
    same("serial", tbs.serial, serial.as_bytes())?;
    same("signature algorithm", tbs.algorithm, &form.ca.algorithm)?;
    same("issuer", tbs.issuer, &form.ca.subject)?;
    let not_before = record.issued.seconds() - i64::from(CERTIFICATE_NOT_BEFORE_SLACK_SECONDS);
    same("notBefore", tbs.not_before, not_before)?;
    same("notAfter", tbs.not_after, record.expires.seconds().min(form.ca.not_after))?;
    hold("not after its CA", tbs.not_after <= form.ca.not_after && tbs.not_after > record.issued.seconds())?;
    same("subject", tbs.subject, &subject(&form.common_name))?;
    same("subjectPublicKeyInfo", tbs.public_key, form.subject.spki())?;
    extensions_match(form, record, &tbs)
}

/// A name of exactly one common name.
fn subject(common_name: &str) -> Vec<u8> {
    let kind = element(tag::OID, &[oid::COMMON_NAME]);
    let value = element(tag::UTF8_STRING, &[common_name.as_bytes()]);
    let set = element(tag::SET, &[&element(tag::SEQUENCE, &[&kind, &value])]);
    element(tag::SEQUENCE, &[&set])
}

/// The extensions are exactly those of PROFILES 3, each once, each with the one value that it may have.
fn extensions_match(form: &CertificateForm, record: &Issuance, tbs: &Tbs<'_>) -> Result<(), LintError> {
    let uri = format!(
        "spiffe://{}/action/{}/{}/{}",
        form.ca.trust_domain,
        record.agent.tenant(),
        record.agent.name(),
        record.id
    );
    let name = element(tag::SEQUENCE, &[&element(tag::URI, &[uri.as_bytes()])]);
    let authority = element(tag::SEQUENCE, &[&element(tag::KEY_ID, &[&form.ca.key_id])]);
    let key_id = element(tag::OCTET_STRING, &[&form.subject.key_id()]);
    let client = element(tag::SEQUENCE, &[&element(tag::OID, &[oid::CLIENT_AUTH])]);
    let mut expected: Vec<(&'static str, &[u8], bool, &[u8])> = vec![
        ("authorityKeyIdentifier", oid::AUTHORITY_KEY_ID, false, &authority),
        ("subjectAltName", oid::SUBJECT_ALT_NAME, false, &name),
        // digitalSignature alone: the first bit, seven unused.
        ("keyUsage", oid::KEY_USAGE, true, &[0x03, 0x02, 0x07, 0x80]),
        ("extKeyUsage", oid::EXT_KEY_USAGE, false, &client),
        ("subjectKeyIdentifier", oid::SUBJECT_KEY_ID, false, &key_id),
        // An empty SEQUENCE: CA has its default, FALSE.
        ("basicConstraints", oid::BASIC_CONSTRAINTS, true, &[0x30, 0x00]),
    ];
    let points = form.crl_url.as_deref().map(extension::crl_distribution_points);
    let short = record.expires.seconds() - record.issued.seconds() <= CRL_INTERVAL_SECONDS;
    // One or the other or neither, never both (RFC 9608 section 4; no public linter catches it).
    if short {
        expected.push(("noRevAvail", oid::NO_REV_AVAIL, false, &[0x05, 0x00]));
    } else if let Some(points) = &points {
        expected.push(("cRLDistributionPoints", oid::CRL_DISTRIBUTION_POINTS, false, points));
    }
    same("number of extensions", tbs.extensions.len(), expected.len() + 1)?;
    for (field, oid, critical, value) in expected {
        let found = tbs.extension(oid).ok_or(LintError::Differs(field))?;
        same(field, (found.critical, found.value), (critical, value))?;
    }
    binding_matches(form, record, tbs)
}

fn binding_matches(form: &CertificateForm, record: &Issuance, tbs: &Tbs<'_>) -> Result<(), LintError> {
    let field = "action binding";
    let found = tbs.extension(form.oid_arc.binding()).ok_or(LintError::Differs(field))?;
    same(field, found.critical, false)?;
    let binding = ActionBinding::from_der(found.value).map_err(|_| LintError::Malformed(field))?;
    let details = token::authorization_details_digest(record).map_err(|_| LintError::Malformed(field))?;
    same("action binding: jti", binding.id, record.id)?;
    same("action binding: action", &binding.action, &record.action)?;
    same("action binding: resource", &binding.resource, &record.resource)?;
    same("action binding: audience", &binding.audience, &record.audience)?;
    same("action binding: details", binding.details, details)?;
    same("action binding: depth", binding.depth, 0)?;
    same("action binding: tier", binding.tier, record.tier)?;
    same("action binding: txn", binding.lineage, record.lineage)?;
    same("action binding: principal", binding.principal, Digest::of(record.principal.as_bytes()))
}
