//! Opening: lock, index, journal, state, writer, in this order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use ring::signature::{ED25519, UnparsedPublicKey};
use tokio::sync::watch;

use super::carried::{Carried, Carrier};
use super::emergency::{self, MergeError, MergeParts, Room, Shadow};
use super::engine::Store;
use super::index::{Content, Index, IndexError};
use super::journal::group::GroupBuffer;
use super::journal::recovery::{Damage, Found, RecoveryError, recover_from};
use super::journal::{Journal, Positions, segment};
use super::ledger::{Head, Ledger, Shared};
use super::lock::DirectoryLock;
use super::medium::{FileSystem, Medium, make_directory};
use super::notable::Notable;
use super::queue::queue;
use super::replay::{ReplayError, replay};
use super::tree::Tree;
use super::trust::is_far_ahead;
use super::writer::Writer;
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::ledger::State;
use crate::domain::limits::JOURNAL_SEGMENT_BYTES_MAX;
use crate::domain::merkle::leaf_hash;
use crate::domain::note::{Checkpoint, VerifierKey};
use crate::domain::revocation::feed::History;
use crate::domain::signer::{Algorithm, Signer};

/// What a ledger is opened with.
pub struct Options {
    /// The data directory. It and what is in it is made when missing, for the owner only.
    pub directory: PathBuf,
    /// The log's name, the first line of its checkpoints.
    pub origin: String,
    /// The log's Ed25519 key.
    pub signer: Arc<dyn Signer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Somebody has looked at the clock: it may be further ahead of the newest entry than a start takes otherwise.
    pub accept_clock: bool,
    /// How long expired records stay in the index.
    pub retention: Duration,
    /// The file operations of the journal.
    pub medium: Arc<dyn Medium>,
    /// The file operations of what readers see of the log in an emergency.
    pub scratch: Arc<dyn Medium>,
    /// Bytes after which a new segment is begun, at most [`JOURNAL_SEGMENT_BYTES_MAX`].
    pub segment_bytes_max: u64,
}

impl Options {
    /// The usual options: the file system, full segments, records kept for 30 days.
    pub fn new(directory: PathBuf, origin: String, signer: Arc<dyn Signer>, clock: Arc<dyn Clock>) -> Self {
        let retention = Duration::from_secs(30 * 24 * 3600);
        let segment_bytes_max = JOURNAL_SEGMENT_BYTES_MAX;
        let (medium, scratch) = (Arc::new(FileSystem), Arc::new(FileSystem));
        Self {
            directory,
            origin,
            signer,
            clock,
            accept_clock: false,
            retention,
            medium,
            scratch,
            segment_bytes_max,
        }
    }
}

/// Why a ledger was not opened. Nothing was acknowledged, and nothing but a torn tail changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal is damaged. It stays as it is, for an operator to look at.
    #[error(
        "the journal is damaged and was left as it is: {0}; restore it from a copy that `hotwork audit verify` passes"
    )]
    Damaged(Damage),
    /// The index can't be made.
    #[error("the index can't be used")]
    Index(#[source] IndexError),
    /// A file operation failed.
    #[error("the data directory can't be used: `{path}`")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log's key has the wrong algorithm.
    #[error("the log's key must be Ed25519")]
    Key,
    /// Another process has the directory.
    #[error("another hotworkd is using the data directory `{0}`; stop it first")]
    Locked(PathBuf),
}

impl From<RecoveryError> for OpenError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Damaged(damage) => Self::Damaged(damage),
            RecoveryError::Io { path, source } => Self::Io { path, source },
        }
    }
}

impl Ledger {
    /// Opens the ledger in `options.directory`, or begins one, and starts its writer. Blocking.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        Self::open_with(options, |engine| engine)
    }

    /// As [`Self::open`], with the engine wrapped by `wrap`: for test doubles that fail.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_with(
        options: Options,
        wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>,
    ) -> Result<Self, OpenError> {
        let key = verifier_key(&options)?;
        let lock = lock(&options.directory)?;
        let (recovered, merged) = recovered(&options, &key, &options.directory)?;
        let directory = options.directory.join("journal");
        let max = options.segment_bytes_max.min(JOURNAL_SEGMENT_BYTES_MAX);
        let journal = Journal::open(&directory, &recovered.found, Arc::clone(&options.medium), max);
        let journal = journal.map_err(|source| io_error(&directory, source))?;
        let (positions, store) = (journal.positions(), wrap(Box::new(journal)));
        let root = options.directory.clone();
        let (read_from, loaded, emergency) = (0, None, None);
        let parts = Assembly {
            options,
            key,
            lock,
            recovered,
            positions,
            store,
            merged,
            read_from,
            loaded,
            emergency,
        };
        parts.start(&root)
    }
}

