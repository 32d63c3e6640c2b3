//! The operators' file: who sees, revokes, approves and administers.

use std::str::FromStr;

use crate::config::forms::{Line, word};
use crate::config::raw::Table;
use crate::domain::limits::SSH_KEYS_PER_OPERATOR_MAX;
use crate::domain::name::{OperatorName, TenantName};
use crate::domain::operator::{Operator, Role};
use crate::domain::ssh_key::SshKey;

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
    if keys.as_ref().is_some_and(|keys| keys.len() > SSH_KEYS_PER_OPERATOR_MAX) {
        section.error("ssh_keys", format!("expected at most {SSH_KEYS_PER_OPERATOR_MAX} keys"));
    }
    let aliases: Option<Vec<Line>> = section.list("aliases");
    section.close();
    let operator = Operator {
        name: name?,
        uid: uid?,
        roles: roles?.into_iter().map(|RoleWord(role)| role).collect(),
        tenants: tenants?,
        ssh_keys: keys?,
        aliases: aliases?.into_iter().map(|Line(text)| text).collect(),
    };
    Some(Declared {
        item: operator,
        place: section.place_of("name"),
        others: vec![section.place_of("ssh_keys")],
    })
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
