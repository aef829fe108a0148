//! Windows disks that ntfs-3g has mounted, as directories.
//!
//! Ignored by default, because mounting needs root. `cargo test -- --include-ignored root_only_` runs them.

use crate::support::ntfs_tools::{NtfsVerdict, verdicts};
use crate::support::root::NEW_KEY;
use crate::support::rooted::{assert_same, inventory};
use crate::support::windows_disk::{ALL, NONE, V2, WindowsDisk};
use crate::support::{ntfs_mount, tools};
use regain::fs::path::{GuestPath, find};
use regain::fs::tree::Tree;
use regain::fs::{FileEdit as _, FileSystem as _, NTFS_ACL_NAME, Timestamp};
use regain::image::directory::Directory;
use regain::patch::DurableUndo;
use regain::patch::files::{self, DirectoryIdentity, FilePatch, FilesDescription};
use serde_json::json;
use std::path::Path;
use std::rc::Rc;

/// The key file that all administrators share.
const SHARED: &str = "ProgramData/ssh/administrators_authorized_keys";

/// A Windows disk that ntfs-3g has mounted: the password is arranged as on the disk itself, and taken back.
#[test]
#[ignore = "needs root: FUSE mounts"]
fn root_only_windows_mounted_by_ntfs_3g_is_reset_and_taken_back() {
    for name in ALL.into_iter().filter(|name| *name != NONE) {
        let disk = WindowsDisk::new(name);
        let image = disk.volume_image();
        let place = disk.scratch.join("win");
        let mount = ntfs_mount::Mount::new(&image, &place, "rw");
        let document = disk.run("inspect win --json").success();
        assert_eq!(document["target"]["kind"], "directory");
        assert_eq!(document["result"]["systems"][0]["family"], "windows", "{name}");
        let on_disk = disk.run("inspect win.img --json").success();
        let system = |document: &serde_json::Value| {
            let system = &document["result"]["systems"][0];
            (system["name"].clone(), system["version"].clone(), system["agents"].clone())
        };
        assert_eq!(system(&document), system(&on_disk), "{name}");
        let before = inventory(mount.root());
        let reset = disk.run("password reset win --yes --json --undo-file undo").success();
        assert_eq!(reset["result"]["changed"], true, "{name}: {reset}");
        assert_ne!(inventory(mount.root()), before, "{name}");
        let again = disk.run("password reset win --yes --json").success();
        assert_eq!(again["result"]["changed"], false, "{name}: {again}");
        drop(mount);
        let mount = ntfs_mount::Mount::new(&image, &place, "rw");
        let again = disk.run("password reset win --yes --json").success();
        assert_eq!(again["result"]["changed"], json!(false), "{name}, mounted again");
        disk.run("undo undo win --yes --json").success();
        let after = inventory(mount.root());
        assert_same(&after, &before, name);
        drop(mount);
    }
}

/// Full control for everybody, as ntfs-3g gives it to what it makes itself.
const EVERYBODY: &str = "0x0100048014000000240000000000000034000000\
    0102000000000005200000002002000001020000000000052000000020020000\
    02001c000100000000031400ff011f00010100000000000100000000";

/// The security descriptor of a file, in hexadecimal, as getfattr reads it.
fn descriptor(path: &Path) -> String {
    let path = path.to_str().unwrap();
    let arguments = ["-e", "hex", "--absolute-names", "-n", "system.ntfs_acl", path];
    let text = tools::succeed("getfattr", &arguments);
    text.lines().find_map(|line| line.split_once('=')).unwrap().1.to_owned()
}

/// Fails unless the programs of ntfs-3g find nothing on the volume.
fn assert_silent(image: &Path) {
    for verdict in verdicts(image) {
        assert_eq!(verdict, NtfsVerdict::Silent);
    }
}

