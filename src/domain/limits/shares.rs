//! Shares of what all use: nobody takes what somebody else needs.

use super::{ENROLLMENTS_MAX, LOCKS_MAX, SECRET_STREAMS_MAX};

/// Locks in force of one operator. More than that is one broader lock.
pub const LOCKS_PER_OPERATOR_MAX: usize = 64;
/// Locks in force of the operators of one tenant together, so that no tenant takes what the others need.
pub const LOCKS_PER_TENANT_MAX: usize = LOCKS_MAX / 4;
/// Locks that only what an incident needs can make when no others can be made: those of a brake, and those of
/// everything or a whole tenant by operators of all tenants. An operator's own share is that much larger for them, too.
pub const LOCKS_RESERVED: usize = 128;
/// Of these the last ones, which no brake takes.
pub const LOCKS_RESERVED_FOR_ALL: usize = 32;
/// Further places for operators' calls, so that agents that fill the queue don't keep them out.
pub const LEDGER_QUEUE_CALLS: usize = 64;
/// And after those, for what stops something: locks, revocations, break-glass.
pub const LEDGER_QUEUE_VITAL: usize = 128;

/// Facts that show the processes of one operator: a few hosts and accounts.
pub const OPERATOR_FACTS_MAX: usize = 16;

/// Certificates of agents at once among those of all: the rest is for operators and verifiers, however many agents a
/// template makes.
pub const AGENT_CERTIFICATES_MAX: usize = ENROLLMENTS_MAX * 9 / 10;
/// Streams of secrets of one user's processes: half, so that no user keeps the others out.
pub const SECRET_STREAMS_PER_USER_MAX: usize = SECRET_STREAMS_MAX / 2;
/// Calls that change something which one operator has under way, their caller there or gone: a script's, and 8 MiB of the
/// longest messages. None of them waits for verifiers.
pub const CHANGES_PER_OPERATOR_MAX: usize = 64;
