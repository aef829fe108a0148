//! The NTFS volumes of `fixtures/ntfs`: what there is, and how a test gets one.

use super::packed::{self, unpack_to};
use super::scratch::Scratch;
use super::sparse;
use regain::disk::memory::MemoryDisk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

/// One line of what ntfs-3g showed when the volume was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// `file`, `directory`, or `other` for what ntfs-3g shows neither as a file nor as a directory.
    pub(crate) kind: String,
    /// Bytes of the content.
    pub(crate) size: u64,
    /// Names without short ones.
    pub(crate) links: u64,
    /// The first 16 digits of the SHA-256 of the content.
    pub(crate) content: String,
    /// The same of the security descriptor.
    pub(crate) descriptor: String,
    /// The short name.
    pub(crate) short: Option<String>,
    /// Named streams with the digests of their contents.
    pub(crate) streams: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ntfs")
}

/// Names and digests of all volumes.
pub(crate) fn index() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder().join("INDEX")).unwrap();
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[2].to_owned())
    });
    lines.collect()
}

/// The names of all volumes.
pub(crate) fn names() -> Vec<String> {
    index().into_iter().map(|(name, _)| name).collect()
}

/// Unpacks a volume into `scratch`; zeros become holes.
pub(crate) fn unpack(scratch: &Scratch, name: &str) -> PathBuf {
    unpack_from(scratch, &folder(), name)
}

/// Unpacks `name` of another folder of fixtures that share the table of capitals.
pub(crate) fn unpack_from(scratch: &Scratch, place: &Path, name: &str) -> PathBuf {
    let path = scratch.join(&format!("{name}.img"));
    let upcase = scratch.join("upcase");
    unpack_to(&folder().join("upcase.zst"), &upcase, &[]);
    let known = format!("--patch-from={}", upcase.to_str().unwrap());
    unpack_to(&place.join(format!("{name}.zst")), &path, &["--long=31", &known]);
    std::fs::remove_file(upcase).unwrap();
    path
}

/// The bytes of a volume, unpacked once.
pub(crate) fn bytes(name: &str) -> Arc<Vec<u8>> {
    static UNPACKED: LazyLock<Mutex<BTreeMap<String, Arc<Vec<u8>>>>> =
        LazyLock::new(Mutex::default);
    let mut unpacked = UNPACKED.lock().unwrap();
    let made = unpacked.entry(name.to_owned()).or_insert_with(|| {
        let scratch = Scratch::new();
        Arc::new(sparse::read(&unpack(&scratch, name)))
    });
    made.clone()
}

/// A volume as a disk in memory.
pub(crate) fn disk(name: &str) -> Arc<MemoryDisk> {
    Arc::new(MemoryDisk::new(bytes(name).to_vec()))
}

/// What ntfs-3g showed, by path.
pub(crate) fn recorded_tree(name: &str) -> BTreeMap<String, Listed> {
    packed::recorded_text(&folder(), name).lines().map(listed).collect()
}

fn listed(line: &str) -> (String, Listed) {
    let fields: Vec<&str> = line.split('\t').collect();
    let [path, kind, size, links, content, descriptor, short, streams] = fields[..] else {
        panic!("{line}")
    };
    let listed = Listed {
        kind: kind.to_owned(),
        size: size.parse().unwrap(),
        links: links.parse().unwrap(),
        content: content.to_owned(),
        descriptor: descriptor.to_owned(),
        short: (short != "-").then(|| short.to_owned()),
        streams: streams.to_owned(),
    };
    (path.to_owned(), listed)
}
