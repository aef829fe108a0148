//! Which subvolume of a Btrfs is the root of the system (VOL-14, VOL-15).
//!
//! In this order: what the kernel command line says in `rootflags=`, the options of the line for `/` in fstab, the
//! default subvolume. These stand in files of the root that is looked for, so the search starts at the default
//! subvolume, or at the oldest one with a system where that holds none, as on Fedora. Snapshots are copies of an
//! older state of such files, and so lead to the same place. Where they do not, there is no guess.

use super::KernelCommandLine;
use super::fstab::mounting::{Candidate, Wanted, choose, mount_all, wanted};
use super::fstab::{self, Start};
use crate::bytes::text::escape_limited;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::mounted::{Mounted, Part};
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem as _, Subvolume};

/// Bound on the subvolumes that are looked into.
const SUBVOLUMES_MAX: usize = 4096;
/// Bound on the subvolumes with a system that are named.
const NAMED_MAX: usize = 16;

/// The directory that is the root of the system on the volume at `index`: `/` where there are no subvolumes; `None`
/// if none of them holds a system.
///
/// # Errors
/// `Ambiguous` if several subvolumes hold a system and nothing says which one boots; otherwise as the file system.
pub fn find(index: usize, candidates: &[Candidate]) -> Result<Option<GuestPath>> {
    let candidate = candidates.get(index).ok_or_else(|| Error::not_found("no such volume"))?;
    let fs = candidate.content.as_ref().map_err(|reason| Error::not_found(reason.clone()))?;
    let subvolumes = fs.subvolumes()?;
    if subvolumes.is_empty() {
        return Ok(Some(GuestPath::root()));
    }
    let part = |directory: &GuestPath| Part {
        volume: index,
        name: candidate.name.clone(),
        fs: fs.clone(),
        directory: directory.clone(),
    };
    let mut roots: Vec<&Subvolume> = Vec::new();
    for subvolume in subvolumes.iter().take(SUBVOLUMES_MAX) {
        if super::is_root(&Mounted::new(part(&subvolume.path))?) {
            roots.push(subvolume);
        }
    }
    roots.sort_by_key(|root| (!root.is_default, root.id));
    let Some(start) = roots.first() else { return Ok(None) };
    if let [only] = roots.as_slice() {
        return Ok(Some(only.path.clone()));
    }
    let tree = mount_all(index, start.path.clone(), candidates)?;
    let said = said(&tree);
    if let Some(found) = choose(&subvolumes, &said)
        && roots.iter().any(|root| root.id == found.id)
    {
        return Ok(Some(found.path.clone()));
    }
    Err(ambiguous(&roots))
}

fn ambiguous(roots: &[&Subvolume]) -> Error {
    let name = |root: &&Subvolume| escape_limited(root.path.as_bytes(), 255);
    let candidates = roots.iter().take(NAMED_MAX).map(name).collect();
    let what = "several subvolumes hold a system, and nothing says which one boots".to_owned();
    Error::new(ErrorKind::Ambiguous { what, candidates })
}

