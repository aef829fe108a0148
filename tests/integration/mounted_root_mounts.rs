//! Mounted roots with mounts below them, devices and labels, on the file systems of real disks, and as another user.
//!
//! Ignored by default, because mounting needs root. `cargo test -- --include-ignored root_only_` runs them.

use crate::mounted_root::run;
use crate::support::regain::Run;
use crate::support::root::{NEW_KEY, OLD_KEY};
use crate::support::rooted::{KEY_FILE, Rooted, assert_same};
use crate::support::tools;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How often a mount is tried: other programs of the host take loop devices, too.
const MOUNT_ATTEMPTS: usize = 20;

const LABEL: &[u8] = b"system_u:object_r:ssh_home_t:s0\0";

/// A mount that ends with the value.
struct Mount(PathBuf);

impl Mount {
    fn new(place: &Path, arguments: &[&str]) -> Self {
        fs::create_dir_all(place).unwrap();
        let mut all = arguments.to_vec();
        all.push(place.to_str().unwrap());
        for _ in 1..MOUNT_ATTEMPTS {
            if tools::run("mount", &all).status.success() {
                return Self(place.to_owned());
            }
        }
        tools::succeed("mount", &all);
        Self(place.to_owned())
    }

    /// A new file system on a file, mounted at `place`.
    fn of_disk(rooted: &Rooted, name: &str, mkfs: &[&str], place: &Path) -> Self {
        let image = rooted.scratch.join(name);
        fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
        let mut arguments = mkfs[1..].to_vec();
        arguments.push(image.to_str().unwrap());
        tools::succeed(mkfs[0], &arguments);
        Self::new(place, &["-o", "loop", image.to_str().unwrap()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let output = tools::run("umount", &[self.0.as_os_str()]);
        assert!(output.status.success() || std::thread::panicking(), "umount: {output:?}");
    }
}

fn add(rooted: &Rooted, undo: &str) -> Run {
    run(rooted, &format!("key add root --user admin --key key.pub --yes --json --undo-file {undo}"))
}

fn label(path: &Path) {
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, "security.selinux", LABEL, flags).unwrap();
}

/// On each file system: labels, lists and owners stay, and undo brings everything back.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_roots_on_real_file_systems_keep_labels_and_lists() {
    let file_systems: [&[&str]; 3] =
        [&["mke2fs", "-q", "-t", "ext4"], &["mkfs.xfs", "-q"], &["mkfs.btrfs", "-q"]];
    for mkfs in file_systems {
        let rooted = Rooted::empty();
        let mount = Mount::of_disk(&rooted, "disk", mkfs, &rooted.root());
        rooted.fill();
        for path in ["home/admin", "home/admin/.ssh", KEY_FILE] {
            label(&rooted.root().join(path));
        }
        let file = rooted.root().join(KEY_FILE);
        tools::succeed("setfacl", &["-m", "u:1234:r", file.to_str().unwrap()]);
        let before = rooted.inventory();
        let document = run(&rooted, "inspect root --json").success();
        let type_name = document["result"]["volumes"][0]["file_system"].as_str().unwrap();
        assert!(mkfs.concat().contains(type_name), "{document}");
        let added = add(&rooted, "undo").success();
        assert_eq!(added["result"]["users"][0]["verdict"], "accepted", "{mkfs:?}: {added}");
        assert_eq!(rooted.read(KEY_FILE), format!("{OLD_KEY}{NEW_KEY}"));
        let mut value = [0; 100];
        let len = rustix::fs::getxattr(&file, "security.selinux", &mut value[..]).unwrap();
        assert_eq!(&value[..len], LABEL, "{mkfs:?}");
        let list = Command::new("getfacl").arg("-cn").arg(&file).output().unwrap();
        assert!(String::from_utf8_lossy(&list.stdout).contains("user:1234:r"), "{mkfs:?}");
        run(&rooted, "undo undo root --yes --json").success();
        assert_same(&rooted.inventory(), &before, mkfs[0]);
        drop(mount);
    }
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_a_mounted_home_is_part_of_the_system() {
    let rooted = Rooted::new();
    let home = rooted.root().join("home");
    let mkfs = ["mke2fs", "-q", "-t", "ext4"];
    let inner = rooted.scratch.join("inner");
    let mount = Mount::of_disk(&rooted, "home.img", &mkfs, &inner);
    tools::succeed("cp", &["-a", home.join("admin").to_str().unwrap(), inner.to_str().unwrap()]);
    drop(mount);
    fs::remove_dir_all(home.join("admin")).unwrap();
    let fstab = "LABEL=home /home ext4 defaults 0 2\n";
    fs::write(rooted.root().join("etc/fstab"), fstab).unwrap();
    run(&rooted, "key add root --user admin --key key.pub --yes --json").failure(&[4]);
    let image = rooted.scratch.join("home.img");
    let mount = Mount::new(&home, &["-o", "loop", image.to_str().unwrap()]);
    let before = rooted.inventory();
    let added = add(&rooted, "undo").success();
    assert_eq!(added["result"]["users"][0]["verdict"], "accepted", "{added}");
    assert_eq!(rooted.read(KEY_FILE), format!("{OLD_KEY}{NEW_KEY}"));
    run(&rooted, "undo undo root --yes --json").success();
    assert_same(&rooted.inventory(), &before, "undone");
    tools::succeed("mount", &["-o", "remount,ro", home.to_str().unwrap()]);
    let error = add(&rooted, "undo2").failure(&[4]);
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("mount -o remount,rw") && hint.contains("/home"), "{error}");
    drop(mount);
}

