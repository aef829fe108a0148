//! The kernel as the judge: volumes of a machine that still runs are copied, edited by the binary, and mounted.
//!
//! These need root and loop devices and are therefore ignored by default. Run them with
//! `cargo test -- --include-ignored root_only_`. Run without what they need, they fail. Package: mount.

use crate::support::image::ImageBuilder;
use crate::support::mount::Mount;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{oracle, root, sparse, tools};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

/// What the kernel adds to the key file at the end.
const KERNEL_LINE: &str = "# written by the kernel\n";

/// Commits everything to the journal, but does not bring it in place.
fn sync(mount: &Mount) {
    nix::unistd::syncfs(File::open(mount.root()).unwrap()).unwrap();
}

/// An image as a host would find it after the power cut of a machine that has just written.
struct Crashed {
    scratch: Scratch,
    image: PathBuf,
}

impl Crashed {
    fn new(features: &str, options: &str, pending: impl FnOnce(&Mount)) -> Self {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 64).features(features).nodes(root::with_key());
        let live = builder.build_in(&scratch, "live.img");
        let image = scratch.join("disk.img");
        let mount = Mount::of_image("ext4", &live, &scratch.join("live"), options);
        pending(&mount);
        tools::copy_sparse(&live, &image);
        drop(mount);
        let header = tools::succeed("dumpe2fs", &["-h", image.to_str().unwrap()]);
        assert!(header.contains("needs_recovery"), "{header}");
        Self { scratch, image }
    }

    fn regain(&self) -> Regain {
        Regain::new(self.scratch.path())
    }

    fn key_add(&self) -> crate::support::regain::Run {
        let key = self.scratch.join("new.pub");
        std::fs::write(&key, root::NEW_KEY).unwrap();
        self.regain().key_add(&self.image, root::USER, &key, &["--undo-file", "undo"])
    }

    /// The kernel replays nothing, reads the new key and writes to the volume; then e2fsck looks.
    fn assert_the_kernel_agrees(&self, pending: &[(&str, Vec<u8>)]) {
        let copy = self.scratch.join("copy.img");
        tools::copy_sparse(&self.image, &copy);
        let mount =
            Mount::of_image("ext4", &copy, &self.scratch.join("edited"), "errors=remount-ro");
        let keys = [root::OLD_KEY, root::NEW_KEY].concat();
        let key_file = mount.path(root::KEY_FILE);
        assert_eq!(std::fs::read_to_string(&key_file).unwrap(), keys);
        assert!(!mount.path("/etc/hostname").exists());
        for (path, content) in pending {
            assert!(std::fs::read(mount.path(path)).unwrap() == *content, "{path}");
        }
        let mut file = File::options().append(true).open(&key_file).unwrap();
        file.write_all(KERNEL_LINE.as_bytes()).unwrap();
        drop(file);
        for index in 0..200 {
            std::fs::write(mount.path(&format!("/var/kernel-{index}")), vec![1; 9000]).unwrap();
        }
        drop(mount);
        oracle::assert_clean(&copy, 0, "after the kernel");
        let mount = Mount::of_image("ext4", &copy, &self.scratch.join("again"), "ro");
        let text = std::fs::read_to_string(mount.path(root::KEY_FILE)).unwrap();
        assert_eq!(text, keys + KERNEL_LINE);
    }

    fn undo(&self) {
        let undo = ["undo", "undo", self.image.to_str().unwrap(), "--yes", "--json"];
        self.regain().run(&undo).success();
    }
}

/// Files that are in the journal, but whose metadata is not in place.
fn pending_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("/home/admin/small", b"journaled\n".to_vec()),
        ("/home/admin/large", vec![b'l'; 3_000_000]),
        ("/var/new/below", vec![b'b'; 5000]),
    ]
}

fn write_pending(mount: &Mount) {
    std::fs::create_dir(mount.path("/var/new")).unwrap();
    for (path, content) in pending_files() {
        std::fs::write(mount.path(path), content).unwrap();
    }
    // Allocated, then freed: revocations and reuse.
    let directory = mount.path("/var/gone");
    std::fs::create_dir(&directory).unwrap();
    for index in 0..300 {
        std::fs::write(directory.join(format!("{index:0>100}")), b"x").unwrap();
    }
    sync(mount);
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::remove_file(mount.path("/etc/hostname")).unwrap();
    sync(mount);
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_a_volume_of_a_running_machine_is_edited() {
    for (features, options) in [
        ("", "rw"),
        ("", "data=journal"),
        ("^metadata_csum,^64bit", "journal_checksum"),
        ("^metadata_csum", "journal_async_commit,data=writeback"),
        ("^extent,^64bit,^metadata_csum", "rw"),
        ("orphan_file,metadata_csum_seed", "rw"),
        ("inline_data,bigalloc", "rw"),
        ("fast_commit", "rw"),
    ] {
        println!("{features} {options}");
        let crashed = Crashed::new(features, options, write_pending);
        let before = sparse::digest(&crashed.image);
        let inspected =
            crashed.regain().run(&["inspect", crashed.image.to_str().unwrap(), "--json"]);
        let health = &inspected.success()["result"]["volumes"][0]["health"];
        assert_eq!(health, "journal_dirty", "{features} {options}");
        assert_eq!(sparse::digest(&crashed.image), before);
        let document = crashed.key_add().success();
        let warnings = document["result"]["warnings"].to_string();
        assert!(warnings.contains("replayed"), "{features} {options}: {warnings}");
        oracle::assert_clean(&crashed.image, 0, &format!("{features} {options}"));
        crashed.assert_the_kernel_agrees(&pending_files());
        crashed.undo();
        assert_eq!(sparse::digest(&crashed.image), before, "{features} {options}");
    }
}

/// A file that was deleted while a program had it open: the kernel, not regain, gives its blocks back.
#[test]
#[ignore = "needs root and loop devices"]
fn root_only_orphans_of_a_running_machine_are_left_to_the_kernel() {
    for features in ["", "^metadata_csum,^64bit,^extent", "orphan_file"] {
        println!("{features}");
        let crashed = Crashed::new(features, "rw", |mount| {
            let open = mount.path("/var/open");
            std::fs::write(&open, vec![b'o'; 1_000_000]).unwrap();
            let held = File::open(&open).unwrap();
            sync(mount);
            std::fs::remove_file(&open).unwrap();
            write_pending(mount);
            drop(held);
        });
        let before = sparse::digest(&crashed.image);
        crashed.key_add().success();
        crashed.assert_the_kernel_agrees(&pending_files());
        crashed.undo();
        assert_eq!(sparse::digest(&crashed.image), before, "{features}");
    }
}

/// What `fsync` puts into the fast-commit area cannot be replayed here, and so must be seen.
#[test]
#[ignore = "needs root and loop devices"]
fn root_only_fast_commits_of_a_running_machine_are_refused() {
    let crashed = Crashed::new("fast_commit", "rw", |mount| {
        write_pending(mount);
        let mut file = File::create(mount.path("/var/fast")).unwrap();
        file.write_all(b"fast\n").unwrap();
        file.sync_all().unwrap();
    });
    let before = sparse::digest(&crashed.image);
    let error = crashed.key_add().failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("fast commits"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("stop it cleanly"), "{error}");
    assert_eq!(sparse::digest(&crashed.image), before);
}
