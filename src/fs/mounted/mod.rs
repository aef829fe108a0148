//! One tree out of several file systems, as the running guest sees it: a root, and others mounted on its
//! directories (mount(2); VOL-17).
//!
//! A [`Mounted`] is made of parts. Each part is a file system, or a directory in one: a subvolume, the source of a
//! bind mount. The first is the root. What lies below a directory on which something is mounted cannot be seen,
//! and the mounted root directory has its own owner and mode, as on the guest.
//!
//! An edit goes to the part that holds the node, and only parts that are edited have to be writable: a damaged
//! /home stops no edit of /root. [`Mounted::edited_volumes`] says afterwards which they were, and
//! [`Mounted::locate`] what a path of the tree is called inside its volume, for readers that know one volume only.
//!
//! Not handled: propagation of mounts, mounts below the source of a bind mount (the caller leaves such a mount
//! out). `..` is no business of a file system here: [`path`](super::path) goes back the way it came.

mod edit;
mod node_ids;
mod read;
mod shared;
#[cfg(test)]
mod tests;

pub use node_ids::Inside;
pub use shared::Shared;

use super::path::{GuestPath, Resolution, Resolved, resolve};
use super::{FileSystem, Missing, MountPoint, NodeId, NodeKind};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Refusal, Result};
use node_ids::NodeIds;
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the parts of a tree.
pub const PARTS_MAX: usize = 256;

/// What is mounted: a file system, or a directory in it.
#[derive(Debug, Clone)]
pub struct Part {
    /// The number that the caller gives to the volume.
    pub volume: usize,
    /// The volume for people, as in `volume 2 (xfs "home")`; stands in errors.
    pub name: String,
    /// The file system.
    pub fs: Shared,
    /// The directory of it that is mounted, without links: `/`, or a subvolume.
    pub directory: GuestPath,
}

/// A part in its place.
#[derive(Debug)]
struct Member {
    part: Part,
    root: NodeId,
    /// Real path of the directory on which it is mounted.
    at: GuestPath,
    is_edited: bool,
}

/// Where something is on its own volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The number that the caller gave to the volume.
    pub volume: usize,
    /// The path inside it.
    pub path: GuestPath,
}

/// Several file systems as one tree.
#[derive(Debug)]
pub struct Mounted {
    members: Vec<Member>,
    /// The member on top of each mount point.
    over: BTreeMap<Inside, usize>,
    ids: NodeIds,
    points: Vec<MountPoint>,
}

impl Mounted {
    /// A tree of one part, the root.
    ///
    /// # Errors
    /// As [`Mounted::mount`].
    pub fn new(root: Part) -> Result<Self> {
        let mut tree = Self {
            members: Vec::new(),
            over: BTreeMap::new(),
            ids: NodeIds::default(),
            points: Vec::new(),
        };
        tree.add(root, GuestPath::root())?;
        Ok(tree)
    }

    /// Mounts `part` on the directory at `target`, links followed, as mount(8) does.
    ///
    /// # Errors
    /// `NotFound` if there is nothing at the target, or nothing at the directory of the part; `Refused` if one is a
    /// directory and the other is none; `Limit` above [`PARTS_MAX`]; otherwise as the file systems.
    pub fn mount(&mut self, target: &GuestPath, part: Part) -> Result<()> {
        let Resolution::Found(found) = resolve(self, target, true)? else {
            return Err(Error::not_found(format!("the directory {target} to mount it on")));
        };
        let is_directory = self.is_directory(found.node)?;
        let on = self.ids.inside(found.node)?;
        let index = self.add(part, found.real_path.clone())?;
        let root = self.outside(Inside { member: index, node: self.member(index)?.root })?;
        if self.is_directory(root)? != is_directory {
            self.members.pop();
            let reason = "a directory can be mounted on a directory only".to_owned();
            return Err(Refusal::UnsuitableFile { path: target.to_string(), reason }.into());
        }
        self.over.insert(on, index);
        self.note(found.real_path, None);
        Ok(())
    }

    /// Shows the directory or file at `from` also at `target`, as a bind mount does.
    ///
    /// # Errors
    /// As [`Mounted::mount`]; `Refused` if something is mounted below `from`.
    pub fn bind(&mut self, target: &GuestPath, from: &GuestPath) -> Result<()> {
        let Resolution::Found(found) = resolve(self, from, true)? else {
            return Err(Error::not_found(format!("{from} to bind")));
        };
        let source = &found.real_path;
        if self.points.iter().any(|point| rest_below(&point.path, source).is_some_and(is_deeper)) {
            let reason = "another file system is mounted below it".to_owned();
            return Err(Refusal::UnsuitableFile { path: source.to_string(), reason }.into());
        }
        let Inside { member, .. } = self.ids.inside(found.node)?;
        let directory = self.path_inside(member, source)?;
        let part = Part { directory, ..self.member(member)?.part.clone() };
        self.mount(target, part)
    }

    /// Notes that something belongs on `target` that is not part of the tree, and why (see
    /// [`FileSystem::mount_points`]).
    pub fn leave_out(&mut self, target: &GuestPath, why: Missing) {
        let real_path = match resolve(self, target, true) {
            Ok(Resolution::Found(found)) => found.real_path,
            _ => target.clone(),
        };
        self.note(real_path, Some(why));
    }

