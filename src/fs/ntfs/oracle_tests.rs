//! Our reader before volumes that ntfs-3g filled: the same names, contents, times and descriptors.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::testing::{CLOCK, Image, succeed};
use super::{Ntfs, attribute, units};
use crate::bytes::checksum::sha256;
use crate::disk::overlay::Overlay;
use crate::error::{ErrorKind, Refusal};
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::fs::probe::probe;
use crate::fs::{FileSystem, Health, NTFS_ACL_NAME, NodeId, NodeKind};
use attribute::AttributeKind;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use units::{MftRecordNumber, Vcn};

/// What is known about a file, in both views.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    is_directory: bool,
    size_bytes: u64,
    links: u32,
    modified: (i64, u32),
    content: [u8; 32],
    descriptor: Vec<u8>,
}

/// The security descriptors of everything below `root`, by path.
fn descriptors(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let text = root.to_str().unwrap();
    let arguments =
        ["-R", "-h", "-P", "--absolute-names", "-n", "system.ntfs_acl", "-e", "hex", text];
    let said = String::from_utf8(succeed("getfattr", &arguments)).unwrap();
    let blocks = said.split("\n\n").filter_map(|block| {
        let (path, value) = block.trim().strip_prefix("# file: ")?.split_once('\n')?;
        let value = value.strip_prefix("system.ntfs_acl=0x")?;
        let digits = value.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let value = digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
        Some((unescaped(path), value))
    });
    blocks.collect()
}

/// A path as getfattr prints it: three octal digits behind a backslash for what is not ASCII.
fn unescaped(path: &str) -> Vec<u8> {
    let mut parts = path.split('\\');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..3], 8).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[3..]);
    }
    bytes
}

fn tree_of_mount(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut tree = BTreeMap::new();
    let descriptors = descriptors(root);
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let is_directory = metadata.is_dir();
            if is_directory {
                pending.push(path.clone());
            }
            let content = if is_directory { Vec::new() } else { std::fs::read(&path).unwrap() };
            let seen = Seen {
                is_directory,
                size_bytes: if is_directory { 0 } else { metadata.len() },
                links: if is_directory { 1 } else { u32::try_from(metadata.nlink()).unwrap() },
                modified: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap()),
                content: sha256(&content),
                descriptor: descriptors[path.as_os_str().as_bytes()].clone(),
            };
            let inside = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            tree.insert([b"/".as_slice(), &inside].concat(), seen);
        }
    }
    tree
}

