//! A whole tree as the kernel shows it in a mount, and as our own reader shows it, in the same words.

use super::digest;
use super::tools;
use super::tree::{Fields, Tree};
use regain::fs::{FileSystem, NodeId, NodeKind, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Of a larger file only the last [`TAIL_BYTES`] are compared: it is a hole but for them.
const CONTENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const TAIL_BYTES: u64 = 4096;

/// Names of a directory that are all looked up, and behind them one in so many.
const LOOKED_UP_ALL: usize = 50;
const LOOKED_UP_EVERY: usize = 16;

/// How the kernel shows what it stores under `system.posix_acl_*`; for administrators only, and only some kernels.
const ACL_TWINS: &str = "trusted.SGI_ACL_";

/// Everything in the mounted file system at `root`.
///
/// Keys of each path: `type`, `mode`, `uid`, `gid`, `size`, `links`, `mtime`, `ctime`, `content` (SHA-256),
/// `target`, and one `xattr NAME` for each attribute.
pub(crate) fn of_kernel(root: &Path) -> Tree {
    let xattrs = kernel_xattrs(root);
    let mut tree = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let host = root.join(path.trim_start_matches('/'));
        let metadata = std::fs::symlink_metadata(&host).unwrap();
        let mut fields = kernel_fields(&host, &metadata);
        fields.extend(xattrs.get(&path).cloned().unwrap_or_default());
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&host).unwrap() {
                let name = entry.unwrap().file_name();
                waiting.push(format!("{path}/{}", name.to_str().unwrap()));
            }
        }
        let shown = if path.is_empty() { "/".to_owned() } else { path };
        tree.insert(shown, fields);
    }
    Tree(tree)
}

fn kernel_fields(host: &Path, metadata: &std::fs::Metadata) -> Fields {
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_file() => NodeKind::File,
        () if kind.is_dir() => NodeKind::Directory,
        () if kind.is_symlink() => NodeKind::Symlink,
        () if kind.is_fifo() => NodeKind::Fifo,
        () if kind.is_char_device() => NodeKind::CharDevice,
        () if kind.is_block_device() => NodeKind::BlockDevice,
        () => NodeKind::Socket,
    };
    let mut fields = Fields::new();
    let mut put = |key: &str, value: String| fields.insert(key.to_owned(), value);
    put("type", format!("{kind:?}"));
    put("mode", format!("{:04o}", metadata.mode() & 0o7777));
    put("uid", metadata.uid().to_string());
    put("gid", metadata.gid().to_string());
    put("size", metadata.size().to_string());
    put("links", metadata.nlink().to_string());
    put("mtime", time(metadata.mtime(), metadata.mtime_nsec()));
    put("ctime", time(metadata.ctime(), metadata.ctime_nsec()));
    if kind == NodeKind::File {
        let file = std::fs::File::open(host).unwrap();
        let size_bytes = metadata.size();
        let content = if size_bytes <= CONTENT_BYTES_MAX {
            digest::of_file(host)
        } else {
            let mut tail = vec![0; TAIL_BYTES as usize];
            file.read_exact_at(&mut tail, size_bytes - TAIL_BYTES).unwrap();
            digest::of_bytes(&tail)
        };
        put("content", content);
    }
    if kind == NodeKind::Symlink {
        put("target", std::fs::read_link(host).unwrap().to_str().unwrap().to_owned());
    }
    fields
}

/// The attributes of every path below `root`, as fields.
fn kernel_xattrs(root: &Path) -> BTreeMap<String, Fields> {
    let root = root.to_str().unwrap();
    let arguments = ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", root];
    let text = tools::succeed("getfattr", &arguments);
    let mut all = BTreeMap::new();
    for block in text.split("# file: ").skip(1) {
        let mut lines = block.lines();
        let path = unescaped(lines.next().unwrap());
        let mut fields = Fields::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once("=0x").unwrap_or((line, ""));
            put_xattr(&mut fields, name, &of_hex(value));
        }
        all.insert(path.strip_prefix(root).unwrap().to_owned(), fields);
    }
    all
}

/// The name of a file as getfattr prints it: `\040` is a space.
fn unescaped(name: &str) -> String {
    let mut parts = name.split('\\');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(3);
        text.push(char::from(u8::from_str_radix(digits, 8).unwrap()));
        text.push_str(rest);
    }
    text
}

fn of_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn put_xattr(fields: &mut Fields, name: &str, value: &[u8]) {
    if !name.starts_with(ACL_TWINS) {
        let shown = match str::from_utf8(value) {
            Ok(text) if value.len() <= 64 => text.escape_debug().to_string(),
            _ => format!("{} bytes, {}", value.len(), digest::of_bytes(value)),
        };
        fields.insert(format!("xattr {name}"), shown);
    }
}

fn time(seconds: i64, nanoseconds: i64) -> String {
    format!("{seconds}.{nanoseconds:09}")
}

