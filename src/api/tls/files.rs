//! Reads certificates and keys from files that an administrator or another program renews: bounded, and a
//! key only when not everybody can read it.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::domain::limits::CERTIFICATE_FILE_BYTES_MAX;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Certificates: nobody else may write it.
    Certificates,
    /// A private key: nobody else may read it either, but for its group.
    Key,
}

/// The content of `path`.
pub(super) fn read(path: &Path, holds: Holds) -> Result<Zeroizing<Vec<u8>>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    // A FIFO in the place of a file must not block.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(said)?;
    let facts = file.metadata().map_err(said)?;
    let refused = match holds {
        Holds::Certificates => 0o002,
        Holds::Key => 0o027,
    };
    if !facts.is_file() || facts.mode() & refused != 0 {
        let mode = facts.mode() & 0o7777;
        let expected = match holds {
            Holds::Certificates => "a file that not everybody can write",
            Holds::Key => "a file that only its owner and group can read",
        };
        return Err(format!("{}: expected {expected}, found mode {mode:04o}", path.display()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(said)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= CERTIFICATE_FILE_BYTES_MAX);
    if fits {
        Ok(bytes)
    } else {
        Err(format!("{}: longer than {CERTIFICATE_FILE_BYTES_MAX} bytes", path.display()))
    }
}
