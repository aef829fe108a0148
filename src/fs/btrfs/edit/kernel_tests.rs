//! Edited volumes in the hands of the kernel: it shows what we show, scrubs without a finding, goes on writing, and
//! `btrfs check` is content with the result. Need root: loop devices and mounts.
//!
//! `cargo test -- --include-ignored root_only_`

use super::super::Btrfs;
use super::super::testing::{CLOCK, Copy, RECORDED, assert_clean, fixture, recorded};
use super::special_tests::partly_dropped;
use super::tests::{dirty, new, random_edits};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::fs::{FileEdit as _, FileSystem, NodeId, NodeKind};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Larger files are sparse; only their metadata are compared.
const CONTENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is compared of a node: mode with type, owner, size, times of change, content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    permissions: u32,
    owner: (u32, u32),
    modified: i64,
    content: Vec<u8>,
}

pub(super) fn ours(fs: &Btrfs) -> BTreeMap<Vec<u8>, Seen> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![(Vec::new(), fs.root())];
    while let Some((path, directory)) = todo.pop() {
        fs.read_dir(directory, &mut |entry| {
            let path = [path.as_slice(), b"/", &entry.name].concat();
            let NodeId(number) = entry.node;
            let metadata = fs.metadata(entry.node)?;
            let content = match metadata.kind {
                NodeKind::File if metadata.size_bytes <= CONTENT_BYTES_MAX => {
                    fs.read(entry.node, CONTENT_BYTES_MAX)?
                }
                NodeKind::Symlink => fs.read_link(entry.node)?,
                _ => Vec::new(),
            };
            // The kernel makes the stub of a subvolume up, times and all.
            if number & 0xff_ffff_ffff == 2 {
                return Ok(ControlFlow::Continue(()));
            }
            if metadata.kind == NodeKind::Directory {
                todo.push((path.clone(), entry.node));
            }
            let permissions = metadata.mode;
            let owner = (metadata.uid, metadata.gid);
            let modified = metadata.modified.seconds;
            seen.insert(path, Seen { permissions, owner, modified, content });
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    seen
}

fn kernels(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.ino() == 2 {
                continue;
            }
            let content = if metadata.is_file() && metadata.len() <= CONTENT_BYTES_MAX {
                std::fs::read(&path).unwrap()
            } else if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                Vec::new()
            };
            let name = path.as_os_str().as_bytes()[root.as_os_str().len()..].to_vec();
            let permissions = metadata.mode() & 0o7777;
            let owner = (metadata.uid(), metadata.gid());
            let modified = metadata.mtime();
            seen.insert(name, Seen { permissions, owner, modified, content });
            if metadata.is_dir() {
                todo.push(path);
            }
        }
    }
    seen
}

/// With patience: a child that another test is starting shares our handles for a moment, those into the mount, too.
const UMOUNT: &str = r#"
    umount() {
        for i in 1 2 3 4 5 6 7 8; do command umount "$@" && return; sleep 1; done
        return 1
    }"#;