    /// The volume of each part, the root first, and where it is mounted.
    pub fn parts(&self) -> impl Iterator<Item = (&GuestPath, &Part)> {
        self.members.iter().map(|member| (&member.at, &member.part))
    }

    /// Where the real path `path` lies. It need not exist; then it is where it would be made.
    ///
    /// # Errors
    /// As [`resolve`]; `Refused` if the path leads through a link.
    pub fn locate(&self, path: &GuestPath) -> Result<Location> {
        let node = match resolve(self, path, false)? {
            Resolution::Found(Resolved { node, real_path, .. }) if real_path == *path => node,
            Resolution::Missing { parent, dangling_link: None, .. } => parent.node,
            Resolution::Found(_) | Resolution::Missing { .. } => {
                let reason = "leads through a link".to_owned();
                return Err(Refusal::UnsuitableFile { path: path.to_string(), reason }.into());
            }
        };
        let Inside { member, .. } = self.ids.inside(node)?;
        let volume = self.member(member)?.part.volume;
        Ok(Location { volume, path: self.path_inside(member, path)? })
    }

    /// The volumes that were edited, each once, in the order of their numbers.
    pub fn edited_volumes(&self) -> Vec<usize> {
        let edited = self.members.iter().filter(|member| member.is_edited);
        let volumes: BTreeSet<usize> = edited.map(|member| member.part.volume).collect();
        volumes.into_iter().collect()
    }

    /// The same tree over file systems that were opened anew; `open` is called once for each volume.
    ///
    /// # Errors
    /// As `open` and [`Mounted::mount`].
    pub fn again(&self, open: &mut dyn FnMut(usize) -> Result<Shared>) -> Result<Self> {
        let mut opened: BTreeMap<usize, Shared> = BTreeMap::new();
        let mut fresh = |part: &Part| {
            let fs = match opened.get(&part.volume) {
                Some(fs) => fs.clone(),
                None => open(part.volume)?,
            };
            opened.insert(part.volume, fs.clone());
            Ok::<Part, Error>(Part { fs, ..part.clone() })
        };
        let root = self.member(0)?;
        let mut tree = Self::new(fresh(&root.part)?)?;
        for member in self.members.iter().skip(1) {
            tree.mount(&member.at, fresh(&member.part)?)?;
        }
        tree.points.clone_from(&self.points);
        Ok(tree)
    }

    fn add(&mut self, part: Part, at: GuestPath) -> Result<usize> {
        let index = self.members.len();
        if index >= PARTS_MAX {
            let count = len_u64(index).saturating_add(1);
            return Err(Error::limit("number of mounted file systems", len_u64(PARTS_MAX), count));
        }
        let found = resolve(&part.fs, &part.directory, false).context(|| part.name.clone())?;
        let Resolution::Found(Resolved { node: root, .. }) = found else {
            return Err(Error::not_found(format!("{}: {}", part.name, part.directory)));
        };
        self.members.push(Member { part, root, at, is_edited: false });
        Ok(index)
    }

    fn note(&mut self, path: GuestPath, missing: Option<Missing>) {
        self.points.retain(|point| point.path != path);
        self.points.push(MountPoint { path, missing });
    }

    fn member(&self, index: usize) -> Result<&Member> {
        self.members.get(index).ok_or_else(|| Error::not_found("no such part of the tree"))
    }

    fn is_directory(&self, node: NodeId) -> Result<bool> {
        Ok(self.metadata(node)?.kind == NodeKind::Directory)
    }

    fn outside(&self, inside: Inside) -> Result<NodeId> {
        self.ids.outside(inside)
    }

    /// What is on top of a node: itself, or the root of what is mounted there.
    fn cross(&self, mut inside: Inside) -> Result<Inside> {
        // Each step goes to another member, and nothing is mounted on a member before it is there.
        for _ in 0..self.members.len() {
            let Some(&member) = self.over.get(&inside) else { break };
            inside = Inside { member, node: self.member(member)?.root };
        }
        Ok(inside)
    }

    /// What the real path `path`, which lies in `member`, is called in its file system.
    fn path_inside(&self, member: usize, path: &GuestPath) -> Result<GuestPath> {
        let Member { at, part, .. } = self.member(member)?;
        let rest = rest_below(path, at)
            .ok_or_else(|| Error::not_found(format!("{path} below {at}, where it was found")))?;
        Ok(GuestPath::new([part.directory.as_bytes(), b"/", rest].concat()))
    }
}

/// What follows `directory` in `path`: empty for the directory itself, `None` if it lies elsewhere.
fn rest_below<'a>(path: &'a GuestPath, directory: &GuestPath) -> Option<&'a [u8]> {
    if directory.parent().is_none() {
        return Some(path.as_bytes());
    }
    let rest = path.as_bytes().strip_prefix(directory.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// True for what lies below a directory, not for itself.
fn is_deeper(rest: &[u8]) -> bool {
    rest.len() > 1
}
