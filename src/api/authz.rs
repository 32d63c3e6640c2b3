//! The authorization table: what each operator RPC asks of its caller, how it gets into the log, and of which of the caller's
//! places it takes one.
//!
//! It is the only such table. A test holds it to the descriptor set: every operator RPC has one row.

use crate::broker::operate::{Audit, Requirement};
use crate::broker::underway::Share;
use crate::domain::operator::Role;

macro_rules! also {
    () => {
        None
    };
    ($role:ident) => {
        Some(Role::$role)
    };
}

macro_rules! every {
    () => {
        None
    };
    ($why:literal) => {
        Some($why)
    };
}

macro_rules! table {
    ($($name:ident: $rpc:literal, $role:ident $(or $also:ident)?, $audit:ident, $share:ident $(, every tenant: $why:literal)?;)*) => {
        $(
            #[doc = concat!("`", $rpc, "`.")]
            pub const $name: Requirement = Requirement {
                rpc: $rpc,
                role: Role::$role,
                also: also!($($also)?),
                audit: Audit::$audit,
                share: Share::$share,
                every_tenant: every!($($why)?),
            };
        )*

        /// Every row.
        pub const TABLE: &[Requirement] = &[$($name),*];
    };
}

table! {
    CLOSE: "hotwork.v1.BreakGlassService/Close", Responder or Revoker, Change, Brake;
    DECIDE_APPROVAL: "hotwork.v1.AdminService/DecideApproval", Approver, Change, Change;
    DRILL: "hotwork.v1.BreakGlassService/Drill", Responder, Change, Change;
    ENROLL: "hotwork.v1.AdminService/Enroll", Admin, Change, Change;
    EXPLAIN: "hotwork.v1.AdminService/Explain", Viewer, Call, Read;
    EXTEND: "hotwork.v1.BreakGlassService/Extend", Responder, Change, Change;
    GET_AGENT: "hotwork.v1.AdminService/GetAgent", Viewer, Call, Read;
    GET_APPROVAL: "hotwork.v1.AdminService/GetApproval", Viewer, Call, Read;
    GET_CHECKPOINT: "hotwork.v1.AuditService/GetCheckpoint", Viewer, Call, Read;
    GET_CREDENTIAL: "hotwork.v1.AdminService/GetCredential", Viewer, Call, Read;
    GET_ENTRY: "hotwork.v1.AuditService/GetEntry", Viewer, Call, Read, every tenant: "log entries hold every tenant's records";
    GET_STATUS: "hotwork.v1.AdminService/GetStatus", Viewer, Attempt, Read;
    LIST_AGENTS: "hotwork.v1.AdminService/ListAgents", Viewer, Call, Read;
    LIST_APIS: "hotwork.v1.AdminService/ListApis", Viewer, Call, Read;
    LIST_APPROVALS: "hotwork.v1.AdminService/ListApprovals", Viewer, Call, Read;
    LIST_BREAK_GLASS: "hotwork.v1.BreakGlassService/List", Viewer, Urgent, Urgent;
    LIST_CREDENTIALS: "hotwork.v1.AdminService/ListCredentials", Viewer, Call, Read;
    LIST_ENROLLMENTS: "hotwork.v1.AdminService/ListEnrollments", Viewer, Call, Read, every tenant: "certificates are for all tenants";
    LIST_ENTRIES: "hotwork.v1.AuditService/ListEntries", Viewer, Call, Read, every tenant: "log entries hold every tenant's records";
    LIST_KEYS: "hotwork.v1.AdminService/ListKeys", Viewer, Call, Read;
    LIST_LOCKS: "hotwork.v1.AdminService/ListLocks", Viewer, Urgent, Urgent;
    LIST_VERIFIERS: "hotwork.v1.AdminService/ListVerifiers", Viewer, Call, Read, every tenant: "verifiers serve every tenant";
    LOCK: "hotwork.v1.AdminService/Lock", Revoker, Change, Brake;
    OPEN: "hotwork.v1.BreakGlassService/Open", Responder, Change, Change;
    PREPARE: "hotwork.v1.BreakGlassService/Prepare", Responder, Urgent, Urgent;
    PROVE_CONSISTENCY: "hotwork.v1.AuditService/ProveConsistency", Viewer, Call, Read;
    PROVE_INCLUSION: "hotwork.v1.AuditService/ProveInclusion", Viewer, Call, Read;
    RELOAD_REGISTRY: "hotwork.v1.AdminService/ReloadRegistry", Admin, Change, Change, every tenant: "the registry is that of all tenants";
    REMOVE_ENROLLMENT: "hotwork.v1.AdminService/RemoveEnrollment", Admin, Change, Brake;
    REVIEW: "hotwork.v1.BreakGlassService/Review", Responder or Admin, Change, Change;
    REVOKE: "hotwork.v1.AdminService/Revoke", Revoker, Change, Brake;
    ROTATE_KEY: "hotwork.v1.AdminService/RotateKey", Admin, Change, Change;
    TEST_NOTIFIER: "hotwork.v1.AdminService/TestNotifier", Admin, Call, Read;
    UNLOCK: "hotwork.v1.AdminService/Unlock", Revoker, Change, Change;
}

