//! The tree of a system whose directories are spread over several volumes.
//!
//! A system volume may be the root of a tree with further volumes mounted in it ([`Session::mount`]). Whoever
//! reads or edits the system then sees one file system; an edit is verified volume by volume, each with the
//! questions that are about it, and every volume that it touched becomes part of the one patch.

use super::{Content, OpenVolume, Session};
use crate::error::{Error, Result};
use crate::fs::known;
use crate::fs::path::GuestPath;
use crate::fs::{FileEdit, Timestamp};

/// A volume that is mounted in the tree of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The real path of the mount point.
    pub at: GuestPath,
    /// Index of the volume in the session.
    pub volume: usize,
}

/// Makes one file system of a root and of what is mounted in it.
pub type Join =
    fn(Box<dyn FileEdit>, Vec<(GuestPath, Box<dyn FileEdit>)>) -> Result<Box<dyn FileEdit>>;

/// What is mounted in a volume, and how it is joined.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The further volumes, each once.
    pub mounts: Vec<Mount>,
    /// Joins them.
    pub join: Join,
}

impl Session {
    /// Makes the file system of the volume at `root` that of all of `tree`. The mounted volumes stay what they are in
    /// the list of volumes.
    ///
    /// # Errors
    /// `NotFound` if a volume is not open; otherwise as opening a file system, and those of [`Tree::join`].
    pub fn mount(&mut self, root: usize, tree: Tree, clock: Timestamp) -> Result<()> {
        let fs = self.join(root, &tree, clock)?;
        let open = self.open_mut(root)?;
        open.fs = fs;
        open.tree = Some(tree);
        Ok(())
    }

    /// Opens the volumes of a tree afresh and joins them.
    pub(super) fn join(
        &self,
        root: usize,
        tree: &Tree,
        clock: Timestamp,
    ) -> Result<Box<dyn FileEdit>> {
        let base = self.open_at(root)?.open_again(clock)?;
        let mut parts = Vec::new();
        for mount in &tree.mounts {
            parts.push((mount.at.clone(), self.open_at(mount.volume)?.open_again(clock)?));
        }
        (tree.join)(base, parts)
    }

    /// The volumes of the tree of the volume at `root`, that one first, with their mount points.
    pub(super) fn parts(&self, root: usize) -> Result<Vec<Mount>> {
        let open = self.open_at(root)?;
        let mounts = open.tree.iter().flat_map(|tree| tree.mounts.iter().cloned());
        let root = Mount { at: GuestPath::root(), volume: root };
        Ok(std::iter::once(root).chain(mounts).collect())
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
    fn open_again(&self, clock: Timestamp) -> Result<Box<dyn FileEdit>> {
        known::open_with(self.kind, self.overlay.clone(), &self.devices, clock)
    }
}

/// The one of `parts` that holds `path`, by its number, and the path inside it.
pub(super) fn part_of(parts: &[Mount], path: &GuestPath) -> Option<(usize, GuestPath)> {
    let inside = |mount: &Mount| match mount.at.as_bytes() {
        b"/" => Some(path.as_bytes()),
        at => path.as_bytes().strip_prefix(at),
    };
    let is_below = |rest: &[u8]| rest.is_empty() || rest.first() == Some(&b'/');
    let holding = parts.iter().enumerate().filter_map(|(number, mount)| {
        let rest = inside(mount).filter(|rest| is_below(rest))?;
        Some((mount.at.as_bytes().len(), number, rest))
    });
    // Of two at the same place the later one hides the earlier one.
    let (_, number, rest) = holding.max_by_key(|(len, number, _)| (*len, *number))?;
    Some((number, GuestPath::new(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_point_holds_a_path() {
        let mount = |at: &str, volume| Mount { at: GuestPath::new(at), volume };
        let parts = [mount("/", 4), mount("/home", 1), mount("/home/a", 2), mount("/var", 3)];
        for (path, number, inside) in [
            ("/etc/passwd", 0, "/etc/passwd"),
            ("/homes/b", 0, "/homes/b"),
            ("/home", 1, "/"),
            ("/home/b/.ssh", 1, "/b/.ssh"),
            ("/home/a/.ssh", 2, "/.ssh"),
            ("/home/ab", 1, "/ab"),
            ("/", 0, "/"),
        ] {
            let found = part_of(&parts, &GuestPath::new(path)).unwrap();
            assert_eq!(found, (number, GuestPath::new(inside)), "{path}");
        }
    }
}
