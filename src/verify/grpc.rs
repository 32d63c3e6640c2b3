//! A refusal in gRPC's own form: which requests are gRPC, and the header of a response that is nothing but a status
//! ("gRPC over HTTP/2", Trailers-Only). It does not judge: what a request calls itself changes how it is refused, never
//! whether.

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use super::Refusal;

/// The status, in digits.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Its message, percent-encoded.
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What every request's media type begins with, and what a response without a message says.
const MEDIA_TYPE: &str = "application/grpc";

/// Whether whoever sent it reads a `grpc-status` and not the status of HTTP. All else gets an error that no client
/// takes for a success: gRPC-Web, and gRPC that a bridge made HTTP/1.1 of and maps back by the status, too.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    request.version() >= Version::HTTP_2
        && request.method() == Method::POST
        && is_media_type(request.headers())
}

/// `application/grpc`, also with a `+format` or a `;parameter`, said once. Media types have no case (RFC 9110 section 8.3.1).
fn is_media_type(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((start, rest)) = value.as_bytes().split_at_checked(MEDIA_TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// Makes a response a status alone. The message is the refusal's code, which percent-encoding leaves as it is.
pub(super) fn put(headers: &mut HeaderMap, refusal: &Refusal) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(STATUS, HeaderValue::from(refusal.grpc_status()));
    headers.insert(MESSAGE, HeaderValue::from_static(refusal.code()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, method: Method, types: &[&str]) -> Request<()> {
        let builder = Request::builder().version(version).method(method).uri("/grpc.health.v1.Health/Check");
        types.iter().fold(builder, |builder, value| builder.header(CONTENT_TYPE, *value)).body(()).unwrap()
    }

    #[test]
    fn grpc_is_told_by_version_method_and_media_type() {
        let told = |types: &[&str]| is_grpc(&request(Version::HTTP_2, Method::POST, types));
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc+json",
            "application/grpc;charset=utf-8",
            "Application/GRPC",
            "APPLICATION/GRPC+PROTO",
        ] {
            assert!(told(&[good]), "{good}");
        }
        for bad in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/grpc,text/html",
            "application/grpc application/json",
            " application/grpc",
            "application/json;application/grpc",
            "application/json",
        ] {
            assert!(!told(&[bad]), "{bad}");
        }
        assert!(!told(&[]));
        assert!(!told(&["application/grpc", "application/grpc"]), "said twice");
        let types = ["application/grpc"];
        assert!(is_grpc(&request(Version::HTTP_3, Method::POST, &types)));
        assert!(!is_grpc(&request(Version::HTTP_11, Method::POST, &types)));
        assert!(!is_grpc(&request(Version::HTTP_2, Method::GET, &types)));
    }
}
