//! Directories of the kernel, edited on their volumes: with free space, reverse mappings and all.

use super::NewEntry;
use super::tests::name_of;
use crate::disk::overlay::Overlay;
use crate::fs::xfs::names;
use crate::fs::xfs::testing::{assert_silent, fixture};
use crate::fs::xfs::units::InodeNumber;
use crate::fs::xfs::volume::Volume;
use crate::fs::{NodeKind, Timestamp};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A directory of a fixture, and a file that gets its new names.
struct Edited {
    volume: Volume,
    overlay: Arc<Overlay>,
    directory: InodeNumber,
    file: InodeNumber,
}

impl Edited {
    fn open(name: &str, directory: &[u8]) -> Self {
        let overlay = fixture(name);
        let clock = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
        let volume = Volume::open(overlay.clone(), clock).unwrap();
        let find = |directory: InodeNumber, name: &[u8]| {
            let inode = volume.load_inode(directory).unwrap();
            volume.find_name(&inode, name).unwrap().unwrap().inode
        };
        let data = find(volume.superblock().root, b"data");
        let (directory, file) = (find(data, directory), find(data, b"many-names"));
        Self { volume, overlay, directory, file }
    }

    fn links(&mut self, change: i32) {
        let mut file = self.volume.load_inode(self.file).unwrap();
        let links = file.link_count().checked_add_signed(change).unwrap();
        file.set_link_count(links).unwrap();
        self.volume.store_inode(&mut file).unwrap();
    }

    fn insert(&mut self, name: &[u8]) {
        let mut inode = self.volume.load_inode(self.directory).unwrap();
        let new = NewEntry::new(name, self.file, NodeKind::File);
        self.volume.insert_name(&mut inode, &new).unwrap();
        self.volume.store_inode(&mut inode).unwrap();
        self.links(1);
    }

    fn remove(&mut self, name: &[u8]) {
        let mut inode = self.volume.load_inode(self.directory).unwrap();
        let entry = self.volume.take_name(&mut inode, name).unwrap();
        assert_eq!(entry.inode, self.file);
        self.volume.store_inode(&mut inode).unwrap();
        self.links(-1);
    }

    fn list(&self) -> BTreeMap<Vec<u8>, InodeNumber> {
        let inode = self.volume.load_inode(self.directory).unwrap();
        let mut found = BTreeMap::new();
        let mut take = |entry: &super::Entry| {
            assert!(found.insert(entry.name.clone(), entry.inode).is_none());
            Ok(ControlFlow::Continue(()))
        };
        self.volume.visit_names(&inode, &mut take).unwrap();
        found
    }

    fn check(&self, what: &str) {
        let inode = self.volume.load_inode(self.directory).unwrap();
        names::check(&self.volume, &inode).unwrap();
        assert_silent(&*self.overlay, what);
    }
}

/// Random edits: about two insertions for each removal, then the other way round.
fn edit(name: &str, directory: &[u8], steps: u32, len_max: usize) {
    let mut edited = Edited::open(name, directory);
    let mut model = edited.list();
    let mut state = 12345_u32;
    for step in 0..steps {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let is_growing = step < steps / 2;
        let is_insertion = (state >> 16) % 3 < if is_growing { 2 } else { 1 };
        let removable = || {
            let names = model.keys().filter(|name| *name != b"." && *name != b"..");
            let names: Vec<_> = names.collect();
            names.get((state >> 8) as usize % names.len().max(1)).map(|name| (*name).clone())
        };
        let removed = if is_insertion { None } else { removable() };
        if let Some(name) = removed {
            edited.remove(&name);
            model.remove(&name);
        } else {
            let name = name_of(step + 100_000, len_max);
            edited.insert(&name);
            model.insert(name, edited.file);
        }
        if step % (steps / 8) == 0 || step + 1 == steps {
            edited.check(&format!("{name}: {} after {step} steps", directory.escape_ascii()));
        }
    }
    assert_eq!(edited.list(), model);
}

#[test]
fn directories_of_the_kernel_are_edited() {
    for name in ["default", "block-1k-rmap", "directory-8k", "rhel10"] {
        for directory in [&b"short"[..], b"block", b"leaf", b"node"] {
            edit(name, directory, 240, 80);
        }
    }
}

#[test]
#[ignore = "campaign: all kinds of volumes, long sequences"]
fn directories_of_every_volume_are_edited() {
    for name in [
        "al2",
        "bigtime-off",
        "block-16k",
        "block-1k",
        "block-2k",
        "block-8k",
        "changed-uuid",
        "directory-4k-block-1k",
        "directory-64k",
        "inode-1k",
        "inode-2k",
        "many-groups",
        "nrext64",
        "no-sparse",
        "one-group",
        "rhel7",
        "rhel8",
        "rmap-no-reflink",
        "sector-4k",
        "stripes",
    ] {
        for directory in [&b"short"[..], b"block", b"leaf", b"node"] {
            edit(name, directory, 2000, 200);
        }
    }
}
