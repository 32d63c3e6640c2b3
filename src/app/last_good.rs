//! The last good configuration, kept in the state directory, so that a broken file does not keep a broker from an
//! emergency start. It names files and holds no secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Its name in the state directory, beside the emergency journal.
const FILE: &str = "emergency/hotworkd.toml";

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// Keeps `file`, which `config` was read from. Without it there is no emergency start with a broken file, which is
/// said and stops nothing.
pub(super) fn keep(file: &Path, config: &Config) {
    let kept = fs::read_to_string(file).and_then(|text| {
        // The file may have been changed since it was read.
        let same = Config::parse(file, &text).is_ok_and(|read| read == *config);
        if same { write(&path(&config.state_dir), &text) } else { Err(io::Error::other("it was changed")) }
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "the configuration is not kept for an emergency start");
    }
}

/// What was kept, for a `file` that is broken or gone.
pub(super) fn load(file: &Path, state: &Path) -> Option<Config> {
    let broken = fs::read_to_string(file).unwrap_or_default();
    let state = Config::state_dir_of(&broken).unwrap_or_else(|| state.to_owned());
    let config = Config::load(&path(&state)).ok()?;
    // A copy of another deployment's state directory would lead to that one.
    (config.state_dir == state).then_some(config)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
