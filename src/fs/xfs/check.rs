//! Verification of an edit. There is no reader of XFS but ours that could be asked, so it has to look closely.
//!
//! Everything that was edited is read back through a file system that is opened afresh, with all checks on:
//!
//! * what must be at each path is there;
//! * each directory on the way is whole, and each inode is in use, maps no free block, and knows its name where the
//!   volume has parent pointers;
//! * the copies of the superblock in the allocation groups whose headers were written, and in the second one, have the
//!   geometry of the first;
//! * in every allocation group whose headers were written, trees and headers tell the same story
//!   ([`cross_check`], which shares no code with the editors).

use super::ag::Agf;
use super::btree::{Bnobt, GroupSource, Tree};
use super::cross_check::{CrossCheck, cross_check};
use super::feature::incompat;
use super::inode::{ForkFormat, ForkKind, Inode};
use super::recovery::Layers;
use super::units::{AgBlock, AgNumber};
use super::volume::{AgSector, Volume};
use super::{Xfs, names};
use crate::bytes::arith::{add, mul};
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::NodeId;
use crate::fs::path::{GuestPath, find};
use crate::fs::verify::{Expectation, OwnReader, Verdict, check};
use std::ops::{ControlFlow, Range};

/// Bound on the size of a directory that is checked whole, in bytes. Of a larger one only the way to the name is.
const DIRECTORY_BYTES_MAX: u64 = 1 << 20;

/// Checks that the file system is as expected; `fs` was opened on it after the edit, and `written` are the bytes that
/// the edit wrote.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs; `Io`.
pub fn verify(fs: &Xfs, written: &[Range<u64>], expectations: &[Expectation]) -> Result<Verdict> {
    check(&OwnReader(fs), expectations)?;
    for expectation in expectations {
        fs.check_path(&expectation.path)
            .or_else(|error| not_verified(&expectation.path.to_string(), error))?;
    }
    let (mut compared, mut skipped) = (0u32, 0u32);
    let has_open_intents = fs.layers.as_ref().is_some_and(Layers::has_open_intents);
    let edited = fs.edited_groups(written)?;
    fs.check_copies(&edited)?;
    for ag in edited {
        // What an intent is about is in one tree already and not yet in another.
        if has_open_intents {
            skipped = skipped.saturating_add(1);
            continue;
        }
        match cross_check(&fs.volume, ag) {
            Ok(CrossCheck::Complete { .. }) => compared = compared.saturating_add(1),
            Ok(CrossCheck::WithoutOwners { .. } | CrossCheck::TooLarge) => {
                skipped = skipped.saturating_add(1);
            }
            Err(error) => return not_verified(&ag.to_string(), error),
        }
    }
    Ok(Verdict::OwnReaderOnly { reason: reason(compared, skipped) })
}

/// What the report says of a verification without another reader.
fn reason(compared: u32, skipped: u32) -> String {
    let mut reason = "no other reader knows XFS".to_owned();
    match compared {
        0 => {}
        1 => reason.push_str("; the trees of the edited allocation group agree"),
        _ => {
            let what = format!("; the trees of {compared} edited allocation groups agree");
            reason.push_str(&what);
        }
    }
    if skipped > 0 {
        let what = format!("; the trees of {skipped} could not be compared whole");
        reason.push_str(&what);
    }
    reason
}

/// Turns what was found into a refusal; a failing host stays what it is.
fn not_verified<T>(what: &str, error: Error) -> Result<T> {
    if matches!(error.kind(), ErrorKind::Io(_)) {
        return Err(error);
    }
    Err(Refusal::NotVerified { detail: format!("{what}: {error}") }.into())
}

impl Xfs {
    /// The groups whose headers were written: in the others nothing was taken or given back.
    fn edited_groups(&self, written: &[Range<u64>]) -> Result<Vec<AgNumber>> {
        let superblock = self.volume.superblock();
        let mut groups = Vec::new();
        for ag in (0..superblock.ag_count).map(AgNumber) {
            let start = self.volume.sector_offset(ag, AgSector::Agf)?;
            let end = add(start, mul(3, u64::from(superblock.sector_size_bytes))?)?;
            if written.iter().any(|range| range.start < end && start < range.end) {
                groups.push(ag);
            }
        }
        Ok(groups)
    }

