//! The whole tree of a volume, as the checker reads it.

use super::Whole;
use super::attribute::{
    DATA, IS_COMPRESSED, IS_SPARSE, OBJECT_ID, REPARSE_POINT, Run, SECURITY_DESCRIPTOR,
    STANDARD_INFORMATION,
};
use super::bytes::{u32_at, u64_at};
use super::file::{File, Stream};
use super::volume::Volume;
use crate::support::digest;
use crate::support::ntfs_tree::UNREADABLE;
use crate::support::tree::{Fields, Tree};
use std::collections::BTreeMap;

/// The root directory, and the first record that is not the system's.
const ROOT: u64 = 5;
const FIRST_USER_RECORD: u64 = 24;

/// One path of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The path, with names in capitals and small letters as they are.
    pub(crate) path: String,
    /// The record number.
    pub(crate) record: u64,
    /// Bytes of the content.
    pub(crate) size: u64,
    /// A directory.
    pub(crate) is_directory: bool,
    /// Compressed, sparse, or with a reparse point.
    pub(crate) is_special: bool,
    stream: Option<Place>,
}

/// Where a content is.
#[derive(Debug, Clone)]
enum Place {
    Resident(Vec<u8>),
    Runs(Vec<Run>, u64),
}

/// All paths of a volume.
#[derive(Debug, Clone)]
pub(crate) struct Listing(pub(crate) Vec<Shown>);

/// Lists a good volume.
pub(super) fn list(whole: &Whole<'_>) -> Listing {
    let cluster = whole.volume.geometry.cluster_bytes;
    let shown = walk(whole).into_iter().map(|(path, file)| {
        let data = file.stream(DATA, "");
        let is_odd = data.is_some_and(|data| {
            data.flags & (IS_COMPRESSED | IS_SPARSE) != 0 && data.resident().is_none()
        });
        let place = data.filter(|_| !is_odd).map(|data| match data.resident() {
            Some(bytes) => Place::Resident(bytes.to_vec()),
            None => Place::Runs(data.runs().to_vec(), cluster),
        });
        Shown {
            path,
            record: file.number,
            size: data.map_or(0, Stream::data_bytes),
            is_directory: file.is_directory(),
            is_special: is_odd || file.stream(REPARSE_POINT, "").is_some(),
            stream: place,
        }
    });
    Listing(shown.collect())
}

/// The content of a file that is all initialised.
pub(crate) fn content(volume: &[u8], shown: &Shown) -> Vec<u8> {
    match &shown.stream {
        None => Vec::new(),
        Some(Place::Resident(bytes)) => bytes.clone(),
        Some(Place::Runs(runs, cluster)) => {
            let mut bytes = Vec::new();
            for run in runs {
                let start = (run.lcn.unwrap() * cluster) as usize;
                bytes.extend_from_slice(&volume[start..start + (run.count * cluster) as usize]);
            }
            bytes.truncate(shown.size as usize);
            bytes
        }
    }
}

/// Everything below the root of a good volume.
///
/// Keys of each path: `type`, `size`, `record`, `sequence`, `links`, `flags`, `security`, `mtime`, `ctime`, `crtime`,
/// `short`, `content` ([`UNREADABLE`] if compressed), `stream NAME`, and `object id`, `reparse`, `own descriptor`
/// where there is one.
pub(crate) fn tree(bytes: &[u8]) -> Tree {
    let whole = Whole::read(bytes, &mut Vec::new()).unwrap();
    let walked = walk(&whole).into_iter();
    Tree(walked.map(|(path, file)| (path, fields(file, &whole.volume))).collect())
}

/// Every path with its file.
fn walk<'a>(whole: &'a Whole<'_>) -> BTreeMap<String, &'a File> {
    let mut below: BTreeMap<u64, Vec<(String, &File)>> = BTreeMap::new();
    for file in whole.files.iter().filter(|file| file.number >= FIRST_USER_RECORD) {
        for name in file.names.iter().filter(|name| !name.is_dos()) {
            let shown = String::from_utf16_lossy(&name.name);
            below.entry(name.parent.record).or_default().push((shown, file));
        }
    }
    let root = whole.files.iter().find(|file| file.number == ROOT).unwrap();
    let mut tree = BTreeMap::from([("/".to_owned(), root)]);
    let mut waiting = vec![(String::new(), ROOT)];
    while let Some((path, number)) = waiting.pop() {
        for (name, file) in below.remove(&number).unwrap_or_default() {
            let path = format!("{path}/{name}");
            assert!(tree.insert(path.clone(), file).is_none(), "{path} twice");
            if file.is_directory() {
                waiting.push((path, file.number));
            }
        }
    }
    // What hangs below `$Extend` is the system's, too.
    below.remove(&11);
    assert!(below.is_empty(), "not below the root: {:?}", below.keys());
    tree
}

fn fields(file: &File, volume: &Volume<'_>) -> Fields {
    let mut fields = Fields::new();
    let mut set = |name: &str, value: String| drop(fields.insert(name.to_owned(), value));
    set("type", if file.is_directory() { "directory" } else { "file" }.to_owned());
    set("record", file.number.to_string());
    set("sequence", file.reference.sequence.to_string());
    set("links", file.links.to_string());
    let information = file.stream(STANDARD_INFORMATION, "").and_then(Stream::resident).unwrap();
    let times = [("crtime", 0), ("mtime", 8), ("ctime", 16)];
    for (name, at) in times {
        set(name, u64_at(information, at).unwrap().to_string());
    }
    set("flags", format!("{:x}", u32_at(information, 32).unwrap()));
    set("security", format!("{:?}", u32_at(information, 52)));
    for name in file.names.iter().filter(|name| name.is_dos()) {
        set("short", String::from_utf16_lossy(&name.name));
    }
    for stream in &file.streams {
        match stream.kind {
            DATA => {
                // In the record it is never compressed.
                let is_plain = stream.flags & IS_COMPRESSED == 0 || stream.resident().is_some();
                let content = if is_plain {
                    digest::of_bytes(&stream.read(volume).unwrap())
                } else {
                    UNREADABLE.to_owned()
                };
                if stream.name.is_empty() {
                    set("size", stream.data_bytes().to_string());
                    set("content", content);
                } else {
                    set(&format!("stream {}", String::from_utf16_lossy(&stream.name)), content);
                }
            }
            OBJECT_ID => set("object id", "yes".to_owned()),
            REPARSE_POINT => set("reparse", "yes".to_owned()),
            SECURITY_DESCRIPTOR => set("own descriptor", "yes".to_owned()),
            _ => {}
        }
    }
    fields
}
