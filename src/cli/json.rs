//! The proto JSON mapping of answers, by the compiled descriptors.

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::failure::{Exit, Failure};
use super::text::clean_json;
use crate::proto::{DESCRIPTORS, v1};

/// A message that has a name in the descriptors.
pub trait Wire: prost::Message {
    /// Its full name.
    const NAME: &'static str;
}

macro_rules! wire {
    ($($name:ident),* $(,)?) => {
        $(impl Wire for v1::$name { const NAME: &'static str = concat!("hotwork.v1.", stringify!($name)); })*
        #[cfg(test)]
        const NAMES: &[&str] = &[$(<v1::$name as Wire>::NAME),*];
    };
}

wire!(
    CloseResponse,
    ConsumeResponse,
    DecideApprovalResponse,
    DrillResponse,
    EnrollResponse,
    ExplainResponse,
    ExtendResponse,
    GetAgentResponse,
    GetApprovalResponse,
    GetCheckpointResponse,
    GetCredentialResponse,
    GetEntryResponse,
    GetMyCredentialResponse,
    GetStatusResponse,
    GetTrustBundleResponse,
    IntrospectResponse,
    IssueCertificateResponse,
    IssueTokenResponse,
    ListActionsResponse,
    ListAgentsResponse,
    ListApisResponse,
    ListApprovalsResponse,
    ListCredentialsResponse,
    ListEnrollmentsResponse,
    ListEntriesResponse,
    ListKeysResponse,
    ListLocksResponse,
    ListMyCredentialsResponse,
    ListResponse,
    ListVerifiersResponse,
    LockResponse,
    LogEntry,
    OpenResponse,
    PrepareResponse,
    ProveInclusionResponse,
    ReleaseResponse,
    ReloadRegistryResponse,
    RemoveEnrollmentResponse,
    ReviewResponse,
    RevokeResponse,
    RotateKeyResponse,
    TestNotifierResponse,
    UnlockResponse,
    WhoAmIResponse,
);

/// `message` as indented JSON with a line feed at its end.
///
/// # Errors
/// When the descriptors don't fit, which a test excludes.
pub fn pretty<M: Wire>(message: &M) -> Result<String, Failure> {
    let dynamic = dynamic(message)?;
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut bytes);
    dynamic.serialize_with_options(&mut serializer, &options()).map_err(|error| inner(&error))?;
    text(bytes)
}

/// `message` as one line of JSON.
///
/// # Errors
/// When the descriptors don't fit, which a test excludes.
pub fn line<M: Wire>(message: &M) -> Result<String, Failure> {
    let dynamic = dynamic(message)?;
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    dynamic.serialize_with_options(&mut serializer, &options()).map_err(|error| inner(&error))?;
    text(bytes)
}

/// `message` as YAML of the same mapping.
///
/// # Errors
/// When the descriptors don't fit, which a test excludes.
pub fn yaml<M: Wire>(message: &M) -> Result<String, Failure> {
    let value: serde_json::Value = serde_json::from_str(&pretty(message)?).map_err(|error| inner(&error))?;
    serde_yaml_ng::to_string(&value).map_err(|error| inner(&error))
}

/// Fields without presence are always there, so that a script finds `active` and `logIndex` whatever they hold.
fn options() -> SerializeOptions {
    SerializeOptions::new().skip_default_fields(false)
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let mut text = clean_json(&String::from_utf8(bytes).map_err(|error| inner(&error))?);
    text.push('\n');
    Ok(text)
}

fn dynamic<M: Wire>(message: &M) -> Result<DynamicMessage, Failure> {
    let descriptor = pool().and_then(|pool| pool.get_message_by_name(M::NAME));
    let descriptor = descriptor.ok_or_else(|| inner(&format!("no descriptor of {}", M::NAME)))?;
    let bytes = message.encode_to_vec();
    DynamicMessage::decode(descriptor, bytes.as_slice()).map_err(|error| inner(&error))
}

/// Read anew for each answer: a command prints one, and the descriptors are a few kilobytes.
fn pool() -> Option<DescriptorPool> {
    DescriptorPool::decode(DESCRIPTORS).ok()
}

/// The text of `error` may quote the message, which may hold a token: it stays here.
fn inner(error: &dyn std::fmt::Display) -> Failure {
    drop(error.to_string());
    Failure::new(Exit::Failed, "json", "the answer can't be written in this format")
        .hint("use another `-o` format, and report this")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_descriptor() {
        for name in NAMES {
            assert!(pool().unwrap().get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn json_is_the_proto_mapping() {
        let answer = v1::IssueTokenResponse {
            credential: Some(v1::Credential {
                id: "i".to_owned(),
                kind: v1::CredentialKind::Token.into(),
                expire_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
                log_index: 0,
                ..v1::Credential::default()
            }),
            token: "t".to_owned(),
        };
        let value: serde_json::Value = serde_json::from_str(&pretty(&answer).unwrap()).unwrap();
        assert_eq!(value["token"], "t");
        assert_eq!(value["credential"]["kind"], "CREDENTIAL_KIND_TOKEN");
        assert_eq!(value["credential"]["expireTime"], "1970-01-01T00:00:00Z");
        assert_eq!(value["credential"]["logIndex"], "0");
        assert!(value["credential"].get("revocation").is_none());
        assert!(yaml(&answer).unwrap().contains("expireTime"));
        assert_eq!(line(&answer).unwrap().matches('\n').count(), 1);
    }

    #[test]
    fn a_negative_answer_says_so_in_json() {
        assert!(line(&v1::IntrospectResponse::default()).unwrap().contains("\"active\":false"));
    }
}
