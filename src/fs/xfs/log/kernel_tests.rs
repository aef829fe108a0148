//! The kernel's recovery against ours: real crashed volumes, each recovered by both, and compared.
//!
//! These mount, so they need root and loop devices and are ignored by default. Run them with
//! `cargo test -- --include-ignored root_only_`.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::clean::{Ending, finish};
use super::{Purpose, replay};
use crate::disk::file::FileDisk;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use crate::fs::xfs::testing::tools::{self, RepairVerdict};
use crate::fs::xfs::volume::Volume;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, setxattr};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const IMAGE_BYTES: u64 = 96 << 20;
/// Operations on one volume.
const STEPS: u64 = 700;

/// Options of mkfs.xfs, of the mount, and the seed of what is done.
const CASES: &[(&str, &str, u64)] = &[
    ("", "rw", 1),
    ("", "logbsize=262144", 2),
    ("-m rmapbt=1", "rw", 3),
    ("-m rmapbt=1,reflink=1 -i nrext64=1", "rw", 4),
    ("-b size=1024", "rw", 5),
    ("-b size=2048 -m rmapbt=1", "logbsize=65536", 6),
    ("-m finobt=0,rmapbt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0,exchange=0", "rw", 7),
    ("-n size=16384 -b size=1024", "rw", 8),
    ("-s size=4096 -i size=1024", "rw", 9),
    ("-n parent=1", "rw", 10),
    ("-n parent=1 -b size=1024 -m rmapbt=1", "rw", 11),
    ("-l su=32768", "rw", 12),
    ("-l su=131072", "logbsize=131072", 13),
    ("-d agcount=6", "rw", 14),
    ("-i size=2048", "inode32", 15),
    ("-b size=8192", "rw", 16),
];

fn succeed(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, place: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&place).unwrap();
        let options = format!("loop,nouuid,noatime,{options}");
        let paths = [image.to_str().unwrap(), place.to_str().unwrap()];
        succeed("mount", &["-t", "xfs", "-o", &options, paths[0], paths[1]]);
        Self(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Numbers that are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % end
    }

    fn of<'a>(&mut self, paths: &'a [PathBuf]) -> &'a PathBuf {
        &paths[self.below(paths.len() as u64) as usize]
    }
}

/// Makes, changes and removes files; some of it reaches the log, some of that its place.
fn work(root: &Path, seed: u64) {
    let mut numbers = Numbers(seed);
    let (mut directories, mut files) = (vec![root.to_owned()], vec![root.join("first")]);
    fs::write(&files[0], "first").unwrap();
    for step in 0..STEPS {
        let directory = numbers.of(&directories).clone();
        let file = numbers.of(&files).clone();
        let size = [0, 10, 300, 5000, 70_000][numbers.below(5) as usize];
        match numbers.below(24) {
            0 | 1 => {
                directories.push(directory.join(format!("directory-{step}")));
                fs::create_dir(directories.last().unwrap()).unwrap();
            }
            2..=9 => {
                files.push(directory.join(format!("file-with-a-name-of-some-length-{step}")));
                fs::write(files.last().unwrap(), vec![step as u8; size]).unwrap();
            }
            10..=12 => {
                let mut file = OpenOptions::new().append(true).open(&file).unwrap();
                file.write_all(&vec![1; size]).unwrap();
            }
            13 => {
                let file = OpenOptions::new().write(true).open(&file).unwrap();
                file.write_at(b"far behind", numbers.below(64) * 8192).unwrap();
            }
            14 => OpenOptions::new().write(true).open(&file).unwrap().set_len(77).unwrap(),
            15..=17 if files.len() > 1 => {
                fs::remove_file(&file).unwrap();
                files.retain(|other| *other != file);
            }
            18 | 19 => {
                let name = format!("user.{}", numbers.below(5));
                let value = vec![b'v'; size.min(3000)];
                setxattr(&file, name, &value, XattrFlags::empty()).unwrap();
            }
            20 => {
                let to = directory.join(format!("renamed-{step}"));
                fs::rename(&file, &to).unwrap();
                files.retain(|other| *other != file);
                files.push(to);
            }
            21 => symlink("t".repeat(1 + size % 1000), directory.join(format!("link-{step}")))
                .unwrap(),
            22 => File::open(&file).unwrap().sync_all().unwrap(),
            _ => std::os::unix::fs::chown(&file, Some(step as u32), Some(7)).unwrap(),
        }
        if step == STEPS / 3 {
            nix::unistd::syncfs(File::open(root).unwrap()).unwrap();
        }
    }
    File::open(&files[0]).unwrap().sync_all().unwrap();
}

