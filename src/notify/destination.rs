//! A destination: who is told of what, and how. One call is one try.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::command;
use super::document::Document;
use super::format::{self, SIGNATURE_HEADER};
use super::notice::{Kind, Notice, Severity};
use super::post;
use super::secret::{BadSecret, SecretFile};
use super::url::Url;
use crate::domain::limits::{NOTICE_SECONDS_MAX, NOTICE_SECRET_BYTES_MIN};
use crate::domain::name::NotifierName;
use crate::domain::wording::causes;

pub use super::command::Program;
pub use super::post::Roots;

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name.
    pub name: NotifierName,
    /// How it is reached.
    pub target: Target,
    /// What it is told of.
    pub wanted: Wanted,
}

/// How a destination is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program of this machine.
    Command(Program),
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// Where.
        url: Url,
        /// The integration's routing key.
        routing_key: SecretFile,
        /// Whose certificate it may have.
        roots: Roots,
    },
    /// A Slack incoming webhook.
    Slack {
        /// Its URL, which is the secret.
        url: SecretFile,
        /// Whose certificate it may have.
        roots: Roots,
    },
    /// A receiver of our own JSON, signed.
    Webhook {
        /// Where.
        url: Url,
        /// What it is signed with.
        secret: SecretFile,
        /// Whose certificate it may have.
        roots: Roots,
    },
}

/// What a destination is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// As grave as this, or graver.
    pub severity_min: Severity,
    /// Of these kinds; of all when empty.
    pub kinds: Vec<Kind>,
}

impl Wanted {
    /// Whether it is to be told of `notice`.
    pub fn wants(&self, notice: &Notice) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&notice.kind());
        kind && notice.severity() >= self.severity_min
    }
}

/// Why a try did not deliver. For the log and `status`: no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may work later.
    #[error("{0}")]
    Failed(String),
    /// The receiver refuses the notice itself.
    #[error("{0}")]
    Refused(String),
}

impl From<BadSecret> for Undelivered {
    fn from(error: BadSecret) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Destination {
    /// Tries once, for [`NOTICE_SECONDS_MAX`] at most. `seconds` is the time of the try.
    ///
    /// # Errors
    /// [`Undelivered`]. The receiver may have it all the same.
    pub async fn deliver(&self, document: &Document, seconds: i64) -> Result<(), Undelivered> {
        let limit = Duration::from_secs(NOTICE_SECONDS_MAX);
        let tried = tokio::time::timeout(limit, self.target.send(document, seconds, limit)).await;
        tried.unwrap_or_else(|_| Err(Undelivered::Failed(format!("no answer in {NOTICE_SECONDS_MAX} s"))))
    }
}

impl Target {
    /// Looks at the files that a delivery needs.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub fn check(&self) -> Result<(), String> {
        let text = |error: BadSecret| causes(&error);
        match self {
            Self::Command(program) => match std::fs::metadata(&program.path) {
                Ok(about) if about.is_file() => Ok(()),
                Ok(_) => Err(format!("`{}` is no program", program.path.display())),
                Err(error) => Err(format!("`{}`: {error}", program.path.display())),
            },
            Self::PagerDuty { routing_key, roots, url } => {
                routing_key.read(1).map_err(text)?;
                check_roots(roots, url.https)
            }
            Self::Slack { url, roots } => {
                let url = slack_url(url).map_err(|error| error.to_string())?;
                check_roots(roots, url.https)
            }
            Self::Webhook { secret, roots, url } => {
                secret.read(NOTICE_SECRET_BYTES_MIN).map_err(text)?;
                check_roots(roots, url.https)
            }
        }
    }

    async fn send(&self, document: &Document, seconds: i64, limit: Duration) -> Result<(), Undelivered> {
        match self {
            Self::Command(program) => {
                command::run(program, document.to_json().to_string().as_bytes(), limit).await
            }
            Self::PagerDuty { url, routing_key, roots } => {
                let body = format::pagerduty(document, &routing_key.read(1)?).to_string();
                post::post(url, roots, Vec::new(), body.into_bytes()).await
            }
            Self::Slack { url, roots } => {
                let body = format::slack(document).to_string();
                post::post(&slack_url(url)?, roots, Vec::new(), body.into_bytes()).await
            }
            Self::Webhook { url, secret, roots } => {
                let body = document.to_json().to_string().into_bytes();
                let signature = format::signature(&secret.read(NOTICE_SECRET_BYTES_MIN)?, seconds, &body);
                let value = HeaderValue::from_str(&signature);
                let value = value.map_err(|error| Undelivered::Failed(error.to_string()))?;
                post::post(url, roots, vec![(HeaderName::from_static(SIGNATURE_HEADER), value)], body).await
            }
        }
    }
}

fn check_roots(roots: &Roots, https: bool) -> Result<(), String> {
    let name =
        roots.0.as_ref().map_or_else(|| "the system's roots".to_owned(), |file| file.display().to_string());
    if https { roots.load().map(drop).map_err(|error| format!("{name}: {error}")) } else { Ok(()) }
}

/// The URL in a file. What is wrong with it is not told: it is a secret.
fn slack_url(file: &SecretFile) -> Result<Url, Undelivered> {
    let text = file.read(1)?;
    text.parse().map_err(|error| {
        Undelivered::Failed(format!("the secret's file `{}` holds no URL, {error}", file.path().display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::one_of_each;

    #[test]
    fn a_destination_is_told_what_it_asked_for() {
        let all = Wanted { severity_min: Severity::Info, kinds: Vec::new() };
        assert!(one_of_each().iter().all(|notice| all.wants(notice)));
        let grave = Wanted { severity_min: Severity::Critical, kinds: Vec::new() };
        let told = |wanted: &Wanted| one_of_each().iter().filter(|notice| wanted.wants(notice)).count();
        assert_eq!(told(&grave), 3);
        let locks = Wanted { severity_min: Severity::Warning, kinds: vec!["locked".parse().unwrap()] };
        assert_eq!(told(&locks), 1);
    }
}
