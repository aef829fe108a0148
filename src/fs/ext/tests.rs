//! The whole of `ext` against images that mke2fs made, judged by e2fsck and debugfs.

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::fs::FileSystem as _;
use crate::fs::path::{GuestPath, find, read_file};
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
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(tool).args(args).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{tool} (e2fsprogs) cannot run: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {args:?}: {text}");
    text
}

impl Image {
    /// Makes an image with mke2fs and a small tree in it.
    pub(super) fn new(size: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
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
        Self { _dir: dir, path }
    }

    pub(super) fn overlay(&self) -> Arc<Overlay> {
        Arc::new(Overlay::new(Arc::new(MemoryDisk::new(fs::read(&self.path).unwrap()))))
    }
}

#[allow(clippy::disallowed_methods, reason = "test trees")]
fn write(path: &std::path::Path, bytes: &[u8]) {
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