/// Everything that can be seen of a file but its time of access.
fn describe(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let numbers = [metadata.uid(), metadata.gid(), metadata.mode()];
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let counts = [metadata.nlink(), metadata.ino(), metadata.size()];
    let content = match () {
        () if metadata.is_file() => {
            crate::bytes::checksum::sha256(&fs::read(path).unwrap()).to_vec()
        }
        () if metadata.is_symlink() => {
            fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
        }
        () => Vec::new(),
    };
    let mut names = vec![0; 4096];
    let len = llistxattr(path, &mut names).unwrap();
    let mut attributes = BTreeMap::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let len = lgetxattr(path, name, &mut value).unwrap();
        attributes.insert(name.to_vec(), crate::bytes::checksum::sha256(&value[..len]));
    }
    format!("{numbers:?} {times:?} {counts:?} {content:?} {attributes:?}")
}

fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::from([(PathBuf::new(), describe(root))]);
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                left.push(path.clone());
            }
            seen.insert(path.strip_prefix(root).unwrap().to_owned(), describe(&path));
        }
    }
    seen
}

/// Recovers the volume in the file `image` in place.
fn recover(image: &Path) -> Ending {
    let file = File::open(image).unwrap();
    let overlay = Arc::new(Overlay::new(Arc::new(FileDisk::new(file, IMAGE_BYTES, 512))));
    let mut volume = Volume::open(overlay.clone(), Timestamp::default()).unwrap();
    let replayed = replay(&mut volume, Purpose::Edit).unwrap().expect("a log that is not clean");
    assert!(replayed.transactions > 0);
    let ending = finish(&mut volume, &replayed.pending).unwrap();
    let file = OpenOptions::new().write(true).open(image).unwrap();
    for change in overlay.changes().unwrap() {
        file.write_all_at(&change.after, change.offset_bytes).unwrap();
    }
    ending
}

/// The tree that the kernel shows, after which the checker must have nothing to say.
fn seen_by_kernel(image: &Path, place: PathBuf, what: &str) -> BTreeMap<PathBuf, String> {
    let mount = Mount::new(image, place, "rw");
    let seen = tree(&mount.0);
    drop(mount);
    assert_eq!(tools::repair(image, None), RepairVerdict::Silent, "{what}");
    seen
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_our_replay_leaves_what_the_kernel_leaves() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let at = |name: &str| directory.path().join(name);
    for &(options, mount_options, seed) in CASES {
        let what = format!("mkfs.xfs {options}, mount {mount_options}, seed {seed}");
        let (crashed, ours) = (at("crashed"), at("ours"));
        File::create(&crashed).unwrap().set_len(IMAGE_BYTES).unwrap();
        let mut arguments = vec!["-q", "-f"];
        arguments.extend(options.split_whitespace());
        arguments.push(crashed.to_str().unwrap());
        let made = tools::run("mkfs.xfs", &arguments);
        assert!(made.status.success(), "{what}: {made:?}");
        let mount = Mount::new(&crashed, at("mount"), mount_options);
        work(&mount.0, seed);
        let stopped = tools::run("xfs_io", &["-x", "-c", "shutdown", mount.0.to_str().unwrap()]);
        assert!(stopped.status.success(), "{what}: {stopped:?}");
        drop(mount);
        fs::copy(&crashed, &ours).unwrap();
        if recover(&ours) == Ending::Unmounted {
            assert_eq!(tools::repair(&ours, None), RepairVerdict::Silent, "{what}");
        }
        let by_us = seen_by_kernel(&ours, at("mount"), &what);
        let by_kernel = seen_by_kernel(&crashed, at("mount"), &what);
        assert!(by_kernel.len() > 100, "{what}");
        assert_eq!(
            by_us.keys().collect::<Vec<_>>(),
            by_kernel.keys().collect::<Vec<_>>(),
            "{what}"
        );
        for (path, seen) in &by_kernel {
            assert_eq!(&by_us[path], seen, "{what}: {}", path.display());
        }
    }
}
