//! The tree's hashes: full tiles as files, the right edge in memory, proofs from both.
//!
//! Tiles are 256 hashes wide (c2sp.org/tlog-tiles) and derived: a tile that is missing is made from the
//! journal, and a proof that does not hold makes all of its tiles anew. So no file here is trusted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::journal::Positions;
use crate::domain::digest::Digest;
use crate::domain::merkle::{leaf_hash, node_hash};

/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;
const TILE_BITS: u32 = 8;
/// Entries that are read from the journal at once when a tile is made.
const ENTRIES_AT_ONCE: usize = TILE_WIDTH;

/// The hashes of one tile.
type Tile = Arc<Vec<Digest>>;

/// The stored part of the tree.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    positions: Arc<Positions>,
    /// `None` when it could not be read: then there are no proofs, and no new tiles.
    edge: Mutex<Option<Edge>>,
}

/// The tiles that are not full yet, lowest level first.
#[derive(Clone, Debug, Default)]
struct Edge {
    size: u64,
    levels: Vec<Vec<Digest>>,
}

/// A full tile, to be stored.
#[derive(Debug)]
pub struct FullTile {
    level: u32,
    number: u64,
    hashes: Vec<Digest>,
}

impl Edge {
    /// Appends a leaf; gives the tiles that it fills.
    fn push(&mut self, leaf: Digest, full: &mut Vec<FullTile>) {
        let mut hash = leaf;
        let mut number = self.size >> TILE_BITS;
        self.size = self.size.saturating_add(1);
        for level in 0_u32.. {
            let at = usize::try_from(level).unwrap_or(usize::MAX);
            if self.levels.len() <= at {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(row) = self.levels.get_mut(at) else { return };
            row.push(hash);
            if row.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(row);
            hash = fold(&hashes);
            full.push(FullTile { level, number, hashes });
            number >>= TILE_BITS;
        }
    }
}

/// The root of a complete subtree of these hashes; their number is a power of two.
fn fold(hashes: &[Digest]) -> Digest {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_else(|| leaf_hash(&[]))
}

impl Tree {
    /// The tree of the first `size` entries of a journal, with its tiles under `directory`. When the tiles
    /// do not give `root`, they are made anew.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub fn open(directory: PathBuf, positions: Arc<Positions>, size: u64, root: &Digest) -> io::Result<Self> {
        let tree = Self { directory, positions, edge: Mutex::default() };
        if !tree.has(size, root, true)? {
            tree.has(size, root, false)?;
        }
        Ok(tree)
    }