/// [`REVOKE`] that only counts: it is a look, and takes no brake's place.
pub const REVOKE_DRY_RUN: Requirement = Requirement { share: Share::Read, ..REVOKE };

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost_reflect::DescriptorPool;

    use super::*;

    /// Every RPC of the admin listener that only operators may call, with the role its comment names.
    fn declared() -> BTreeMap<String, String> {
        let pool = DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        let mut found = BTreeMap::new();
        for service in ["hotwork.v1.AdminService", "hotwork.v1.AuditService", "hotwork.v1.BreakGlassService"]
        {
            let service = pool.get_service_by_name(service).unwrap();
            for method in service.methods() {
                let rpc = format!("{}/{}", service.full_name(), method.name());
                found.insert(rpc, comment(&method).unwrap_or_default());
            }
        }
        found
    }

    fn comment(method: &prost_reflect::MethodDescriptor) -> Option<String> {
        let file = method.parent_file();
        let info = file.file_descriptor_proto().source_code_info.as_ref()?;
        let location = info.location.iter().find(|location| location.path == method.path())?;
        Some(location.leading_comments().to_owned())
    }

    #[test]
    fn every_operator_rpc_has_exactly_one_row_and_no_row_is_without_an_rpc() {
        let declared: Vec<String> = declared().into_keys().collect();
        let mut rows: Vec<String> = TABLE.iter().map(|row| row.rpc.to_owned()).collect();
        rows.sort();
        assert_eq!(rows, declared);
    }

    #[test]
    fn the_role_in_a_comment_of_the_contract_is_the_row_s() {
        let word = |role: Role| serde_json::to_value(role).unwrap().as_str().unwrap().to_owned();
        for (rpc, comment) in declared() {
            let row = TABLE.iter().find(|row| row.rpc == rpc).unwrap();
            // The audit service states its role once, for all.
            if !rpc.starts_with("hotwork.v1.AuditService/") {
                assert!(comment.contains(&format!("Role `{}`", word(row.role))), "{rpc}: {comment}");
            } else {
                assert_eq!(row.role, Role::Viewer, "{rpc}");
            }
        }
    }

    #[test]
    fn nothing_that_changes_something_is_open_to_viewers() {
        for row in TABLE {
            let (_, method) = row.rpc.split_once('/').unwrap();
            let reads = ["Explain", "Get", "List", "Prove"].iter().any(|verb| method.starts_with(verb));
            assert_eq!(row.role == Role::Viewer, reads, "{}", row.rpc);
        }
    }

    /// What all who call can do, verb by verb. Whoever adds one says here that it does not touch the record.
    const VERBS: [&str; 26] = [
        "Acknowledge",
        "Close",
        "Consume",
        "Decide",
        "Drill",
        "Enroll",
        "Explain",
        "Extend",
        "Get",
        "Introspect",
        "Issue",
        "List",
        "Lock",
        "Open",
        "Prepare",
        "Prove",
        "Release",
        "Reload",
        "Remove",
        "Review",
        "Revoke",
        "Rotate",
        "Test",
        "Unlock",
        "Watch",
        "Who",
    ];

    /// The words of a name in camel case or with underscores.
    fn words(name: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for letter in name.chars() {
            if letter.is_uppercase() || letter == '_' || words.is_empty() {
                words.push(String::new());
            }
            words.last_mut().unwrap().extend(Some(letter).filter(|letter| *letter != '_'));
        }
        words
    }

    #[test]
    fn nothing_stops_shortens_or_configures_the_log() {
        let pool = DescriptorPool::decode(crate::proto::DESCRIPTORS).unwrap();
        let ours = pool.services().filter(|service| service.full_name().starts_with("hotwork."));
        let methods: Vec<_> = ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        assert!(methods.len() > TABLE.len());
        for method in methods {
            let (name, words) = (method.full_name(), words(method.name()));
            assert!(VERBS.contains(&words[0].as_str()), "{name}: is the log safe from it?");
            let reads = ["Get", "List", "Prove"].contains(&words[0].as_str());
            let of_the_log = name.starts_with("hotwork.v1.AuditService.");
            assert!(reads || !of_the_log, "{name}: the log is read and proven, and nothing else");
            // Nothing that is sent elsewhere names it.
            let about = ["audit", "entries", "entry", "journal", "log", "record", "silent"];
            for field in method.input().fields().filter(|_| !of_the_log) {
                let words = self::words(field.name());
                assert!(!words.iter().any(|word| about.contains(&word.as_str())), "{name}: {}", field.name());
            }
        }
    }

    /// That each is recorded in fact is `tests/end_to_end/operator_calls.rs`, row by row over a real daemon.
    #[test]
    fn every_row_is_recorded_and_one_may_be_answered_without() {
        let urgent = [LIST_BREAK_GLASS, LIST_LOCKS, PREPARE];
        for row in TABLE {
            match row.audit {
                Audit::Attempt => assert_eq!(*row, GET_STATUS),
                Audit::Call | Audit::Change => {}
                Audit::Urgent => assert!(urgent.contains(row), "{}", row.rpc),
            }
        }
    }

    #[test]
    fn what_takes_authority_away_has_places_that_nothing_else_takes() {
        let brakes: Vec<&str> =
            TABLE.iter().filter(|row| row.share == Share::Brake).map(|row| row.rpc).collect();
        assert_eq!(brakes, [CLOSE, LOCK, REMOVE_ENROLLMENT, REVOKE].map(|row| row.rpc));
        for row in TABLE {
            let shares: &[Share] = match row.audit {
                Audit::Attempt | Audit::Call => &[Share::Read],
                Audit::Change => &[Share::Brake, Share::Change],
                Audit::Urgent => &[Share::Urgent],
            };
            assert!(shares.contains(&row.share), "{}", row.rpc);
        }
    }
}
