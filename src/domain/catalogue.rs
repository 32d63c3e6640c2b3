//! The catalogue: which APIs exist, what each can do, and the caps that no policy can lift.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lost_feed::OnLostFeed;
use super::name::{ActionName, ApiName, Audience, TenantName};
use super::parameter::ParameterRule;
use super::resource::ResourcePattern;
use super::route::Enforcement;
use super::time::Ttl;

/// A registered agent-facing API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its name.
    pub name: ApiName,
    /// The tenant whose agents may use it.
    pub tenant: TenantName,
    /// The `aud` of its credentials.
    pub audience: Audience,
    /// Who answers for it.
    pub owner: Arc<str>,
    /// What it is for.
    pub purpose: Arc<str>,
    /// Where it is in its life.
    pub state: ApiState,
    /// Whether a credential must be bound to the holder's key.
    pub binding: Binding,
    /// What its verifiers do when they no longer hear of revocations.
    pub on_lost_feed: OnLostFeed,
    /// Its actions, sorted by name.
    pub actions: Vec<Arc<Action>>,
    /// How servers in front of it know which action a request is.
    pub enforcement: Arc<Enforcement>,
}

/// Where an API is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiState {
    /// Credentials are issued for it.
    Active,
    /// Nothing is issued any more.
    Retired,
}

/// Whether a credential must be bound to the holder's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// The API's explicit opt-out: a bearer token will do. Marked in the log.
    DangerousBearer,
    /// A DPoP key, a certificate, or a certificate credential.
    #[default]
    Required,
}

/// One thing that an API can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `api.noun.verb`.
    pub name: ActionName,
    /// What it does, in a sentence.
    pub description: Arc<str>,
    /// What it can do to the resource.
    pub access: Access,
    /// The shape of its resources.
    pub resource: ResourcePattern,
    /// Its parameters, sorted by name.
    pub parameters: Vec<ParameterRule>,
    /// The longest lifetime of its credentials.
    pub ttl_max: Ttl,
    /// How it is allowed.
    pub tier: Tier,
    /// How many distinct operators approve each request, when the tier asks for it.
    pub approvals: NonZeroU8,
    /// How often one agent may ask.
    pub rate: Rate,
    /// Whether a credential is good for one call only.
    pub single_use: bool,
    /// How many calls a credential is good for, when they are counted and it is not for one call only.
    pub max_calls: Option<NonZeroU32>,
}

/// What an action can do to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It changes things that can't be put back.
    Destructive,
    /// It only reads.
    Read,
    /// It changes things.
    Write,
}

impl Access {
    /// The word in files, policies and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destructive => "destructive",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How an action is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Operators approve each request.
    Approval,
    /// Policy alone decides.
    Auto,
    /// Only inside an open break-glass session.
    BreakGlass,
}

impl Tier {
    /// The token's `tier` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Auto => "auto",
            Self::BreakGlass => "break_glass",
        }
    }
}

/// A rate: so many in so many seconds, with a burst of as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how many seconds.
    pub seconds: NonZeroU32,
}

/// The text is not a rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a rate such as `10/s`, `100/m` or `1000/h`")]
pub struct NotARate;

impl std::str::FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, unit) = text.split_once('/').ok_or(NotARate)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(NotARate),
        };
        Ok(Self {
            count: count.parse().map_err(|_| NotARate)?,
            seconds: NonZeroU32::new(seconds).ok_or(NotARate)?,
        })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.seconds.get() {
            1 => "s".to_owned(),
            60 => "m".to_owned(),
            3600 => "h".to_owned(),
            seconds => format!("{seconds}s"),
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_round_trip_and_nonsense_is_refused() {
        for good in ["10/s", "1/m", "1000/h"] {
            assert_eq!(good.parse::<Rate>().map(|rate| rate.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "10", "0/s", "-1/s", "10/d", "10/ s", "4294967296/s"] {
            assert_eq!(bad.parse::<Rate>(), Err(NotARate), "{bad}");
        }
    }
}
