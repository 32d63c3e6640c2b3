//! The tree: honest proofs hold, a proof with one changed hash does not, and no input panics.
#![no_main]

use hotwork::domain::digest::Digest;
use hotwork::domain::merkle::{
    Frontier, consistency_holds, empty_root, inclusion_holds, leaf_hash, node_hash,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [index, old, flip, rest @ ..] = bytes else { return };
    let leaves: Vec<Digest> = rest.iter().take(80).map(|byte| leaf_hash(&[*byte])).collect();
    junk(rest);
    let Some(size) = std::num::NonZeroUsize::new(leaves.len()) else { return };
    let (index, old) = (usize::from(*index) % size, usize::from(*old) % size + 1);
    let (size, new_root) = (size.get() as u64, root(&leaves));
    assert_eq!(frontier(&leaves).root(), new_root);

    let proof = inclusion(index, &leaves);
    assert!(inclusion_holds(leaves[index], index as u64, size, &proof, &new_root));
    if let Some(bad) = spoiled(&proof, *flip) {
        assert!(!inclusion_holds(leaves[index], index as u64, size, &bad, &new_root));
    }
    let (old_root, proof) = (root(&leaves[..old]), consistency(old, &leaves, true));
    assert!(consistency_holds(old as u64, &old_root, size, &new_root, &proof));
    if let Some(bad) = spoiled(&proof, *flip) {
        assert!(!consistency_holds(old as u64, &old_root, size, &new_root, &bad));
    }
});

fn junk(bytes: &[u8]) {
    let number =
        |at: usize| bytes.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().expect("8")));
    let proof: Vec<Digest> = bytes.chunks(3).take(70).map(Digest::of).collect();
    let root = Digest::of(bytes);
    assert!(!inclusion_holds(root, number(0), number(8), &proof, &root) || proof.is_empty());
    let _ = consistency_holds(number(0), &root, number(8), &root, &proof);
    let _ = Frontier::from_parts(number(0), proof);
}

fn frontier(leaves: &[Digest]) -> Frontier {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier
}

/// RFC 6962 section 2.1, as written there.
fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `size`.
fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// RFC 6962 section 2.1.1.
fn inclusion(index: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, other) = if index < middle {
        (inclusion(index, left), right)
    } else {
        (inclusion(index - middle, right), left)
    };
    proof.push(root(other));
    proof
}

/// RFC 6962 section 2.1.2.
fn consistency(old: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, other) = if old <= middle {
        (consistency(old, left, whole), right)
    } else {
        (consistency(old - middle, right, false), left)
    };
    proof.push(root(other));
    proof
}

fn spoiled(proof: &[Digest], at: u8) -> Option<Vec<Digest>> {
    let mut bad = proof.to_vec();
    let place = usize::from(at).checked_rem(bad.len())?;
    bad[place] = Digest::of(bad[place].as_bytes());
    Some(bad)
}
