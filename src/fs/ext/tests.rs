//! The whole of `ext` against images that mke2fs made, judged by e2fsck and debugfs.

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::testing;
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileEdit as _, FileSystem as _, MetadataChange, NewNode};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

pub(super) const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

/// A populated image in a temporary directory.
pub(super) struct Image {
    _dir: tempfile::TempDir,
    pub(super) path: PathBuf,
}

/// Runs a tool that must succeed, and gives what it printed.
pub(super) fn run(tool: &str, args: &[&str]) -> String {
    let output = Command::new(testing::program(tool)).args(args).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {args:?}: {text}");
    text
}

impl Image {
    /// Makes an image with mke2fs and a small tree in it.
    pub(super) fn new(size: &str, args: &[&str]) -> Self {
        let dir = testing::directory();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("home/admin/.ssh")).unwrap();
        fs::create_dir_all(tree.join("etc/many")).unwrap();
        write(&tree.join("home/admin/.ssh/authorized_keys"), b"ssh-ed25519 AAAA old\n");
        write(&tree.join("etc/small"), b"tiny\n");
        write(&tree.join("etc/empty"), b"");
        write(&tree.join("etc/large"), &pattern(300_000));
        for index in 0..40 {
            write(&tree.join(format!("etc/many/file-with-a-longer-name-{index}")), b"x");
        }
        std::os::unix::fs::symlink("small", tree.join("etc/fast")).unwrap();
        std::os::unix::fs::symlink("../etc/".repeat(12) + "small", tree.join("etc/slow")).unwrap();
        let path = dir.path().join("disk.img");
        let (tree, name) = (tree.to_str().unwrap(), path.to_str().unwrap());
        let mut all = vec!["-q", "-F"];
        all.extend(args);
        all.extend(["-d", tree, name, size]);
        run("mke2fs", &all);
        if args.iter().any(|arg| arg.contains("quota")) {
            // mke2fs counts the quota before it copies the tree.
            let repair = Command::new(testing::program("e2fsck")).args(["-fy", name]).output();
            assert_eq!(repair.unwrap().status.code(), Some(1));
        }
        Self { _dir: dir, path }
    }

    pub(super) fn overlay(&self) -> Arc<Overlay> {
        Arc::new(Overlay::new(Arc::new(MemoryDisk::new(fs::read(&self.path).unwrap()))))
    }
}

#[allow(clippy::disallowed_methods, reason = "test trees")]
pub(super) fn write(path: &std::path::Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 7 % 251) as u8).collect()
}