/// What belongs to this machine is not entered: it is said, and nothing there is written.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_mounts_of_the_host_are_not_entered() {
    let rooted = Rooted::new();
    let host_home = rooted.scratch.join("host/home");
    fs::create_dir(&host_home).unwrap();
    tools::succeed(
        "cp",
        &["-a", rooted.root().join("home/admin").to_str().unwrap(), host_home.to_str().unwrap()],
    );
    let home = rooted.root().join("home");
    let mounts = [
        Mount::new(&rooted.root().join("proc"), &["-t", "proc", "proc"]),
        Mount::new(&rooted.root().join("run"), &["-t", "tmpfs", "tmpfs"]),
        Mount::new(&rooted.root().join("dev"), &["--bind", "/dev"]),
    ];
    let bind = Mount::new(&home, &["--bind", host_home.to_str().unwrap()]);
    let host = rooted.host();
    let document = run(&rooted, "inspect root --json").success();
    let warnings = document["result"]["warnings"].to_string();
    assert!(warnings.contains("/home is not entered") && warnings.contains("/proc"), "{warnings}");
    let done = add(&rooted, "undo");
    assert_eq!(done.status, 4, "{done:?}");
    assert!(done.stdout.contains("/home: is a mount of"), "{}", done.stdout);
    let command = format!("umount {}", home.canonicalize().unwrap().display());
    assert!(done.stdout.contains(&command), "{}", done.stdout);
    assert_same(&rooted.host(), &host, "the host");
    drop(bind);
    add(&rooted, "undo").success();
    drop(mounts);
}

/// A directory of the host is mounted where a patch changes something, after the patch was made: it looks the same, and
/// stays as it is.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_a_patch_changes_nothing_on_a_mount_that_came_later() {
    let rooted = Rooted::new();
    let admin = rooted.root().join("home/admin");
    fs::set_permissions(&admin, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(rooted.scratch.join("old.pub"), OLD_KEY).unwrap();
    let line = "key add root --user admin --key old.pub --fix --json --patch-out p";
    let made = run(&rooted, line).success();
    assert_eq!(made["result"]["patch"]["runs"], 1, "only the mode: {made}");
    run(&rooted, "apply p root --yes --no-undo --json").success();
    for (mode, line) in [(0o777, "apply p root --yes --json"), (0o755, "undo p root --yes --json")]
    {
        let own = rooted.scratch.join("host/own");
        tools::succeed("cp", &["-a", admin.to_str().unwrap(), own.to_str().unwrap()]);
        fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
        let host = rooted.host();
        let bind = Mount::new(&admin, &["--bind", own.to_str().unwrap()]);
        let error = run(&rooted, line).failure(&[6]);
        assert!(error["message"].as_str().unwrap().contains("a mount of"), "{error}");
        assert_same(&rooted.host(), &host, line);
        drop(bind);
        fs::remove_dir_all(own).unwrap();
    }
    run(&rooted, "undo p root --yes --json").success();
}

