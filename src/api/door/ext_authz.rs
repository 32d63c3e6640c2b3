//! Envoy's `ext_authz` over gRPC. Which API a request is for says the route's configuration
//! (`context_extensions: { hotwork_api: NAME }`), which clients have no part in.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Request, Response, Status};

use crate::proto::envoy::attribute_context::HttpRequest;
use crate::proto::envoy::authorization_server::Authorization;
use crate::proto::envoy::check_response::HttpResponse;
use crate::proto::envoy::header_value_option::HeaderAppendAction;
use crate::proto::envoy::{
    self, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpStatus, OkHttpResponse,
};
use crate::verify::http::{Arrived, Denied};
use crate::verify::layer::refusal_headers;
use crate::verify::{Refusal, Verified};

use super::certificate::certificate;
use super::gate::{Gate, told};

/// The key of the route's configuration that names the API.
const API: &str = "hotwork_api";

/// Answers Envoy.
pub(super) struct ExtAuthz {
    gate: Arc<Gate>,
}

impl ExtAuthz {
    pub(super) const fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    async fn answer(&self, request: CheckRequest) -> Result<Verified, Denied> {
        let denied = |refusal| Denied { refusal, action: None };
        let attributes = request.attributes.unwrap_or_default();
        let http = attributes.request.and_then(|request| request.http).unwrap_or_default();
        let headers = headers(&http).ok_or_else(|| denied(Refusal::Malformed))?;
        let escaped = attributes.source.map(|source| source.certificate).filter(|text| !text.is_empty());
        let certificate = escaped
            .map(|escaped| certificate(&escaped).ok_or_else(|| denied(Refusal::Malformed)))
            .transpose()?;
        let arrived = Arrived {
            method: &http.method,
            target: &http.path,
            headers: &headers,
            certificate: certificate.as_deref(),
            args: None,
        };
        let api = attributes.context_extensions.get(API).map_or("", String::as_str);
        self.gate.check(api, &arrived).await
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let response = match self.answer(request.into_inner()).await {
            Ok(verified) => permitted(&verified),
            Err(denied) => refused(&denied),
        };
        Ok(Response::new(response))
    }
}

/// The header fields, raw when Envoy sends them so. `None` when one is none.
fn headers(http: &HttpRequest) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    let mut add = |name: &str, value: &[u8]| {
        // `:path` and its like say again what stands elsewhere.
        if name.starts_with(':') {
            return Some(());
        }
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
        Some(())
    };
    match &http.header_map {
        Some(raw) => {
            for field in &raw.headers {
                let value =
                    if field.raw_value.is_empty() { field.value.as_bytes() } else { &field.raw_value };
                add(&field.key, value)?;
            }
        }
        None => {
            for (name, value) in &http.headers {
                add(name, value.as_bytes())?;
            }
        }
    }
    Some(map)
}

fn permitted(verified: &Verified) -> CheckResponse {
    let headers = told(verified).into_iter().map(|(name, value)| field(name, value)).collect();
    CheckResponse {
        status: Some(envoy::Status { code: Code::Ok.into(), message: String::new() }),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse { headers })),
    }
}

fn refused(denied: &Denied) -> CheckResponse {
    let status = denied.refusal.http_status();
    let code = if status == 401 { Code::Unauthenticated } else { Code::PermissionDenied };
    let headers =
        refusal_headers(denied).into_iter().map(|(name, value)| field(name.as_str(), value)).collect();
    let response =
        DeniedHttpResponse { status: Some(HttpStatus { code: status.into() }), headers, body: String::new() };
    CheckResponse {
        status: Some(envoy::Status { code: code.into(), message: denied.refusal.code().to_owned() }),
        http_response: Some(HttpResponse::DeniedResponse(response)),
    }
}

/// A field that replaces whatever the client sent under its name.
fn field(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(envoy::HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_came_twice_stay_two_and_a_broken_one_refuses() {
        let field = |key: &str, value: &str| envoy::HeaderValue {
            key: key.into(),
            value: String::new(),
            raw_value: value.as_bytes().to_vec(),
        };
        let raw = |list| HttpRequest {
            header_map: Some(envoy::HeaderMap { headers: list }),
            ..HttpRequest::default()
        };
        let twice = raw(vec![field(":path", "/x"), field("dpop", "a"), field("dpop", "b")]);
        let read = headers(&twice).unwrap();
        assert_eq!((read.get_all("dpop").iter().count(), read.len()), (2, 2));
        assert!(headers(&raw(vec![field("a b", "x")])).is_none());
        assert!(headers(&raw(vec![field("a", "x\r\ny: z")])).is_none());
    }
}
