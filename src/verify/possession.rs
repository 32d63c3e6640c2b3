//! Proof of possession: the holder of the token has the key that it is bound to (RFC 9449 sections 4.3 and
//! 7.1, RFC 8705 section 3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::refusal::{BadProof, Refusal};
use super::{Authority, Call, Scheme, Verifier};
use crate::domain::digest::Digest;
use crate::domain::limits::{PROOF_AGE_SECONDS_MAX, VERIFY_LEEWAY_SECONDS_MAX};
use crate::signer::verify::{self, Moment, Proof};

/// What was presented with a token.
pub(super) struct Possession<'a> {
    pub(super) scheme: Scheme,
    pub(super) token: &'a str,
    pub(super) proof: Option<&'a str>,
    pub(super) certificate: Option<&'a [u8]>,
}

impl Verifier {
    /// Checks everything that the token is bound to.
    ///
    /// # Errors
    /// The first that is not shown.
    pub(super) fn possesses(
        &self,
        authority: &Authority,
        shown: &Possession<'_>,
        call: &Call<'_>,
        moment: Moment,
    ) -> Result<(), Refusal> {
        let cnf = &authority.cnf;
        if cnf.is_bearer() && !call.dangerous_bearer {
            return Err(Refusal::Unbound);
        }
        if let Some(bound) = &cnf.x5t_s256 {
            let own = shown.certificate.map(|der| base64(Digest::of(der)));
            if own.is_none_or(|own| own != bound.as_str()) {
                return Err(Refusal::Proof(BadProof::Certificate));
            }
        }
        match (&cnf.jkt, shown.scheme) {
            (Some(jkt), Scheme::Dpop) => self.proof(jkt.as_str(), shown, call, moment),
            // A bound token may not be used as a bearer token (RFC 9449 section 7.2).
            (Some(_), Scheme::Bearer) => Err(Refusal::Proof(BadProof::Missing)),
            (None, Scheme::Bearer) if shown.proof.is_none() => Ok(()),
            // A proof for a token that is bound to no key proves nothing; the client is mistaken.
            (None, Scheme::Bearer | Scheme::Dpop) => Err(Refusal::Proof(BadProof::Key)),
        }
    }

    fn proof(
        &self,
        jkt: &str,
        shown: &Possession<'_>,
        call: &Call<'_>,
        moment: Moment,
    ) -> Result<(), Refusal> {
        let text = shown.proof.ok_or(Refusal::Proof(BadProof::Missing))?;
        let proof = verify::proof(text).map_err(|_| Refusal::Proof(BadProof::Form))?;
        fits(&proof, jkt, shown.token, call).map_err(Refusal::Proof)?;
        if let Some(nonces) = &self.settings.nonces {
            let repeated = proof.nonce.as_deref().is_some_and(|nonce| nonces.accepts(nonce, moment.now));
            if !repeated {
                return Err(Refusal::Nonce(nonces.current(moment.now)));
            }
        }
        let leeway = i64::from(moment.leeway_seconds.min(VERIFY_LEEWAY_SECONDS_MAX));
        let lives = i64::from(PROOF_AGE_SECONDS_MAX).saturating_add(leeway);
        let now = moment.now.seconds();
        if proof.iat > now.saturating_add(leeway) || proof.iat < now.saturating_sub(lives) {
            return Err(Refusal::Proof(BadProof::Time));
        }
        // Last, so that only what is otherwise good takes room.
        self.replays.note(jkt, &proof.jti, proof.iat, lives, moment.now).map_err(Refusal::Proof)
    }
}

/// Key, method, URI and token are those of the request (RFC 9449 section 4.3, steps 8, 9 and 12).
fn fits(proof: &Proof, jkt: &str, token: &str, call: &Call<'_>) -> Result<(), BadProof> {
    if proof.jkt != jkt {
        return Err(BadProof::Key);
    }
    if proof.htm != call.method {
        return Err(BadProof::Method);
    }
    if call.url.is_none_or(|url| normal(&proof.htu).as_deref() != Some(url)) {
        return Err(BadProof::Url);
    }
    if proof.ath.as_deref() != Some(&*base64(Digest::of(token.as_bytes()))) {
        return Err(BadProof::Ath);
    }
    Ok(())
}

fn base64(digest: Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest.as_bytes())
}

/// The URI without query and fragment, with scheme and host in lowercase and without the scheme's own port
/// (RFC 9449 section 4.3, RFC 3986 sections 6.2.2 and 6.2.3). The path is compared as it is.
fn normal(uri: &str) -> Option<String> {
    let uri = uri.split(['?', '#']).next()?;
    let (scheme, rest) = uri.split_once("://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at)?;
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let own = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = authority.strip_suffix(own).unwrap_or(&authority);
    Some(format!("{scheme}://{authority}{}", if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::Audience;

    /// RFC 9449 figure 13: a proof for a protected resource.
    const AT_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    /// Its access token (figure 12), whose hash is the proof's `ath`.
    const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const URL: &str = "https://resource.example.org/protectedresource";

    #[test]
    fn the_proof_of_rfc_9449_figure_13_fits_its_request_and_no_other() {
        let audience: Audience = "https://resource.example.org".parse().unwrap();
        let call = |method, url| Call {
            method,
            url,
            audience: &audience,
            dangerous_bearer: false,
            asked: None,
            args: None,
        };
        let proof = verify::proof(AT_RESOURCE).unwrap();
        assert_eq!(proof.iat, 1_562_262_618);
        assert_eq!(fits(&proof, JKT, TOKEN, &call("GET", Some(URL))), Ok(()));
        assert_eq!(fits(&proof, "other", TOKEN, &call("GET", Some(URL))), Err(BadProof::Key));
        assert_eq!(fits(&proof, JKT, TOKEN, &call("POST", Some(URL))), Err(BadProof::Method));
        assert_eq!(fits(&proof, JKT, TOKEN, &call("get", Some(URL))), Err(BadProof::Method));
        assert_eq!(fits(&proof, JKT, TOKEN, &call("GET", None)), Err(BadProof::Url));
        let other = Some("https://resource.example.org/protectedresource2");
        assert_eq!(fits(&proof, JKT, TOKEN, &call("GET", other)), Err(BadProof::Url));
        assert_eq!(fits(&proof, JKT, "other", &call("GET", Some(URL))), Err(BadProof::Ath));
    }

    #[test]
    fn a_uri_is_compared_in_its_normal_form() {
        for same in [
            "https://a.example/b",
            "HTTPS://A.example/b",
            "https://a.example:443/b",
            "https://a.example/b?c=d",
            "https://a.example/b#c",
        ] {
            assert_eq!(normal(same).as_deref(), Some("https://a.example/b"), "{same}");
        }
        assert_eq!(normal("http://a.example:80").as_deref(), Some("http://a.example/"));
        for other in
            ["https://a.example/B", "https://a.example:8443/b", "http://a.example/b", "https://a.example/b/"]
        {
            assert_ne!(normal(other).as_deref(), Some("https://a.example/b"), "{other}");
        }
        for bad in ["", "/b", "a.example/b", "ftp://a.example/b", "javascript:alert(1)"] {
            assert_eq!(normal(bad), None, "{bad}");
        }
    }
}
