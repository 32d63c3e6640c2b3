//! How far a destination has been told, on stable storage: the one thing that an outbox keeps beside the log.
//!
//! ```text
//! hotwork-notify 1
//! emergency INDEX
//! ordinary INDEX
//! crc32c EIGHT-HEX-DIGITS
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Below these indexes of the log everything was delivered or given up, emergencies and the rest each for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) emergency: u64,
    pub(super) ordinary: u64,
}

impl Cursor {
    /// Nothing below `index` is to be told.
    pub(super) const fn at(index: u64) -> Self {
        Self { emergency: index, ordinary: index }
    }

    /// The entry to read next.
    pub(super) fn first(self) -> u64 {
        self.emergency.min(self.ordinary)
    }

    /// Reads what was written; `None` when nothing ever was. A damaged file is taken for one that says that
    /// nothing was delivered: who was told twice knows it by the id, who was never told knows nothing.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self::parse(&text).unwrap_or_else(|| {
                tracing::error!(path = %path.display(), "notices are told again: their cursor is damaged");
                Self::default()
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Self::default())),
            Err(error) => Err(error),
        }
    }

    /// Writes it beside, syncs, and puts it in place: after a crash there is the old one or the new one.
    pub(super) fn write(self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn text(self) -> String {
        let body = format!("hotwork-notify 1\nemergency {}\nordinary {}\n", self.emergency, self.ordinary);
        format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let mut number = |key: &str| lines.next()?.strip_prefix(key)?.parse().ok();
        let cursor = Self { emergency: number("emergency ")?, ordinary: number("ordinary ")? };
        (cursor.text() == text).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_and_a_damaged_one_tells_everything_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("oncall");
        assert_eq!(Cursor::read(&path).unwrap(), None);
        let cursor = Cursor { emergency: 12, ordinary: 7 };
        cursor.write(&path).unwrap();
        assert_eq!((Cursor::read(&path).unwrap(), cursor.first()), (Some(cursor), 7));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert_eq!(Cursor::read(&path).unwrap(), Some(Cursor::default()), "bit {at}");
            fs::write(&path, &good[..at / 8]).unwrap();
            assert_eq!(Cursor::read(&path).unwrap(), Some(Cursor::default()), "cut at {}", at / 8);
        }
    }
}