/// Devices are seen and not opened.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_devices_in_the_tree_are_not_opened() {
    let rooted = Rooted::new();
    let file = rooted.root().join(KEY_FILE);
    for (kind, major, minor) in [("c", "1", "3"), ("c", "5", "0"), ("b", "7", "0")] {
        fs::remove_file(&file).unwrap();
        let made = Command::new("mknod").arg(&file).args([kind, major, minor]).status().unwrap();
        assert!(made.success(), "mknod of coreutils");
        let error = add(&rooted, "undo").failure(&[4]);
        assert!(error["message"].as_str().unwrap().contains("device"), "{error}");
    }
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_a_root_that_is_mounted_read_only_is_refused_with_the_remedy() {
    let rooted = Rooted::empty();
    let mkfs = ["mke2fs", "-q", "-t", "ext4"];
    let mount = Mount::of_disk(&rooted, "disk", &mkfs, &rooted.root());
    rooted.fill();
    tools::succeed("mount", &["-o", "remount,ro", rooted.root().to_str().unwrap()]);
    let document = run(&rooted, "inspect root --json").success();
    assert_eq!(document["result"]["volumes"][0]["writable"], false);
    let error = add(&rooted, "undo").failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("read-only"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("mount -o remount,rw"), "{error}");
    tools::succeed("mount", &["-o", "remount,rw", rooted.root().to_str().unwrap()]);
    let flagged = rooted.root().join(KEY_FILE);
    tools::succeed("chattr", &["+i", flagged.to_str().unwrap()]);
    let error = add(&rooted, "undo").failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("immutable"), "{error}");
    tools::succeed("chattr", &["-i", flagged.to_str().unwrap()]);
    add(&rooted, "undo").success();
    drop(mount);
}

/// An ordinary user can do what the permissions allow, and is told what they do not.
#[test]
#[ignore = "needs root: another user"]
fn root_only_an_ordinary_user_edits_what_is_theirs() {
    let rooted = Rooted::new();
    tools::succeed("chown", &["-R", "1000:1000", rooted.scratch.path().to_str().unwrap()]);
    let before = rooted.inventory();
    let as_user = |line: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
            .arg(env!("CARGO_BIN_EXE_regain"))
            .args(line.split(' '))
            .current_dir(rooted.scratch.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text)
    };
    let add = "key add root --user admin --key key.pub --yes --json --undo-file";
    let (status, text) = as_user(&format!("{add} undo"));
    assert_eq!(status, 0, "{text}");
    assert_eq!(rooted.read(KEY_FILE), format!("{OLD_KEY}{NEW_KEY}"));
    let (status, text) = as_user("undo undo root --yes --json");
    assert_eq!(status, 0, "{text}");
    assert_same(&rooted.inventory(), &before, "undone");
    // The key file of somebody else in a directory of somebody else.
    tools::succeed("chown", &["-R", "0:0", rooted.root().join("home").to_str().unwrap()]);
    fs::set_permissions(rooted.root().join("home/admin"), fs::Permissions::from_mode(0o755))
        .unwrap();
    fs::set_permissions(rooted.root().join("home/admin/.ssh"), fs::Permissions::from_mode(0o755))
        .unwrap();
    fs::set_permissions(rooted.root().join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let before = rooted.inventory();
    let (status, text) = as_user(&format!("{add} undo2 --force"));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("ermission denied") && text.contains("/home/admin/.ssh"), "{text}");
    assert!(text.contains("run it as root"), "{text}");
    // A file of somebody else in a directory of one's own: it would have to be given away.
    for (path, owner) in [("home/admin", "1000:1000"), ("home/admin/.ssh", "1000:1000")] {
        tools::succeed("chown", &[owner, rooted.root().join(path).to_str().unwrap()]);
    }
    let given = rooted.inventory();
    let (status, text) = as_user(&format!("{add} undo3 --force"));
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("giving it to 0:0") && text.contains("\"target_modified\": false"),
        "{text}"
    );
    assert_same(&rooted.inventory(), &given, "not even a time");
    assert!(!rooted.scratch.join("undo3").exists());
    tools::succeed("chown", &["-R", "0:0", rooted.root().join("home").to_str().unwrap()]);
    // What cannot be read is told by its path.
    fs::set_permissions(rooted.root().join("etc/shadow"), fs::Permissions::from_mode(0o000))
        .unwrap();
    tools::succeed("chown", &["0:0", rooted.root().join("etc/shadow").to_str().unwrap()]);
    let (status, text) = as_user("key check root --user admin --key key.pub --json");
    assert!(status == 1 && text.contains("/etc/shadow"), "{status}: {text}");
    fs::set_permissions(rooted.root().join("etc/shadow"), fs::Permissions::from_mode(0o640))
        .unwrap();
    tools::succeed("chown", &["1000:1000", rooted.root().join("etc/shadow").to_str().unwrap()]);
    let now = rooted.inventory();
    let keep = |path: &PathBuf| path != Path::new("etc/shadow");
    let of = |all: &std::collections::BTreeMap<PathBuf, _>| -> Vec<PathBuf> {
        all.keys().filter(|path| keep(path)).cloned().collect()
    };
    assert_eq!(of(&now), of(&before));
}
