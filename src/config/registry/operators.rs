//! The operators' file: who sees, revokes, approves and administers.

use std::str::FromStr;

use base64::Engine as _;

use crate::config::forms::word;
use crate::config::raw::Table;
use crate::domain::name::{OperatorName, TenantName};
use crate::domain::operator::{Operator, Role};

use super::Declared;

struct RoleWord(Role);

impl FromStr for RoleWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = [
            ("admin", Role::Admin),
            ("approver", Role::Approver),
            ("responder", Role::Responder),
            ("revoker", Role::Revoker),
            ("viewer", Role::Viewer),
        ];
        word(text, &words).map(Self)
    }
}

/// Key types that `ssh-keygen -Y sign` signs with and that are strong enough.
const KEY_TYPES: [&str; 5] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
];

struct SshKey(String);

impl FromStr for SshKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let kind = words.next().filter(|kind| KEY_TYPES.contains(kind));
        let blob = words.next().and_then(|blob| base64::engine::general_purpose::STANDARD.decode(blob).ok());
        // The blob begins with its own type (RFC 4253 section 6.6); another one is a mangled line.
        let same = |kind: &str, blob: &[u8]| {
            let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
            blob.strip_prefix(&length).is_some_and(|rest| rest.starts_with(kind.as_bytes()))
        };
        let good = kind.zip(blob.as_deref()).is_some_and(|(kind, blob)| same(kind, blob));
        if good && text.len() <= 1024 && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("expected a public key as in `authorized_keys`, of type {}", KEY_TYPES.join(", ")))
        }
    }
}

/// Reads the operators' file.
#[allow(clippy::unnecessary_wraps, reason = "the readers of all kinds have one shape")]
pub(super) fn read(table: Table<'_>) -> Option<Vec<Declared<Operator>>> {
    let operators = table.tables("operator").iter().filter_map(operator).collect();
    table.done();
    Some(operators)
}

fn operator(section: &Table<'_>) -> Option<Declared<Operator>> {
    let name: Option<OperatorName> = section.required("name");
    let uid = uid(section);
    let roles: Option<Vec<RoleWord>> = section.list("roles");
    if roles.as_ref().is_some_and(Vec::is_empty) {
        section.error("roles", "empty: such an operator can do nothing; give at least `viewer`");
    }
    let tenants: Option<Vec<TenantName>> = section.list("tenants");
    let keys: Option<Vec<SshKey>> = section.list("ssh_keys");
    section.close();
    let operator = Operator {
        name: name?,
        uid: uid?,
        roles: roles?.into_iter().map(|RoleWord(role)| role).collect(),
        tenants: tenants?,
        ssh_keys: keys?.into_iter().map(|SshKey(key)| key).collect(),
    };
    Some(Declared { item: operator, place: section.place_of("name"), others: Vec::new() })
}

/// `Some(None)` when there is none, `None` when it is wrong.
fn uid(section: &Table<'_>) -> Option<Option<u32>> {
    let Some(number) = section.integer("uid")? else { return Some(None) };
    // The highest number means "no uid" to the kernel, and the overflow uid is what it shows of a user
    // that is not mapped into this namespace: both could be anybody.
    match u32::try_from(number).ok().filter(|uid| *uid != u32::MAX && *uid != 65_534) {
        Some(uid) => Some(Some(uid)),
        None => {
            section.error("uid", format!("expected a user's number, not that of nobody, got `{number}`"));
            None
        }
    }
}
