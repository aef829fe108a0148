//! The counters of the superblock, which only an unmount makes right.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Superblocks" (lazy counters), "AG Free Space
//! Management" and "AG Inode Management". After a crash a mount adds them up from the headers of all
//! allocation groups: free are the blocks in the free-space trees, those on the free lists, and those
//! that the trees themselves use beyond their roots.

use super::LogDefect;
use crate::bytes::arith::add;
use crate::bytes::field::be_u32;
use crate::error::{Corrupt, Result};
use crate::fs::xfs::checksum;
use crate::fs::xfs::units::AgNumber;
use crate::fs::xfs::volume::{AgSector, Volume};

/// AGF: magic, agf_flcount, agf_freeblks, agf_btreeblks, agf_crc.
const AGF: (u32, [usize; 3], usize) = (0x5841_4746, [48, 52, 60], 216);
/// AGI: magic, agi_count, agi_freecount, agi_crc.
const AGI: (u32, [usize; 2], usize) = (0x5841_4749, [16, 28], 312);

/// Recomputes the three counters.
///
/// # Errors
/// `Corrupt` if a header of an allocation group is damaged; `Io`.
pub(super) fn recompute(volume: &mut Volume) -> Result<()> {
    let (mut inodes, mut free_inodes, mut free_blocks) = (0, 0, 0);
    for number in 0..volume.superblock().ag_count {
        let ag = AgNumber(number);
        for count in read(volume, ag, AgSector::Agf, AGF)? {
            free_blocks = add(free_blocks, count.into())?;
        }
        let [count, free] = read(volume, ag, AgSector::Agi, AGI)?;
        inodes = add(inodes, count.into())?;
        free_inodes = add(free_inodes, free.into())?;
    }
    volume.update_superblock(|superblock| {
        superblock.inodes = inodes;
        superblock.free_inodes = free_inodes;
        superblock.free_blocks = free_blocks;
        Ok(())
    })
}

fn read<const N: usize>(
    volume: &Volume,
    ag: AgNumber,
    sector: AgSector,
    (magic, places, crc_at): (u32, [usize; N], usize),
) -> Result<[u32; N]> {
    let bytes = volume.read_sector(ag, sector)?;
    let of = |corrupt: Corrupt| corrupt.of(ag.to_string());
    if be_u32(&bytes, 0)? != magic {
        return Err(of(Corrupt::new("AG header", LogDefect::AgHeader)).into());
    }
    checksum::verify(&bytes, crc_at)?.map_err(|wrong| of(Corrupt::new("AG header", wrong)))?;
    let mut counts = [0; N];
    for (count, at) in counts.iter_mut().zip(places) {
        *count = be_u32(&bytes, at)?;
    }
    Ok(counts)
}
