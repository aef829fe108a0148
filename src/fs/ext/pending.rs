//! Which inodes wait for the kernel to finish them, read from the volume.

use super::content::Mapping;
use super::feature::ro_compat;
use super::inode::{Inode, InodeDefect};
use super::orphan::Orphans;
use super::units::{FileBlock, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{div_ceil, to};
use crate::bytes::field::le_u32;
use crate::error::{Refusal, Result};

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
        let (size, seed) = (file.size_bytes(), self.inode_seed(file));
        let block_count: u32 = to(div_ceil(size, self.superblock().block_size())?)?;
        if block_count > ORPHAN_FILE_BLOCKS_MAX {
            return Err(file.corrupt(InodeDefect::Size(size)));
        }
        for index in 0..block_count {
            let Mapping::Mapped(block) = self.find_block(file, FileBlock(index))?.mapping else {
                return Err(file.corrupt(InodeDefect::Size(size)));
            };
            let bytes = self.read_block(block)?;
            orphans.add_file_block(&bytes, block.0, seed, self.superblock().inodes_count)?;
        }
        Ok(())
    }

    /// Refuses if one of `inodes` is an orphan: the kernel will truncate or delete it at the next
    /// mount.
    ///
    /// # Errors
    /// `Refused` ([`Refusal::NeedsCheck`]); as [`Volume::orphans`].
    pub(crate) fn check_not_orphan(&self, inodes: &[InodeNumber]) -> Result<()> {
        let numbers: Vec<u32> = inodes.iter().map(|inode| inode.0).collect();
        match self.orphans()?.touches(&numbers) {
            None => Ok(()),
            Some(inode) => {
                let detail = format!("inode {inode} is an orphan that the next mount will remove");
                Err(Refusal::NeedsCheck { detail }.into())
            }
        }
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
            let volume = Volume::open(image.overlay()).unwrap();
            volume.check_not_orphan(&[InodeNumber(2), InodeNumber(11)]).unwrap();
            let error = volume.check_not_orphan(&[InodeNumber(2), InodeNumber(13)]).unwrap_err();
            assert_eq!(error.kind_name(), "refused");
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
