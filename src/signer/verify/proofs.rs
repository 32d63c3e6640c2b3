//! Reads a DPoP proof (RFC 9449 section 4.2) and checks that the key in it signed it. What the proof is for
//! is the caller's to compare, who knows the request.

use std::borrow::Cow;

use serde::Deserialize;

use super::NotVerified;
use crate::domain::limits::{PROOF_BYTES_MAX, PROOF_ID_BYTES_MAX};
use crate::signer::claims::part;
use crate::signer::jwk::ProofJwk;

/// The media type of a proof.
const TYPE: &str = "dpop+jwt";

/// What a proof says; its signature is that of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// RFC 7638 thumbprint of the key: the token's `jkt`.
    pub jkt: String,
    /// Unique to the proof.
    pub jti: String,
    /// The method of the request.
    pub htm: String,
    /// The URI of the request.
    pub htu: String,
    /// When it was made, in seconds.
    pub iat: i64,
    /// Base64url SHA-256 of the access token.
    pub ath: Option<String>,
    /// What the server asked to have repeated.
    pub nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    jwk: ProofJwk,
    #[serde(borrow)]
    typ: Cow<'a, str>,
}

/// Further claims say nothing to us (RFC 9449 section 4.2 allows them); those that count stand once.
#[derive(Deserialize)]
struct RawProof {
    ath: Option<String>,
    htm: String,
    htu: String,
    iat: i64,
    jti: String,
    nonce: Option<String>,
}

/// Reads a proof and verifies its signature with the key that it carries.
///
/// # Errors
/// The first reason to refuse it.
pub fn proof(text: &str) -> Result<Proof, NotVerified> {
    if text.len() > PROOF_BYTES_MAX {
        return Err(NotVerified::TooLong);
    }
    let (input, signature) = text.rsplit_once('.').ok_or(NotVerified::Form)?;
    let (head, body) = input.split_once('.').ok_or(NotVerified::Form)?;
    let decode = |text: &str| part(text.as_bytes()).ok_or(NotVerified::Form);
    let (header, payload, signature) = (decode(head)?, decode(body)?, decode(signature)?);
    let header: RawHeader<'_> = serde_json::from_slice(&header).map_err(|_| NotVerified::Form)?;
    let claims: RawProof = serde_json::from_slice(&payload).map_err(|_| NotVerified::Form)?;
    if header.typ != TYPE {
        return Err(NotVerified::Type);
    }
    let key = header.jwk.read(&header.alg).ok_or(NotVerified::Algorithm)?;
    key.verify(input.as_bytes(), &signature).map_err(|_| NotVerified::Signature)?;
    let short = |text: &str| !text.is_empty() && text.len() <= PROOF_ID_BYTES_MAX;
    if !short(&claims.jti) || claims.nonce.as_deref().is_some_and(|nonce| !short(nonce)) {
        return Err(NotVerified::Form);
    }
    Ok(Proof {
        jkt: key.kid().to_owned(),
        jti: claims.jti,
        htm: claims.htm,
        htu: claims.htu,
        iat: claims.iat,
        ath: claims.ath,
        nonce: claims.nonce,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::signer::Algorithm;
    use crate::signer::fixture::signer;

    /// RFC 9449 figure 2: a proof for the token endpoint.
    const AT_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    /// RFC 9449 section 6.1.
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    #[test]
    fn the_proof_of_rfc_9449_figure_2_reads_as_the_rfc_says() {
        let read = proof(AT_TOKEN_ENDPOINT).unwrap();
        assert_eq!(
            read,
            Proof {
                jkt: JKT.into(),
                jti: "-BwC3ESc6acc2lTc".into(),
                htm: "POST".into(),
                htu: "https://server.example.com/token".into(),
                iat: 1_562_262_616,
                ath: None,
                nonce: None,
            }
        );
    }

    #[test]
    fn every_changed_character_of_a_proof_is_noticed() {
        for at in 0..AT_TOKEN_ENDPOINT.len() {
            let mut bytes = AT_TOKEN_ENDPOINT.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(changed == AT_TOKEN_ENDPOINT || proof(&changed).is_err(), "character {at}");
        }
    }

    /// A proof with this header and payload, signed by a new key whose JWK stands for `JWK`.
    fn signed(header: &str, payload: &str) -> Result<Proof, NotVerified> {
        let key = signer(Algorithm::Ed25519);
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let jwk = format!(r#""crv":"Ed25519","kty":"OKP","x":"{x}""#);
        let header = URL_SAFE_NO_PAD.encode(header.replace("JWK", &jwk));
        let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
        proof(&format!("{input}.{signature}"))
    }

    const HEADER: &str = r#"{"typ":"dpop+jwt","alg":"Ed25519","jwk":{JWK}}"#;
    const PAYLOAD: &str = r#"{"jti":"1","htm":"GET","htu":"https://a.example/b","iat":1}"#;

    #[test]
    fn a_key_in_the_header_is_public_and_of_the_algorithm() {
        assert!(signed(HEADER, PAYLOAD).is_ok());
        assert!(signed(&HEADER.replace("JWK", r#"JWK,"kid":"x","use":"sig""#), PAYLOAD).is_ok());
        for (from, to, why) in [
            ("JWK", r#"JWK,"d":"AAAA""#, NotVerified::Form),
            ("JWK", r#"JWK,"x5u":"https://x""#, NotVerified::Form),
            ("JWK", r#"JWK,"alg":"ES256""#, NotVerified::Algorithm),
            (r#""alg":"Ed25519""#, r#""alg":"none""#, NotVerified::Algorithm),
            (r#""alg":"Ed25519""#, r#""alg":"EdDSA""#, NotVerified::Algorithm),
            (r#""alg":"Ed25519""#, r#""alg":"HS256""#, NotVerified::Algorithm),
            (r#""alg":"Ed25519""#, r#""alg":"ES256""#, NotVerified::Algorithm),
            ("dpop+jwt", "jwt", NotVerified::Type),
            (r#"{"typ""#, r#"{"crit":["b64"],"typ""#, NotVerified::Form),
            (r#"{"typ""#, r#"{"typ":"dpop+jwt","typ""#, NotVerified::Form),
        ] {
            let header = HEADER.replace(from, to);
            assert_eq!(signed(&header, PAYLOAD).err(), Some(why), "{header}");
        }
    }

    #[test]
    fn the_claims_that_count_are_there_once_and_short() {
        for (from, to) in [
            (r#""jti":"1","#, ""),
            (r#""jti":"1""#, r#""jti":"""#),
            (r#""jti":"1""#, r#""jti":"1","jti":"2""#),
            (r#""htm":"GET","#, ""),
            (r#""iat":1"#, r#""iat":"1""#),
            (r#""iat":1"#, r#""iat":1,"nonce":7"#),
        ] {
            assert_eq!(signed(HEADER, &PAYLOAD.replace(from, to)).err(), Some(NotVerified::Form), "{to}");
        }
        let long = |n: usize| PAYLOAD.replace(r#""jti":"1""#, &format!(r#""jti":"{}""#, "x".repeat(n)));
        assert!(signed(HEADER, &long(PROOF_ID_BYTES_MAX)).is_ok());
        assert!(signed(HEADER, &long(PROOF_ID_BYTES_MAX + 1)).is_err());
        assert_eq!(proof(&"a".repeat(PROOF_BYTES_MAX + 1)), Err(NotVerified::TooLong));
    }

    proptest! {
        /// No input, however malformed, panics or verifies.
        #[test]
        fn random_texts_are_refused(
            text in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        ) {
            prop_assert!(proof(&text).is_err());
        }
    }
}
