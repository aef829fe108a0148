//! The tree of a system whose directories are spread over several volumes.
//!
//! A system volume may be the root of a tree with further volumes mounted in it ([`Session::mount`]). Whoever
//! reads or edits the system then sees one file system; an edit is verified volume by volume, each with the
//! questions that are about it, and every volume that it touched becomes part of the one patch.

use super::{Content, OpenVolume, Session, SessionDisk, SessionVolume};
use crate::error::{Error, Result};
use crate::fs::mounted::{Location, Mounted, Part, Shared};
use crate::fs::path::GuestPath;
use crate::fs::{Timestamp, known};
use crate::volume::place::DiskIndex;
use std::collections::BTreeSet;

impl Session {
    /// What the volume at `index` is as a part of a tree: the root of its file system.
    ///
    /// # Errors
    /// `NotFound` if the volume is not open.
    pub fn part(&self, index: usize) -> Result<Part> {
        Ok(Part {
            volume: index,
            name: self.volume_at(index)?.describe(),
            fs: self.open_at(index)?.fs.clone(),
            directory: GuestPath::root(),
        })
    }

    /// Lets the volume at `root` be seen as `tree`, which was made of [`Session::part`]s and has that volume as its
    /// root. The other volumes stay what they are in the list of volumes.
    ///
    /// # Errors
    /// `NotFound` if the volume is not open.
    pub fn mount(&mut self, root: usize, tree: Mounted) -> Result<()> {
        self.open_mut(root)?.tree = Some(tree);
        Ok(())
    }

    /// The tree of the volume at `root` over file systems that are opened afresh, over the same overlays.
    pub(super) fn tree_again(&self, tree: &Mounted, clock: Timestamp) -> Result<Mounted> {
        tree.again(&mut |index| Ok(Shared::new(self.open_at(index)?.open_again(clock)?)))
    }

    /// The volumes of the tree of the volume at `root`, each once.
    pub(super) fn volumes_of(&self, root: usize) -> Result<Vec<usize>> {
        let Some(tree) = &self.open_at(root)?.tree else { return Ok(vec![root]) };
        let mut volumes: Vec<usize> = tree.parts().map(|(_, part)| part.volume).collect();
        volumes.sort_unstable();
        volumes.dedup();
        Ok(volumes)
    }

    /// The disks on which the system of `volume` lies, with what is mounted in it; none for a directory.
    pub fn disks_of_system(&self, volume: &SessionVolume) -> Vec<&SessionDisk> {
        let tree = volume.open().and_then(|open| open.tree.as_ref());
        let parts = tree.into_iter().flat_map(Mounted::parts);
        let mounted = parts.filter_map(|(_, part)| self.volumes.get(part.volume));
        let volumes = std::iter::once(volume).chain(mounted);
        let disks: BTreeSet<DiskIndex> = volumes.flat_map(|it| it.place.disks()).collect();
        disks.into_iter().filter_map(|disk| self.disk(disk).ok()).collect()
    }

    /// Where the real path `path` of the tree of the volume at `root` lies.
    pub(super) fn locate(&self, root: usize, path: &GuestPath) -> Result<Location> {
        match &self.open_at(root)?.tree {
            Some(tree) => tree.locate(path),
            None => Ok(Location { volume: root, path: path.clone() }),
        }
    }

    /// The open volume at `index`.
    pub(super) fn open_at(&self, index: usize) -> Result<&OpenVolume> {
        let open = self.volume_at(index)?.open();
        open.ok_or_else(|| Error::not_found("the volume is not open"))
    }

    /// The open volume at `index`, to be changed.
    pub(super) fn open_mut(&mut self, index: usize) -> Result<&mut OpenVolume> {
        match self.volumes.get_mut(index).map(|volume| &mut volume.content) {
            Some(Content::Open(open)) => Ok(open),
            _ => Err(Error::not_found("the volume is not open")),
        }
    }
}

impl OpenVolume {
    /// Another view of the same volume, over the same overlay, that remembers nothing of this one.
    fn open_again(&self, clock: Timestamp) -> Result<Box<dyn crate::fs::FileEdit>> {
        known::open_with(self.kind_on_disk()?, self.overlay.clone(), &self.devices, clock)
    }
}