/// What the files of a system say about its root.
fn said(tree: &Mounted) -> Wanted {
    let flags = KernelCommandLine::read(tree).value("rootflags").map(<[u8]>::to_vec);
    if let Some(flags) = flags {
        let option = |name: &str| {
            let options = flags.split(|&byte| byte == b',');
            options.filter_map(|option| option.strip_prefix(name.as_bytes())).next_back()
        };
        let said = wanted(option("subvolid="), option("subvol="));
        if !matches!(said, Wanted::Default) {
            return said;
        }
    }
    let mounts = fstab::read(tree).unwrap_or_default();
    let is_root = |mount: &&fstab::Mount| mount.target.parent().is_none();
    let line = mounts.iter().filter(|mount| mount.start != Start::ByHand).rfind(is_root);
    line.map_or(Wanted::Default, |line| wanted(line.option("subvolid"), line.option("subvol")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::fs::mounted::Shared;
    use crate::guest::linux::fstab::VolumeNames;

    const UUID: &str = "00000000-0000-4000-8000-000000000000";

    fn system(tree: &mut MemoryTree, at: &str, fstab: &str) {
        let file = |path: &str| format!("{at}/{path}");
        tree.file(&file("etc/passwd"), 0, 0o644, b"")
            .file(&file("etc/os-release"), 0, 0o644, b"ID=x\n")
            .file(&file("etc/fstab"), 0, 0o644, fstab.as_bytes())
            .directory(&file("usr/bin"), 0, 0o755)
            .directory(&file("boot"), 0, 0o755);
    }

    fn candidate(tree: MemoryTree, label: &str) -> Candidate {
        let names = VolumeNames { label: label.as_bytes().to_vec(), ..VolumeNames::default() };
        let content = Ok(Shared::new(Box::new(tree)));
        Candidate { names, name: "volume 1".to_owned(), content }
    }

    fn found(tree: MemoryTree, boot: Option<MemoryTree>) -> Result<Option<String>> {
        let mut candidates = vec![candidate(tree.named("btrfs", UUID, ""), "root")];
        candidates.extend(boot.map(|boot| candidate(boot, "boot")));
        Ok(find(0, &candidates)?.map(|path| path.to_string()))
    }

    /// Fedora: the default is the top level, which holds no system; snapshots are copies of the root.
    fn fedora(snapshot: &str) -> MemoryTree {
        let mut tree = MemoryTree::new();
        let fstab = "LABEL=root / btrfs subvol=root,compress=zstd:1 0 0\nLABEL=boot /boot ext4\n";
        system(&mut tree, "/before", fstab);
        system(&mut tree, "/root", fstab);
        tree.directory("/home", 0, 0o755);
        tree.subvolume("/", 5, true)
            .subvolume("/home", 256, false)
            .subvolume("/root", 257, false)
            .subvolume("/before", 300, false);
        if !snapshot.is_empty() {
            tree.file("/root/etc/fstab", 0, 0o644, snapshot.as_bytes());
        }
        tree
    }

    #[test]
    fn fstab_says_which_root_boots_vol_14() {
        assert_eq!(found(fedora(""), None).unwrap().unwrap(), "/root");
        let by_number = fedora("LABEL=root / btrfs subvolid=300,subvol=root\n");
        assert_eq!(found(by_number, None).unwrap().unwrap(), "/before");
        let error = found(fedora("LABEL=root / btrfs\n"), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "several subvolumes hold a system, and nothing says which one boots: /root, /before"
        );
        assert_eq!(found(MemoryTree::new(), None).unwrap().unwrap(), "/");
        let mut empty = MemoryTree::new();
        empty.subvolume("/", 5, true);
        assert_eq!(found(empty, None).unwrap(), None);
    }

    #[test]
    fn the_boot_entry_comes_first_vol_14() {
        let entry =
            "title Fedora\nlinux /vmlinuz\noptions root=LABEL=root rootflags=subvol=before\n";
        let boot =
            MemoryTree::new().file("/loader/entries/a.conf", 0, 0o644, entry.as_bytes()).clone();
        assert_eq!(found(fedora(""), Some(boot)).unwrap().unwrap(), "/before");
    }

    #[test]
    fn the_default_snapshot_of_suse_is_the_root_vol_15() {
        let mut tree = MemoryTree::new();
        let fstab = "LABEL=root / btrfs defaults 0 0\nLABEL=root /home btrfs subvol=/@/home 0 0\n";
        for number in [1, 2, 3] {
            system(&mut tree, &format!("/@/.snapshots/{number}/snapshot"), fstab);
        }
        tree.directory("/@/home", 0, 0o755);
        tree.subvolume("/", 5, false).subvolume("/@", 256, false).subvolume("/@/home", 257, false);
        for (number, id) in [(1, 260), (2, 261), (3, 262)] {
            tree.subvolume(&format!("/@/.snapshots/{number}/snapshot"), id, number == 2);
        }
        assert_eq!(found(tree, None).unwrap().unwrap(), "/@/.snapshots/2/snapshot");
    }
}
