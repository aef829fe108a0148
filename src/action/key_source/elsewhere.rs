//! Files with keys that this machine's sshd does not read today, but that matter for a key that was exposed: the
//! usual names where the configuration has others, what new users are given, and the server of the initramfs.
//!
//! They are looked into and told of, never edited.

use super::KeySources;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, NodeKind};
use crate::login::Guest;
use crate::login::authorized_keys::key_lines;

/// The names of sshd's default, below a home.
const USUAL: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// Files of others, and what they do.
const OTHERS: [(&str, &str); 4] = [
    ("/etc/skel/.ssh/authorized_keys", "every new user is given a copy of this file"),
    ("/etc/dropbear/authorized_keys", "Dropbear reads this file"),
    ("/etc/dropbear/initramfs/authorized_keys", IN_INITRAMFS),
    ("/etc/dropbear-initramfs/authorized_keys", IN_INITRAMFS),
];

const IN_INITRAMFS: &str = "the initramfs has a copy of this file for its own SSH server";

/// A line somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::action) struct Line {
    pub(in crate::action) path: GuestPath,
    pub(in crate::action) number: u64,
    pub(in crate::action) blob: Vec<u8>,
    /// What the file is for.
    pub(in crate::action) purpose: &'static str,
}

/// The key lines in such files for which `is_wanted` holds. What cannot be read is left out.
pub(in crate::action) fn lines(
    guest: &Guest<'_>,
    sources: &KeySources<'_>,
    is_wanted: &dyn Fn(&[u8]) -> bool,
) -> Vec<Line> {
    let homes = sources.readers.iter().filter_map(|reader| reader.user.home.as_ref());
    let usual = homes.flat_map(|home| USUAL.map(|name| home.join(name)));
    let usual = usual.map(|path| (path, "sshd does not read this file as it is configured"));
    let others = OTHERS.map(|(path, purpose)| (GuestPath::new(path), purpose));
    let mut found = Vec::new();
    for (path, purpose) in usual.chain(others) {
        let Ok(Some(node)) = find(guest.fs, &path) else { continue };
        if sources.by_path.contains_key(&node.real_path) {
            continue;
        }
        let is_file = guest.fs.metadata(node.node).is_ok_and(|found| found.kind == NodeKind::File);
        let content = is_file.then(|| guest.fs.read(node.node, FILE_BYTES_MAX).ok()).flatten();
        let content = content.unwrap_or_default();
        let wanted = key_lines(&content).filter(|line| is_wanted(&line.blob));
        found.extend(wanted.map(|line| {
            let (path, number) = (node.real_path.clone(), line.number);
            Line { path, number, blob: line.blob, purpose }
        }));
    }
    found
}
