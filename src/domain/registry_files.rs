//! The files that a registry was loaded from, as one value: what is digested, recorded and sealed.
//!
//! Names and texts only; what they declare is read elsewhere.

use super::digest::Digest;
use super::limits::{REGISTRY_BYTES_MAX, REGISTRY_FILES_MAX, REGISTRY_NAME_BYTES_MAX};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryFile {
    /// Its name in the registry, such as `apis/demo.toml`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// All files, in the order in which they are read: APIs, agents, operators, policies, playbooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryFiles(pub Vec<RegistryFile>);

/// The bytes are not files that [`RegistryFiles::encode`] wrote.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the files of a registry")]
pub struct NotFiles;

impl RegistryFiles {
    /// SHA-256 over each file's name and content, each after its length, so that no two registries are one.
    pub fn digest(&self) -> Digest {
        digest(self.0.iter().map(|file| (file.name.as_str(), file.text.as_str())))
    }

    /// Each name and text after its length, four bytes, big endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for file in &self.0 {
            for part in [&file.name, &file.text] {
                bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote, and nothing else: five kinds of names, within the bounds of a registry.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, NotFiles> {
        let mut files = Vec::new();
        let mut total = 0_u64;
        while !bytes.is_empty() {
            let name = part(&mut bytes)?;
            let text = part(&mut bytes)?;
            total = total.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
            if !is_name(name) || total > REGISTRY_BYTES_MAX || files.len() >= 5 * REGISTRY_FILES_MAX {
                return Err(NotFiles);
            }
            files.push(RegistryFile { name: name.to_owned(), text: text.to_owned() });
        }
        Ok(Self(files))
    }
}

/// As [`RegistryFiles::digest`], of names and texts.
pub fn digest<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Digest {
    let mut bytes = Vec::new();
    for (name, text) in files {
        for part in [name.as_bytes(), Digest::of(text.as_bytes()).as_bytes()] {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Digest::of(&bytes)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, NotFiles> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(NotFiles)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotFiles)?;
    let (part, rest) = rest.split_at_checked(length).ok_or(NotFiles)?;
    *bytes = rest;
    std::str::from_utf8(part).map_err(|_| NotFiles)
}

/// Nothing but the names that a registry has: no path that leads elsewhere.
fn is_name(name: &str) -> bool {
    let sized = name.len() <= REGISTRY_NAME_BYTES_MAX;
    let inside = |dir: &str| {
        name.strip_prefix(dir)
            .is_some_and(|file| !file.is_empty() && !file.starts_with('.') && !file.contains('/'))
    };
    sized
        && (name == "operators.toml"
            || ["agents/", "apis/", "playbooks/", "policies/"].into_iter().any(inside))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(names: &[&str]) -> RegistryFiles {
        let file = |name: &&str| RegistryFile { name: (*name).to_owned(), text: format!("text of {name}") };
        RegistryFiles(names.iter().map(file).collect())
    }

    #[test]
    fn files_read_back_and_each_byte_counts() {
        let all = files(&[
            "apis/a.toml",
            "agents/b.toml",
            "operators.toml",
            "policies/p.cedar",
            "playbooks/x.toml",
        ]);
        let bytes = all.encode();
        assert_eq!(RegistryFiles::decode(&bytes), Ok(all.clone()));
        assert_eq!(RegistryFiles::decode(b""), Ok(RegistryFiles::default()));
        for at in 1..bytes.len() {
            let cut = RegistryFiles::decode(&bytes[..at]);
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut.digest() != all.digest()), "{at}");
        }
    }

    #[test]
    fn names_stay_in_the_registry() {
        for bad in [
            "",
            "/etc/passwd",
            "apis/../x",
            "apis/..",
            "apis/.hidden",
            "apis/",
            "apis/a/b",
            "hotworkd.toml",
            "operators.toml/x",
        ] {
            assert_eq!(RegistryFiles::decode(&files(&[bad]).encode()), Err(NotFiles), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_the_same_bytes_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = RegistryFiles::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
