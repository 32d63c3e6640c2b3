//! Where the broker listens.

use std::path::PathBuf;

use super::failure::{Exit, Failure};

/// A listener's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `https://host:port`.
    Https(String),
    /// `unix:///path`.
    Unix(PathBuf),
}

/// Which of the broker's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For operators.
    Admin,
    /// For agents.
    Agent,
    /// For verifiers.
    Verifier,
}

impl Listener {
    /// The environment variable that names it.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Admin => "HOTWORK_ADMIN_ENDPOINT",
            Self::Agent => "HOTWORK_ENDPOINT",
            Self::Verifier => "HOTWORK_VERIFIER_ENDPOINT",
        }
    }

    const fn flag(self) -> &'static str {
        match self {
            Self::Admin => "--admin-endpoint",
            Self::Agent => "--endpoint",
            Self::Verifier => "--verifier-endpoint",
        }
    }

    /// Reads the address that flag or environment gave.
    ///
    /// # Errors
    /// When there is none, or it has a wrong form.
    pub fn read(self, given: Option<&str>) -> Result<Endpoint, Failure> {
        let given = given.unwrap_or_default();
        if given.is_empty() {
            return Err(self.missing());
        }
        parse(given).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "endpoint-form",
                format!("`{}` is not an endpoint", super::text::clean(given)),
            )
            .hint(format!(
                "give `unix:///path/to/socket` or `https://host:port` in {} or {}",
                self.variable(),
                self.flag()
            ))
        })
    }

    fn missing(self) -> Failure {
        let message = format!("no endpoint: {} is not set", self.variable());
        Failure::new(Exit::Usage, "endpoint-missing", message).hint(format!(
            "run `hotworkd dev` and paste the lines it prints (or `. DIR/env` of its --state-dir), \
             or give {} unix:///path/to/socket",
            self.flag()
        ))
    }
}

fn parse(text: &str) -> Option<Endpoint> {
    if let Some(path) = text.strip_prefix("unix://") {
        let right = path.starts_with('/') && path.len() > 1 && !path.contains('\0');
        return right.then(|| Endpoint::Unix(PathBuf::from(path)));
    }
    let host = text.strip_prefix("https://")?;
    (!host.is_empty() && !host.starts_with('/')).then(|| Endpoint::Https(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_unix_paths_or_https() {
        assert_eq!(parse("unix:///run/a.sock"), Some(Endpoint::Unix("/run/a.sock".into())));
        assert_eq!(parse("https://broker:8443"), Some(Endpoint::Https("https://broker:8443".to_owned())));
        for bad in
            ["unix://run/a", "unix:", "unix:///", "/run/a.sock", "http://x", "https://", "https:///x", "x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unset_variable_is_told_with_the_way_to_set_it() {
        for given in [None, Some("")] {
            let failure = Listener::Agent.read(given).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains("HOTWORK_ENDPOINT") && failure.hint.contains("hotworkd dev"));
        }
    }
}