    /// As [`Self::open`], for a start that must not depend on it: when tiles and journal do not give `root` as they are, there
    /// are no proofs until the next one.
    pub fn open_as_it_is(directory: PathBuf, positions: Arc<Positions>, size: u64, root: &Digest) -> Self {
        let tree = Self { directory, positions, edge: Mutex::default() };
        let problem = match tree.has(size, root, true) {
            Ok(true) => return tree,
            Ok(false) => "its tiles are those of another log".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!(problem, "the log's tree can't be read: there are no proofs until an ordinary start");
        *tree.edge.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tree
    }

    /// Reads the edge; gives whether the tree has this root.
    fn has(&self, size: u64, root: &Digest, trust: bool) -> io::Result<bool> {
        let edge = self.edge_from(size, trust)?;
        *self.edge.lock().unwrap_or_else(PoisonError::into_inner) = Some(edge);
        Ok(size == 0 || self.root(size, trust)? == *root)
    }

    fn edge_from(&self, size: u64, trust: bool) -> io::Result<Edge> {
        let mut edge = Edge { size, levels: Vec::new() };
        let mut level = 0;
        while size.checked_shr(TILE_BITS * level).unwrap_or_default() > 0 {
            let count = size >> (TILE_BITS * level);
            let partial = count % (1 << TILE_BITS);
            edge.levels.push(self.row(level, count - partial, partial, trust)?);
            level += 1;
        }
        Ok(edge)
    }

    /// Appends leaves; gives the tiles that they fill, for [`Self::store`].
    pub fn push(&self, leaves: impl Iterator<Item = Digest>) -> Vec<FullTile> {
        let mut full = Vec::new();
        let mut edge = self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(edge) = edge.as_mut() {
            leaves.for_each(|leaf| edge.push(leaf, &mut full));
        }
        full
    }

    /// Writes a full tile. It need not be durable: a missing one is made again when it is needed.
    ///
    /// # Errors
    /// The system's.
    pub fn store(&self, tile: &FullTile) -> io::Result<()> {
        let path = self.directory.join(tile_path(tile.level, tile.number));
        let bytes: Vec<u8> = tile.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let scratch = path.with_extension("tmp");
        let write = || fs::write(&scratch, &bytes).and_then(|()| fs::rename(&scratch, &path));
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), super::medium::make_directory)?;
                write()
            }
            done => done,
        }
    }

    /// The inclusion proof of the entry at `index` in the tree of `size` (RFC 9162 section 2.1.3.1).
    ///
    /// # Errors
    /// When tiles have to be made and the journal can't be read.
    pub fn inclusion(&self, index: u64, size: u64, trust: bool) -> io::Result<Vec<Digest>> {
        let mut view = self.view(trust)?;
        let mut proof = Vec::new();
        let (mut low, mut high) = (0, size);
        // From the root down: the sibling's root is the step; they are wanted leaf first.
        while high.saturating_sub(low) > 1 {
            let middle = low + split(high - low);
            if index < middle {
                proof.push(view.range(middle, high)?);
                high = middle;
            } else {
                proof.push(view.range(low, middle)?);
                low = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// The consistency proof from `old` to `size` (RFC 9162 section 2.1.4.1).
    ///
    /// # Errors
    /// When tiles have to be made and the journal can't be read.
    pub fn consistency(&self, old: u64, size: u64, trust: bool) -> io::Result<Vec<Digest>> {
        let mut view = self.view(trust)?;
        let mut proof = Vec::new();
        let (mut low, mut high, mut whole) = (0, size, true);
        while old < high && high.saturating_sub(low) > 1 {
            let middle = low + split(high - low);
            if old <= middle {
                proof.push(view.range(middle, high)?);
                high = middle;
            } else {
                proof.push(view.range(low, middle)?);
                (low, whole) = (middle, false);
            }
        }
        if !whole {
            proof.push(view.range(low, high)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// The root of the first `size` entries, at least one.
    ///
    /// # Errors
    /// When tiles have to be made and the journal can't be read.
    pub fn root(&self, size: u64, trust: bool) -> io::Result<Digest> {
        self.view(trust)?.range(0, size)
    }

    fn view(&self, trust: bool) -> io::Result<View<'_>> {
        let edge = self.edge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let edge = edge.ok_or_else(|| io::Error::other("the log's tree can't be read in this emergency"))?;
        Ok(View { tree: self, edge, tiles: HashMap::new(), trust })
    }

    /// `count` hashes of `level` from the tile boundary `first` on, from the level below.
    fn row(&self, level: u32, first: u64, count: u64, trust: bool) -> io::Result<Vec<Digest>> {
        if level == 0 {
            return self.leaves(first, count);
        }
        let tiles = first..first.saturating_add(count);
        tiles.map(|number| self.tile(level - 1, number, trust).map(|tile| fold(&tile))).collect()
    }

    fn leaves(&self, first: u64, count: u64) -> io::Result<Vec<Digest>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(ENTRIES_AT_ONCE);
        let entries = self.positions.entries(first, count)?;
        if entries.len() < count {
            return Err(io::Error::other(format!("the journal has no entry `{first}` for the tree")));
        }
        Ok(entries.iter().map(|entry| leaf_hash(entry)).collect())
    }

    /// A full tile: its file, or made from the level below and stored.
    fn tile(&self, level: u32, number: u64, trust: bool) -> io::Result<Tile> {
        let stored = trust.then(|| read_tile(&self.directory.join(tile_path(level, number)))).flatten();
        if let Some(hashes) = stored {
            return Ok(Arc::new(hashes));
        }
        let width = 1 << TILE_BITS;
        let hashes = self.row(level, number * width, width, trust)?;
        let tile = FullTile { level, number, hashes };
        if let Err(error) = self.store(&tile) {
            tracing::warn!(%error, level, number, "tile not stored");
        }
        Ok(Arc::new(tile.hashes))
    }
}

/// One proof's view: the edge as it was, and the tiles that it has read.
struct View<'a> {
    tree: &'a Tree,
    edge: Edge,
    tiles: HashMap<(u32, u64), Tile>,
    trust: bool,
}

impl View<'_> {
    /// The root of the entries from `low` to before `high`, where `low` is a boundary that the tree has.
    fn range(&mut self, low: u64, high: u64) -> io::Result<Digest> {
        let count = high.saturating_sub(low);
        if count.is_power_of_two() {
            return self.complete(low, count.trailing_zeros());
        }
        let middle = low + split(count);
        let left = self.complete(low, (middle - low).trailing_zeros())?;
        Ok(node_hash(&left, &self.range(middle, high)?))
    }

    /// The root of the complete subtree of `2^height` entries from `low` on.
    fn complete(&mut self, low: u64, height: u32) -> io::Result<Digest> {
        let (level, inner) = (height / TILE_BITS, height % TILE_BITS);
        let first = low >> (TILE_BITS * level);
        let tile = self.tile(level, first >> TILE_BITS)?;
        let from = usize::try_from(first % (1 << TILE_BITS)).unwrap_or(usize::MAX);
        let hashes = tile.get(from..from.saturating_add(1 << inner));
        hashes.map(fold).ok_or_else(|| io::Error::other("the tree is smaller than the proof's"))
    }

    fn tile(&mut self, level: u32, number: u64) -> io::Result<Tile> {
        if let Some(tile) = self.tiles.get(&(level, number)) {
            return Ok(Arc::clone(tile));
        }
        let full = (self.edge.size >> (TILE_BITS * level)) >> TILE_BITS;
        let tile = if number < full {
            self.tree.tile(level, number, self.trust)?
        } else {
            let row = usize::try_from(level).ok().and_then(|level| self.edge.levels.get(level));
            Arc::new(row.cloned().unwrap_or_default())
        };
        self.tiles.insert((level, number), Arc::clone(&tile));
        Ok(tile)
    }
}

/// The largest power of two below `count`, which is at least two.
const fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

fn read_tile(path: &Path) -> Option<Vec<Digest>> {
    let bytes = fs::read(path).ok()?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    let whole = rest.is_empty() && hashes.len() == TILE_WIDTH;
    whole.then(|| hashes.iter().map(|hash| Digest::from_bytes(*hash)).collect())
}

/// `tile/L/N`, with N in groups of three digits, all but the last after an `x` (c2sp.org/tlog-tiles).
pub fn tile_path(level: u32, number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    format!("tile/{level}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_the_paths_of_the_specification() {
        assert_eq!(tile_path(0, 5), "tile/0/005");
        assert_eq!(tile_path(1, 1_234_067), "tile/1/x001/x234/067");
    }
}
