//! Which subvolume of a Btrfs is the root of the system (VOL-14, VOL-15).
//!
//! In this order: what the kernel command line says in `rootflags=`, the options of the line for `/` in fstab, the
//! default subvolume. These stand in files of the root that is looked for, so every subvolume with a system is asked
//! which one boots. Snapshots are copies of an older state of such files, and so lead to the root that they were made
//! of. One that leads to itself is a system of its own; where there are several, as with two distributions on one
//! volume, there is no guess (VOL-10).

use super::KernelCommandLine;
use super::fstab::mounting::{Candidate, Wanted, choose, mount_all, wanted};
use super::fstab::{self, Start};
use crate::error::{Error, Result};
use crate::fs::mounted::{Mounted, Part};
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem as _, Subvolume};

/// Bound on the subvolumes that are looked into.
const SUBVOLUMES_MAX: usize = 4096;
/// Bound on the subvolumes with a system that are asked which one boots: each costs a few files.
const ASKED_MAX: usize = 64;
/// Bound on the roots that are told apart.
const ROOTS_MAX: usize = 16;

/// The directories of the volume at `index` that are the root of a system: `/` where there are no subvolumes, none if
/// no subvolume holds a system, several if nothing says which one of them boots.
///
/// # Errors
/// As the file system.
pub fn find(index: usize, candidates: &[Candidate]) -> Result<Vec<GuestPath>> {
    let candidate = candidates.get(index).ok_or_else(|| Error::not_found("no such volume"))?;
    let fs = candidate.content.as_ref().map_err(|reason| Error::not_found(reason.clone()))?;
    let subvolumes = fs.subvolumes()?;
    if subvolumes.is_empty() {
        return Ok(vec![GuestPath::root()]);
    }
    let part = |directory: &GuestPath| Part {
        volume: index,
        name: candidate.name.clone(),
        fs: fs.clone(),
        directory: directory.clone(),
    };
    let mut holders: Vec<&Subvolume> = Vec::new();
    for subvolume in subvolumes.iter().take(SUBVOLUMES_MAX) {
        if super::is_root(&Mounted::new(part(&subvolume.path))?) {
            holders.push(subvolume);
        }
    }
    holders.sort_by_key(|root| (!root.is_default, root.id));
    let roots = match holders.as_slice() {
        [] | [_] => holders,
        _ => bootable(&holders, &subvolumes, |root| {
            Ok(said(&mount_all(index, root.path.clone(), candidates)?))
        })?,
    };
    Ok(roots.iter().take(ROOTS_MAX).map(|root| root.path.clone()).collect())
}

/// Those of `holders` that boot, by what each has `said`; all of them if nothing says that.
fn bootable<'a>(
    holders: &[&'a Subvolume],
    subvolumes: &[Subvolume],
    said: impl Fn(&Subvolume) -> Result<Wanted>,
) -> Result<Vec<&'a Subvolume>> {
    let led_to = |root: &Subvolume| -> Result<Option<&'a Subvolume>> {
        let found = choose(subvolumes, &said(root)?).map(|found| found.id);
        Ok(holders.iter().find(|holder| Some(holder.id) == found).copied())
    };
    let Some((first, others)) = holders.split_first() else { return Ok(Vec::new()) };
    let first_leads_to = led_to(first)?;
    let mut own: Vec<&Subvolume> = Vec::new();
    own.extend(first_leads_to.filter(|found| found.id == first.id));
    // What cannot be written is a snapshot: it boots only if another says so.
    for root in others.iter().filter(|root| !root.is_read_only).take(ASKED_MAX) {
        own.extend(led_to(root)?.filter(|found| found.id == root.id));
    }
    Ok(match (own.is_empty(), first_leads_to) {
        (false, _) => own,
        (true, Some(found)) => vec![found],
        (true, None) => holders.to_vec(),
    })
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

    fn found(tree: MemoryTree, boot: Option<MemoryTree>) -> Vec<String> {
        let mut candidates = vec![candidate(tree.named("btrfs", UUID, ""), "root")];
        candidates.extend(boot.map(|boot| candidate(boot, "boot")));
        find(0, &candidates).unwrap().iter().map(ToString::to_string).collect()
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
        assert_eq!(found(fedora(""), None), ["/root"]);
        let by_number = fedora("LABEL=root / btrfs subvolid=300,subvol=root\n");
        assert_eq!(found(by_number, None), ["/before"]);
        assert_eq!(found(fedora("LABEL=root / btrfs\n"), None), ["/root", "/before"]);
        assert_eq!(found(MemoryTree::new(), None), ["/"]);
        let mut empty = MemoryTree::new();
        empty.subvolume("/", 5, true);
        assert_eq!(found(empty, None), [""; 0]);
    }

    /// Each names itself as its root, but for the snapshots: of the second one that is made later, and by Timeshift,
    /// which can be written.
    #[test]
    fn two_systems_side_by_side_are_both_found_and_their_snapshots_are_not_vol_10() {
        let mut tree = MemoryTree::new();
        let fstab = |root: &str| format!("LABEL=root / btrfs subvol={root}\n");
        for (at, root) in [
            ("/@one", "@one"),
            ("/@two", "/@two"),
            ("/timeshift-btrfs/snapshots/1/@one", "@one"),
            ("/snapshot", "@two"),
        ] {
            system(&mut tree, at, &fstab(root));
        }
        tree.subvolume("/", 5, true)
            .subvolume("/timeshift-btrfs/snapshots/1/@one", 300, false)
            .subvolume("/@two", 257, false)
            .subvolume("/@one", 256, false)
            .subvolume("/snapshot", 301, false);
        assert_eq!(found(tree, None), ["/@one", "/@two"]);
    }

    #[test]
    fn the_boot_entry_comes_first_vol_14() {
        let entry =
            "title Fedora\nlinux /vmlinuz\noptions root=LABEL=root rootflags=subvol=before\n";
        let boot =
            MemoryTree::new().file("/loader/entries/a.conf", 0, 0o644, entry.as_bytes()).clone();
        assert_eq!(found(fedora(""), Some(boot)), ["/before"]);
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
        assert_eq!(found(tree, None), ["/@/.snapshots/2/snapshot"]);
    }
}