/// A key for OpenSSH on Windows: the new file has the descriptor without which sshd ignores it, as on the disk itself;
/// one that others may change is made anew; and all of it is taken back.
#[test]
#[ignore = "needs root: FUSE mounts"]
fn root_only_a_key_on_a_mounted_windows_gets_a_safe_descriptor() {
    let disk = WindowsDisk::new(V2);
    std::fs::write(disk.scratch.join("k.pub"), NEW_KEY).unwrap();
    let place = disk.scratch.join("win");
    let image = disk.volume_image();
    let mount = ntfs_mount::Mount::new(&image, &place, "rw");
    let before = inventory(&place);
    let add = "key add win --key k.pub --yes --json --undo-file";
    let added = disk.run(&format!("{add} undo")).success();
    assert_eq!(added["result"]["changes"][0]["path"], format!("/{SHARED}"));
    let file = place.join(SHARED);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), NEW_KEY);
    // The server's own file has the same one in the fixture.
    let safe = descriptor(&place.join("ProgramData/ssh/sshd_config"));
    assert_eq!(descriptor(&file), safe);
    let again = disk.run(&format!("{add} undo2")).success();
    assert_eq!(again["result"]["changed"], false);
    // Everybody may change it: refused, and repaired with --fix.
    let file_name = file.to_str().unwrap();
    tools::succeed("setfattr", &["-n", "system.ntfs_acl", "-v", EVERYBODY, file_name]);
    let refused = disk.run(&format!("{add} undo3")).failure(&[4]);
    assert!(refused["message"].as_str().unwrap().contains("others may change it"), "{refused}");
    let fixed = disk.run(&format!("{add} undo3 --fix")).success();
    assert_eq!(fixed["result"]["changed"], true);
    assert_eq!(descriptor(&file), safe);
    disk.run("undo undo3 win --yes --json").success();
    assert_eq!(descriptor(&file), EVERYBODY);
    tools::succeed("setfattr", &["-n", "system.ntfs_acl", "-v", &safe, file_name]);
    disk.run("undo undo win --yes --json").success();
    assert_same(&inventory(&place), &before, "undone");
    drop(mount);
    assert_silent(&image);
}

/// The descriptor of a file that stays: set, read back, and taken back.
#[test]
#[ignore = "needs root: FUSE mounts"]
fn root_only_a_descriptor_is_set_and_taken_back() {
    let disk = WindowsDisk::new(V2);
    let place = disk.scratch.join("win");
    let image = disk.volume_image();
    let mount = ntfs_mount::Mount::new(&image, &place, "rw");
    let (path, other) = ("ProgramData/ssh/sshd_config", "Users");
    let (before, wanted) = (descriptor(&place.join(path)), descriptor(&place.join(other)));
    assert_ne!(before, wanted);
    let inventory_before = inventory(&place);
    let directory = Rc::new(Directory::open(&place).unwrap());
    let mut tree =
        Tree::new(directory.clone(), Timestamp { seconds: 1_750_000_000, nanoseconds: 0 });
    let node = |tree: &Tree, path: &str| find(tree, &GuestPath::new(path)).unwrap().unwrap().node;
    let (file, users) = (node(&tree, path), node(&tree, other));
    let value = tree.xattr(users, NTFS_ACL_NAME).unwrap().unwrap();
    assert_eq!(tree.set_xattr(file, b"user.x", Some(b"y")).unwrap_err().exit_status(), 4);
    assert_eq!(tree.set_xattr(file, NTFS_ACL_NAME, None).unwrap_err().exit_status(), 4);
    tree.set_xattr(file, NTFS_ACL_NAME, Some(&value)).unwrap();
    assert_eq!(tree.xattr(file, NTFS_ACL_NAME).unwrap().unwrap(), value);
    let description = FilesDescription {
        regain_version: "0".to_owned(),
        created: "2000-01-01T00:00:00Z".to_owned(),
        command: "test".to_owned(),
        directory: DirectoryIdentity {
            file_system: "ntfs".to_owned(),
            uuid: None,
            machine_id: None,
        },
        files: Vec::new(),
    };
    let patch = FilePatch::new(description, tree.records().unwrap()).unwrap();
    assert_eq!(patch.records().len(), 1);
    assert_eq!(descriptor(&place.join(path)), before, "nothing is written yet");
    files::apply(&patch, &directory, &DurableUndo::waived(), &mut |_, _| ()).unwrap();
    assert_eq!(descriptor(&place.join(path)), wanted);
    files::undo(&patch, &directory, &mut |_, _| ()).unwrap();
    assert_eq!(descriptor(&place.join(path)), before);
    assert_same(&inventory(&place), &inventory_before, "undone");
    drop((tree, directory, mount));
    assert_silent(&image);
}