fn sh(script: &str, path: &Path) -> String {
    let all = format!("{UMOUNT}\n{script}");
    let output = Command::new("sh").args(["-eux", "-c", &all, "sh"]).arg(path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{script}: {text}");
    text
}

const MOUNT: &str = r#"
    mkdir -p "$1.mount"
    for i in 1 2 3 4 5 6 7 8; do mount -t btrfs -o loop,rw,subvolid=5 "$1" "$1.mount" && exit 0; sleep 1; done
    exit 1"#;

/// The kernel writes, takes a snapshot, removes one, and looks at every block.
const WORK: &str = r#"
    cd "$1.mount"
    mkdir kernel-was-here
    i=0; while [ $i -lt 300 ]; do echo "line $i" > kernel-was-here/file-$i; i=$((i+1)); done
    head -c 300000 /dev/urandom > kernel-was-here/large
    btrfs subvolume snapshot . kernel-snapshot
    for file in $(find . -xdev -type f -name 'new-*' | head -20); do echo more >> "$file"; done
    sync -f .
    rm -r kernel-was-here
    btrfs filesystem sync .
    btrfs scrub start -B . > "$1.scrub"
    grep -q 'no errors found' "$1.scrub" || { cat "$1.scrub"; exit 1; }
    cd /
    umount "$1.mount""#;

fn judge(disk: &Arc<Overlay>, what: &str) {
    let fs = Btrfs::open(disk.clone(), CLOCK).unwrap();
    let ours = ours(&fs);
    let copy = Copy::of(disk.as_ref());
    sh(MOUNT, &copy.path);
    let mount = copy.path.with_extension("img.mount");
    let theirs = std::panic::catch_unwind(|| kernels(&mount));
    if theirs.is_err() {
        sh("umount \"$1.mount\"", &copy.path);
    }
    let theirs = theirs.unwrap();
    sh(WORK, &copy.path);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
    for (path, seen) in &ours {
        assert!(theirs[path] == *seen, "{what}: {}", String::from_utf8_lossy(path));
    }
    let after = MemoryDisk::new(std::fs::read(&copy.path).unwrap());
    assert_clean(&after, what);
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_the_kernel_goes_on_with_edited_btrfs_volumes() {
    // `btrfs check` judges all of them in another test.
    for name in dirty().into_iter().step_by(4) {
        let disk = recorded(&name);
        random_edits(&disk, &name, 9, 2, false);
        judge(&disk, &name);
    }
    for arguments in [&["-O", "block-group-tree"][..], &["-O", "^skinny-metadata", "-n", "4096"]] {
        let disk = fixture(arguments);
        let what = arguments.join(" ");
        random_edits(&disk, &what, 5, 6, false);
        judge(&disk, &what);
    }
    for (index, name) in RECORDED.iter().enumerate() {
        let disk = recorded(name);
        random_edits(&disk, name, u8::try_from(index).unwrap().wrapping_mul(7), 12, false);
        judge(&disk, name);
    }
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_quota_groups_are_counted_anew() {
    let disk = fixture(&["-R", "quota"]);
    let mut fs = Btrfs::open(disk.clone(), CLOCK).unwrap();
    fs.create_file(fs.root(), b"new", &new(0o644), &[1; 50_000]).unwrap();
    fs.finish().unwrap();
    let copy = Copy::of(disk.as_ref());
    sh(MOUNT, &copy.path);
    sh(
        "btrfs qgroup show \"$1.mount\"; btrfs quota rescan -w \"$1.mount\"; umount \"$1.mount\"",
        &copy.path,
    );
    assert_clean(&MemoryDisk::new(std::fs::read(&copy.path).unwrap()), "counted anew");
}

/// A volume that the kernel made and filled, under an empty overlay.
fn made_by_kernel(mkfs: &str, mount: &str, fill: &str) -> Arc<Overlay> {
    let copy = Copy::of(&MemoryDisk::new(vec![0; 160 << 20]));
    sh(&format!("mkfs.btrfs -q -f {mkfs} \"$1\" >&2"), &copy.path);
    sh(&MOUNT.replace("loop,", &format!("loop,{mount}")), &copy.path);
    sh(&format!("cd \"$1.mount\"; {fill}; sync -f .; cd /; umount \"$1.mount\""), &copy.path);
    Arc::new(Overlay::new(Arc::new(MemoryDisk::new(std::fs::read(&copy.path).unwrap()))))
}

/// The kernel goes by what the cache of version 1 says unless the edit has made it void.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_the_cache_of_free_space_is_void_after_an_edit() {
    let fill = "for i in $(seq 300); do echo $i > file-$i; done; head -c 9000000 /dev/urandom > large; sync -f .; rm file-1*";
    let disk = made_by_kernel("-R ^free-space-tree", "space_cache=v1,", fill);
    let is_cache_used = || {
        let fs = Btrfs::open(disk.clone(), CLOCK).unwrap();
        let superblock = fs.view.volume().superblock();
        superblock.cache_generation == superblock.generation
    };
    assert!(is_cache_used(), "no cache was written");
    random_edits(&disk, "cache", 33, 8, false);
    // The kernel finds most stale caches by itself, too, so that what it does afterwards does not prove this.
    assert!(!is_cache_used());
    let copy = Copy::of(disk.as_ref());
    // Without the option, Linux makes a free space tree at once.
    sh(&MOUNT.replace("loop,", "loop,space_cache=v1,"), &copy.path);
    sh(WORK, &copy.path);
    assert_clean(&MemoryDisk::new(std::fs::read(&copy.path).unwrap()), "cache");
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_the_kernel_finishes_a_half_removed_snapshot() {
    let disk = partly_dropped();
    random_edits(&disk, "half removed", 5, 6, false);
    let copy = Copy::of(disk.as_ref());
    sh(MOUNT, &copy.path);
    sh(
        "btrfs subvolume sync \"$1.mount\"; btrfs scrub start -B \"$1.mount\" | grep 'no errors'; umount \"$1.mount\"",
        &copy.path,
    );
    let after = MemoryDisk::new(std::fs::read(&copy.path).unwrap());
    assert_clean(&after, "removed");
    let volume =
        super::super::volume::Volume::open(Arc::new(Overlay::new(Arc::new(after)))).unwrap();
    assert!(volume.root_item(256).unwrap().is_none());
}

/// A volume without room for another chunk, filled by edits until they are refused: the kernel still removes files.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_a_volume_that_edits_filled_can_be_emptied() {
    for shape in ["-n 4096 -m single", "-n 16384 -m dup", "-n 16384 -m single", "--mixed -n 4096"] {
        let fill = "fallocate -l 1G full || true; i=0; while head -c 1000000 /dev/zero > more-$i; do i=$((i+1)); done; true";
        let disk = made_by_kernel(shape, "", fill);
        let mut refused = None;
        for round in 0..400 {
            let before = disk.savepoint();
            let mut fs = Btrfs::open(disk.clone(), CLOCK).unwrap();
            let root = fs.root();
            let name = format!("d{round}");
            let directory = fs.create_directory(root, name.as_bytes(), &new(0o755)).unwrap();
            let result = (0..20).try_for_each(|number| {
                let name = format!("file-{number}");
                fs.create_file(directory, name.as_bytes(), &new(0o644), &[b'x'; 2000]).map(|_| ())
            });
            if let Err(error) = result.and_then(|()| fs.finish()) {
                disk.roll_back(before);
                refused = Some(error);
                break;
            }
        }
        let error = refused.unwrap();
        assert_eq!(error.kind_name(), "refused", "{shape}: {error}");
        assert_clean(&*disk, shape);
        let copy = Copy::of(disk.as_ref());
        sh(MOUNT, &copy.path);
        sh(
            r#"cd "$1.mount"; btrfs filesystem usage -b . >&2; rm -rf d0 d1; sync -f .; rm -rf d*; sync -f .; rm -f full more-*; sync -f .
            grep " $1.mount btrfs rw," /proc/mounts; btrfs scrub start -B . | grep 'no errors'; cd /; umount "$1.mount""#,
            &copy.path,
        );
        let after = MemoryDisk::new(std::fs::read(&copy.path).unwrap());
        assert_clean(&after, &format!("{shape}: emptied, after {error}"));
    }
}
