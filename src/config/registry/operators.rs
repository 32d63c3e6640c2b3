//! The operators' file: who sees, revokes, approves and administers.

use std::str::FromStr;

use crate::config::forms::{Line, word};
use crate::config::raw::{Field, Table};
use crate::domain::evidence::Selector;
use crate::domain::limits::{OPERATOR_FACTS_MAX, SSH_KEYS_PER_OPERATOR_MAX};
use crate::domain::name::{OperatorName, TenantName};
use crate::domain::operator::{Operator, Role};
use crate::domain::spiffe::SpiffeId;
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
    let own = own(section);
    section.close();
    let operator = Operator {
        name: name?,
        uid: uid?,
        roles: roles?.into_iter().map(|RoleWord(role)| role).collect(),
        tenants: tenants?,
        ssh_keys: keys?,
        own: own?,
        aliases: aliases?.into_iter().map(|Line(text)| text).collect(),
    };
    Some(Declared {
        item: operator,
        place: section.place_of("name"),
        others: vec![section.place_of("ssh_keys")],
    })
}

/// What shows their processes, beside `uid`.
fn own(section: &Table<'_>) -> Option<Vec<Selector>> {
    let uids = other_uids(section);
    let ids: Option<Vec<SpiffeId>> = section.list("spiffe_ids");
    let uids = uids?.into_iter().map(|uid| ("unix.uid", uid.to_string()));
    let ids = ids?.into_iter().map(|id| ("x509.spiffe_id", id.to_string()));
    let facts = uids.chain(ids).filter_map(|(kind, value)| Selector::new(kind, &value).ok());
    let facts: Vec<Selector> = facts.collect();
    if facts.len() > OPERATOR_FACTS_MAX {
        section.error("name", format!("expected at most {OPERATOR_FACTS_MAX} `other_uids` and `spiffe_ids`"));
    }
    Some(facts)
}

fn other_uids(section: &Table<'_>) -> Option<Vec<u32>> {
    let Some(field) = section.field("other_uids") else { return Some(Vec::new()) };
    let read = |item: &Field<'_>| {
        let number = item.integer()?;
        let uid = somebody(number);
        if uid.is_none() {
            item.error(not_somebody(number));
        }
        uid
    };
    let read: Vec<Option<u32>> = field.items()?.iter().map(read).collect();
    read.into_iter().collect()
}

/// A user's number. The highest one means "no uid" to the kernel, and the overflow uid is what it shows of a user that
/// is not mapped into this namespace: both could be anybody.
fn somebody(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|uid| *uid != u32::MAX && *uid != 65_534)
}

fn not_somebody(number: i64) -> String {
    format!("expected a user's number, not that of nobody, got `{number}`")
}

/// `Some(None)` when there is none, `None` when it is wrong.
fn uid(section: &Table<'_>) -> Option<Option<u32>> {
    let Some(number) = section.integer("uid")? else { return Some(None) };
    let uid = somebody(number);
    if uid.is_none() {
        section.error("uid", not_somebody(number));
    }
    uid.map(Some)
}
