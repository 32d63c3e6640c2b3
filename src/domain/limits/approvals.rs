//! Requests for approval: how many, and how long.

/// How long a request waits for operators and its use, in milliseconds: an hour. Whoever is asked may be at lunch.
pub const APPROVAL_MS: i64 = 3_600_000;
/// Most operators that one action can ask for.
pub const APPROVALS_NEEDED_MAX: u8 = 8;
/// Decisions on one request.
pub const APPROVAL_VOTES_MAX: usize = 2 * APPROVALS_NEEDED_MAX as usize;
/// Requests of one agent that wait or are approved and unused. More of them nobody reads with care.
pub const APPROVALS_PENDING_PER_AGENT_MAX: usize = 8;
/// Requests of one agent that are remembered, decided ones among them. All are in memory, some 2 KiB each.
pub const APPROVALS_PER_AGENT_MAX: usize = 64;
/// Requests of the agents of one tenant that are remembered, so that none keeps others out.
pub const APPROVALS_PER_TENANT_MAX: usize = APPROVALS_MAX / 4;
/// Requests that are remembered.
pub const APPROVALS_MAX: usize = 4_096;
/// How long an agent waits after a denial before it can ask for the same action, in milliseconds: five minutes.
pub const APPROVAL_COOL_DOWN_MS: i64 = 300_000;
/// Longest justification in bytes: a paragraph. It is shown to operators and decides nothing.
pub const JUSTIFICATION_BYTES_MAX: usize = 1024;
/// Callers that wait for the outcome of approvals at once.
pub const APPROVAL_WATCHERS_MAX: usize = 1_000;
/// Of one agent: each of its open requests a few times.
pub const APPROVAL_WATCHERS_PER_AGENT_MAX: usize = 32;
/// Open requests of one agent that differ in the holder's key alone. Further ones are of an agent that was started anew
/// and has lost its key; with a new key for each try they would bury the one that can be used.
pub const APPROVALS_BUT_FOR_THE_KEY_MAX: usize = 3;
/// Callers that wait for the outcome of approvals of the agents of one tenant.
pub const APPROVAL_WATCHERS_PER_TENANT_MAX: usize = 250;
