//! Emergencies: why the broker runs without all of its parts, and what of the log was kept elsewhere meanwhile.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// What the broker could not have at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The daemon's file: the last good one is in force.
    Config,
    /// The registry: what the log says was loaded last is in force.
    Registry,
    /// A store that takes writes: the emergency journal does.
    Store,
}

impl Cause {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Config, Self::Registry, Self::Store];

    /// Its name, as the log and the metrics have it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Registry => "registry",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "the configuration is broken",
            Self::Registry => "the registry can't be loaded",
            Self::Store => "the store takes no writes",
        })
    }
}

/// A start in an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emergency {
    /// Why, each once; not empty.
    pub causes: Vec<Cause>,
}

impl fmt::Display for Emergency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes: Vec<String> = self.causes.iter().map(ToString::to_string).collect();
        f.write_str(&causes.join(", "))
    }
}

/// Entries of an emergency journal that became part of the log: those directly before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// How many.
    pub count: u64,
    /// The index of the first.
    pub first: u64,
    /// The tree's root over the log up to the last of them: the emergency's head.
    pub root: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_name_in_the_log_and_in_the_metrics() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.code());
        }
    }
}
