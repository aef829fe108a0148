//! Superblocks of version 1.
//!
//! Linux RAID wiki, "RAID superblock formats", section "The version-1 superblock format on-disk layout". 256 bytes and
//! the roles, little-endian; sectors have 512 bytes. Version 1.0 stands at least 8 KiB before the end, on a multiple of
//! 4 KiB; 1.1 at the start; 1.2 at 4 KiB.
//!
//! | offset | size | spec            | valid when                                                    |
//! |-------:|-----:|-----------------|---------------------------------------------------------------|
//! |      0 |    4 | magic           | 0xa92b4efc                                                    |
//! |      4 |    4 | major_version   | 1                                                             |
//! |      8 |    4 | feature_map     | see the constants                                             |
//! |     16 |   16 | set_uuid        |                                                               |
//! |     32 |   32 | set_name        | text, ends with NUL                                           |
//! |     72 |    4 | level           | signed; 1 is a mirror                                         |
//! |     80 |    8 | size            | sectors of each member that are used                          |
//! |     92 |    4 | raid_disks      | members in use                                                |
//! |    128 |    8 | data_offset     | in sectors                                                    |
//! |    144 |    8 | super_offset    | in sectors: where it is                                       |
//! |    160 |    4 | dev_number      | index into the roles                                          |
//! |    200 |    8 | events          |                                                               |
//! |    208 |    8 | resync_offset   | all ones: clean and in sync                                   |
//! |    216 |    4 | sb_csum         | folded sum of the 32-bit words of it all, with 0 here         |
//! |    220 |    4 | max_dev         | number of roles                                               |
//! |    256 |  2 n | dev_roles       | 0xffff spare, 0xfffe failed, 0xfffd journal, or the place      |

use super::defect::Defect;
use super::{Hindrance, MAGIC, Role, Superblock, folded_sum};
use crate::bytes::arith::{add, len_u64, mul, to};
use crate::bytes::checksum;
use crate::bytes::field::{self, le_u16, le_u32, le_u64};
use crate::bytes::guid::Uuid;
use crate::disk::Disk;
use crate::error::{Corrupt, Result, VolumeObstacle};

const SUPERBLOCK_BYTES: usize = 4096;

const FIXED_BYTES: usize = 256;

/// Index of the 32-bit word with the checksum.
const CHECKSUM_WORD: usize = 54;

const BITMAP: u32 = 1;
const RECOVERY_OFFSET: u32 = 2;

/// What the other bits of the feature map say.
const HINDRANCES: [(u32, Hindrance); 7] = [
    (4 | 32 | 64, (VolumeObstacle::Unfinished, "a reshape is not finished")),
    (8, (VolumeObstacle::Damaged, "a member has a list of bad blocks")),
    (16, (VolumeObstacle::Unfinished, "the replacement of a member is not finished")),
    (128, (VolumeObstacle::Unfinished, "a recovery with a bitmap is not finished")),
    (256, (VolumeObstacle::Shared, "a cluster shares it")),
    (512, (VolumeObstacle::Layout, "it has a journal")),
    (!0x3ff, (VolumeObstacle::Layout, "it has features that are not known")),
];

/// Reads the superblocks at the three places.
pub(super) fn read(disk: &dyn Disk) -> [Result<Option<Superblock>>; 3] {
    let sectors = disk.len_bytes() / 512;
    let last = sectors.checked_sub(16).map(|sector| sector.saturating_sub(sector % 8));
    let places = [("1.0", last), ("1.1", Some(0)), ("1.2", Some(8))];
    places.map(|(version, sector)| match sector {
        Some(sector) => at(disk, version, sector),
        None => Ok(None),
    })
}

