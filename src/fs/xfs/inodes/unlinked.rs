//! Inodes without a name that were open when the machine stopped.
//!
//! Format: "XFS Algorithms & Data Structures", sections "Inode Information" (`agi_unlinked`) and "Unlinked
//! Pointer". The number of an inode in its group, modulo 64, says on which of the lists of the AGI it is; each
//! inode names the next one. After a clean unmount all lists are empty.

use crate::bytes::arith::{OutOfRange, to};
use crate::error::{Corrupt, Error, Result};
use crate::fs::xfs::ag::{Agi, UNLINKED_BUCKETS};
use crate::fs::xfs::inode::Inode;
use crate::fs::xfs::units::{AgInode, AgNumber, InodeNumber, NULL_AG_INODE};
use crate::fs::xfs::volume::Volume;
use std::collections::HashSet;

/// Bound on the unlinked inodes of one group.
const UNLINKED_MAX: usize = 1 << 20;

/// What can be wrong with a list of unlinked inodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnlinkedDefect {
    #[error("{0} is listed twice")]
    Twice(InodeNumber),
    #[error("{number} is on list {list}, where it does not belong")]
    List { number: InodeNumber, list: usize },
    #[error("{0} is free")]
    Free(InodeNumber),
    #[error("{number} has {links} names")]
    Named { number: InodeNumber, links: u32 },
    #[error("{0} is missing")]
    Missing(InodeNumber),
}

fn corrupt(ag: AgNumber, defect: UnlinkedDefect) -> Error {
    Corrupt::new("unlinked list", defect).of(ag.to_string()).into()
}

/// The list that an inode belongs to.
fn list_of(inode: AgInode) -> Result<usize> {
    let index: usize = to(inode.0)?;
    Ok(index.checked_rem(UNLINKED_BUCKETS).ok_or(OutOfRange)?)
}

fn link(inode: AgInode) -> Option<AgInode> {
    Some(inode).filter(|&inode| inode != NULL_AG_INODE)
}

impl Volume {
    /// The inodes without a name that wait to be freed, list by list, each from its head on.
    ///
    /// # Errors
    /// `Corrupt` if a list loops or names an inode that does not belong on it; `Limit`.
    pub(crate) fn unlinked(&self) -> Result<Vec<InodeNumber>> {
        let mut all = Vec::new();
        for ag in (0..self.superblock().ag_count).map(AgNumber) {
            let agi = Agi::load(self, ag)?;
            let mut seen = HashSet::new();
            for (list, head) in agi.unlinked.iter().enumerate() {
                let mut next = *head;
                while let Some(inode) = next {
                    let inode = self.load_unlinked(ag, inode, list, &mut seen)?;
                    all.push(inode.number);
                    next = link(inode.next_unlinked());
                }
            }
        }
        Ok(all)
    }

    /// Reads an inode of list `list` and checks that it belongs there.
    fn load_unlinked(
        &self,
        ag: AgNumber,
        inode: AgInode,
        list: usize,
        seen: &mut HashSet<AgInode>,
    ) -> Result<Inode> {
        let number = self.superblock().join_inode(ag, inode)?;
        if list_of(inode)? != list {
            return Err(corrupt(ag, UnlinkedDefect::List { number, list }));
        }
        if !seen.insert(inode) {
            return Err(corrupt(ag, UnlinkedDefect::Twice(number)));
        }
        if seen.len() > UNLINKED_MAX {
            let (what, limit) = ("number of unlinked inodes", to(UNLINKED_MAX)?);
            return Err(Error::limit(what, limit, to(seen.len())?));
        }
        let node = self.load_inode(number)?;
        if node.is_free() || !self.is_allocated(number)? {
            return Err(corrupt(ag, UnlinkedDefect::Free(number)));
        }
        match node.link_count() {
            0 => Ok(node),
            links => Err(corrupt(ag, UnlinkedDefect::Named { number, links })),
        }
    }

    /// Takes an inode off its unlinked list and stores the one before it, or the AGI. The inode itself is the
    /// caller's to store.
    ///
    /// # Errors
    /// `Corrupt` if it is not on the list, or the list is damaged on the way to it.
    pub(crate) fn remove_unlinked(&mut self, inode: &mut Inode) -> Result<()> {
        self.superblock().features.check_writable()?;
        let number = inode.number;
        let (ag, wanted) = self.superblock().split_inode(number)?;
        let list = list_of(wanted)?;
        let mut agi = Agi::load(self, ag)?;
        let after = link(inode.next_unlinked());
        let mut next = agi.unlinked.get(list).copied().flatten();
        let mut previous: Option<Inode> = None;
        let mut seen = HashSet::new();
        while let Some(at) = next.filter(|&at| at != wanted) {
            let node = self.load_unlinked(ag, at, list, &mut seen)?;
            next = link(node.next_unlinked());
            previous = Some(node);
        }
        if next.is_none() {
            return Err(corrupt(ag, UnlinkedDefect::Missing(number)));
        }
        if let Some(mut node) = previous {
            node.set_next_unlinked(after.unwrap_or(NULL_AG_INODE))?;
            self.store_inode(&mut node)?;
        } else {
            *agi.unlinked.get_mut(list).ok_or(OutOfRange)? = after;
            agi.store(self)?;
        }
        inode.set_next_unlinked(NULL_AG_INODE)
    }
}
