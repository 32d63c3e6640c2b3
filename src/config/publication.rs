//! What the daemon publishes for resources: where the CRL is, who may introspect, how keys are rotated.

use std::collections::HashMap;
use std::str::FromStr;

use crate::domain::digest::Digest;
use crate::domain::limits::{KEY_PUBLISH_AHEAD_SECONDS_MAX, RESOURCE_SERVERS_MAX, URI_BYTES_MAX};
use crate::domain::name::{Audience, BadName, Issuer};

use super::forms::Seconds;
use super::raw::Table;

/// What resources find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where action certificates say that their CRL is; `None` leaves it out.
    pub crl_url: Option<String>,
    /// Who may introspect over HTTP.
    pub resource_servers: Vec<ResourceServer>,
    /// How long a new token key is published before it signs, in seconds.
    pub key_publish_ahead_seconds: u64,
}

impl Publication {
    /// The resource servers' secrets' digests, each with its audience.
    pub fn resource_servers(&self) -> Vec<(Digest, Audience)> {
        self.resource_servers.iter().map(|server| (server.secret, server.audience.clone())).collect()
    }
}

/// A resource server that may introspect the tokens of one audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceServer {
    /// The audience of the tokens that it may ask about.
    pub audience: Audience,
    /// SHA-256 of its secret.
    pub secret: Digest,
}

/// An absolute URL without white space, or `off`.
struct Url(Option<String>);

impl FromStr for Url {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == "off" {
            return Ok(Self(None));
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let good = rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()));
        if good && text.len() <= URI_BYTES_MAX {
            Ok(Self(Some(text.to_owned())))
        } else {
            Err(BadName { expected: "an http or https URL of at most 256 bytes, or `off`" })
        }
    }
}

/// Reads the keys of the daemon's file that are about publication. Without the HTTP listener nothing says
/// where a CRL is, unless the file does.
pub(super) fn read(table: &Table<'_>, issuer: Option<&Issuer>, http: bool) -> Option<Publication> {
    let default = issuer.filter(|_| http).map(|issuer| format!("{}/crl/action-ca.crl", issuer.as_str()));
    let crl_url = table.or("crl_url", Url(default));
    let ahead = table.or("key_publish_ahead", Seconds(600));
    if let Some(Seconds(seconds)) = ahead
        && seconds > KEY_PUBLISH_AHEAD_SECONDS_MAX
    {
        table.error("key_publish_ahead", "expected at most `30d`");
    }
    let resource_servers = resource_servers(table);
    Some(Publication {
        crl_url: crl_url?.0,
        resource_servers: resource_servers?,
        key_publish_ahead_seconds: ahead?.0,
    })
}

fn resource_servers(table: &Table<'_>) -> Option<Vec<ResourceServer>> {
    let mut seen: HashMap<Digest, usize> = HashMap::new();
    let mut servers = Vec::new();
    for section in table.tables("resource_server") {
        let (audience, secret) = (section.required("audience"), section.required("secret_sha256"));
        if let Some(secret) = secret
            && let Some(line) = seen.insert(secret, section.place_of("secret_sha256").line)
        {
            section
                .error("secret_sha256", format!("the same as in line {line}: each has a secret of its own"));
        }
        section.done();
        servers.push(ResourceServer { audience: audience?, secret: secret? });
    }
    if servers.len() > RESOURCE_SERVERS_MAX {
        table.error("resource_server", format!("expected at most {RESOURCE_SERVERS_MAX}"));
    }
    Some(servers)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Problems};

    const MINIMAL: &str = "trust_domain = \"example.org\"\nissuer = \"https://hotwork.example.org\"\n";
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect();
        Config::parse(Path::new("h.toml"), &format!("{MINIMAL}{text}")).map_err(lines)
    }

    #[test]
    fn the_crl_is_below_the_issuer_unless_the_file_says_otherwise() {
        let url = |text: &str| parse(text).unwrap().publication.crl_url;
        assert_eq!(url("").as_deref(), Some("https://hotwork.example.org/crl/action-ca.crl"));
        assert_eq!(url("[http]\nlisten = \"off\"\n"), None, "nobody serves it");
        assert_eq!(
            url("crl_url = \"http://crl.example/a\"\n[http]\nlisten = \"off\"\n").as_deref(),
            Some("http://crl.example/a")
        );
        assert_eq!(url("crl_url = \"off\"\n"), None);
        for bad in ["", "ldap://x", "http://", "http://a b", "crl.example"] {
            let problems = parse(&format!("crl_url = \"{bad}\"\n")).unwrap_err();
            assert!(
                problems[0].contains("h.toml:3:11: crl_url: expected an http or https URL"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn resource_servers_have_an_audience_and_a_secret_of_their_own() {
        let server = |audience: &str, secret: &str| {
            format!("[[resource_server]]\naudience = \"{audience}\"\nsecret_sha256 = \"{secret}\"\n")
        };
        let one = server("https://pay.example", SECRET);
        assert_eq!(parse(&one).unwrap().publication.resource_servers.len(), 1);
        let twice = parse(&format!("{one}{}", server("https://other.example", SECRET))).unwrap_err();
        assert!(twice[0].contains("the same as in line 5"), "{twice:?}");
        let plain = parse(&server("https://pay.example", "my secret")).unwrap_err();
        assert!(plain[0].contains("secret_sha256: expected 64 lowercase hex digits"), "{plain:?}");
        assert!(parse("[[resource_server]]\naudience = \"https://a.example\"\n").is_err());
    }

    #[test]
    fn a_key_is_published_ahead_of_its_use() {
        let ahead = |text: &str| parse(text).map(|config| config.publication.key_publish_ahead_seconds);
        assert_eq!(ahead(""), Ok(600));
        assert_eq!(ahead("key_publish_ahead = \"30d\"\n"), Ok(2_592_000));
        assert!(ahead("key_publish_ahead = \"31d\"\n").is_err());
    }
}
