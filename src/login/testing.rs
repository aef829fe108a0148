//! A small Debian in memory, and its answer to a key, for tests of the login rules.

use super::{Guest, KeyCheck, PublicKey, key_input};
use crate::fs::memory::MemoryTree;
use crate::fs::{FileSystem, Timestamp};
use crate::guest::linux::detect;

/// A key.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf";
/// Another key.
pub(crate) const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIKHmxpYuBL6s/beeLVSwxmF2V6qgC2d/4I7OKOln+pM";
/// Where admin's keys are.
pub(crate) const FILE: &str = "/home/admin/.ssh/authorized_keys";
/// The date of every test: 2023-11-14T22:13:20Z, day 19675.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };

/// A Debian with `UsePAM yes` and the user admin, whose key file holds `keys`.
pub(crate) fn debian(keys: &str) -> MemoryTree {
    let mut tree = keyless_debian();
    tree.directory("/home/admin/.ssh", 1000, 0o700).file(FILE, 1000, 0o600, keys.as_bytes());
    tree
}

/// The same without a key file and its directory.
pub(crate) fn keyless_debian() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file("/etc/group", 0, 0o644, b"root:x:0:\nadmin:x:1000:\n")
        .file("/etc/shadow", 0, 0o640, b"root:*:1:0:99999:7:::\nadmin:!:1:0:99999:7:::\n")
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .file("/etc/ssh/sshd_config", 0, 0o644, b"UsePAM yes\n")
        .file("/etc/pam.d/sshd", 0, 0o644, crate::login::pam::USUAL)
        .file("/bin/bash", 0, 0o755, b"")
        .directory("/root", 0, 0o700)
        .directory("/home/admin", 1000, 0o755);
    tree
}

/// Adds lines to the configuration of [`debian`].
pub(crate) fn configure(tree: &mut MemoryTree, lines: &str) {
    tree.file("/etc/ssh/sshd_config", 0, 0o644, format!("UsePAM yes\n{lines}\n").as_bytes());
}

/// A key from its line.
pub(crate) fn key(line: &str) -> PublicKey {
    key_input::parse("test", line.as_bytes()).unwrap().keys.remove(0)
}

/// What sshd says to [`KEY`] for `user`.
pub(crate) fn check(tree: &dyn FileSystem, user: &str) -> KeyCheck {
    let system = detect(tree).unwrap().unwrap();
    let guest = Guest::open(tree, &system, NOW).unwrap();
    let user = system.accounts.find(user.as_bytes()).unwrap();
    guest.check_key(user, &key(KEY)).unwrap()
}