/// Everything that our own reader shows.
///
/// # Panics
/// If it fails anywhere, or shows a name twice.
pub(crate) fn of_reader(fs: &dyn FileSystem) -> Tree {
    let mut tree = BTreeMap::new();
    let mut waiting = vec![(String::new(), fs.root())];
    while let Some((path, node)) = waiting.pop() {
        let shown = if path.is_empty() { "/".to_owned() } else { path.clone() };
        let fields = reader_fields(fs, node).unwrap_or_else(|error| panic!("{shown}: {error}"));
        if fields["type"] == "Directory" {
            let mut count = 0;
            fs.read_dir(node, &mut |entry| {
                let name = String::from_utf8(entry.name.clone()).unwrap();
                // Of a crowd, a sample: looking up is dear where nothing is optimised.
                count += 1;
                if count < LOOKED_UP_ALL || count % LOOKED_UP_EVERY == 0 {
                    assert_eq!(fs.lookup(node, &entry.name)?, Some(entry.node), "{shown}: {name}");
                }
                waiting.push((format!("{path}/{name}"), entry.node));
                Ok(ControlFlow::Continue(()))
            })
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        assert!(tree.insert(shown.clone(), fields).is_none(), "{shown} is there twice");
    }
    Tree(tree)
}

fn reader_fields(fs: &dyn FileSystem, node: NodeId) -> regain::error::Result<Fields> {
    let metadata = fs.metadata(node)?;
    let mut fields = Fields::new();
    let mut put = |key: &str, value: String| fields.insert(key.to_owned(), value);
    let shown = |at: Timestamp| time(at.seconds, i64::from(at.nanoseconds));
    put("type", format!("{:?}", metadata.kind));
    put("mode", format!("{:04o}", metadata.mode));
    put("uid", metadata.uid.to_string());
    put("gid", metadata.gid.to_string());
    put("size", metadata.size_bytes.to_string());
    put("links", metadata.link_count.to_string());
    put("mtime", shown(metadata.modified));
    put("ctime", shown(metadata.changed));
    if metadata.kind == NodeKind::File {
        let size_bytes = metadata.size_bytes;
        let is_large = size_bytes > CONTENT_BYTES_MAX;
        let start = if is_large { size_bytes - TAIL_BYTES } else { 0 };
        let content = fs.read_at(node, start, (size_bytes - start) as usize)?;
        put("content", digest::of_bytes(&content));
    }
    if metadata.kind == NodeKind::Symlink {
        put("target", String::from_utf8(fs.read_link(node)?).unwrap());
    }
    for xattr in fs.xattrs(node)? {
        let is_list = xattr.name.starts_with(b"system.posix_acl_");
        let value = if is_list { as_getxattr(&xattr.value) } else { xattr.value };
        put_xattr(&mut fields, str::from_utf8(&xattr.name).unwrap(), &value);
    }
    Ok(fields)
}

/// An access control list as the kernel shows it. Version 1, as ext stores it, has no number where there is nobody
/// to name.
fn as_getxattr(list: &[u8]) -> Vec<u8> {
    if list[..4] != [1, 0, 0, 0] {
        return list.to_vec();
    }
    let mut shown = vec![2, 0, 0, 0];
    let mut rest = &list[4..];
    while !rest.is_empty() {
        let has_number = matches!(rest[0], 2 | 8);
        let (entry, behind) = rest.split_at(if has_number { 8 } else { 4 });
        shown.extend(entry);
        if !has_number {
            shown.extend([0xff; 4]);
        }
        rest = behind;
    }
    shown
}

/// The text of a `.tree` file: a line for each path, with its fields.
pub(crate) fn encode(tree: &Tree) -> String {
    let mut text = String::new();
    for (path, fields) in &tree.0 {
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        writeln!(text, "{path}\t{}", fields.join("\t")).unwrap();
    }
    text
}

/// The tree in such a text.
pub(crate) fn decode(text: &str) -> Tree {
    let line = |line: &str| {
        let mut parts = line.split('\t');
        let path = parts.next().unwrap().to_owned();
        let fields = parts.map(|part| part.split_once('=').unwrap());
        let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
        (path, fields.collect())
    };
    Tree(text.lines().map(line).collect())
}

/// Fails unless both trees are equal, and names what is not.
pub(crate) fn assert_equal(expected: &Tree, found: &Tree, what: &str) {
    let differences = super::tree::diff(expected, found);
    let shown: Vec<String> = differences
        .iter()
        .take(8)
        .map(|(path, difference)| {
            let (old, new) = (expected.0.get(path), found.0.get(path));
            format!("{path}: {difference:?}\n  expected {old:?}\n  found    {new:?}")
        })
        .collect();
    assert!(differences.is_empty(), "{what}: {} differ:\n{}", differences.len(), shown.join("\n"));
}
