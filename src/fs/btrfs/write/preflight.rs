//! Volumes that are refused for editing, by name.

use super::super::chunk::block_group;
use super::super::key::{Key, item, object};
use super::super::superblock::flag;
use super::super::tree::{TreeRoot, root_item};
use super::super::volume::Volume;
use crate::bytes::field::{le_u32, le_u64};
use crate::error::{Refusal, Result};

/// State of a device replacement that is over: never started, finished, canceled.
const REPLACE_OVER: [u64; 3] = [0, 2, 3];

impl Volume {
    /// Checks that the volume may be edited at all.
    ///
    /// # Errors
    /// `Refused` with the reason; `Corrupt`.
    pub(crate) fn check_editable(&self) -> Result<()> {
        let superblock = self.superblock();
        superblock.features.check_writable()?;
        self.check_state()?;
        if superblock.device_count != 1 {
            let feature = format!("Btrfs on {} devices", superblock.device_count);
            return Err(Refusal::NotWritable { feature }.into());
        }
        for chunk in self.chunks().iter() {
            if !chunk.is_writable() {
                let profile = block_group::profile_name(chunk.kind);
                let feature = format!("the Btrfs profile {profile}");
                return Err(Refusal::NotWritable { feature }.into());
            }
        }
        self.check_operations()
    }

    fn check_state(&self) -> Result<()> {
        let superblock = self.superblock();
        if let Some(error) = self.first_copy() {
            let detail = format!("the first superblock is damaged ({error})");
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        if superblock.flags & flag::ERROR != 0 {
            let detail = "the superblock is marked as having errors".to_owned();
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        let disk_bytes = self.disk().len_bytes();
        if superblock.device_bytes > disk_bytes {
            let size = superblock.device_bytes;
            let detail = format!("it has {size} bytes, on a disk or partition of {disk_bytes}");
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        for (bits, feature) in [
            (flag::SEEDING, "a seed device"),
            (flag::METADUMP, "a dump of metadata (btrfs-image)"),
            (flag::CHANGING, "an interrupted btrfstune"),
        ] {
            if superblock.flags & bits != 0 {
                return Err(Refusal::NotWritable { feature: feature.to_owned() }.into());
            }
        }
        Ok(())
    }

    /// Operations over the whole volume that were interrupted. A subvolume that is being removed is none: its blocks are
    /// shared like those of any other.
    fn check_operations(&self) -> Result<()> {
        let root = self.root_tree();
        let refuse =
            |feature: &str| Err(Refusal::NotWritable { feature: feature.to_owned() }.into());
        if self.get(&root, Key::new(object::BALANCE, item::TEMPORARY_ITEM, 0))?.is_some() {
            return refuse("a balance in progress");
        }
        if self.root_item(object::TREE_RELOC)?.is_some() {
            return refuse("a relocation in progress");
        }
        let devices = self.root(object::DEV_TREE)?;
        let replace = self.get(&devices, Key::new(0, item::DEV_REPLACE, 0))?;
        if let Some(state) = replace
            && !REPLACE_OVER.contains(&le_u64(&state, 24)?)
        {
            return refuse("a device replacement in progress");
        }
        Ok(())
    }

    /// Checks that a subvolume may be edited.
    ///
    /// # Errors
    /// `Refused` if it is read-only or being removed.
    pub(crate) fn check_subvolume_editable(&self, root: &TreeRoot) -> Result<()> {
        let Some((_, data)) = self.root_item(root.tree)? else { return Ok(()) };
        if le_u64(&data, root_item::FLAGS)? & root_item::READ_ONLY != 0 {
            let what = format!("subvolume {}", root.tree);
            return Err(Refusal::ReadOnly { what }.into());
        }
        if le_u32(&data, root_item::REFS)? == 0 {
            let feature = format!("a subvolume ({}) that is being removed", root.tree);
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok(())
    }
}
