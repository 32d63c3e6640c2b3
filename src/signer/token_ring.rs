//! The token keys on disk: a list of key files, changed in steps that a crash may come between.
//!
//! ```text
//! keys/token.keys      the list, JSON; without it there is one key, token.key
//! keys/token-KID.key   the others
//! ```
//! A new key is drafted first (its file, then its line as `draft`), then recorded elsewhere, then put in
//! force by one rename of the list. At a start a draft is put in force when it was recorded, and erased when
//! not. A key file that the list does not name is what a crash left of a draft or of a drop: it is erased.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::container::{self, KeyUse, Lock, Opener};
use super::files::{random, read_private, sync_dir, write_new};
use super::key::LocalSigner;
use super::keystore::KeyStoreError;
use super::token_keys::{TokenKey, TokenKeys};
use crate::domain::limits::TOKEN_KEYS_MAX;
use crate::domain::signer::{Algorithm, Signer as _};
use crate::domain::time::Timestamp;

const LIST: &str = "token.keys";
/// What a list is called until it is whole.
const LIST_DRAFT: &str = "token.keys.new-";
const PREFIX: &str = "token-";
const SUFFIX: &str = ".key";

/// The token keys of a store.
pub struct TokenRing {
    directory: PathBuf,
    lock: Option<Lock>,
    algorithm: Algorithm,
    current: ArcSwap<TokenKeys>,
    /// One change at a time.
    state: Mutex<State>,
}

struct State {
    /// The list as it is on disk.
    list: List,
    /// The drafted key.
    drafted: Option<Arc<LocalSigner>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draft: Option<DraftLine>,
    keys: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    file: String,
    use_at: Timestamp,
}

/// A key that is on disk and not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftLine {
    file: String,
    /// Its id.
    pub kid: String,
    /// Entries of the log before it: its record can only come after them.
    pub since: u64,
}

impl TokenRing {
    /// Opens the keys in `directory`, and erases what no list names.
    pub(super) fn open(directory: &Path, opener: &mut Opener<'_>) -> Result<Self, KeyStoreError> {
        let list = read_list(directory)?;
        let mut keys = Vec::with_capacity(list.keys.len());
        for line in &list.keys {
            let signer = open_key(&directory.join(&line.file), opener)?;
            keys.push(TokenKey::new(Arc::new(signer), line.use_at));
        }
        let path = directory.join(LIST);
        let keys = TokenKeys::new(keys).ok_or(KeyStoreError::List(path))?;
        let algorithm = keys.signing(Timestamp::default()).signer().algorithm();
        let draft = list.draft.as_ref().map(|draft| open_key(&directory.join(&draft.file), opener));
        let drafted = draft.transpose()?.map(Arc::new);
        let ring = Self {
            directory: directory.to_owned(),
            lock: opener.lock(),
            algorithm,
            current: ArcSwap::from_pointee(keys),
            state: Mutex::new(State { list, drafted }),
        };
        ring.erase_unnamed()?;
        Ok(ring)
    }

    /// The keys in force.
    pub fn keys(&self) -> Arc<TokenKeys> {
        self.current.load_full()
    }

    /// The key that was drafted and not put in force before a crash.
    pub fn draft_left(&self) -> Option<DraftLine> {
        self.state().list.draft.clone()
    }

    /// Makes a new key, on disk and not in force.
    ///
    /// # Errors
    /// When it can't be written, a draft is there already, or there are too many keys.
    pub fn draft(&self, since: u64) -> Result<DraftLine, KeyStoreError> {
        let mut state = self.state();
        if state.list.draft.is_some() || state.list.keys.len() >= TOKEN_KEYS_MAX {
            return Err(KeyStoreError::TooManyKeys);
        }
        let bad = |error| KeyStoreError::Key(self.directory.clone(), error);
        let pkcs8 = LocalSigner::generate(self.algorithm).map_err(bad)?;
        let signer = LocalSigner::from_pkcs8(self.algorithm, &pkcs8).map_err(bad)?;
        let kid = signer.kid().to_owned();
        let draft = DraftLine { file: format!("{PREFIX}{kid}{SUFFIX}"), kid, since };
        let path = self.directory.join(&draft.file);
        let file = container::seal(KeyUse::Token, self.algorithm, &pkcs8, self.lock.as_ref());
        write_new(&path, &file.map_err(|error| KeyStoreError::Container(path.clone(), error))?)?;
        let list = List { draft: Some(draft.clone()), ..state.list.clone() };
        write_list(&self.directory, &list)?;
        *state = State { list, drafted: Some(Arc::new(signer)) };
        Ok(draft)
    }

    /// Puts the drafted key in force: it is published from now on, and signs from `use_at`.
    ///
    /// # Errors
    /// When it can't be opened or written; then the draft stays for the next start.
    pub fn commit(&self, use_at: Timestamp) -> Result<(), KeyStoreError> {
        let mut state = self.state();
        let Some((draft, signer)) = state.list.draft.clone().zip(state.drafted.clone()) else {
            return Ok(());
        };
        let mut list = List { draft: None, ..state.list.clone() };
        list.keys.push(Line { file: draft.file, use_at });
        write_list(&self.directory, &list)?;
        *state = State { list, drafted: None };
        let keys = self.keys().with(TokenKey::new(signer, use_at));
        self.current.store(Arc::new(keys));
        Ok(())
    }