    /// Refuses unless the copies of the superblock in the edited groups, and in the second one, have the geometry
    /// that the edit relied on. Only repair programs read them, so nothing else is asked of them.
    fn check_copies(&self, edited: &[AgNumber]) -> Result<()> {
        let superblock = self.volume.superblock();
        let second = Some(AgNumber(1)).filter(|ag| ag.0 < superblock.ag_count);
        for &ag in edited.iter().chain(&second).filter(|ag| ag.0 > 0) {
            let copy = self.volume.read_sector(ag, AgSector::Superblock)?;
            if let Some(name) = superblock.differs_from_copy(&copy) {
                let detail = format!("the copy of the superblock in {ag} has another {name}");
                return Err(Refusal::NeedsCheck { detail }.into());
            }
        }
        Ok(())
    }

    /// Checks the directory of `path` and, if it is there, the node.
    fn check_path(&self, path: &GuestPath) -> Result<()> {
        let Some(parent_path) = path.parent() else { return Ok(()) };
        let Some(parent) = find(self, &parent_path)? else { return Ok(()) };
        let directory = self.directory(parent.node)?;
        self.check_inode(&directory)?;
        if directory.size_bytes() <= DIRECTORY_BYTES_MAX {
            names::check(&self.volume, &directory)?;
        }
        let Some(entry) = self.volume.find_name(&directory, path.file_name())? else {
            return Ok(());
        };
        let inode = self.inode(NodeId(entry.inode.0))?;
        self.check_inode(&inode)?;
        if entry.kind().is_some_and(|kind| inode.kind().is_ok_and(|actual| actual != kind)) {
            return Err(inode.corrupt(CheckDefect::Kind));
        }
        if !self.volume.superblock().features.has_incompat(incompat::PARENT) {
            return Ok(());
        }
        let pointers = self.volume.parent_pointers(&inode)?;
        let is_known = pointers.iter().any(|pointer| {
            pointer.inode == directory.number
                && pointer.generation == directory.generation()
                && pointer.name == entry.name
        });
        if is_known { Ok(()) } else { Err(inode.corrupt(CheckDefect::NoParentPointer)) }
    }

    /// Checks that an inode is in use and maps nothing that is free.
    fn check_inode(&self, inode: &Inode) -> Result<()> {
        if !self.volume.is_allocated(inode.number)? {
            return Err(inode.corrupt(CheckDefect::FreeInode));
        }
        let forks = [ForkKind::Data, ForkKind::Attribute];
        for fork in forks.into_iter().take(if inode.has_attribute_fork() { 2 } else { 1 }) {
            if matches!(inode.format(fork)?, ForkFormat::Extents | ForkFormat::Btree) {
                self.volume
                    .check_fork_not_free(inode, fork)
                    .context(|| inode.number.to_string())?;
            }
        }
        Ok(())
    }
}

/// What an edited inode can be wrong in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum CheckDefect {
    #[error("has a name, but is free")]
    FreeInode,
    #[error("is of another kind than its directory says")]
    Kind,
    #[error("has no parent pointer for its name")]
    NoParentPointer,
    #[error("maps block {block} of {ag}, which is free")]
    FreeBlock { ag: AgNumber, block: AgBlock },
}

impl Volume {
    fn check_fork_not_free(&self, inode: &Inode, fork: ForkKind) -> Result<()> {
        self.visit_extents(inode, fork, &mut |extent| {
            let (ag, start) = self.superblock().split(extent.start)?;
            let root = Agf::load(self, ag)?.by_block;
            let tree = Tree::<Bnobt, _>::new(GroupSource::new(self, ag, root)?);
            let last = start.plus(extent.count.saturating_sub(1))?;
            let free = tree.at_or_before(&last)?;
            match free.filter(|free| free.end() > u64::from(start.0)) {
                Some(free) => {
                    let block = free.start.max(start);
                    Err(inode.corrupt(CheckDefect::FreeBlock { ag, block }))
                }
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_compared() {
        assert_eq!(reason(0, 0), "no other reader knows XFS");
        let text = reason(1, 0);
        assert_eq!(
            text,
            "no other reader knows XFS; the trees of the edited allocation group agree"
        );
        assert!(reason(3, 1).ends_with("agree; the trees of 1 could not be compared whole"));
    }
}