/// Every geometry and feature mix that reading and editing are tried on.
pub(super) const MIXES: &[(&str, &str, &[&str])] = &[
    ("ext4-1k", "24M", &["-t", "ext4", "-b", "1024"]),
    ("ext4-2k", "24M", &["-t", "ext4", "-b", "2048"]),
    ("ext4-4k", "32M", &["-t", "ext4", "-b", "4096"]),
    ("ext2-1k", "16M", &["-t", "ext2", "-b", "1024"]),
    ("ext2-4k", "16M", &["-t", "ext2", "-b", "4096"]),
    ("ext3", "24M", &["-t", "ext3", "-b", "1024"]),
    ("inode-128", "24M", &["-t", "ext4", "-I", "128"]),
    ("inode-512", "24M", &["-t", "ext4", "-I", "512"]),
    ("uninit-bg", "24M", &["-t", "ext4", "-O", "^metadata_csum,uninit_bg", "-g", "2048"]),
    ("32bit", "24M", &["-t", "ext4", "-O", "^64bit", "-g", "2048"]),
    ("csum-seed", "24M", &["-t", "ext4", "-O", "metadata_csum_seed"]),
    ("bigalloc", "64M", &["-t", "ext4", "-O", "bigalloc", "-b", "4096", "-C", "16384"]),
    ("meta-bg", "64M", &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"]),
    ("sparse-super2", "64M", &["-t", "ext4", "-O", "sparse_super2", "-b", "1024"]),
    ("inline", "24M", &["-t", "ext4", "-O", "inline_data", "-I", "256"]),
    ("no-flex", "32M", &["-t", "ext4", "-O", "^flex_bg", "-b", "1024"]),
    ("quota", "24M", &["-t", "ext4", "-O", "quota", "-E", "quotatype=usrquota:grpquota"]),
    ("project", "24M", &["-t", "ext4", "-O", "quota,project", "-I", "256"]),
    ("orphan-file", "24M", &["-t", "ext4", "-O", "orphan_file"]),
    ("large-dir", "24M", &["-t", "ext4", "-O", "large_dir,ea_inode"]),
    ("mmp", "24M", &["-t", "ext4", "-O", "mmp"]),
    ("revision-0", "16M", &["-t", "ext2", "-r", "0", "-b", "1024"]),
    ("bigalloc-1k", "64M", &["-t", "ext4", "-O", "bigalloc", "-b", "1024", "-C", "8192"]),
    ("block-64k", "128M", &["-t", "ext4", "-b", "65536"]),
    (
        "meta-bg-large",
        "300M",
        &["-t", "ext4", "-O", "meta_bg,^resize_inode,^flex_bg", "-b", "1024"],
    ),
    ("unit-flex", "64M", &["-t", "ext4", "-O", "flex_bg", "-G", "4", "-g", "1024", "-b", "1024"]),
    ("no-filetype", "24M", &["-t", "ext4", "-O", "^filetype"]),
];

#[test]
fn every_mix_is_read() {
    for (name, size, args) in MIXES {
        let image = Image::new(size, args);
        let ext = Ext::open(image.overlay(), CLOCK).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = |path: &str| {
            read_file(&ext, &GuestPath::new(path), 1 << 20)
                .unwrap_or_else(|e| panic!("{name}: {path}: {e}"))
        };
        assert_eq!(
            read("/home/admin/.ssh/authorized_keys").as_deref(),
            Some(b"ssh-ed25519 AAAA old\n".as_slice()),
            "{name}"
        );
        assert_eq!(read("/etc/large"), Some(pattern(300_000)), "{name}");
        assert_eq!(read("/etc/fast").as_deref(), Some(b"tiny\n".as_slice()), "{name}");
        assert_eq!(read("/etc/slow").as_deref(), Some(b"tiny\n".as_slice()), "{name}");
        assert_eq!(read("/etc/empty").as_deref(), Some(b"".as_slice()), "{name}");
        assert_eq!(read("/etc/none"), None, "{name}");
        let many = find(&ext, &GuestPath::new("/etc/many")).unwrap().unwrap().node;
        let mut count = 0;
        ext.read_dir(many, &mut |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(count, 40, "{name}");
        ext.check_writable().unwrap();
    }
}

/// Writes the image with the changes of the overlay to a file beside it.
pub(super) fn edited(image: &Image, overlay: &Overlay) -> PathBuf {
    let path = image.path.with_extension("checked");
    testing::write_sparse(overlay, &path);
    path
}

/// What e2fsck says about the overlay, if it complains.
fn check(image: &Image, overlay: &Overlay) -> Result<(), String> {
    let path = edited(image, overlay);
    let output = Command::new(testing::program("e2fsck")).arg("-fn").arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Five passes and a summary: every other line is a finding.
    let findings: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("Pass ") && !line.contains(" files ("))
        .filter(|line| !line.is_empty())
        .collect();
    if output.status.success() && findings.is_empty() { Ok(()) } else { Err(text) }
}

/// One image under edit.
pub(super) struct Bench {
    pub(super) name: &'static str,
    pub(super) image: Image,
    pub(super) overlay: Arc<Overlay>,
    pub(super) ext: Ext,
}

impl Bench {
    pub(super) fn new(name: &'static str, size: &str, args: &[&str]) -> Self {
        Self::of(name, Image::new(size, args))
    }

    /// The image as it is now.
    pub(super) fn of(name: &'static str, image: Image) -> Self {
        let overlay = image.overlay();
        let ext = Ext::open(overlay.clone(), CLOCK).unwrap();
        Self { name, image, overlay, ext }
    }

    pub(super) fn node(&self, path: &str) -> NodeId {
        find(&self.ext, &GuestPath::new(path)).unwrap().expect(path).node
    }

    pub(super) fn content(&self, path: &str) -> Vec<u8> {
        read_file(&self.ext, &GuestPath::new(path), 1 << 24).unwrap().expect(path)
    }

    pub(super) fn check(&self, step: &str) {
        if let Err(findings) = check(&self.image, &self.overlay) {
            panic!("{}: {step}: {findings}", self.name);
        }
        // A reader that starts afresh agrees with the superblock that was kept.
        Ext::open(self.overlay.clone(), CLOCK).unwrap();
    }

    fn sectors(&self) -> usize {
        self.overlay.changes().unwrap().iter().map(|change| change.after.len() / 512).sum()
    }
}

pub(super) fn new_node(mode: u32) -> NewNode {
    let label = b"system_u:object_r:ssh_home_t:s0\0".to_vec();
    let xattrs = vec![Xattr { name: b"security.selinux".to_vec(), value: label }];
    NewNode { mode, uid: 1000, gid: 70_000, xattrs }
}

fn edit_content(bench: &mut Bench) {
    let keys = bench.node("/home/admin/.ssh/authorized_keys");
    bench.ext.append(keys, b"ssh-ed25519 BBBB new\n").unwrap();
    let is_inline = bench.ext.inode(keys).unwrap().has_flag(flag::INLINE_DATA);
    if !is_inline {
        assert_eq!(bench.sectors(), 2, "{}", bench.name);
    }
    bench.check("append that fits");
    let expected = b"ssh-ed25519 AAAA old\nssh-ed25519 BBBB new\n".to_vec();
    assert_eq!(bench.content("/home/admin/.ssh/authorized_keys"), expected);
    bench.ext.append(keys, &pattern(90)).unwrap();
    bench.check("append of 90 bytes");
    let large = bench.node("/etc/large");
    bench.ext.append(large, &pattern(100_000)).unwrap();
    bench.check("append that allocates");
    assert_eq!(bench.content("/etc/large"), [pattern(300_000), pattern(100_000)].concat());
    bench.ext.replace(large, &pattern(50_001)).unwrap();
    bench.check("replace with less");
    assert_eq!(bench.content("/etc/large"), pattern(50_001));
    bench.ext.replace(large, &pattern(700_000)).unwrap();
    bench.check("replace with more");
    assert_eq!(bench.content("/etc/large"), pattern(700_000));
    bench.ext.replace(large, b"").unwrap();
    bench.check("replace with nothing");
    let empty = bench.node("/etc/empty");
    bench.ext.append(empty, b"no longer\n").unwrap();
    bench.check("append to nothing");
    assert_eq!(bench.content("/etc/empty"), b"no longer\n");
}

fn edit_names(bench: &mut Bench) {
    let home = bench.node("/home");
    let bob = bench.ext.create_directory(home, b"bob", &new_node(0o755)).unwrap();
    bench.check("create a directory");
    let ssh = bench.ext.create_directory(bob, b".ssh", &new_node(0o700)).unwrap();
    let keys = bench.ext.create_file(ssh, b"authorized_keys", &new_node(0o600), b"key\n").unwrap();
    bench.check("create a directory and a file");
    let metadata = bench.ext.metadata(keys).unwrap();
    assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o600, 1000, 70_000));
    assert_eq!(metadata.modified.seconds, CLOCK.seconds);
    assert_eq!(bench.ext.xattrs(keys).unwrap(), new_node(0).xattrs);
    assert_eq!(bench.content("/home/bob/.ssh/authorized_keys"), b"key\n");
    assert!(bench.ext.create_file(ssh, b"authorized_keys", &new_node(0o600), b"").is_err());
    let many = bench.node("/etc/many");
    for index in 0..150 {
        let name = format!("another-file-with-a-name-that-is-long-enough-to-fill-blocks-{index}");
        bench.ext.create_file(many, name.as_bytes(), &new_node(0o644), b"").unwrap();
    }
    bench.check("create many files");
    let etc = bench.node("/etc");
    for name in ["slow", "fast", "large", "empty"] {
        bench.ext.remove(etc, name.as_bytes()).unwrap();
        bench.check("remove");
    }
    for index in 0..40 {
        let name = format!("file-with-a-longer-name-{index}");
        bench.ext.remove(many, name.as_bytes()).unwrap();
    }
    bench.check("remove many");
    let mut count = 0;
    bench
        .ext
        .read_dir(many, &mut |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(count, 150);
}