    /// Erases the drafted key.
    ///
    /// # Errors
    /// When it can't be erased; the next start does it.
    pub fn discard(&self) -> Result<(), KeyStoreError> {
        let mut state = self.state();
        let list = List { draft: None, ..state.list.clone() };
        write_list(&self.directory, &list)?;
        *state = State { list, drafted: None };
        drop(state);
        self.erase_unnamed()
    }

    /// Drops the keys whose last token has ended at `now`, and erases them. Gives their ids.
    ///
    /// # Errors
    /// When the list can't be written; then nothing is dropped.
    pub fn drop_ended(&self, now: Timestamp) -> Result<Vec<String>, KeyStoreError> {
        let mut state = self.state();
        let (stay, gone) = self.keys().after_drop(now);
        if gone.is_empty() {
            return Ok(gone);
        }
        let mut list = state.list.clone();
        let first = self.keys().all().next().map(|key| key.kid().to_owned());
        list.keys.retain(|line| !gone.iter().any(|kid| line.is_of(kid, first.as_deref())));
        write_list(&self.directory, &list)?;
        state.list = list;
        drop(state);
        self.current.store(Arc::new(stay));
        self.erase_unnamed()?;
        Ok(gone)
    }

    /// Drops a key that another one took over from, before its time, and erases it. Whether there was one: a key
    /// that signs, or will, stays.
    ///
    /// # Errors
    /// When the list can't be written or the key not erased. It is trusted no more all the same, until a restart.
    pub fn end(&self, kid: &str, now: Timestamp) -> Result<bool, KeyStoreError> {
        let mut state = self.state();
        let keys = self.keys();
        let Some(stay) = keys.without(kid, now) else { return Ok(false) };
        let first = keys.all().next().map(|key| key.kid().to_owned());
        let mut list = state.list.clone();
        list.keys.retain(|line| !line.is_of(kid, first.as_deref()));
        // First, because a disk that fails must not keep it trusted.
        self.current.store(Arc::new(stay));
        write_list(&self.directory, &list)?;
        state.list = list;
        drop(state);
        self.erase_unnamed()?;
        Ok(true)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Erases token key files that the list does not name.
    fn erase_unnamed(&self) -> Result<(), KeyStoreError> {
        let state = self.state();
        let list = &state.list;
        let failed = |error| KeyStoreError::Io(self.directory.clone(), error);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let named = list.keys.iter().any(|line| line.file == name)
                || list.draft.as_ref().is_some_and(|draft| draft.file == name);
            let path = self.directory.join(name);
            if is_token_key(name) && !named {
                erase(&path)?;
            } else if name.starts_with(LIST_DRAFT) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        sync_dir(&self.directory)
    }
}

impl std::fmt::Debug for TokenRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRing").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl Line {
    /// Whether it is the line of the key `kid`. The store's first key has a file without its id.
    fn is_of(&self, kid: &str, first: Option<&str>) -> bool {
        if self.file == first_file() {
            first == Some(kid)
        } else {
            self.file == format!("{PREFIX}{kid}{SUFFIX}")
        }
    }
}

fn first_file() -> String {
    format!("{}{SUFFIX}", KeyUse::Token.as_str())
}

fn is_token_key(name: &str) -> bool {
    name == first_file() || (name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

fn read_list(directory: &Path) -> Result<List, KeyStoreError> {
    let path = directory.join(LIST);
    if fs::symlink_metadata(&path).is_err() {
        return Ok(List {
            draft: None,
            keys: vec![Line { file: first_file(), use_at: Timestamp::default() }],
        });
    }
    let list: List =
        serde_json::from_slice(&read_private(&path)?).map_err(|_| KeyStoreError::List(path.clone()))?;
    let files = list.keys.iter().map(|line| &line.file).chain(list.draft.iter().map(|draft| &draft.file));
    // A name with a path in it would lead elsewhere.
    let good = files.into_iter().all(|file| is_token_key(file) && !file.contains('/'));
    if good { Ok(list) } else { Err(KeyStoreError::List(path)) }
}

fn write_list(directory: &Path, list: &List) -> Result<(), KeyStoreError> {
    let path = directory.join(LIST);
    let text = serde_json::to_vec(list).map_err(|_| KeyStoreError::List(path.clone()))?;
    let draft = directory.join(format!("{LIST_DRAFT}{}", hex::encode(random::<8>()?)));
    write_new(&draft, &text)?;
    fs::rename(&draft, &path).map_err(|error| KeyStoreError::Io(path, error))?;
    sync_dir(directory)
}

fn open_key(path: &Path, opener: &mut Opener<'_>) -> Result<LocalSigner, KeyStoreError> {
    let file = zeroize::Zeroizing::new(read_private(path)?);
    let opened = opener.open(KeyUse::Token, &file);
    let (algorithm, pkcs8) = opened.map_err(|error| KeyStoreError::Container(path.to_owned(), error))?;
    LocalSigner::from_pkcs8(algorithm, &pkcs8).map_err(|error| KeyStoreError::Key(path.to_owned(), error))
}

/// Overwrites a file and removes it. On media that write elsewhere the old bytes may remain; a passphrase
/// helps there.
fn erase(path: &Path) -> Result<(), KeyStoreError> {
    let failed = |error| KeyStoreError::Io(path.to_owned(), error);
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    let length = usize::try_from(file.metadata().map_err(failed)?.len()).unwrap_or_default();
    file.write_all(&vec![0; length]).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::remove_file(path).map_err(failed)
}

#[cfg(test)]
mod tests;
