//! Reads one file as configuration may be read: bounded, UTF-8, regular, and not writable by everybody.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::domain::limits::REGISTRY_FILE_BYTES_MAX;

use super::problem::{Gathered, Place};

/// The text of `path`. `None` when it is refused, which is reported.
pub(super) fn read(path: &Path, gathered: &Gathered) -> Option<String> {
    match attempt(path) {
        Ok(text) => Some(text),
        Err(message) => {
            gathered.error(Place::file(path), message);
            None
        }
    }
}

/// Facts are taken from the opened file, so that they are those of what is read.
fn attempt(path: &Path) -> Result<String, String> {
    // A FIFO in the place of a file must not block the start.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|e| format!("can't be opened: {e}"))?;
    let facts = file.metadata().map_err(|e| format!("can't be looked at: {e}"))?;
    if !facts.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if let Some(objection) = writable_by_all(&facts) {
        return Err(objection);
    }
    bounded(file)
}

fn bounded(file: File) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = REGISTRY_FILE_BYTES_MAX.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|e| format!("can't be read: {e}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > REGISTRY_FILE_BYTES_MAX {
        return Err(format!("is larger than {REGISTRY_FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8 from byte {}", e.utf8_error().valid_up_to()))
}

/// Whoever can write the file can make himself an agent with every permission.
pub(super) fn writable_by_all(facts: &Metadata) -> Option<String> {
    let mode = facts.mode() & 0o7777;
    (mode & 0o002 != 0).then(|| {
        format!("can be written by everybody (mode {mode:04o}), so anyone on this machine could grant himself authority; run `chmod o-w` on it")
    })
}