fn tree_of_reader(fs: &Ntfs) -> BTreeMap<Vec<u8>, Seen> {
    let mut tree = BTreeMap::new();
    let mut pending = vec![(fs.root(), Vec::new())];
    while let Some((directory, path)) = pending.pop() {
        let mut entries = Vec::new();
        fs.read_dir(directory, &mut |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        for entry in entries {
            let path = [path.as_slice(), b"/", &entry.name].concat();
            assert_eq!(fs.lookup(directory, &entry.name).unwrap(), Some(entry.node));
            let metadata = fs.metadata(entry.node).unwrap();
            let is_directory = metadata.kind == NodeKind::Directory;
            if is_directory {
                pending.push((entry.node, path.clone()));
            }
            let content = if is_directory { Vec::new() } else { in_pieces(fs, entry.node) };
            let seen = Seen {
                is_directory,
                size_bytes: metadata.size_bytes,
                links: metadata.link_count,
                modified: (metadata.modified.seconds, metadata.modified.nanoseconds),
                content: sha256(&content),
                descriptor: fs.xattr(entry.node, NTFS_ACL_NAME).unwrap().unwrap(),
            };
            tree.insert(path, seen);
        }
    }
    tree
}

/// The content, read in pieces that fit nothing.
fn in_pieces(fs: &Ntfs, node: NodeId) -> Vec<u8> {
    const LEN: usize = 50_021;
    let mut content = Vec::new();
    loop {
        let piece = fs.read_at(node, content.len() as u64, LEN).unwrap();
        content.extend_from_slice(&piece);
        if piece.len() < LEN {
            return content;
        }
    }
}

fn node(fs: &Ntfs, path: &str) -> NodeId {
    match resolve(fs, &GuestPath::new(path), false).unwrap() {
        Resolution::Found(found) => found.node,
        missing @ Resolution::Missing { .. } => panic!("{path}: {missing:?}"),
    }
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Files of every form: in the record, in clusters, with holes, of no size, with many names, in large directories.
fn fill(root: &Path) {
    let deep = root.join("Windows/System32/config");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(root.join("empty"), b"").unwrap();
    std::fs::write(root.join("resident"), noise(300, 1)).unwrap();
    std::fs::write(deep.join("SOFTWARE"), noise(1_234_567, 2)).unwrap();
    std::fs::write(root.join("Zo\u{eb} \u{1f600}.txt"), b"name").unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(5000, 3), 3_000_000).unwrap();
    sparse.write_all_at(&noise(5000, 4), 100_000).unwrap();
    sparse.set_len(3_500_001).unwrap();
    std::fs::hard_link(root.join("resident"), deep.join("second name")).unwrap();
    let many = root.join("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..300 {
        let name = format!("a file with a long name, number {number}");
        std::fs::write(many.join(name), noise(number, 5)).unwrap();
    }
}

/// WIN-11, WIN-104, WIN-105, WIN-107: clusters from 512 bytes to 2 MiB, sectors of 512 and 4096 bytes.
#[test]
fn volumes_read_as_ntfs_3g_reads_them() {
    for (mib, options) in [
        (16, &["-c", "512"][..]),
        (16, &["-c", "4096"]),
        (32, &["-c", "65536"]),
        (64, &["-c", "1048576"]),
        (192, &["-c", "2097152"]),
        (16, &["-s", "4096"]),
        (32, &["-s", "4096", "-c", "65536"]),
    ] {
        let image = Image::make(mib, &[options, &["-L", "Wolke \u{e9}"]].concat());
        image.mounted("efs_raw", fill);
        let expected = image.mounted("ro", tree_of_mount);
        let fs = image.open();
        let found = tree_of_reader(&fs);
        assert!(found.len() > 305, "{options:?}");
        for (path, expected) in &expected {
            let path_text = String::from_utf8_lossy(path);
            assert_eq!(found.get(path), Some(expected), "{options:?} {path_text}");
        }
        assert_eq!(found.len(), expected.len(), "{options:?}");
        let (identity, probe) = (fs.identity(), probe(&*image.overlay()).unwrap().unwrap());
        assert_eq!(identity.label, "Wolke \u{e9}".as_bytes());
        assert_eq!((probe.label, probe.uuid), (identity.label, identity.uuid));
        assert_eq!((fs.health(), fs.warnings()), (Health::Clean, &[][..]));
        fs.check_writable().unwrap();
        let any_case = node(&fs, "/WINDOWS/system32/Config/software");
        assert_eq!(any_case, node(&fs, "/Windows/System32/config/SOFTWARE"));
        assert_eq!(fs.lookup(fs.root(), b"$MFT").unwrap(), None);
        assert_eq!(fs.lookup(fs.root(), b"absent").unwrap(), None);
        assert_eq!(fs.lookup(fs.root(), b"\xff").unwrap(), None);
    }
}

/// LZNT1 as ntfs-3g writes it, with holes and with units that do not shrink.
#[test]
fn compressed_files_are_read() {
    for cluster in ["512", "4096"] {
        let image = Image::make(16, &["-C", "-c", cluster]);
        image.mounted("compression", |root| {
            let text = "All names are matched case-insensitively. ".repeat(20_000);
            std::fs::write(root.join("text"), &text).unwrap();
            std::fs::write(root.join("noise"), noise(200_000, 7)).unwrap();
            let mixed = [text.as_bytes(), &noise(100_000, 8), text.as_bytes()].concat();
            std::fs::write(root.join("mixed"), mixed).unwrap();
            let sparse = std::fs::File::create(root.join("holes")).unwrap();
            sparse.write_all_at(&text.as_bytes()[..70_000], 1_000_000).unwrap();
            std::fs::write(root.join("short"), b"short").unwrap();
        });
        let expected = image.mounted("ro,compression", tree_of_mount);
        let fs = image.open();
        let found = tree_of_reader(&fs);
        assert_eq!(found, expected, "{cluster}");
        let file = fs.file(node(&fs, "/text")).unwrap();
        let stream = file.stream(&fs.volume, AttributeKind::DATA, &[]).unwrap().unwrap();
        assert!(stream.is_compressed() && stream.runs().unwrap().has_holes(), "{cluster}");
        let error = stream.overwrite(&fs.volume, 0, b"x", "test").unwrap_err();
        assert!(error.to_string().contains("compressed clusters"), "{error}");
    }
}

/// Attribute lists: of a file with many runs, and of one with many names; and an MFT in pieces.
#[test]
fn attributes_in_other_records_are_found() {
    let image = Image::make(8, &["-c", "512"]);
    image.mounted("efs_raw", |root| {
        std::fs::write(root.join("first name"), b"x").unwrap();
        for number in 0..60 {
            std::fs::hard_link(root.join("first name"), root.join(format!("name {number}")))
                .unwrap();
        }
        // A full volume with holes of the size of an index block in it.
        for number in 0..1000 {
            std::fs::write(root.join(format!("filler {number}")), noise(4000, number)).unwrap();
        }
        let fill = || -> std::io::Result<()> {
            let mut last = std::fs::File::create(root.join("last"))?;
            loop {
                last.write_all(&[1; 4096])?;
            }
        };
        fill().unwrap_err();
        // Neighbours in number are not neighbours on the volume.
        for number in (0..1000).filter(|number| number % 4 < 2) {
            std::fs::remove_file(root.join(format!("filler {number}"))).unwrap();
        }
        // The list of its pieces needs further records, for which there is no room at some point.
        let _ = std::fs::write(root.join("pieces"), noise(1_200_000, 9));
        // Records that were freed, and then new ones, until nothing is left.
        let record =
            |number| std::fs::write(root.join(format!("record {number}")), noise(10, number));
        let made = (0..3000).take_while(|number| record(*number).is_ok()).count();
        assert!(made > 700, "{made}");
    });
    let expected = image.mounted("ro", tree_of_mount);
    let fs = image.open();
    assert_eq!(tree_of_reader(&fs), expected);
    for path in ["/pieces", "/first name"] {
        let file = fs.file(node(&fs, path)).unwrap();
        let runs = file.stream(&fs.volume, AttributeKind::DATA, &[]).unwrap();
        assert!(!file.extensions.is_empty(), "{path} fits one record: {runs:?}");
    }
    assert_eq!(fs.metadata(node(&fs, "/first name")).unwrap().link_count, 61);
    let pieces = fs.volume.mft().stream().runs().unwrap().runs().len();
    assert!(pieces > 50, "the MFT lies in {pieces} pieces");
}

fn set_reparse(path: &Path, value: &[u8]) {
    let mut hex = "0x".to_owned();
    for byte in value {
        write!(hex, "{byte:02x}").unwrap();
    }
    let text = path.to_str().unwrap();
    let arguments = ["-h", "-n", "system.ntfs_reparse_data", "-v", &hex, text];
    succeed("setfattr", &arguments);
}

fn link_data(tag: u32, flags: Option<u32>, target: &str) -> Vec<u8> {
    let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let len = u16::try_from(name.len()).unwrap();
    let flags = flags.map(|flags| flags.to_le_bytes().to_vec()).unwrap_or_default();
    let data_len = u16::try_from(8 + flags.len() + 2 * name.len()).unwrap();
    let mut bytes = tag.to_le_bytes().to_vec();
    for field in [data_len, 0, 0, len, len, len] {
        bytes.extend(field.to_le_bytes());
    }
    [bytes, flags, name.clone(), name].concat()
}

/// WIN-106: links stay on the volume; content that a filter keeps is refused by name.
#[test]
fn reparse_points_lead_nowhere_else() {
    let image = Image::make(16, &[]);
    let targets = [
        ("link", 0xa000_000c, Some(1), r"dir\file"),
        ("rooted", 0xa000_000c, Some(1), r"\dir\file"),
        ("out", 0xa000_000c, Some(1), r"..\..\..\dir\file"),
        ("drive", 0xa000_000c, Some(0), r"\??\D:\dir\file"),
        ("share", 0xa000_000c, Some(1), r"\\host\share"),
    ];
    image.mounted("efs_raw", |root| {
        std::fs::create_dir_all(root.join("dir")).unwrap();
        std::fs::create_dir_all(root.join("junction")).unwrap();
        std::fs::write(root.join("dir/file"), b"content").unwrap();
        for (name, tag, flags, target) in targets {
            std::fs::write(root.join(name), b"").unwrap();
            set_reparse(&root.join(name), &link_data(tag, flags, target));
        }
        let junction = link_data(0xa000_0003, None, r"\??\C:\dir");
        set_reparse(&root.join("junction"), &junction);
        std::fs::write(root.join("wof"), b"stub").unwrap();
        set_reparse(&root.join("wof"), &[0x17, 0, 0, 0x80, 4, 0, 0, 0, 1, 0, 0, 0]);
    });
    let fs = image.open();
    let file = node(&fs, "/dir/file");
    for (name, kept) in
        [("link", true), ("rooted", true), ("out", true), ("drive", false), ("share", false)]
    {
        let link = node(&fs, &format!("/{name}"));
        assert_eq!(fs.metadata(link).unwrap().kind, NodeKind::Symlink, "{name}");
        let resolved = resolve(&fs, &GuestPath::new(name), true);
        match resolved {
            Ok(Resolution::Found(found)) if kept => assert_eq!(found.node, file, "{name}"),
            Err(error) if !kept => assert_eq!(error.kind_name(), "refused", "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let junction = node(&fs, "/junction");
    assert_eq!(fs.metadata(junction).unwrap().kind, NodeKind::Symlink);
    let error = fs.read_link(junction).unwrap_err();
    assert!(error.to_string().contains("is a link to \\x5c??\\x5cC:\\x5cdir"), "{error}");
    let error = fs.read(node(&fs, "/wof"), 100).unwrap_err();
    assert!(error.to_string().contains("Windows Overlay Filter"), "{error}");
}

/// WIN-17, WIN-20 to WIN-23 on a real volume: a field is changed, and the gate says so.
#[test]
fn gates_close_on_real_volumes() {
    let image = Image::make(16, &[]);
    let fs = image.open();
    let volume = MftRecordNumber::VOLUME;
    let record = fs.volume.read_record(volume).unwrap();
    let kind = AttributeKind::VOLUME_INFORMATION;
    let attribute = record.attribute(kind, &[]).unwrap().unwrap();
    let at = attribute.offset + attribute.resident().unwrap().value_offset;
    for (offset, value, expected) in [
        (8, 2, "NTFS 2.1"),
        (9, 0, "NTFS 3.0"),
        (10, 1, "marked as dirty"),
        (10, 4, "upgrade"),
        (11, 0x40, "chkdsk"),
    ] {
        let overlay = image.overlay();
        let fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
        let mut changed = record.clone();
        changed.put(at + offset, &[value]).unwrap();
        fs.volume.write_record(&changed).unwrap();
        let fs = Ntfs::open(overlay, CLOCK).unwrap();
        let error = fs.check_writable().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let log = fs.file(NodeId(MftRecordNumber::LOG_FILE.0)).unwrap();
    let log = log.stream(&fs.volume, AttributeKind::DATA, &[]).unwrap().unwrap();
    for at in [0, 100_000, 256 * 1024, log.size_bytes() - 1] {
        let overlay = image.overlay();
        let fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
        log.overwrite(&fs.volume, at, &[0], "log").unwrap();
        let mut fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
        let error = fs.check_writable().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::DirtyLog { .. })), "{error}");
        if at == 0 {
            assert_eq!(fs.health(), Health::JournalDirty);
            clear_and_check(&mut fs, &overlay);
        }
    }
}

/// The log is emptied with the fewest sectors, and chkdsk will run.
fn clear_and_check(fs: &mut Ntfs, overlay: &Arc<Overlay>) {
    fs.allow_unclean_log();
    fs.check_writable().unwrap();
    fs.settle_log().unwrap();
    let again = Ntfs::open(overlay.clone(), CLOCK).unwrap();
    assert_eq!(again.health(), Health::Errors);
    let error = again.check_writable().unwrap_err().to_string();
    assert!(error.contains("marked as dirty"), "{error}");
    let log = again.file(NodeId(MftRecordNumber::LOG_FILE.0)).unwrap();
    let log = log.stream(&again.volume, AttributeKind::DATA, &[]).unwrap().unwrap();
    let content = log.read(&again.volume, 0, log.size_bytes() as usize).unwrap();
    assert!(content.iter().all(|&byte| byte == 0xff));
    let changed: u64 = overlay.written().iter().map(|range| range.end - range.start).sum();
    assert!(changed <= 4096, "{changed} bytes changed");
}

/// WIN-17: hibernated, whatever the file is made of.
#[test]
fn a_hibernated_volume_is_refused() {
    for (content, is_hibernated) in
        [(&b"hibr"[..], true), (b"", true), (b"HIBR and more", true), (&[0; 4096], false)]
    {
        let image = Image::make(16, &[]);
        let mut padded = content.to_vec();
        if content.starts_with(b"HIBR") {
            padded.resize(10_000, 1);
        }
        image.mounted("efs_raw", |root| {
            std::fs::write(root.join("HiberFil.sys"), &padded).unwrap();
        });
        let mut fs = image.open();
        fs.allow_unclean_log();
        assert_eq!(fs.health() == Health::Hibernated, is_hibernated);
        match fs.check_writable() {
            Ok(()) => assert!(!is_hibernated),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::Hibernated)));
            }
        }
    }
}

