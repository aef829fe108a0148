//! Edits, by the library, of volumes with something pending: a dirty journal, orphans, quotas.

use crate::dirty::{BLOCK, FILE, bytes_of, dirty, overlay, variants};
use crate::support::image::{self, Content, ImageBuilder, Nodes};
use crate::support::oracle::{self, Verdict};
use crate::support::scratch::Scratch;
use crate::support::tree::{self, Difference, Tree};
use crate::support::{root, tools};

use regain::disk::overlay::Overlay;
use regain::error::Result;
use regain::fs::ext::Ext;
use regain::fs::path::{GuestPath, find};
use regain::fs::{
    FILE_BYTES_MAX, FileEdit, FileSystem as _, MetadataChange, NewNode, NodeId, Timestamp,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Later than everything in the images.
const CLOCK: Timestamp = Timestamp { seconds: 1_750_000_000, nanoseconds: 0 };
/// Size of a file that was being cut, of whose blocks many lie behind.
const CUT_BYTES: usize = 5000;
/// Longer than a block, so that the append allocates.
const APPENDED: usize = 5000;

fn node(fs: &Ext, path: &str) -> NodeId {
    find(fs, &GuestPath::new(path)).unwrap().unwrap_or_else(|| panic!("{path} is missing")).node
}

fn new(mode: u32, owner: u32) -> NewNode {
    NewNode { mode, uid: owner, gid: owner, xattrs: Vec::new() }
}

/// One edit of every kind: append, new directory, new file, removal.
fn edit(fs: &mut Ext) -> Result<()> {
    let key_file = node(fs, root::KEY_FILE);
    fs.append(key_file, &vec![b'k'; APPENDED])?;
    let home = node(fs, "/root");
    let ssh = fs.create_directory(home, b".ssh", &new(0o700, 0))?;
    fs.create_file(ssh, b"authorized_keys", &new(0o600, 0), root::NEW_KEY.as_bytes())?;
    let home = node(fs, "/home/admin");
    fs.remove(home, b".profile")
}

/// What [`edit`] does to a tree, and nothing else.
fn assert_only_the_edit(before: &Tree, after: &Tree, what: &str) {
    let mut differences = tree::diff(before, after);
    let mut take = |path: &str| {
        differences.remove(path).unwrap_or_else(|| panic!("{what}: {path} did not change"))
    };
    assert_eq!(take("/root/.ssh"), Difference::Added, "{what}");
    assert_eq!(take("/root/.ssh/authorized_keys"), Difference::Added, "{what}");
    assert_eq!(take("/home/admin/.profile"), Difference::Removed, "{what}");
    for (path, allowed) in [
        (root::KEY_FILE, &["content", "size", "mtime", "ctime"][..]),
        ("/root", &["links", "mtime", "ctime"]),
        ("/home/admin", &["mtime", "ctime"]),
    ] {
        let Difference::Changed(fields) = take(path) else { panic!("{what}: {path}") };
        assert!(
            fields.iter().all(|field| allowed.contains(&&**field)),
            "{what}: {path} {fields:?}"
        );
    }
    assert_eq!(differences, BTreeMap::new(), "{what}");
    let size = |tree: &Tree| tree.0[root::KEY_FILE]["size"].parse::<usize>().unwrap();
    assert_eq!(size(after), size(before) + APPENDED, "{what}");
}

fn store(scratch: &Scratch, name: &str, disk: &Overlay) -> PathBuf {
    let path = scratch.join(name);
    std::fs::write(&path, bytes_of(disk)).unwrap();
    path
}

#[test]
fn a_dirty_volume_is_replayed_and_edited_in_one_go() {
    for (name, builder, checksum, has_64bit, start) in variants() {
        let dirty = dirty(&builder, checksum, has_64bit, start);
        let disk = overlay(&dirty.path);
        let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
        let replayed = store(&dirty.scratch, "replayed.img", &disk);
        let before = tree::read(&replayed, 0);
        assert_eq!(before.0[FILE]["uid"], "1000", "{name}");
        edit(&mut fs).unwrap_or_else(|error| panic!("{name}: {error}"));
        let path = store(&dirty.scratch, "ours.img", &disk);
        oracle::assert_clean(&path, 0, name);
        assert_only_the_edit(&before, &tree::read(&path, 0), name);
        let log = tree::debugfs(path.to_str().unwrap(), &["logdump".to_owned()]).concat();
        assert!(log.contains("Journal starts at block 0"), "{name}: {log}");
    }
}

/// A volume with two orphans: `/etc/hostname` lost its name, `/etc/large` was being cut.
struct Orphans {
    scratch: Scratch,
    path: PathBuf,
}

fn number(image: &Path, path: &str) -> u32 {
    tree::read(image, 0).0[path]["inode"].parse().unwrap()
}

/// A root with a file of several blocks.
fn with_large() -> Nodes {
    let mut nodes = root::with_key();
    nodes.file("/etc/large", vec![b'x'; 50_000], 0o644, 0);
    nodes
}

impl Orphans {
    /// As a list that starts in the superblock, the file that was being cut first.
    fn in_list(features: &str) -> Self {
        Self::listed(features, |gone, cut| [cut, gone])
    }

    /// As a list, the file that was being cut last.
    fn in_reversed_list() -> Self {
        Self::listed("metadata_csum", |gone, cut| [gone, cut])
    }

    fn listed(features: &str, order: fn(u32, u32) -> [u32; 2]) -> Self {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 16).features(features).nodes(with_large());
        let path = builder.build_in(&scratch, "disk.img");
        let (gone, cut) = (number(&path, "/etc/hostname"), number(&path, "/etc/large"));
        let [first, second] = order(gone, cut);
        image::edit(
            &path,
            &[
                "unlink /etc/hostname".to_owned(),
                format!("sif <{gone}> links_count 0"),
                format!("sif <{second}> dtime 0"),
                format!("sif <{first}> dtime {second}"),
                format!("ssv last_orphan {first}"),
                format!("sif <{cut}> size {CUT_BYTES}"),
            ],
        );
        Self { scratch, path }
    }

    /// In the orphan file.
    fn in_file() -> Self {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 16).features("orphan_file").nodes(with_large());
        let path = builder.build_in(&scratch, "disk.img");
        let (gone, cut) = (number(&path, "/etc/hostname"), number(&path, "/etc/large"));
        image::edit(
            &path,
            &[
                "unlink /etc/hostname".to_owned(),
                format!("sif <{gone}> links_count 0"),
                format!("sif <{cut}> size {CUT_BYTES}"),
            ],
        );
        let header = tools::succeed("dumpe2fs", &["-h", path.to_str().unwrap()]);
        let line = header.lines().find_map(|line| line.strip_prefix("Orphan file inode:"));
        let inode: u32 = line.unwrap().trim().parse().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let block = crate::support::jbd2::blocks_of(&path, inode)[1];
        put_orphans(&mut bytes, inode, block, &[gone, cut]);
        std::fs::write(&path, bytes).unwrap();
        Self { scratch, path }
    }

    /// The image after e2fsck finished the orphans, which must be all that it has to do.
    fn finished(&self, image: &Path) -> PathBuf {
        let path = self.scratch.join("finished.img");
        tools::copy_sparse(image, &path);
        let text = e2fsck_finishes(&path);
        assert!(text.contains("Clearing orphaned inode"), "{text}");
        assert!(text.contains("Truncating orphaned inode"), "{text}");
        path
    }
}

fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Writes `orphans` into the block `block` of the orphan file, and the feature into the superblock.
fn put_orphans(image: &mut [u8], inode: u32, block: u64, orphans: &[u32]) {
    let uuid: [u8; 16] = image[1024 + 0x68..1024 + 0x78].try_into().unwrap();
    let seed = crc32c(crc32c(crc32c(!0, &uuid), &inode.to_le_bytes()), &[0; 4]);
    let content = &mut image[block as usize * BLOCK..][..BLOCK];
    for (index, orphan) in orphans.iter().enumerate() {
        content[40 + 4 * index..][..4].copy_from_slice(&orphan.to_le_bytes());
    }
    let checksum = crc32c(crc32c(seed, &block.to_le_bytes()), &content[..BLOCK - 8]);
    content[BLOCK - 4..].copy_from_slice(&checksum.to_le_bytes());
    let superblock = &mut image[1024..2048];
    superblock[0x66] |= 1;
    let checksum = crc32c(!0, &superblock[..0x3fc]);
    superblock[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn orphans_are_left_to_the_kernel() {
    for orphans in [
        Orphans::in_list("metadata_csum"),
        Orphans::in_list("^metadata_csum,^64bit,^extent"),
        Orphans::in_file(),
    ] {
        let disk = overlay(&orphans.path);
        let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
        edit(&mut fs).unwrap();
        let ours = store(&orphans.scratch, "ours.img", &disk);
        let before = tree::read(&orphans.finished(&orphans.path), 0);
        let after = tree::read(&orphans.finished(&ours), 0);
        assert_only_the_edit(&before, &after, "finished by e2fsck");
    }
}

/// An edit of a file in a directory.
type EditOf = fn(&mut Ext, NodeId, NodeId) -> Result<()>;

/// A file whose cut was interrupted is cut when it is edited; the other orphan stays for the kernel.
#[test]
fn a_file_that_was_being_cut_is_cut_before_an_edit() {
    let edits: [EditOf; 5] = [
        |fs, file, _| fs.append(file, b"x"),
        |fs, file, _| fs.replace(file, b"x"),
        |fs, _, directory| fs.remove(directory, b"large"),
        |fs, file, _| fs.set_metadata(file, &MetadataChange { uid: Some(7), ..Default::default() }),
        |fs, file, _| fs.set_xattr(file, b"user.x", Some(b"x")),
    ];
    let kept = vec![b'x'; CUT_BYTES];
    let appended = vec![b'x'; CUT_BYTES + 1];
    let expected = [Some(appended), Some(b"x".to_vec()), None, Some(kept.clone()), Some(kept)];
    for orphans in [
        Orphans::in_list("metadata_csum"),
        Orphans::in_list("^metadata_csum,^64bit,^extent"),
        Orphans::in_reversed_list(),
        Orphans::in_file(),
    ] {
        for (index, edit) in edits.iter().enumerate() {
            let disk = overlay(&orphans.path);
            let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
            let (file, directory) = (node(&fs, "/etc/large"), node(&fs, "/etc"));
            edit(&mut fs, file, directory).unwrap();
            let ours = store(&orphans.scratch, "ours.img", &disk);
            let text = e2fsck_finishes(&ours);
            let content = find(&fs, &GuestPath::new("/etc/large")).unwrap();
            let content = content.map(|found| fs.read(found.node, FILE_BYTES_MAX).unwrap());
            assert_eq!(content, expected[index], "edit {index}");
            assert!(text.contains("Clearing orphaned inode"), "edit {index}: {text}");
            assert!(!text.contains("Truncating orphaned inode"), "edit {index}: {text}");
        }
    }
}

/// Repairs a volume, whose orphans must be all that there is to do. Gives what e2fsck said.
fn e2fsck_finishes(path: &Path) -> String {
    let output = tools::run("e2fsck", &["-fy", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{text}");
    assert!(!text.contains("wrong") && !text.contains("Fix"), "{text}");
    oracle::assert_clean(path, 0, "after e2fsck");
    text
}

/// The orphan file is a file like any other to somebody who lies about it.
#[test]
fn a_hostile_orphan_file_refuses_the_edit() {
    let orphans = Orphans::in_file();
    let header = tools::succeed("dumpe2fs", &["-h", orphans.path.to_str().unwrap()]);
    let line = header.lines().find_map(|line| line.strip_prefix("Orphan file inode:"));
    let inode = line.unwrap().trim().to_owned();
    for command in [
        format!("sif <{inode}> size 0x100000000000"),
        format!("sif <{inode}> size 0x2000000"),
        "ssv orphan_file_inum 8".to_owned(),
        "ssv orphan_file_inum 0".to_owned(),
        "ssv orphan_file_inum 4000000000".to_owned(),
    ] {
        let path = orphans.scratch.join("hostile.img");
        tools::copy_sparse(&orphans.path, &path);
        image::edit(&path, std::slice::from_ref(&command));
        let disk = overlay(&path);
        let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
        let file = node(&fs, root::KEY_FILE);
        assert!(fs.append(file, b"x").is_err(), "{command}");
        assert_eq!(disk.changes().unwrap(), [], "{command}");
    }
}

/// A root with files of several owners and a directory whose project is inherited.
fn quota_image(scratch: &Scratch, features: &str) -> PathBuf {
    let mut nodes: Nodes = root::with_key();
    nodes.file("/var/of-seven", vec![b'7'; 9000], 0o644, 7);
    nodes.add("/var/pipe", Content::Fifo, 0o600, 8);
    let mut builder = ImageBuilder::new("ext4", 32).features(features).nodes(nodes);
    if features.contains("project") {
        // EXTENTS and PROJINHERIT.
        builder = builder.script(["sif /var flags 0x20080000", "sif /var projid 77"]);
    }
    builder.build_in(scratch, "disk.img")
}

#[test]
fn quotas_follow_every_edit() {
    for features in ["quota", "quota,project", "quota,project,bigalloc", "quota,^metadata_csum"] {
        let scratch = Scratch::new();
        let path = quota_image(&scratch, features);
        let disk = overlay(&path);
        let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
        edit(&mut fs).unwrap();
        let var = node(&fs, "/var");
        // Many owners that the quota files do not know, in every part of their radix tree.
        for (index, owner) in (0..40u32).map(|index| (index, index * 104_729_011)).skip(1) {
            let name = format!("new-{index}").into_bytes();
            let content = vec![b'n'; 300 * index as usize];
            fs.create_file(var, &name, &new(0o600, owner), &content).unwrap();
        }
        let directory = fs.create_directory(var, b"below", &new(0o755, 9)).unwrap();
        let file = fs.create_file(directory, b"file", &new(0o644, 9), &vec![9; 20_000]).unwrap();
        let owner = MetadataChange { uid: Some(4242), gid: Some(4343), ..Default::default() };
        fs.set_metadata(file, &owner).unwrap();
        fs.set_xattr(file, b"user.big", Some(&[b'x'; 3000])).unwrap();
        let seven = node(&fs, "/var/of-seven");
        fs.replace(seven, b"short").unwrap();
        fs.remove(var, b"new-17").unwrap();
        fs.remove(directory, b"file").unwrap();
        let ours = store(&scratch, "ours.img", &disk);
        oracle::assert_clean(&ours, 0, features);
        let tree = tree::read(&ours, 0);
        if features.contains("project") {
            assert_eq!(tree.0["/var/below"]["project"], "77");
            assert_eq!(tree.0["/var/new-3"]["project"], "77");
            assert_eq!(tree.0["/root/.ssh"]["project"], "0");
        }
        // The oracle does look at the quotas.
        image::edit(&ours, &["sif /var/new-3 uid 1".to_owned()]);
        assert!(matches!(oracle::check(&ours, 0), Verdict::Findings(_)), "{features}");
    }
}

/// A file that only the journal knows changes its owner and grows.
#[test]
fn a_volume_that_a_replay_and_an_edit_share_keeps_its_quotas() {
    let (name, builder, checksum, has_64bit, start) =
        variants().into_iter().find(|(name, ..)| name.contains("quota")).unwrap();
    let dirty = dirty(&builder, checksum, has_64bit, start);
    let disk: Arc<Overlay> = overlay(&dirty.path);
    let mut fs = Ext::open(disk.clone(), CLOCK).unwrap();
    let file = node(&fs, FILE);
    let owner = MetadataChange { uid: Some(31), ..MetadataChange::default() };
    fs.set_metadata(file, &owner).unwrap();
    fs.append(file, &[1; 10_000]).unwrap();
    oracle::assert_clean(&store(&dirty.scratch, "ours.img", &disk), 0, name);
}