/// Everything that a ledger is made of.
pub(super) struct Assembly {
    pub(super) options: Options,
    pub(super) key: VerifierKey,
    pub(super) lock: DirectoryLock,
    pub(super) recovered: Recovered,
    pub(super) positions: Arc<Positions>,
    pub(super) store: Box<dyn Store>,
    pub(super) merged: Option<u64>,
    /// The first entry that was read.
    pub(super) read_from: u64,
    /// The load that was carried forward, where something was.
    pub(super) loaded: Option<(u64, Digest)>,
    pub(super) emergency: Option<(Arc<Room>, Shadow)>,
}

impl Assembly {
    /// Starts the writer over the tree below `root`.
    pub(super) fn start(self, root: &Path) -> Result<Ledger, OpenError> {
        let Recovered { index, content, found, state } = self.recovered;
        let options = self.options;
        let tree = tree(root, &self.positions, &found, self.emergency.is_some())?;
        let head = Head {
            size: found.size,
            root: found.frontier.root(),
            note: found.note.clone().unwrap_or_default(),
            time: found.time,
        };
        let shared = Arc::new(Shared {
            epoch: watch::channel(state.revocations().epoch()).0,
            history: RwLock::new(history(&state, &self.positions, self.read_from)),
            notable: RwLock::new(Notable::new(found.size)),
            notable_end: watch::channel(found.size).0,
            recent: RwLock::default(),
            loaded: self.loaded,
            locks: ArcSwap::new(state.locks()),
            sessions: watch::Sender::new(state.sessions()),
            revocations: ArcSwap::new(state.revocations()),
            enrollments: tokio::sync::watch::Sender::new(state.enrollments()),
            approvals: tokio::sync::watch::Sender::new(state.approvals()),
            state: RwLock::new(state),
            head: ArcSwap::from_pointee(head),
            problem: ArcSwapOption::empty(),
            last_issue: RwLock::new(content.last_issue),
            index,
            durable: AtomicU64::new(found.size),
            positions: self.positions,
            tree,
            key: self.key,
            carrier: (self.emergency.is_none())
                .then(|| Carrier::new(&options.directory, Arc::clone(&options.signer))),
            read_from: self.read_from,
            retention_ms: i64::try_from(options.retention.as_millis()).unwrap_or(i64::MAX),
            doubted: AtomicBool::new(!options.accept_clock && is_far_ahead(&*options.clock, &found)),
            emergency: self.emergency.is_some(),
            merged: self.merged,
        });
        let (room, shadow) = self.emergency.unzip();
        let writer = Writer {
            shared: Arc::clone(&shared),
            store: self.store,
            clock: options.clock,
            signer: options.signer,
            frontier: found.frontier,
            sequence: found.sequence,
            forgotten: found.time,
            buffer: GroupBuffer::default(),
            stopped: false,
            index_failed: false,
            crowd: 0,
            room,
            _lock: self.lock,
            _shadow: shadow,
        };
        start(shared, writer).map_err(|source| io_error(root, source))
    }
}

/// The log's tree, with its tiles below `root`. An emergency does not depend on it.
fn tree(root: &Path, positions: &Arc<Positions>, found: &Found, emergency: bool) -> Result<Tree, OpenError> {
    let (directory, positions, top) = (root.join("tiles"), Arc::clone(positions), found.frontier.root());
    if emergency {
        return Ok(Tree::open_as_it_is(directory, positions, found.size, &top));
    }
    Tree::open(directory.clone(), positions, found.size, &top).map_err(|source| io_error(&directory, source))
}

/// An empty history behind the newest end of the log. Without its leaf nobody goes on from there, who was told by an
/// earlier run: they get a snapshot.
fn history(state: &State, positions: &Positions, read_from: u64) -> History {
    let epoch = state.revocations().epoch();
    // An emergency start reads nothing of what it passed over.
    let index = epoch.checked_sub(1).filter(|index| *index >= read_from);
    let entry = index.and_then(|index| positions.entry(index).ok().flatten());
    History::new(epoch, entry.map(|json| leaf_hash(&json)))
}

/// Makes the directories and takes the lock.
fn lock(root: &Path) -> Result<DirectoryLock, OpenError> {
    let made = make_directory(root).and_then(|()| make_directory(&root.join("journal")));
    let lock = made.and_then(|()| DirectoryLock::take(root)).map_err(|source| io_error(root, source))?;
    lock.ok_or_else(|| OpenError::Locked(root.to_owned()))
}

/// What the directory holds.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) content: Content,
    pub(super) found: Found,
    pub(super) state: State,
}

