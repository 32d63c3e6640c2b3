//! The index: sled, applied after the journal and rebuilt from it. Nothing here is the authority.
//!
//! It knows keys and values. An error of sled, or a value that is not as written, is damage of the index:
//! the journal has everything, and the next start makes the index anew.

mod brief;
pub mod mark;
pub mod record;
pub mod scan;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use sled::{Db, Tree};

use self::record::{BadChunk, Brief, CHUNK_RECORDS_MAX, Chunk, RecordKind};
use super::carried::Carried;
use super::engine::Place;
use crate::domain::digest::Digest;
use crate::domain::entry::Entry;
use crate::domain::time::Timestamp;

/// The format that this program writes.
const FORMAT: u64 = 3;
/// Pages that sled keeps in memory. Lookups touch the newest groups; the daemon idles in 40 MiB.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// How often sled writes to its file, in milliseconds. The journal is durable without it.
const FLUSH_EVERY_MS: u64 = 2_000;
/// How long an earlier instance may take to let go, and how often it is asked.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// The index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A value is damaged.
    #[error(transparent)]
    Chunk(#[from] BadChunk),
    /// Values are missing between these entries, or an end has no record.
    #[error("the index has a gap at entry `{0}`")]
    Gap(u64),
    /// It was written by a newer version. It may be removed: it is rebuilt from the journal.
    #[error(
        "the index has format {0}, this program knows up to {FORMAT}; upgrade, or remove the index directory"
    )]
    Newer(u64),
    /// It was written by an older version. It is rebuilt from the journal.
    #[error("the index has the old format {0}")]
    Older(u64),
    /// sled failed.
    #[error("the index failed")]
    Sled(#[from] sled::Error),
}

/// The open index.
#[derive(Clone, Debug)]
pub struct Index {
    enrolled: Tree,
    db: Db,
    groups: Tree,
    ended: Tree,
    marks: Tree,
    locks: Tree,
    meta: Tree,
}

/// Opens sled, once an earlier instance in this process has let go of it: sled's flusher ends a moment after its
/// database, with the lock. (Other processes are kept out by the directory's own lock.)
fn open_db(config: &sled::Config) -> Result<Db, sled::Error> {
    let begun = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && begun.elapsed() < LOCK_PATIENCE =>
            {
                std::thread::sleep(LOCK_RETRY);
            }
            opened => return opened,
        }
    }
}

/// What a check of the whole index found.
#[derive(Debug, Default)]
pub struct Content {
    /// Entries that the index has applied.
    pub applied: u64,
    /// The newest time of an issuance, by agent.
    pub last_issue: HashMap<String, Timestamp>,
}

