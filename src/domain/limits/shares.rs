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
/// longest messages.
pub const CHANGES_PER_OPERATOR_MAX: usize = 64;
/// The same of what takes authority away, which has places of its own: a script that ends one credential after the other.
/// None of them waits for verifiers.
pub const BRAKES_PER_OPERATOR_MAX: usize = 64;
/// Counts of what an operator's revocations ended that are under way, each for half a second at most. Beyond it nobody counts,
/// and the answer says so.
pub const COUNTS_PER_OPERATOR_MAX: usize = 16;
/// Calls that look at something which one operator has under way: a screen full of them. Each may keep a core busy for half a
/// second ([`super::COUNT_MS_MAX`]), and what others want stands behind them.
pub const READS_PER_OPERATOR_MAX: usize = 16;
/// The same of what has to be looked at in an incident, which takes little and has places of its own.
pub const URGENT_READS_PER_OPERATOR_MAX: usize = 16;
/// Seconds between two lines of the daemon's log about calls that found no place: what a peer sends does not fill a disk.
pub const CALLS_REFUSED_LOG_SECONDS: u64 = 10;
