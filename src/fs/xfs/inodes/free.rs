//! Giving an inode back.

use super::{content, needs_check};
use crate::error::Result;
use crate::fs::xfs::ag::Agi;
use crate::fs::xfs::inode::Inode;
use crate::fs::xfs::units::NULL_AG_INODE;
use crate::fs::xfs::volume::Volume;

impl Volume {
    /// Gives back an inode whose forks have no blocks any more, that no name and no unlinked list leads to, and
    /// stores it as free.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`) if it is not in use, still has blocks, or is on an unlinked list; `Corrupt`.
    pub(crate) fn free_inode(&mut self, inode: &mut Inode) -> Result<()> {
        self.superblock().features.check_writable()?;
        let number = inode.number;
        let (ag, ag_inode) = self.superblock().split_inode(number)?;
        let chunk = self.chunk_of(ag, ag_inode)?.filter(|chunk| chunk.is_in_use(ag_inode));
        let place = chunk.and_then(|chunk| Some((chunk, chunk.index_of(ag_inode)?)));
        let Some((chunk, index)) = place else {
            return Err(needs_check(format!("{number} is in use and free at once")));
        };
        if inode.block_count() != 0 {
            return Err(needs_check(format!("{number} has blocks that its forks do not name")));
        }
        if inode.next_unlinked() != NULL_AG_INODE {
            return Err(needs_check(format!("{number} has a name and is unlinked at once")));
        }
        self.check_free_copy(ag, &chunk)?;
        let mut agi = Agi::load(self, ag)?;
        if agi.free_inode_count >= agi.inode_count {
            return Err(needs_check(format!("{ag} counts no inodes in use")));
        }
        agi.free_inode_count = agi.free_inode_count.saturating_add(1);
        agi.store(self)?;
        let after = chunk.given_back(index);
        self.inode_tree_mut(ag).replace(&chunk.start, after)?;
        if self.has_free_inode_tree() {
            if chunk.free_count == 0 {
                self.free_inode_tree_mut(ag).insert(after)?;
            } else {
                self.free_inode_tree_mut(ag).replace(&chunk.start, after)?;
            }
        }
        self.update_superblock(|superblock| {
            superblock.free_inodes = superblock.free_inodes.saturating_add(1);
            Ok(())
        })?;
        content::give_back(self, inode)?;
        self.store_inode(inode)
    }
}
