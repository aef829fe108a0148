//! Linux RAID: the superblocks of members, and mirrors (level 1) as disks.
//!
//! Source: Linux RAID wiki, "RAID superblock formats"; what it leaves open (the checksum of version 0.90, feature bits
//! from 8 on) was tried with `mdadm --examine`. Versions 0.90 (both byte orders), 1.0, 1.1 and 1.2 are read into one
//! [`Superblock`]; [`assemble`] puts members together by the UUID of the array and says what may be done with it.
//!
//! # When a mirror may be written
//!
//! Every copy has to get the edit, and nothing may undo it later. So an array is written if it is of level 1, the table
//! of roles in its newest superblocks names exactly the members that were given as in sync, and
//!
//! * with several of them it is clean: while it is not, the copies may differ, and the kernel chooses one of them;
//! * with fewer than it should have (degraded), it has no write-intent bitmap: with one, a member that comes back gets
//!   only the blocks that the bitmap marks, and would miss the edit;
//! * no rebuild, reshape or replacement is under way, and there are no bad blocks;
//! * no member that was given fell behind and can be taken for one in sync all the same: one that is named as in sync,
//!   one that is a single change behind, or one that was used without the others.
//!
//! Reads come from the in-sync member of the lowest role, as the kernel does it before a resync. A write first compares
//! what the members have there, and refuses if they differ. Superblocks and bitmaps are never written.
//!
//! Not handled: other levels (named and refused), metadata of other makers (IMSM, DDF).

mod array;
mod defect;
mod mirror;
mod stale;
#[cfg(test)]
mod tests;
mod version0;
mod version1;
mod whole;

pub use array::{Array, Unusable, assemble};
pub use defect::Defect;
pub use mirror::{Mirror, MirrorLayout};
pub use whole::is_whole_member;

use crate::bytes::guid::Uuid;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result, VolumeObstacle};

/// The magic number of every version.
const MAGIC: u32 = 0xa92b_4efc;

/// What a member of an array says about itself and the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// As its tools write it: "0.90", "1.0", "1.1", "1.2".
    pub version: &'static str,
    /// Identifies the array. Its tools write it in four groups with colons.
    pub uuid: Uuid,
    /// Name of the array, unescaped; version 0.90 has none.
    pub name: Vec<u8>,
    /// The level: 1 is a mirror; some are negative.
    pub level: i32,
    /// Members that the array should have.
    pub raid_disks: u32,
    /// Number of changes of the metadata; members with fewer are out of date.
    pub events: u64,
    /// No write was under way, and every copy has been synchronised.
    pub is_clean: bool,
    /// Its index into the roles.
    number: usize,
    /// The roles of all members.
    roles: Vec<Role>,
    /// Where its data start, in bytes.
    data_offset_bytes: u64,
    /// How much of it the array uses, in bytes.
    size_bytes: u64,
    has_bitmap: bool,
    /// It is being rebuilt.
    is_recovering: bool,
    /// What is under way or not known, which forbids writing.
    hindrances: Vec<Hindrance>,
}

/// A kind of obstacle and the sentence for it.
type Hindrance = (VolumeObstacle, &'static str);

/// What a member is in the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// In use, at this place.
    Active(u32),
    /// A spare, a failed or removed member, or a journal.
    Other,
}

impl Superblock {
    /// Reads the superblock of a member; `None` if `disk` is none.
    ///
    /// # Errors
    /// * `Corrupt` - there is one, but it is damaged.
    /// * `Ambiguous` - there are whole ones of several versions: leftovers, of which none is known to be right.
    /// * `Io`.
    pub fn read(disk: &dyn Disk) -> Result<Option<Self>> {
        let mut found: Vec<Self> = Vec::new();
        let mut damage: Option<Error> = None;
        for result in
            version1::read(disk).into_iter().chain(std::iter::once_with(|| version0::read(disk)))
        {
            match result {
                Ok(superblock) => found.extend(superblock),
                Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => return Err(error),
                Err(error) => damage = Some(error),
            }
        }
        match (found.len(), damage) {
            (0, Some(error)) => Err(error),
            (0 | 1, _) => Ok(found.pop()),
            _ => Err(Error::new(ErrorKind::Ambiguous {
                what: "the disk has RAID superblocks of several versions".to_owned(),
                candidates: found.iter().map(|one| one.version.to_owned()).collect(),
            })),
        }
    }

    /// How much of the member the array uses, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn role(&self) -> Role {
        self.roles.get(self.number).copied().unwrap_or(Role::Other)
    }
}

/// The name of a level.
fn level_name(level: i32) -> String {
    match level {
        -4 => "multipath".to_owned(),
        -1 => "linear".to_owned(),
        other => format!("raid{other}"),
    }
}

/// The sum of 32-bit words, folded once: what both versions call a checksum.
fn folded_sum(words: impl Iterator<Item = u32>) -> u32 {
    let sum = words.fold(0_u64, |sum, word| sum.wrapping_add(word.into()));
    let [low, high] = [crate::bytes::field::low_u32(sum), crate::bytes::field::high_u32(sum)];
    low.wrapping_add(high)
}
