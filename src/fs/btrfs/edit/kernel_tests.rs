//! Edited volumes in the hands of the kernel: it shows what we show, scrubs without a finding, goes on writing, and
//! `btrfs check` is content with the result. Need root: loop devices and mounts.
//!
//! `cargo test -- --include-ignored root_only_`

use super::super::Btrfs;
use super::super::testing::{Copy, assert_clean, fixture, recorded};
use super::tests::{CLOCK, RECORDED, dirty, new, random_edits};
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

fn sh(script: &str, path: &Path) -> String {
    let output = Command::new("sh").args(["-eux", "-c", script, "sh"]).arg(path).output().unwrap();
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
