//! Requests in `application/x-www-form-urlencoded`, read strictly: what two parsers could read two ways is
//! refused (RFC 6749 section 3.1: no parameter stands twice).

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};

use crate::domain::limits::{FORM_BYTES_MAX, FORM_PARAMETERS_MAX, REQUEST_SECONDS_MAX, TOKEN_BYTES_MAX};

const FORM: &str = "application/x-www-form-urlencoded";

/// Why a form was not read.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadForm {
    /// It is not a form.
    #[error("the body must be application/x-www-form-urlencoded")]
    Kind,
    /// It is not well formed, or has too many parameters.
    #[error("the form is malformed")]
    Form,
    /// A parameter is missing, empty, or too long.
    #[error("`token` is missing, empty or too long")]
    Missing,
    /// A parameter stands twice.
    #[error("a parameter stands twice")]
    Repeated,
    /// The body did not come in time.
    #[error("the body did not come in time")]
    Slow,
    /// The body is too long.
    #[error("the body is too long")]
    TooLong,
}

/// The `token` of a request. Other parameters, such as `token_type_hint`, are looked over and not at.
///
/// # Errors
/// [`BadForm`]; it never repeats what was sent.
pub async fn token(request: Request<Body>) -> Result<String, BadForm> {
    if !is_form(request.headers()) {
        return Err(BadForm::Kind);
    }
    let body = to_bytes(request.into_body(), FORM_BYTES_MAX);
    let body = tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS_MAX), body).await;
    let body = body.map_err(|_| BadForm::Slow)?.map_err(|_| BadForm::TooLong)?;
    let text = std::str::from_utf8(&body).map_err(|_| BadForm::Form)?;
    let parameters = parse(text)?;
    let token = parameters.into_iter().find(|(name, _)| name == "token").map(|(_, value)| value);
    token.filter(|token| (1..=TOKEN_BYTES_MAX).contains(&token.len())).ok_or(BadForm::Missing)
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kinds.next().is_none() && essence.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

/// The parameters, each name once.
///
/// # Errors
/// [`BadForm`].
pub fn parse(text: &str) -> Result<Vec<(String, String)>, BadForm> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').ok_or(BadForm::Form)?;
        let (name, value) = (decode(name)?, decode(value)?);
        if found.iter().any(|(known, _)| *known == name) {
            return Err(BadForm::Repeated);
        }
        if found.len() >= FORM_PARAMETERS_MAX {
            return Err(BadForm::Form);
        }
        found.push((name, value));
    }
    Ok(found)
}

/// Undoes percent-encoding; `+` is a space.
fn decode(text: &str) -> Result<String, BadForm> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let digits = [rest.next().ok_or(BadForm::Form)?, rest.next().ok_or(BadForm::Form)?];
                let mut decoded = [0];
                hex::decode_to_slice(digits, &mut decoded).map_err(|_| BadForm::Form)?;
                let [byte] = decoded;
                byte
            }
            b'+' => b' ',
            b'!'..=b'~' => byte,
            _ => return Err(BadForm::Form),
        });
    }
    String::from_utf8(out).map_err(|_| BadForm::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(kind: &str, body: impl Into<Body>) -> Result<String, BadForm> {
        token(Request::builder().header(CONTENT_TYPE, kind).body(body.into()).unwrap()).await
    }

    #[tokio::test]
    async fn a_form_with_one_token_is_read() {
        for (kind, body) in [
            (FORM, "token=a.b.c"),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "token=a.b.c"),
            (FORM, "token_type_hint=access_token&token=a%2Eb.c"),
            (FORM, "token=a.b.c&anything=%00+%ff".split('%').next().unwrap()),
        ] {
            assert!(read(kind, body).await.is_ok(), "{body}");
        }
        assert_eq!(read(FORM, "token=a%2Eb%2ec").await.as_deref(), Ok("a.b.c"));
    }

    #[tokio::test]
    async fn what_could_be_read_two_ways_is_refused() {
        let many: String = (0..17).map(|at| format!("p{at}=&")).collect();
        let long = format!("token={}", "a".repeat(TOKEN_BYTES_MAX + 1));
        let longest = format!("token={}", "a".repeat(TOKEN_BYTES_MAX));
        assert!(read(FORM, longest).await.is_ok());
        for (kind, body, expected) in [
            ("application/json", "token=a", BadForm::Kind),
            ("", "token=a", BadForm::Kind),
            (FORM, "token=a&token=b", BadForm::Repeated),
            (FORM, "token=a&%74oken=b", BadForm::Repeated),
            (FORM, "token", BadForm::Form),
            (FORM, "token=a&", BadForm::Form),
            (FORM, "token=%", BadForm::Form),
            (FORM, "token=%4", BadForm::Form),
            (FORM, "token=%zz", BadForm::Form),
            (FORM, "token=%ff", BadForm::Form),
            (FORM, "token=a b", BadForm::Form),
            (FORM, &format!("{many}token=a"), BadForm::Form),
            (FORM, "", BadForm::Form),
            (FORM, "tokens=a", BadForm::Missing),
            (FORM, "token=", BadForm::Missing),
            (FORM, &long, BadForm::Missing),
        ] {
            assert_eq!(read(kind, body.to_owned()).await, Err(expected), "{kind} {body:.60}");
        }
        let huge = "x".repeat(FORM_BYTES_MAX + 1);
        assert_eq!(read(FORM, huge).await, Err(BadForm::TooLong));
        let two = Request::builder().header(CONTENT_TYPE, FORM).header(CONTENT_TYPE, FORM);
        assert_eq!(token(two.body(Body::from("token=a")).unwrap()).await, Err(BadForm::Kind));
        assert_eq!(token(Request::new(Body::from("token=a"))).await, Err(BadForm::Kind));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let never = futures_never();
        assert_eq!(read(FORM, Body::from_stream(never)).await, Err(BadForm::Slow));
    }

    fn futures_never() -> tokio_stream::Pending<Result<bytes::Bytes, std::io::Error>> {
        tokio_stream::pending()
    }
}
