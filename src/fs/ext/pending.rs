//! Which inodes wait for the kernel to finish them, and finishing the one that is edited.

use super::bitmap::needs_check;
use super::content::Mapping;
use super::feature::ro_compat;
use super::inode::{Inode, InodeDefect, flag};
use super::orphan::{ORPHANS_MAX, Orphans, clear_entry};
use super::quota_files::Charge;
use super::superblock::Superblock;
use super::units::{FileBlock, FsBlock, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{div_ceil, to};
use crate::bytes::field::{le_u32, put_le_u32};
use crate::error::{Refusal, Result};
use crate::fs::NodeKind;

/// Offset of `i_dtime` in an inode: for an orphan, the next one in the list.
const NEXT_ORPHAN_AT: usize = 0x14;
/// Bound on the blocks of an orphan file: mke2fs makes at most 512.
const ORPHAN_FILE_BLOCKS_MAX: u32 = 4096;

impl Volume {
    /// Reads the orphan list, and the orphan file if the superblock says that it is in use.
    ///
    /// # Errors
    /// `Corrupt`, `Limit`, `Io`.
    pub(crate) fn orphans(&self) -> Result<Orphans> {
        let superblock = self.superblock();
        let mut orphans = self.orphans_in_file()?;
        orphans.follow(superblock.last_orphan, superblock.inodes_count, &mut |inode| {
            Ok(le_u32(self.read_raw_inode(InodeNumber(inode))?.bytes(), NEXT_ORPHAN_AT)?)
        })?;
        Ok(orphans)
    }

    /// Reads the orphan file, if it is in use.
    ///
    /// # Errors
    /// `Corrupt`, `Limit`, `Io`.
    pub(crate) fn orphans_in_file(&self) -> Result<Orphans> {
        let superblock = self.superblock();
        let mut orphans = Orphans::default();
        if superblock.features.has_ro_compat(ro_compat::ORPHAN_PRESENT) {
            let file = self.read_inode(InodeNumber(superblock.orphan_file_inode))?;
            self.add_orphan_file(&file, &mut orphans)?;
        }
        Ok(orphans)
    }

    fn add_orphan_file(&self, file: &Inode, orphans: &mut Orphans) -> Result<()> {
        let (seed, inodes_count) = (self.inode_seed(file), self.superblock().inodes_count);
        for block in self.orphan_blocks(file)? {
            let bytes = self.read_block(block)?;
            orphans.add_file_block(&bytes, block.0, seed, inodes_count)?;
        }
        Ok(())
    }

    /// The blocks of the orphan file, which has no holes.
    fn orphan_blocks(&self, file: &Inode) -> Result<Vec<FsBlock>> {
        let size = file.size_bytes();
        let block_count: u32 = to(div_ceil(size, self.superblock().block_size())?)?;
        if block_count > ORPHAN_FILE_BLOCKS_MAX {
            return Err(file.corrupt(InodeDefect::Size(size)));
        }
        let place = |index| match self.find_block(file, FileBlock(index))?.mapping {
            Mapping::Mapped(block) => Ok(block),
            _ => Err(file.corrupt(InodeDefect::Size(size))),
        };
        (0..block_count).map(place).collect()
    }

    /// Makes `inode`, which is about to be edited, no orphan. A file whose cut was interrupted is cut to its
    /// size, as the next mount would do; what else is pending stays.
    ///
    /// # Errors
    /// `Refused` ([`Refusal::NeedsCheck`]) if the next mount would remove it; as [`Volume::orphans`].
    pub(crate) fn settle_orphan(&mut self, inode: &mut Inode) -> Result<()> {
        if self.orphans()?.touches(&[inode.number.0]).is_none() {
            return Ok(());
        }
        let is_cut = inode.kind()? == NodeKind::File && inode.link_count() > 0;
        if !is_cut || inode.has_flag(flag::INLINE_DATA) {
            let detail = format!("{} is an orphan that the next mount will remove", inode.number);
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        let (before, what) = (Charge::of(inode)?, format!("data of {}", inode.number));
        let size = inode.size_bytes();
        self.zero_behind(inode, size, &what)?;
        self.cut_content(inode, size, &what)?;
        if self.orphans_in_file()?.touches(&[inode.number.0]).is_some() {
            self.leave_orphan_file(inode.number)?;
        } else {
            self.leave_orphan_list(inode)?;
        }
        self.store_inode(inode)?;
        self.recharge(Some(before), Some(Charge::of(inode)?))
    }

    /// Takes `inode` out of the list, whose links and end were checked by [`Volume::orphans`].
    fn leave_orphan_list(&mut self, inode: &mut Inode) -> Result<()> {
        let next = le_u32(inode.bytes(), NEXT_ORPHAN_AT)?;
        put_le_u32(inode.bytes_mut(), NEXT_ORPHAN_AT, 0)?;
        let mut at = self.superblock().last_orphan;
        if at == inode.number.0 {
            return self.update_superblock(|superblock| superblock.set_last_orphan(next));
        }
        for _ in 0..ORPHANS_MAX {
            let mut before = self.read_raw_inode(InodeNumber(at))?;
            at = le_u32(before.bytes(), NEXT_ORPHAN_AT)?;
            if at == inode.number.0 {
                put_le_u32(before.bytes_mut(), NEXT_ORPHAN_AT, next)?;
                return self.store_inode(&mut before);
            }
        }
        Err(needs_check(format!("{} is not in the orphan list", inode.number)))
    }

    /// Clears the entry of `number` in the orphan file, and the mark of the file after the last one.
    fn leave_orphan_file(&mut self, number: InodeNumber) -> Result<()> {
        let file = self.read_inode(InodeNumber(self.superblock().orphan_file_inode))?;
        let seed = self.inode_seed(&file);
        for block in self.orphan_blocks(&file)? {
            let mut bytes = self.read_block(block)?;
            if clear_entry(&mut bytes, block.0, seed, number.0)? {
                self.write_block(block, 0, &bytes, "orphan file")?;
            }
        }
        if self.orphans_in_file()?.is_empty() {
            self.update_superblock(Superblock::clear_orphan_present)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::checksum::crc32c_raw;
    use crate::disk::DiskEdit as _;
    use crate::fs::ext::testing::Image;

    fn pending(image: &Image) -> Vec<u32> {
        let volume = Volume::open(image.overlay()).unwrap();
        volume.orphans().unwrap().inodes().collect()
    }

    /// Writes `names` and makes them orphans in a list, the last first.
    #[test]
    fn the_list_of_the_superblock_is_read() {
        for features in ["metadata_csum", "^metadata_csum,^64bit,^extent"] {
            let image = Image::make(4096, &["-t", "ext4", "-O", features]);
            assert_eq!(pending(&image), [0; 0]);
            image.debugfs(
                "mkdir a\nmkdir b\nsif <12> dtime 0\nsif <13> dtime 12\nssv last_orphan 13\n",
            );
            assert_eq!(pending(&image), [12, 13], "{features}");
            let mut volume = Volume::open(image.overlay()).unwrap();
            let mut settle = |number| {
                let mut inode = volume.read_inode(InodeNumber(number)).unwrap();
                volume.settle_orphan(&mut inode)
            };
            settle(11).unwrap();
            // A directory that is being removed.
            assert_eq!(settle(13).unwrap_err().kind_name(), "refused");
        }
    }

    #[test]
    fn the_orphan_file_is_read_only_when_it_is_in_use() {
        let image = Image::make(4096, &["-t", "ext4", "-O", "orphan_file"]);
        let disk = image.overlay();
        let (block, orphan) = (image.blocks_of(12)[3], 11u32);
        let mut bytes = image.bytes()[block as usize * 4096..][..4096].to_vec();
        bytes[40..44].copy_from_slice(&orphan.to_le_bytes());
        let seed = crc32c_raw(image.checksum_seed(), &12u32.to_le_bytes());
        let seed = crc32c_raw(crc32c_raw(seed, &[0; 4]), &block.to_le_bytes());
        let checksum = crc32c_raw(seed, &bytes[..4088]);
        bytes[4092..].copy_from_slice(&checksum.to_le_bytes());
        disk.write_at(block * 4096, &bytes, "orphan file").unwrap();
        let inodes = |volume: &Volume| volume.orphans().unwrap().inodes().collect::<Vec<_>>();
        assert_eq!(inodes(&Volume::open(disk.clone()).unwrap()), [0; 0]);

        // orphan_present, in byte 2 of s_feature_ro_compat.
        let mut superblock = crate::disk::Disk::read_vec(&*disk, 1024, 1024).unwrap();
        superblock[0x66] |= 1;
        let checksum = crc32c_raw(!0, &superblock[..0x3fc]);
        superblock[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
        disk.write_at(1024, &superblock, "superblock").unwrap();
        assert_eq!(inodes(&Volume::open(disk.clone()).unwrap()), [orphan]);

        disk.write_at(block * 4096, &[1], "orphan file").unwrap();
        assert!(Volume::open(disk).unwrap().orphans().is_err());
    }
}
