//! Bounds of what attestation looks at beyond the kernel's own words: executables, and the container runtime.

/// Largest executable that is hashed, in bytes. Agents are some 100 MiB at most; this takes half a second.
pub const EXECUTABLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Longest time to examine an executable, waiting for one's turn included, in seconds. A disk can hang.
pub const EXECUTABLE_SECONDS_MAX: u64 = 5;
/// Executables examined at once. Callers choose when, and hashing must not take every core.
pub const EXECUTABLES_EXAMINED_MAX: usize = 4;
/// Digests of executables remembered, some 200 bytes each: more than the programs of one machine.
pub const EXECUTABLES_KNOWN_MAX: usize = 1_024;

/// Containers whose images are remembered, some 100 bytes each.
pub const CONTAINERS_KNOWN_MAX: usize = 16_384;
/// Questions to the container runtime at a time: it serves others, too.
pub const CONTAINERS_ASKED_MAX: usize = 4;
/// Seconds in which the container runtime must have answered, the wait for a turn included.
pub const RUNTIME_SECONDS_MAX: u64 = 3;
/// Longest description of a container in bytes: those with many mounts and labels take some 50 KB.
pub const RUNTIME_ANSWER_BYTES_MAX: usize = 1024 * 1024;