fn edit_attributes(bench: &mut Bench) {
    let small = bench.node("/etc/small");
    let change = MetadataChange { mode: Some(0o4711), uid: Some(70_001), ..Default::default() };
    bench.ext.set_metadata(small, &change).unwrap();
    bench.check("set owner and mode");
    let metadata = bench.ext.metadata(small).unwrap();
    assert_eq!((metadata.mode, metadata.uid), (0o4711, 70_001));
    bench.ext.set_xattr(small, b"user.a", Some(b"short")).unwrap();
    bench.check("set a short attribute");
    bench.ext.set_xattr(small, b"user.b", Some(&[7; 700])).unwrap();
    bench.check("set a long attribute");
    bench.ext.set_xattr(small, b"user.a", Some(b"other")).unwrap();
    bench.check("change an attribute");
    assert_eq!(bench.ext.xattr(small, b"user.b").unwrap(), Some(vec![7; 700]));
    assert_eq!(bench.ext.xattr(small, b"user.a").unwrap(), Some(b"other".to_vec()));
    bench.ext.set_xattr(small, b"user.b", None).unwrap();
    bench.check("remove an attribute");
    let etc = bench.node("/etc");
    bench.ext.remove(etc, b"small").unwrap();
    bench.check("remove a file with attributes");
}

