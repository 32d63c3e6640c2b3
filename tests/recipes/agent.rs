//! An agent with a DPoP key: asks for tokens and makes proofs (RFC 9449 section 4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hotwork::domain::digest::Digest;
use hotwork::domain::signer::{Algorithm, Signer as _};
use hotwork::signer::key::LocalSigner;

use crate::support::Daemon;
use crate::tls::HOST;

pub struct Agent {
    key: LocalSigner,
}

/// A token, its credential's id, and when that expires.
pub struct Token {
    pub id: String,
    pub end: std::time::SystemTime,
    pub text: String,
}

impl Agent {
    pub fn new() -> Self {
        let pkcs8 = LocalSigner::generate(Algorithm::Ed25519).unwrap();
        Self { key: LocalSigner::from_pkcs8(Algorithm::Ed25519, &pkcs8).unwrap() }
    }

    /// A token for one action, bound to the key.
    pub fn token(&self, daemon: &Daemon, action: &str, resource: &str) -> Token {
        self.token_with(daemon, action, resource, &[])
    }

    /// The same with more words in the command.
    pub fn token_with(&self, daemon: &Daemon, action: &str, resource: &str, more: &[&str]) -> Token {
        let jkt = self.key.kid();
        let ask = ["issue", action, "--resource", resource, "--dpop-jkt", jkt];
        let answer = daemon.json(&[&ask[..], more].concat());
        let text = answer["token"].as_str().unwrap().to_owned();
        let end = crate::scene::end(&answer);
        Token { end, id: answer["credential"]["id"].as_str().unwrap().to_owned(), text }
    }

    /// A fresh proof for one request with the token.
    pub fn proof(&self, token: &Token, method: &str, path: &str) -> String {
        self.proof_for(token, method, &format!("https://{HOST}{path}"))
    }

    /// The same for a URL.
    pub fn proof_for(&self, token: &Token, method: &str, url: &str) -> String {
        let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let (ath, jti) =
            (URL_SAFE_NO_PAD.encode(Digest::of(token.text.as_bytes()).as_bytes()), uuid::Uuid::now_v7());
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        let header = format!(
            r#"{{"typ":"dpop+jwt","alg":"Ed25519","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#
        );
        let payload =
            format!(r#"{{"jti":"{jti}","htm":"{method}","htu":"{url}","iat":{seconds},"ath":"{ath}"}}"#);
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