/// Opening a large volume reads next to nothing of it.
#[test]
fn opening_reads_little() {
    let image = Image::make(1 << 20, &[]);
    let file = std::fs::File::open(&image.path).unwrap();
    let disk = Arc::new(crate::disk::file::FileDisk::new(file, 1 << 40, 512));
    let fs = Ntfs::open(Arc::new(Overlay::new(disk.clone())), CLOCK).unwrap();
    assert!(fs.lookup(fs.root(), b"x").unwrap().is_none());
    let read = disk.bytes_read();
    assert!(read < 1 << 20, "{read} bytes read");
}

/// A record of the MFT behind its first run, and the copy of the first ones.
#[test]
fn the_mirror_is_the_beginning_of_the_mft() {
    let image = Image::make(16, &[]);
    let fs = image.open();
    let mft = fs.volume.mft();
    assert_eq!(mft.mirrored(), 4);
    let len = 4096;
    let records = mft.stream().read(&fs.volume, 0, len).unwrap();
    assert_eq!(mft.mirror().read(&fs.volume, 0, len).unwrap(), records);
    assert!(fs.volume.read_record(MftRecordNumber(mft.records())).is_err());
    assert!(mft.stream().runs().unwrap().find(Vcn(0)).is_some());
    let said = Command::new("ntfsinfo").args(["-m"]).arg(&image.path).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("FILE_MFTMirr Size: 4"));
}
