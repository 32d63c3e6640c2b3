//! Where notices are posted to: an https URL, or http on this machine.
//!
//! A path can be a secret (Slack's are), so that only scheme, host and port are ever shown.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::domain::limits::URI_BYTES_MAX;
use crate::domain::name::BadName;

/// An absolute URL without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub https: bool,
    /// The host, as in the text.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

impl Url {
    /// The host without the brackets of an IPv6 address, for name resolution and certificates.
    pub fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for Url {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName =
            BadName { expected: "an https URL of at most 256 bytes; http only to a loopback address" };
        let uri: http::Uri = text.parse().map_err(|_| BAD)?;
        let (scheme, authority) = (uri.scheme_str().ok_or(BAD)?, uri.authority().ok_or(BAD)?);
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(BAD),
        };
        let host = authority.host().to_ascii_lowercase();
        let good = !host.is_empty() && !authority.as_str().contains('@') && !text.contains('#');
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().map_err(|_| BAD)?,
            _ => {
                if https {
                    443
                } else {
                    80
                }
            }
        };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let url = Self { https, host, port, path };
        let near = url.bare_host().parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if good && port != 0 && text.len() <= URI_BYTES_MAX && (https || near) { Ok(url) } else { Err(BAD) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        let url: Url = "https://hooks.example:8443/a/b?c=d".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("hooks.example", 8443, "/a/b?c=d"));
        assert_eq!("http://127.0.0.1:9/x".parse::<Url>().unwrap().port, 9);
        assert_eq!("http://[::1]/x".parse::<Url>().unwrap().bare_host(), "::1");
        assert_eq!("https://[::1]:7/x".parse::<Url>().unwrap().port, 7);
        let bad = [
            "",
            "/x",
            "hooks.example/x",
            "http://hooks.example/x",
            "http://localhost/x",
            "http://192.0.2.1/x",
            "http://127.0.0.1.example/x",
            "https://user:pass@hooks.example/x",
            "https://127.0.0.1@hooks.example/x",
            "ftp://hooks.example/x",
            "https:///x",
            "https://hooks.example:0/x",
            "https://hooks.example:99999/x",
            "https://hooks.example/x#y",
            "https://hooks.example/a b",
            "unix:///x",
        ];
        for bad in bad {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
        assert!(format!("https://h.example/{}", "x".repeat(300)).parse::<Url>().is_err());
    }

    #[test]
    fn a_path_is_never_shown() {
        let url: Url = "https://hooks.slack.example/services/T0/B0/XYZ".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://hooks.slack.example https://hooks.slack.example");
    }
}
