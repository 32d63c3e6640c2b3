//! Notices: how many wait, how often and how long they are tried.

/// Seconds in which a notice must have been taken, name resolution and handshake included; below
/// [`REQUEST_SECONDS_MAX`](super::REQUEST_SECONDS_MAX), so that `hotwork notify test` can tell what came of it.
pub const NOTICE_SECONDS_MAX: u64 = 8;
/// Destinations of notices. Each has a task and a connection of its own.
pub const NOTIFIERS_MAX: usize = 32;
/// Notices of one destination that wait and are no emergencies, some 1 KiB each. The oldest makes room.
pub const NOTICES_PENDING_MAX: usize = 1_000;
/// Emergencies of one destination that wait. More can only come from an operator's loop.
pub const EMERGENCIES_PENDING_MAX: usize = 10_000;
/// Reminders of one destination that wait, one for each session: more are of reviews that nobody does.
pub const REMINDERS_PENDING_MAX: usize = 256;
/// Openings and extensions of one destination that wait in memory, some 1 KiB each. More of them stay in the log, and are
/// read again when there is room: none is dropped.
pub const OPENINGS_PENDING_MAX: usize = 256;
/// How often a notice is tried that its receiver refuses as such: one that nobody takes must not keep the next
/// one back.
pub const NOTICE_REFUSALS_MAX: u32 = 3;
/// How often a notice is tried that fails in whatever way, when another one waits: a receiver that breaks on one of them must
/// not keep the others back. Some ten seconds.
pub const NOTICE_FAILURES_MAX: u32 = 4;
/// Longest wait in seconds between two tries to deliver a notice.
pub const NOTICE_BACKOFF_SECONDS_MAX: u64 = 300;
/// Notable entries that the ledger remembers for those who tell of them. Who is further behind reads the log.
pub const NOTABLE_ENTRIES_MAX: usize = 1_024;
/// Bytes of a file with a notifier's secret: a webhook's URL is some 100, a key 64.
pub const SECRET_FILE_BYTES_MAX: u64 = 4 * 1024;
/// Shortest secret that signs notices, in bytes.
pub const NOTICE_SECRET_BYTES_MIN: usize = 16;
/// Words of a notifier's command.
pub const COMMAND_WORDS_MAX: usize = 64;
