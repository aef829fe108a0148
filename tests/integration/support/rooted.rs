//! A small Linux root as a directory of this machine, and everything about it that an undo must bring back.

use super::root::{NEW_KEY, OLD_KEY};
use super::scratch::Scratch;
use nix::unistd::{Gid, Uid};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

/// The key file of the user, below the root.
pub(crate) const KEY_FILE: &str = "home/admin/.ssh/authorized_keys";

/// One object: kind and mode, owner, group, time of change, number of names, attributes, digest of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: (i64, i64),
    names: u64,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    content: String,
}

/// A root in a directory of its own, with a host beside it that must stay as it is.
pub(crate) struct Rooted {
    pub(crate) scratch: Scratch,
    /// Who `admin` is: a user of his own where the test may give files away.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Rooted {
    /// A root whose user has the old key, and a directory `host` with decoys.
    pub(crate) fn new() -> Self {
        let rooted = Self::empty();
        rooted.fill();
        rooted
    }

    /// Only the two directories.
    pub(crate) fn empty() -> Self {
        let scratch = Scratch::new();
        let is_root = Uid::effective().is_root();
        let uid = if is_root { 1000 } else { Uid::effective().as_raw() };
        let gid = if is_root { 1000 } else { Gid::effective().as_raw() };
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(scratch.join("root")).unwrap();
        fs::create_dir_all(scratch.join("host/.ssh")).unwrap();
        fs::write(scratch.join("host/.ssh/authorized_keys"), "key of the host\n").unwrap();
        fs::write(scratch.join("host/shadow"), "root:secret:1::::::\n").unwrap();
        fs::write(scratch.join("key.pub"), NEW_KEY).unwrap();
        Self { scratch, uid, gid }
    }

    /// Fills the root.
    pub(crate) fn fill(&self) {
        let root = self.root();
        for (path, mode) in [
            ("", 0o755),
            ("etc", 0o755),
            ("etc/ssh", 0o755),
            ("etc/pam.d", 0o755),
            ("usr", 0o755),
            ("usr/bin", 0o755),
            ("usr/lib", 0o755),
            ("home", 0o755),
            ("proc", 0o555),
            ("run", 0o755),
            ("root", 0o700),
            ("home/admin", 0o700),
            ("home/admin/.ssh", 0o700),
        ] {
            if !root.join(path).exists() {
                fs::create_dir(root.join(path)).unwrap();
            }
            fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        let (uid, gid) = (self.uid, self.gid);
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/bash\nadmin:x:{uid}:{gid}:Admin:/home/admin:/bin/bash\n"
        );
        let pam = "account required pam_nologin.so\naccount required pam_unix.so\n\
                   session required pam_unix.so\n";
        for (path, mode, content) in [
            ("usr/bin/bash", 0o755, "\x7f"),
            (
                "usr/lib/os-release",
                0o644,
                "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n",
            ),
            ("etc/passwd", 0o644, passwd.as_str()),
            ("etc/shadow", 0o640, "root:*:19700:0:99999:7:::\nadmin:!:19700:0:99999:7:::\n"),
            ("etc/group", 0o644, &format!("root:x:0:\nadmin:x:{gid}:\n")),
            ("etc/shells", 0o644, "/bin/sh\n/bin/bash\n"),
            ("etc/hostname", 0o644, "locked-out\n"),
            ("etc/machine-id", 0o444, "0123456789abcdef0123456789abcdef\n"),
            ("etc/ssh/sshd_config", 0o644, "PasswordAuthentication no\nUsePAM yes\n"),
            ("etc/pam.d/sshd", 0o644, pam),
            (KEY_FILE, 0o600, OLD_KEY),
        ] {
            fs::write(root.join(path), content).unwrap();
            fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
        }
        if Uid::effective().is_root() {
            for path in ["home/admin", "home/admin/.ssh", KEY_FILE] {
                chown(root.join(path), Some(uid), Some(gid)).unwrap();
            }
            lchown(root.join("bin"), Some(0), Some(0)).unwrap();
        }
        for path in self.inventory().keys() {
            if let Ok(file) = fs::File::open(self.root().join(path)) {
                let moment = std::time::SystemTime::UNIX_EPOCH
                    + std::time::Duration::new(1_600_000_000, 123_456_789);
                file.set_modified(moment).unwrap();
            }
        }
    }

    /// The root.
    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    /// The content of a file of the root.
    pub(crate) fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.root().join(path)).unwrap()).into_owned()
    }

    /// Everything below the root.
    pub(crate) fn inventory(&self) -> BTreeMap<PathBuf, Facts> {
        inventory(&self.root())
    }

    /// Everything beside it that is of the host.
    pub(crate) fn host(&self) -> BTreeMap<PathBuf, Facts> {
        inventory(&self.scratch.join("host"))
    }
}

/// Everything below `root`, which is not followed through links; pipes, sockets and devices are not opened.
pub(crate) fn inventory(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root.to_owned()];
    while let Some(path) = rest.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if metadata.file_type().is_fifo() || !metadata.is_file() {
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        let digest = super::digest::hex(&Sha256::digest(&content));
        let facts = Facts {
            mode: metadata.mode(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            names: if metadata.is_dir() || is_on_ntfs(&path) { 0 } else { metadata.nlink() },
            attributes: attributes(&path),
            content: digest,
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
    }
    found
}

/// True for an object on NTFS, where the 8.3 name counts as one.
fn is_on_ntfs(path: &Path) -> bool {
    rustix::fs::lgetxattr(path, "system.ntfs_attrib", &mut [0; 16][..]).is_ok()
}

/// The extended attributes of an object, sorted.
fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0; 65_536];
    let len = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = names
        .filter(|name| !name.starts_with(b"system.ntfs"))
        .map(|name| {
            let mut value = vec![0; 65_536];
            let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
            (name.to_vec(), value[..len].to_vec())
        })
        .collect();
    found.sort();
    found
}

/// Fails with the objects that differ.
pub(crate) fn assert_same(
    found: &BTreeMap<PathBuf, Facts>,
    expected: &BTreeMap<PathBuf, Facts>,
    when: &str,
) {
    let paths: std::collections::BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    for path in paths {
        assert_eq!(found.get(path), expected.get(path), "{when}: {}", path.display());
    }
}
