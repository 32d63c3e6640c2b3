//! The registry that `hotworkd dev` uses, part of the binary so that a first try needs no file.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::domain::name::OperatorName;

const FILES: [(&str, &str); 6] = [
    ("agents/me.toml", include_str!("../../config/demo/agents/me.toml")),
    ("apis/demo.toml", include_str!("../../config/demo/apis/demo.toml")),
    ("operators.toml", include_str!("../../config/demo/operators.toml")),
    ("playbooks/freeze.toml", include_str!("../../config/demo/playbooks/freeze.toml")),
    ("playbooks/repair.toml", include_str!("../../config/demo/playbooks/repair.toml")),
    ("policies/demo.cedar", include_str!("../../config/demo/policies/demo.cedar")),
];

/// Writes the demonstration's registry into `dir`, which is made if need be: agent `me` is every process of
/// `uid`, and that user is operator `operator` in every role. Files of an earlier start are written again.
///
/// # Errors
/// When a directory or file can't be written.
pub fn write(dir: &Path, uid: u32, operator: &OperatorName) -> io::Result<()> {
    for (name, text) in FILES {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let text = text.replace("@UID@", &uid.to_string()).replace("@OPERATOR@", operator.as_str());
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
    }
    // The state that was acknowledged is of no use after a power cut when its registry is gone.
    for (name, _) in FILES {
        sync_parent(&dir.join(name))?;
    }
    sync_parent(dir)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}