fn at(disk: &dyn Disk, version: &'static str, sector: u64) -> Result<Option<Superblock>> {
    let offset_bytes = mul(sector, 512)?;
    if add(offset_bytes, len_u64(SUPERBLOCK_BYTES))? > disk.len_bytes() {
        return Ok(None);
    }
    let bytes = disk.read_vec(offset_bytes, SUPERBLOCK_BYTES)?;
    // One that says that it is elsewhere is a copy which slipped into the data.
    let is_here = le_u64(&bytes, 144)? == sector;
    if le_u32(&bytes, 0)? != MAGIC || le_u32(&bytes, 4)? != 1 || !is_here {
        return Ok(None);
    }
    let corrupt = |defect: Defect| Corrupt::new("RAID superblock", defect).at(offset_bytes);
    let superblock = parse(&bytes, version)?.map_err(corrupt)?;
    let data_end = add(superblock.data_offset_bytes, superblock.size_bytes)?;
    // The superblock has 4 KiB, whatever it uses of them.
    let own_end = add(offset_bytes, len_u64(SUPERBLOCK_BYTES))?;
    let is_beside = data_end <= offset_bytes || superblock.data_offset_bytes >= own_end;
    if data_end > disk.len_bytes() || superblock.size_bytes == 0 || !is_beside {
        let size_bytes = superblock.size_bytes;
        let defect = Defect::Data { offset_bytes: superblock.data_offset_bytes, size_bytes };
        return Err(corrupt(defect).into());
    }
    Ok(Some(superblock))
}

fn parse(bytes: &[u8], version: &'static str) -> Result<std::result::Result<Superblock, Defect>> {
    let role_count = le_u32(bytes, 220)?;
    let length = to(add(mul(role_count.into(), 2)?, len_u64(FIXED_BYTES))?)?;
    let Some(covered) = bytes.get(..length) else {
        return Ok(Err(Defect::Roles(role_count)));
    };
    let (stored, computed) = (le_u32(bytes, 216)?, checksum_of(covered)?);
    if !checksum::agrees(stored, computed) {
        return Ok(Err(Defect::Checksum { stored, computed }));
    }
    let raid_disks = le_u32(bytes, 92)?;
    let mut roles = Vec::new();
    for pair in covered.get(FIXED_BYTES..).unwrap_or_default().as_chunks::<2>().0 {
        let role = match u16::from_le_bytes(*pair) {
            0xfffd..=0xffff => Role::Other,
            place if u32::from(place) < raid_disks => Role::Active(place.into()),
            place => return Ok(Err(Defect::Role { role: place.into(), raid_disks })),
        };
        roles.push(role);
    }
    let features = le_u32(bytes, 8)?;
    let hindrances = HINDRANCES.iter().filter(|(bits, _)| features & bits != 0);
    Ok(Ok(Superblock {
        version,
        uuid: Uuid(field::array(bytes, 16)?),
        name: field::slice(bytes, 32, 32)?
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .to_vec(),
        level: i32::from_le_bytes(field::array(bytes, 72)?),
        raid_disks,
        events: le_u64(bytes, 200)?,
        is_clean: le_u64(bytes, 208)? == u64::MAX,
        number: to(le_u32(bytes, 160)?)?,
        roles,
        data_offset_bytes: mul(le_u64(bytes, 128)?, 512)?,
        size_bytes: mul(le_u64(bytes, 80)?, 512)?,
        has_bitmap: features & BITMAP != 0,
        is_recovering: features & RECOVERY_OFFSET != 0,
        hindrances: hindrances.map(|(_, hindrance)| *hindrance).collect(),
    }))
}

/// The sum over `covered` with 0 for the field that holds it.
fn checksum_of(covered: &[u8]) -> Result<u32> {
    let (words, rest) = covered.as_chunks::<4>();
    let words = words.iter().map(|word| u32::from_le_bytes(*word));
    let words =
        words.enumerate().map(|(index, word)| if index == CHECKSUM_WORD { 0 } else { word });
    // A last role alone counts as a word.
    let last = if rest.is_empty() { 0 } else { u32::from(le_u16(rest, 0)?) };
    Ok(folded_sum(words.chain([last])))
}
