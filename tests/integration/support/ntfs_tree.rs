//! A whole NTFS tree as three readers show it: the `ntfs` crate, ntfs-3g in a mount, and our own.

use super::digest;
use super::tree::{Fields, Tree};
use ntfs::attribute_value::NtfsAttributeValue;
use ntfs::structured_values::{NtfsFileName, NtfsFileNamespace};
use ntfs::{Ntfs, NtfsAttributeFlags, NtfsAttributeType, NtfsFile, NtfsReadSeek};
use regain::fs::{FileSystem, NodeId, NodeKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

/// The root directory.
const ROOT: u64 = 5;
/// Records below this are the system's.
const FIRST_USER_RECORD: u64 = 24;

/// The content of what the crate cannot read.
pub(crate) const UNREADABLE: &str = "unreadable";

type Disk<'a> = Cursor<&'a [u8]>;

/// Everything that the `ntfs` crate shows.
///
/// Keys of each path: `type`, `size`, `record`, `sequence`, `links`, `flags`, `security`, `mtime`, `ctime`, `crtime`,
/// `short`, `content` (which may be [`UNREADABLE`]), and `stream NAME`.
pub(crate) fn of_crate(volume: &[u8]) -> Tree {
    let mut disk = Cursor::new(volume);
    let mut ntfs = Ntfs::new(&mut disk).unwrap();
    ntfs.read_upcase_table(&mut disk).unwrap();
    let mut tree = BTreeMap::new();
    let mut waiting = vec![(String::new(), ROOT)];
    while let Some((path, record)) = waiting.pop() {
        let file = ntfs.file(&mut disk, record).unwrap();
        if file.is_directory() {
            let below = entries(&file, &mut disk);
            waiting
                .extend(below.into_iter().map(|(name, record)| (format!("{path}/{name}"), record)));
        }
        let shown = if path.is_empty() { "/".to_owned() } else { path };
        let fields = fields(&file, &mut disk);
        assert!(tree.insert(shown.clone(), fields).is_none(), "{shown} twice");
    }
    Tree(tree)
}

fn entries(directory: &NtfsFile<'_>, disk: &mut Disk<'_>) -> Vec<(String, u64)> {
    let index = directory.directory_index(disk).unwrap();
    let mut entries = index.entries();
    let mut found = Vec::new();
    while let Some(entry) = entries.next(disk) {
        let entry = entry.unwrap();
        let name = entry.key().unwrap().unwrap();
        let record = entry.file_reference().file_record_number();
        if name.namespace() != NtfsFileNamespace::Dos && record >= FIRST_USER_RECORD {
            found.push((name.name().to_string_lossy(), record));
        }
    }
    found
}

fn fields(file: &NtfsFile<'_>, disk: &mut Disk<'_>) -> Fields {
    let information = file.info().unwrap();
    let mut fields = Fields::new();
    let mut set = |name: &str, value: String| drop(fields.insert(name.to_owned(), value));
    set("type", if file.is_directory() { "directory" } else { "file" }.to_owned());
    set("record", file.file_record_number().to_string());
    set("sequence", file.sequence_number().to_string());
    set("links", file.hard_link_count().to_string());
    set("flags", format!("{:x}", information.file_attributes()));
    set("security", format!("{:?}", information.security_id()));
    set("mtime", information.modification_time().nt_timestamp().to_string());
    set("ctime", information.mft_record_modification_time().nt_timestamp().to_string());
    set("crtime", information.creation_time().nt_timestamp().to_string());
    let mut attributes = file.attributes();
    while let Some(item) = attributes.next(disk) {
        let item = item.unwrap();
        let attribute = item.to_attribute().unwrap();
        match attribute.ty().unwrap() {
            NtfsAttributeType::FileName => {
                let name: NtfsFileName = attribute.structured_value(disk).unwrap();
                if name.namespace() == NtfsFileNamespace::Dos {
                    set("short", name.name().to_string_lossy());
                }
            }
            NtfsAttributeType::Data => {
                let name = attribute.name().unwrap().to_string_lossy();
                let content = if attribute.flags().contains(NtfsAttributeFlags::COMPRESSED) {
                    UNREADABLE.to_owned()
                } else {
                    let value = attribute.value(disk).unwrap();
                    let bytes = read(value, attribute.value_length(), disk);
                    bytes.map_or_else(|| UNREADABLE.to_owned(), |bytes| digest::of_bytes(&bytes))
                };
                if name.is_empty() {
                    set("size", attribute.value_length().to_string());
                    set("content", content);
                } else {
                    set(&format!("stream {name}"), content);
                }
            }
            NtfsAttributeType::ReparsePoint => set("reparse", "yes".to_owned()),
            NtfsAttributeType::ObjectId => set("object id", "yes".to_owned()),
            NtfsAttributeType::SecurityDescriptor => set("own descriptor", "yes".to_owned()),
            _ => {}
        }
    }
    fields
}

/// None for a stream that several attributes describe, of which the crate reads only the first.
fn read(mut value: NtfsAttributeValue<'_, '_>, len: u64, disk: &mut Disk<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut done = 0;
    while done < bytes.len() {
        let count = value.read(disk, &mut bytes[done..]).unwrap();
        if count == 0 {
            return None;
        }
        done += count;
    }
    Some(bytes)
}

/// Everything that our own reader shows: `type`, `size`, `content`, `record`, `links`, and `acl` for the digest of the
/// security descriptor.
pub(crate) fn of_reader(fs: &dyn FileSystem) -> Tree {
    let mut tree = BTreeMap::new();
    let mut waiting = vec![(String::new(), fs.root())];
    while let Some((path, node)) = waiting.pop() {
        let metadata = fs.metadata(node).unwrap();
        let mut fields = Fields::new();
        let mut set = |name: &str, value: String| drop(fields.insert(name.to_owned(), value));
        let kind = match metadata.kind {
            NodeKind::File => "file",
            NodeKind::Directory => "directory",
            _ => "other",
        };
        set("type", kind.to_owned());
        set("record", node.0.to_string());
        set("links", metadata.link_count.to_string());
        let descriptor = fs.xattr(node, b"system.ntfs_acl").unwrap().unwrap_or_default();
        set("acl", digest::of_bytes(&descriptor));
        if metadata.kind == NodeKind::File {
            set("size", metadata.size_bytes.to_string());
            // Larger files are not read as a whole.
            if metadata.size_bytes <= regain::fs::FILE_BYTES_MAX {
                let content = fs.read(node, regain::fs::FILE_BYTES_MAX).unwrap();
                set("content", digest::of_bytes(&content));
            }
        }
        if metadata.kind == NodeKind::Directory {
            waiting.extend(names(fs, node).into_iter().map(|(name, below)| {
                (format!("{path}/{}", String::from_utf8_lossy(&name)), below)
            }));
        }
        let shown = if path.is_empty() { "/".to_owned() } else { path };
        assert!(tree.insert(shown.clone(), fields).is_none(), "{shown} twice");
    }
    Tree(tree)
}

fn names(fs: &dyn FileSystem, directory: NodeId) -> Vec<(Vec<u8>, NodeId)> {
    let mut found = Vec::new();
    fs.read_dir(directory, &mut |entry| {
        found.push((entry.name, entry.node));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

/// Type, size, content and number of every path in a mount by ntfs-3g.
pub(crate) fn of_mount(root: &Path) -> Tree {
    use std::os::unix::fs::MetadataExt as _;
    let mut tree = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let host = root.join(path.trim_start_matches('/'));
        let metadata = std::fs::symlink_metadata(&host).unwrap();
        let mut fields = Fields::new();
        let mut set = |name: &str, value: String| drop(fields.insert(name.to_owned(), value));
        set("record", metadata.ino().to_string());
        let kind = match () {
            () if metadata.is_dir() => "directory",
            () if metadata.is_file() => "file",
            () => "other",
        };
        set("type", kind.to_owned());
        if metadata.is_file() {
            set("size", metadata.len().to_string());
            set("content", digest::of_file(&host));
        }
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&host).unwrap() {
                let name = entry.unwrap().file_name();
                waiting.push(format!("{path}/{}", name.to_string_lossy()));
            }
        }
        let shown = if path.is_empty() { "/".to_owned() } else { path };
        tree.insert(shown, fields);
    }
    Tree(tree)
}

/// Fails unless both trees have the same paths, and the same values of these keys where both have them.
pub(crate) fn assert_agree(a: &Tree, b: &Tree, keys: &[&str], what: &str) {
    let paths: BTreeSet<&String> = a.0.keys().chain(b.0.keys()).collect();
    for path in paths {
        let (Some(one), Some(other)) = (a.0.get(path), b.0.get(path)) else {
            panic!("{what}: only one of two readers shows {path}");
        };
        for key in keys {
            if let (Some(one), Some(other)) = (one.get(*key), other.get(*key)) {
                assert_eq!(one, other, "{what}: {path}: {key}");
            }
        }
    }
}