/// What is below `root`, with what an emergency there has to add, and the first index of that.
fn recovered(
    options: &Options,
    key: &VerifierKey,
    root: &Path,
) -> Result<(Recovered, Option<u64>), OpenError> {
    let path = root.join("index");
    let (index, content) = open_index(&path)?;
    let mut found = found(root, content.applied, 0, key)?;
    let parts = MergeParts {
        root,
        key,
        signer: &*options.signer,
        medium: &options.medium,
        segment_bytes_max: options.segment_bytes_max.min(JOURNAL_SEGMENT_BYTES_MAX),
    };
    let merged = emergency::merge(&parts, &found)?;
    if merged.is_some_and(|merged| merged.appended) {
        found = self::found(root, content.applied, 0, key)?;
    }
    Ok((replayed(index, content, found, &path)?, merged.map(|merged| merged.first)))
}

/// What the journal below `root` holds. The segments before the entry `from` are taken as they are.
pub(super) fn found(
    root: &Path,
    acknowledged: u64,
    from: u64,
    key: &VerifierKey,
) -> Result<Found, OpenError> {
    let found = recover_from(&root.join("journal"), acknowledged, from)?;
    check_checkpoints(&found, key)?;
    if found.cut_bytes > 0 {
        tracing::warn!(bytes = found.cut_bytes, "cut a group that a crash left unfinished");
    }
    Ok(found)
}

/// Brings the index up to the log, or makes it anew.
fn replayed(index: Index, content: Content, found: Found, path: &Path) -> Result<Recovered, OpenError> {
    let carried = Carried::default();
    match replay(&found, &index, content, &carried) {
        Ok((content, state)) => Ok(Recovered { index, content, found, state }),
        Err(ReplayError::Index(error)) => {
            tracing::warn!(%error, "index rebuilt from the journal");
            let index = fresh_index(index, path)?;
            let (content, state) = replay(&found, &index, Content::default(), &carried)?;
            Ok(Recovered { index, content, found, state })
        }
        Err(error) => Err(error.into()),
    }
}

fn start(shared: Arc<Shared>, writer: Writer) -> io::Result<Ledger> {
    let (queue, jobs) = queue();
    let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run(&jobs))?;
    Ok(Ledger::new(shared, queue, thread))
}

pub(super) fn verifier_key(options: &Options) -> Result<VerifierKey, OpenError> {
    let key = options.signer.public_key().try_into().map_err(|_| OpenError::Key)?;
    match options.signer.algorithm() {
        Algorithm::Ed25519 => Ok(VerifierKey::new(options.origin.clone(), key)),
        Algorithm::Es256 => Err(OpenError::Key),
    }
}

/// Opens the index and holds it to itself. A damaged one is dropped: the journal has everything.
fn open_index(path: &Path) -> Result<(Index, Content), OpenError> {
    let opened = Index::open(path).and_then(|index| {
        let content = index.check()?;
        Ok((index, content))
    });
    match opened {
        Ok(opened) => Ok(opened),
        Err(error @ IndexError::Newer(_)) => Err(OpenError::Index(error)),
        Err(error) => {
            tracing::warn!(%error, "index damaged; it is rebuilt from the journal");
            Ok((new_index(path)?, Content::default()))
        }
    }
}

fn fresh_index(old: Index, path: &Path) -> Result<Index, OpenError> {
    drop(old);
    new_index(path)
}

/// An empty index in the place of whatever is there.
pub(super) fn new_index(path: &Path) -> Result<Index, OpenError> {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(path, source)),
    }
    Index::open(path).map_err(OpenError::Index)
}

/// Holds the tree to what was signed: each segment's frontier, and the end.
fn check_checkpoints(found: &Found, key: &VerifierKey) -> Result<(), OpenError> {
    for (note, frontier) in &found.checkpoints {
        let right = Checkpoint::parse(note, key).is_ok_and(|(checkpoint, signature)| {
            checkpoint.size == frontier.size()
                && checkpoint.root == frontier.root()
                && is_signed(key, checkpoint.body().as_bytes(), &signature)
        });
        if !right {
            let (first, bytes) = found.last_segment.unwrap_or_default();
            return Err(OpenError::Damaged(Damage {
                segment: segment::name(first),
                offset: bytes,
                entry: frontier.size(),
                what:
                    "the checkpoint before this entry is not one that the log's key signed for these entries"
                        .to_owned(),
            }));
        }
    }
    Ok(())
}

/// Whether the log's key made `signature` over `body`.
pub(super) fn is_signed(key: &VerifierKey, body: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.key).verify(body, signature).is_ok()
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Damaged(damage) => Self::Damaged(damage),
            ReplayError::Index(error) => Self::Index(error),
            ReplayError::Io { path, source } => Self::Io { path, source },
        }
    }
}

impl From<MergeError> for OpenError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Damaged(damage) => Self::Damaged(damage),
            MergeError::Io(source) => Self::Io { path: emergency::FILE.into(), source },
        }
    }
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}
