//! Superblocks of version 0.90.
//!
//! Linux RAID wiki, "RAID superblock formats", section "The version-0.90 Superblock Format"; the words were compared with
//! what `mdadm --examine` makes of them. 1024 words of 32 bits in the byte order of the machine that wrote it, 64 KiB
//! before the end of the device, rounded down to 64 KiB. The data start at 0.
//!
//! | word | spec            | valid when                                                          |
//! |-----:|-----------------|---------------------------------------------------------------------|
//! |    0 | md_magic        | 0xa92b4efc                                                          |
//! |    1 | major_version   | 0                                                                   |
//! |    2 | minor_version   | 90; 91 during a reshape                                             |
//! |    5, 13, 14, 15 | set_uuid | the UUID of the array                                            |
//! |    7 | level           | signed; 1 is a mirror                                               |
//! |    8 | size            | KiB of each member that are used                                    |
//! |   10 | raid_disks      | members in use                                                      |
//! |   33 | state           | bit 0: clean, bit 8: there is a bitmap                              |
//! |   38 | sb_csum         | folded sum of all words, with 0 here                                |
//! |   39, 40 | events      | 64 bits in the same byte order                                      |
//! |  128 + 32 n | disks    | number, major, minor, raid_disk, state: bits 1 and 2: active, in sync |
//! |  992 | this_disk       | like these: the member itself                                       |

use super::defect::Defect;
use super::{MAGIC, Role, Superblock, folded_sum};
use crate::bytes::arith::{add, len_u64, mul, to};
use crate::bytes::checksum;
use crate::bytes::field::join_u32;
use crate::bytes::guid::Uuid;
use crate::disk::Disk;
use crate::error::{Corrupt, Result, VolumeObstacle};

const SUPERBLOCK_BYTES: usize = 4096;

/// The unit of its place, in bytes.
const RESERVED_BYTES: u64 = 64 << 10;

/// Descriptors of members.
const DISK_COUNT: usize = 27;

const STATE_CLEAN: u32 = 1;
const STATE_BITMAP: u32 = 1 << 8;

/// State of a member in use: active and in sync.
const DISK_IN_SYNC: u32 = 0b110;
const DISK_FAULTY: u32 = 1;

/// The words of a superblock in their byte order.
struct Words {
    words: Vec<u32>,
    is_big_endian: bool,
}

impl Words {
    fn new(bytes: &[u8]) -> Option<Self> {
        let chunks = bytes.as_chunks::<4>().0;
        let first = chunks.first()?;
        let is_big_endian = u32::from_be_bytes(*first) == MAGIC;
        if !is_big_endian && u32::from_le_bytes(*first) != MAGIC {
            return None;
        }
        let word = |chunk: &[u8; 4]| {
            if is_big_endian { u32::from_be_bytes(*chunk) } else { u32::from_le_bytes(*chunk) }
        };
        Some(Self { words: chunks.iter().map(word).collect(), is_big_endian })
    }

    /// The superblock has all of its words, so none is missing.
    fn at(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or_default()
    }

    fn u64_at(&self, index: usize) -> u64 {
        let (first, second) = (self.at(index), self.at(index.saturating_add(1)));
        if self.is_big_endian { join_u32(first, second) } else { join_u32(second, first) }
    }
}

/// Reads the superblock.
pub(super) fn read(disk: &dyn Disk) -> Result<Option<Superblock>> {
    let units = disk.len_bytes() / RESERVED_BYTES;
    let Some(last) = units.checked_sub(1) else {
        return Ok(None);
    };
    let offset_bytes = mul(last, RESERVED_BYTES)?;
    if add(offset_bytes, len_u64(SUPERBLOCK_BYTES))? > disk.len_bytes() {
        return Ok(None);
    }
    let Some(words) = Words::new(&disk.read_vec(offset_bytes, SUPERBLOCK_BYTES)?) else {
        return Ok(None);
    };
    if words.at(1) != 0 || !matches!(words.at(2), 90 | 91) {
        return Ok(None);
    }
    let corrupt = |defect: Defect| Corrupt::new("RAID superblock", defect).at(offset_bytes);
    let (stored, computed) = (words.at(38), checksum_of(&words));
    if !checksum::agrees(stored, computed) {
        return Err(corrupt(Defect::Checksum { stored, computed }).into());
    }
    let superblock = parse(&words)?.map_err(corrupt)?;
    if superblock.size_bytes == 0 || superblock.size_bytes > offset_bytes {
        let defect = Defect::Data { offset_bytes: 0, size_bytes: superblock.size_bytes };
        return Err(corrupt(defect).into());
    }
    Ok(Some(superblock))
}

fn checksum_of(words: &Words) -> u32 {
    let counted = words.words.iter().enumerate();
    folded_sum(counted.map(|(index, word)| if index == 38 { 0 } else { *word }))
}

fn parse(words: &Words) -> Result<std::result::Result<Superblock, Defect>> {
    let raid_disks = words.at(10);
    let mut roles = Vec::new();
    for index in 0..DISK_COUNT {
        let at = index.saturating_mul(32).saturating_add(128);
        let (place, state) = (words.at(at.saturating_add(3)), words.at(at.saturating_add(4)));
        let is_used = state & DISK_IN_SYNC == DISK_IN_SYNC && state & DISK_FAULTY == 0;
        roles.push(match (is_used, place < raid_disks) {
            (false, _) => Role::Other,
            (true, true) => Role::Active(place),
            (true, false) => return Ok(Err(Defect::Role { role: place, raid_disks })),
        });
    }
    let uuid = [5, 13, 14, 15].map(|index| words.at(index).to_be_bytes());
    let state = words.at(33);
    let reshape =
        (words.at(2) == 91).then_some((VolumeObstacle::Unfinished, "a reshape is not finished"));
    Ok(Ok(Superblock {
        version: "0.90",
        uuid: Uuid(uuid.concat().try_into().unwrap_or_default()),
        name: Vec::new(),
        level: i32::from_le_bytes(words.at(7).to_le_bytes()),
        raid_disks,
        events: words.u64_at(39),
        is_clean: state & STATE_CLEAN != 0,
        number: to(words.at(992))?,
        roles,
        data_offset_bytes: 0,
        size_bytes: mul(words.at(8).into(), 1024)?,
        has_bitmap: state & STATE_BITMAP != 0,
        is_recovering: false,
        hindrances: reshape.into_iter().collect(),
    }))
}