impl Index {
    /// Opens or makes the index in `directory`.
    ///
    /// # Errors
    /// [`IndexError`]; unless it is [`IndexError::Newer`], the caller drops the directory and rebuilds.
    pub fn open(directory: &Path) -> Result<Self, IndexError> {
        let config = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES);
        let db = open_db(&config.flush_every_ms(Some(FLUSH_EVERY_MS)))?;
        let open = |name: &str| db.open_tree(name);
        let (groups, ended, marks) = (open("groups")?, open("ended")?, open("marks")?);
        let (locks, meta) = (open("locks")?, open("meta")?);
        let enrolled = open("enrolled")?;
        let index = Self { db, groups, ended, marks, locks, enrolled, meta };
        index.migrate()?;
        Ok(index)
    }

    /// An older format is made anew: the journal has everything.
    fn migrate(&self) -> Result<(), IndexError> {
        match self.number("format")? {
            None => self.set_number("format", FORMAT),
            Some(FORMAT) => Ok(()),
            Some(older) if older < FORMAT => Err(IndexError::Older(older)),
            Some(newer) => Err(IndexError::Newer(newer)),
        }
    }

    fn number(&self, key: &str) -> Result<Option<u64>, IndexError> {
        let value = self.meta.get(key)?;
        Ok(value.and_then(|value| value.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    fn set_number(&self, key: &str, number: u64) -> Result<(), IndexError> {
        self.meta.insert(key, &number.to_be_bytes())?;
        Ok(())
    }

    /// The first entry that the index should have: those before were swept.
    fn swept(&self) -> Result<u64, IndexError> {
        Ok(self.number("swept")?.unwrap_or_default())
    }

    /// The log index, plus 1, of the newest entry that ended anything, swept or not.
    pub(super) fn epoch(&self) -> Result<u64, IndexError> {
        Ok(self.number("epoch")?.unwrap_or_default())
    }

    /// The newest entry that loaded the registry, swept or not.
    ///
    /// # Errors
    /// When sled fails.
    pub fn last_load(&self) -> Result<Option<u64>, IndexError> {
        self.number("loaded")
    }

    /// Reads the whole index and holds it to itself: every checksum, no gap, every end and watermark
    /// there. A crash may have cost sled anything, the journal nothing.
    ///
    /// # Errors
    /// [`IndexError`]; the caller rebuilds.
    pub fn check(&self) -> Result<Content, IndexError> {
        let mut content = Content { applied: self.swept()?, last_issue: HashMap::new() };
        let epoch = self.epoch()?;
        for (ordinal, item) in self.groups.iter().enumerate() {
            let (key, value) = item?;
            let chunk = Chunk::parse(&key, &value)?;
            // A sweep that a crash ended may have left some before its mark.
            let follows = chunk.first == content.applied || (ordinal == 0 && chunk.first < content.applied);
            if !follows {
                return Err(IndexError::Gap(content.applied));
            }
            self.check_ends(&chunk, epoch)?;
            note_issues(&chunk, &mut content.last_issue);
            content.applied = chunk.end();
        }
        Ok(content)
    }

    fn check_ends(&self, chunk: &Chunk, epoch: u64) -> Result<(), IndexError> {
        for record in &chunk.records {
            let index = chunk.index_of(record);
            let single = record.kind != RecordKind::End || self.ended.contains_key(record.id)?;
            let counted = !record.kind.ends() || index < epoch;
            if !(single && counted && self.has_mark(chunk, record)?) {
                return Err(IndexError::Gap(index));
            }
        }
        Ok(())
    }

    /// Begins, empty, behind what is `carried`, as if all before it had been swept.
    ///
    /// # Errors
    /// When sled fails, or what is carried is none of ours.
    pub(super) fn begin(&self, carried: &Carried) -> Result<Content, IndexError> {
        for (index, matters) in &carried.entries {
            let entry = Entry::from_json(&matters.json).map_err(|_| IndexError::Gap(*index))?;
            let mut chunk = Chunk::new(entry.time, *index, Place { segment: 0, offset: 0 });
            chunk.push(&Brief::of(&entry), 0);
            for record in chunk.records.iter().filter(|record| matters.is_for(record)) {
                self.insert_mark(&chunk, record)?;
            }
        }
        self.set_number("swept", carried.first())?;
        self.set_number("epoch", carried.epoch)?;
        carried.loaded.map_or(Ok(()), |(loaded, _)| self.set_number("loaded", loaded))?;
        Ok(Content { applied: carried.first(), last_issue: carried.last_issue.clone() })
    }

    /// Applies one group: each brief with its record's offset in the group at `place`.
    ///
    /// # Errors
    /// When sled fails.
    pub fn apply<'a>(
        &self,
        time: Timestamp,
        first: u64,
        place: Place,
        briefs: impl Iterator<Item = (Brief<'a>, u32)>,
    ) -> Result<(), IndexError> {
        let mut chunk = Chunk::new(time, first, place);
        for (brief, offset) in briefs {
            if usize::from(chunk.entries) >= CHUNK_RECORDS_MAX {
                self.insert(&chunk)?;
                chunk = Chunk::new(time, chunk.end(), place);
            }
            chunk.push(&brief, offset);
        }
        self.insert(&chunk)
    }

    fn insert(&self, chunk: &Chunk) -> Result<(), IndexError> {
        for record in &chunk.records {
            if record.kind == RecordKind::End {
                let index = chunk.index_of(record).to_be_bytes();
                // The first end counts.
                let _known = self.ended.compare_and_swap(record.id, None::<&[u8]>, Some(&index[..]))?;
            }
            self.insert_mark(chunk, record)?;
        }
        if let Some(newest) = chunk.records.iter().rfind(|record| record.kind.ends()) {
            self.set_number("epoch", chunk.index_of(newest).saturating_add(1))?;
        }
        self.groups.insert(chunk.key(), chunk.encode())?;
        Ok(())
    }

    /// Writes what is in memory to sled's file.
    ///
    /// # Errors
    /// When sled fails.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.db.flush()?;
        Ok(())
    }

    /// A digest of everything in the index, for comparison.
    ///
    /// # Errors
    /// When sled fails.
    pub fn digest(&self) -> Result<Digest, IndexError> {
        let mut bytes = Vec::new();
        for tree in [&self.groups, &self.ended, &self.marks, &self.locks, &self.enrolled, &self.meta] {
            for item in tree {
                let (key, value) = item?;
                bytes.extend(u64::try_from(key.len()).unwrap_or_default().to_be_bytes());
                bytes.extend_from_slice(&key);
                bytes.extend(u64::try_from(value.len()).unwrap_or_default().to_be_bytes());
                bytes.extend_from_slice(&value);
            }
            bytes.extend([0xff; 8]);
        }
        Ok(Digest::of(&bytes))
    }
}

/// Notes the time of each agent's newest issuance.
pub fn note_issues(chunk: &Chunk, last: &mut HashMap<String, Timestamp>) {
    let issues = chunk.records.iter().filter(|record| record.kind == RecordKind::Issue);
    for agent in issues.filter_map(|record| chunk.agent_of(record)) {
        match last.get_mut(agent) {
            Some(time) => *time = chunk.time,
            None => {
                last.insert(agent.to_owned(), chunk.time);
            }
        }
    }
}