#[test]
fn every_mix_is_edited() {
    for (name, size, args) in MIXES {
        let mut bench = Bench::new(name, size, args);
        bench.check("before");
        edit_content(&mut bench);
        edit_names(&mut bench);
        edit_attributes(&mut bench);
    }
}

/// A file of many extents: every second block of a file is freed by a neighbour that goes away.
#[test]
fn a_fragmented_file_grows_and_is_cut() {
    for (name, size, args) in [
        ("extents", "24M", ["-t", "ext4", "-b", "1024"].as_slice()),
        ("no-csum", "24M", ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"].as_slice()),
        ("block-map", "24M", ["-t", "ext3", "-b", "1024"].as_slice()),
    ] {
        let mut bench = Bench::new(name, size, args);
        let etc = bench.node("/etc");
        let node = NewNode { mode: 0o644, ..NewNode::default() };
        let left = bench.ext.create_file(etc, b"left", &node, b"").unwrap();
        let right = bench.ext.create_file(etc, b"right", &node, b"").unwrap();
        for _ in 0..700 {
            bench.ext.append(left, &pattern(1024)).unwrap();
            bench.ext.append(right, &pattern(1024)).unwrap();
        }
        bench.check("two files in turn");
        if bench.ext.inode(left).unwrap().has_flag(flag::EXTENTS) {
            let inode = bench.ext.inode(left).unwrap();
            assert!(bench.ext.volume.read_extent_root(&inode).unwrap().depth >= 2, "{name}");
        }
        bench.ext.replace(left, &pattern(333_333)).unwrap();
        bench.check("cut in the middle");
        assert_eq!(bench.content("/etc/left"), pattern(333_333));
        bench.ext.append(left, &pattern(500_000)).unwrap();
        bench.check("grow into the gaps");
        bench.ext.remove(etc, b"left").unwrap();
        bench.check("remove");
        bench.ext.replace(right, b"small").unwrap();
        bench.check("cut to one block");
    }
}

/// A full disk and a volume without free inodes are refused with the reason.
#[test]
fn no_space_is_a_refusal() {
    let mut bench = Bench::new("full", "4M", &["-t", "ext4", "-b", "1024", "-N", "96"]);
    let etc = bench.node("/etc");
    let node = NewNode { mode: 0o644, ..NewNode::default() };
    let free = bench.ext.volume.superblock().free_inodes().unwrap();
    let expected = format!("no free inodes: {} needed, {free} available", free + 1);
    let mut refusal = None;
    for index in 0..200 {
        let name = format!("f{index}");
        if let Err(error) = bench.ext.create_file(etc, name.as_bytes(), &node, b"") {
            refusal = Some(error.to_string());
            break;
        }
    }
    assert_eq!(refusal.as_deref(), Some(expected.as_str()));
    bench.check("no inode left");
    let large = bench.node("/etc/large");
    let savepoint = bench.overlay.savepoint();
    let error = bench.ext.append(large, &pattern(8 << 20)).unwrap_err();
    assert_eq!((error.exit_status(), error.kind_name()), (4, "refused"));
    // 300,000 bytes end inside a block of 1024, which needs no allocation.
    let (needed, free) = ((8 << 10), bench.ext.volume.superblock().free_blocks().unwrap());
    let expected = format!("no free blocks of 1024 bytes: {needed} needed, {free} available");
    assert_eq!(error.to_string(), expected);
    bench.overlay.roll_back(savepoint);
    bench.ext = Ext::open(bench.overlay.clone(), CLOCK).unwrap();
    while bench.ext.append(large, &pattern(20_000)).is_ok() {}
}

/// Sparse files and blocks that were reserved but never written.
#[test]
fn holes_and_unwritten_blocks_are_filled() {
    // debugfs keeps no quotas, so it would leave wrong ones behind.
    for (name, size, args) in MIXES.iter().filter(|mix| !mix.2.concat().contains("quota")) {
        let bench = Bench::new(name, size, args);
        let path = bench.image.path.to_str().unwrap();
        // Two holes in the large file, one of them at its end.
        // In one run: with multi-mount protection each one waits for seconds.
        let script = bench.image.path.with_extension("script");
        write(&script, b"punch /etc/large 100 120\npunch /etc/large 290 310\n");
        run("debugfs", &["-w", "-f", script.to_str().unwrap(), path]);
        let block_size = bench.ext.volume.superblock().block_size() as usize;
        let image = Bench { overlay: bench.image.overlay(), ..bench };
        let mut bench = Bench { ext: Ext::open(image.overlay.clone(), CLOCK).unwrap(), ..image };
        let mut expected = pattern(300_000);
        for (from, to) in [(100, 121), (290, 311)] {
            let to = (to * block_size).min(300_000);
            if from * block_size < to {
                expected[from * block_size..to].fill(0);
            }
        }
        assert_eq!(bench.content("/etc/large"), expected, "{name}");
        let large = bench.node("/etc/large");
        bench.ext.append(large, &pattern(5000)).unwrap();
        bench.check("append behind a hole");
        expected.extend(pattern(5000));
        assert_eq!(bench.content("/etc/large"), expected, "{name}");
        bench.ext.replace(large, &pattern(290_000)).unwrap();
        bench.check("fill the holes");
        assert_eq!(bench.content("/etc/large"), pattern(290_000), "{name}");
    }
}

/// The numbers that `design.md` promises: an append is two sectors.
#[test]
fn a_new_directory_with_its_file_changes_few_sectors() {
    let mut bench = Bench::new("default", "64M", &["-t", "ext4", "-b", "4096"]);
    let home = bench.node("/home/admin");
    let ssh = bench.ext.create_directory(home, b".ssh2", &new_node(0o700)).unwrap();
    bench.ext.create_file(ssh, b"authorized_keys", &new_node(0o600), b"ssh-ed25519 A\n").unwrap();
    bench.check("new directory and file");
    assert!(bench.sectors() <= 20, "{} sectors", bench.sectors());
}

/// The cost of an edit follows the edit, not the volume: 1 TiB, sparse.
#[test]
fn an_edit_of_a_large_volume_reads_little() {
    let options = ["-t", "ext4", "-J", "size=4", "-E", "lazy_itable_init=1,lazy_journal_init=1"];
    let image = Image::new("1T", &options);
    let file = fs::File::open(&image.path).unwrap();
    let len = file.metadata().unwrap().len();
    let base = Arc::new(crate::disk::file::FileDisk::new(file, len, 512));
    let overlay = Arc::new(Overlay::new(base.clone()));
    let mut ext = Ext::open(overlay.clone(), CLOCK).unwrap();
    let keys = find(&ext, &GuestPath::new("/home/admin/.ssh/authorized_keys")).unwrap().unwrap();
    ext.append(keys.node, b"ssh-ed25519 BBBB new\n").unwrap();
    let count = |overlay: &Overlay| -> usize {
        overlay.changes().unwrap().iter().map(|change| change.after.len() / 512).sum()
    };
    let append = count(&overlay);
    let home = find(&ext, &GuestPath::new("/home/admin")).unwrap().unwrap().node;
    let ssh = ext.create_directory(home, b".new", &new_node(0o700)).unwrap();
    ext.create_file(ssh, b"authorized_keys", &new_node(0o600), b"ssh-ed25519 A\n").unwrap();
    let all = count(&overlay);
    let (open, path) = (overlay.clone(), GuestPath::new("/home/admin/.new"));
    let owner = crate::fs::verify::Owner { uid: 1000, gid: 70_000, mode: 0o700 };
    let state = crate::fs::verify::Expected::Directory { owner };
    let own = Ext::open(open, CLOCK).unwrap();
    let disk = Arc::new(crate::disk::cache::Cache::new(overlay));
    let verdict = verify::verify(disk, &own, &[crate::fs::verify::Expectation { path, state }]);
    assert_eq!(verdict.unwrap().reader(), "ext4-view");
    let read = base.bytes_read();
    assert_eq!(append, 2);
    assert!(all - append <= 12, "{} sectors", all - append);
    assert!(read < 512 << 10, "{read} bytes");
}
