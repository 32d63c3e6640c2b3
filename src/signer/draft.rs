//! A key store in the making: everything is written and synced in a directory of its own, and one rename
//! makes it the keys.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags};

use super::ca::{self, Ca, Parent, Role};
use super::container::{self, KeyUse, Lock};
use super::crl;
use super::files::{certificate_path, crl_path, key_path, random, sync_dir, write_new};
use super::key::LocalSigner;
use super::keystore::{Identity, KeyStoreError, read_certificate};
use super::pem;
use crate::domain::id::Serial;
use crate::domain::name::TrustDomain;
use crate::domain::signer::Algorithm;
use crate::domain::time::Timestamp;

/// A directory beside the keys' place that is not yet theirs. Dropped uncommitted, it is removed.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    committed: bool,
}

impl Draft {
    /// An empty draft beside the keys' place in `dir`.
    pub(super) fn begin(dir: &Path) -> Result<Self, KeyStoreError> {
        let path = dir.join(format!("keys.new-{}", hex::encode(random::<8>()?)));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| KeyStoreError::Io(path.clone(), error))?;
        Ok(Self { path, committed: false })
    }

    /// Writes every key and certificate; the log's key, whose public half is told.
    pub(super) fn fill(
        &self,
        identity: &Identity,
        lock: Option<&Lock>,
        now: Timestamp,
    ) -> Result<LocalSigner, KeyStoreError> {
        let make = |usage, algorithm| self.make_key(usage, algorithm, lock);
        make(KeyUse::Token, identity.token_algorithm)?;
        let log = make(KeyUse::Log, Algorithm::Ed25519)?;
        let root = make(KeyUse::RootCa, ca::ALGORITHM)?;
        let action = make(KeyUse::ActionCa, ca::ALGORITHM)?;
        let names = make(KeyUse::IdentityCa, ca::ALGORITHM)?;
        let authorities = [
            (KeyUse::RootCa, Role::Root, &root),
            (KeyUse::ActionCa, Role::Action, &action),
            (KeyUse::IdentityCa, Role::Identity, &names),
        ];
        for (usage, role, key) in authorities {
            let parent = Parent { role: Role::Root, signer: &root };
            let serial = Serial::new(random::<16>()?);
            let der = ca::issue(role, &identity.trust_domain, key, &parent, serial, now)?;
            write_new(&certificate_path(&self.path, usage), pem::encode("CERTIFICATE", &der).as_bytes())?;
        }
        self.root_crl(&identity.trust_domain, root)?;
        sync_dir(&self.path)?;
        Ok(log)
    }

    /// The root's CRL, while its key is at hand.
    fn root_crl(&self, trust_domain: &TrustDomain, key: LocalSigner) -> Result<(), KeyStoreError> {
        let path = certificate_path(&self.path, KeyUse::RootCa);
        let der = read_certificate(&self.path, KeyUse::RootCa)?;
        let root = Ca::new(Role::Root, trust_domain, der, Arc::new(key));
        let root = root.map_err(|error| KeyStoreError::Ca(path, error))?;
        write_new(&crl_path(&self.path, KeyUse::RootCa), &crl::sign_root(&root)?)
    }

    fn make_key(
        &self,
        usage: KeyUse,
        algorithm: Algorithm,
        lock: Option<&Lock>,
    ) -> Result<LocalSigner, KeyStoreError> {
        let path = key_path(&self.path, usage);
        let bad = |error| KeyStoreError::Key(path.clone(), error);
        let pkcs8 = LocalSigner::generate(algorithm).map_err(bad)?;
        let signer = LocalSigner::from_pkcs8(algorithm, &pkcs8).map_err(bad)?;
        let file = container::seal(usage, algorithm, &pkcs8, lock);
        let file = file.map_err(|error| KeyStoreError::Container(path.clone(), error))?;
        write_new(&path, &file)?;
        Ok(signer)
    }

    /// Makes it the keys, unless somebody else was first.
    pub(super) fn commit(mut self, target: &Path) -> Result<(), KeyStoreError> {
        match rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.committed = true;
                Ok(())
            }
            Err(rustix::io::Errno::EXIST) => Err(KeyStoreError::AlreadyExists(target.to_owned())),
            Err(error) => Err(KeyStoreError::Io(target.to_owned(), error.into())),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: what is left was never in use and is readable by us only.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
