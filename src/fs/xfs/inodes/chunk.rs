//! What becomes of the record of an inode chunk when inodes are taken, given back or added.
//!
//! Format: "XFS Algorithms & Data Structures", sections "Inode B+trees" and "Sparse Inodes". Pure; that a record
//! read from a tree fits itself, the tree has checked.

use crate::fs::xfs::btree::InodeChunk;
use crate::fs::xfs::units::AgInode;

/// Inodes in a chunk.
pub(super) const CHUNK_INODES: u32 = 64;
/// Inodes for which one bit of `ir_holemask` stands.
pub(super) const HOLE_INODES: u32 = 4;

/// A mask of the lowest `count` bits.
fn low_bits(count: u32) -> u64 {
    bit(count).wrapping_sub(1)
}

/// The bit of one inode; none outside.
fn bit(index: u32) -> u64 {
    1u64.checked_shl(index).unwrap_or(0)
}

impl InodeChunk {
    /// A chunk with these bits, and the counts that follow from them.
    fn with_bits(start: AgInode, holes: u16, free: u64) -> Self {
        let mut chunk = Self { start, holes, count: 0, free_count: 0, free };
        chunk.count = CHUNK_INODES.saturating_sub(chunk.hole_bits().count_ones());
        chunk.free_count = chunk.takeable().count_ones();
        chunk
    }

    /// A chunk of 64 free inodes.
    pub(super) fn whole(start: AgInode) -> Self {
        Self::with_bits(start, 0, u64::MAX)
    }

    /// A chunk that has only the `count` inodes from index `first`, all free. Both are multiples of four.
    pub(super) fn sparse(start: AgInode, first: u32, count: u32) -> Self {
        let present = low_bits(count).checked_shl(first).unwrap_or(0);
        let holes = (0..u16::BITS)
            .filter(|group| present & bit(group.saturating_mul(HOLE_INODES)) == 0)
            .fold(0, |holes, group| holes | 1u16.wrapping_shl(group));
        Self::with_bits(start, holes, u64::MAX)
    }

    /// The inodes that can be taken, as bits.
    fn takeable(&self) -> u64 {
        self.free & !self.hole_bits()
    }

    /// The first inode that can be taken, as an index.
    pub(super) fn first_free(&self) -> Option<u32> {
        Some(self.takeable().trailing_zeros()).filter(|&index| index < CHUNK_INODES)
    }

    /// The index of an inode, if the chunk has a place for it.
    pub(super) fn index_of(&self, inode: AgInode) -> Option<u32> {
        let index = inode.0.checked_sub(self.start.0).filter(|&index| index < CHUNK_INODES)?;
        (self.hole_bits() & bit(index) == 0).then_some(index)
    }

    /// True if the inode has a place and is not free.
    pub(super) fn is_in_use(&self, inode: AgInode) -> bool {
        self.index_of(inode).is_some_and(|index| self.free & bit(index) == 0)
    }

    /// The inode at `index`.
    pub(super) fn inode(&self, index: u32) -> AgInode {
        AgInode(self.start.0.saturating_add(index))
    }

    /// The chunk after the inode at `index` was taken.
    pub(super) fn taken(&self, index: u32) -> Self {
        Self::with_bits(self.start, self.holes, self.free & !bit(index))
    }

    /// The chunk after the inode at `index` was given back.
    pub(super) fn given_back(&self, index: u32) -> Self {
        Self::with_bits(self.start, self.holes, self.free | bit(index))
    }

    /// The chunk with the inodes of `other` in its holes; nothing if both have the same inode.
    pub(super) fn merged(&self, other: &Self) -> Option<Self> {
        let is_apart = !self.holes & !other.holes == 0;
        (self.start == other.start && is_apart)
            .then(|| Self::with_bits(self.start, self.holes & other.holes, self.free & other.free))
    }

    /// How far the nearest end of the chunk is from `inode`; 0 inside.
    pub(super) fn distance(&self, inode: AgInode) -> u32 {
        let last = self.inode(CHUNK_INODES.saturating_sub(1));
        self.start.0.saturating_sub(inode.0).max(inode.0.saturating_sub(last.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: AgInode = AgInode(128);

    #[test]
    fn the_records_of_the_document_come_out() {
        // "Sparse Inodes", examples 2 and 4: 32 inodes, none free.
        let low = (0..32).fold(InodeChunk::sparse(START, 0, 32), |chunk, index| chunk.taken(index));
        assert_eq!((low.holes, low.count, low.free_count), (0xff00, 32, 0));
        assert_eq!(low.free, 0xffff_ffff_0000_0000);
        assert_eq!(low.first_free(), None);
        assert_eq!(low.index_of(AgInode(160)), None);
        assert!(low.is_in_use(AgInode(159)) && !low.is_in_use(AgInode(160)));
        // "Inode B+trees", example 85: [5792,9,0xff80000000000000].
        let chunk = (0..55).fold(InodeChunk::whole(START), |chunk, index| chunk.taken(index));
        assert_eq!((chunk.free_count, chunk.free), (9, 0xff80_0000_0000_0000));
        assert_eq!(chunk.first_free(), Some(55));
    }

    #[test]
    fn two_halves_make_a_whole() {
        let low = InodeChunk::sparse(START, 0, 32);
        let high = InodeChunk::sparse(START, 32, 32);
        assert_eq!(low.merged(&high), Some(InodeChunk::whole(START)));
        assert_eq!(low.merged(&low), None);
        assert_eq!(low.merged(&InodeChunk::sparse(AgInode(192), 32, 32)), None);
    }

    #[test]
    fn distance_counts_from_the_nearest_end() {
        let chunk = InodeChunk::whole(START);
        for (inode, expected) in [(128, 0), (191, 0), (192, 1), (127, 1), (0, 128)] {
            assert_eq!(chunk.distance(AgInode(inode)), expected, "{inode}");
        }
    }

    fn any_chunk() -> impl Strategy<Value = InodeChunk> {
        (0..u16::MAX, any::<u64>()).prop_map(|(holes, free)| {
            let places = InodeChunk::with_bits(START, holes, u64::MAX);
            InodeChunk::with_bits(START, holes, free | places.hole_bits())
        })
    }

    proptest! {
        #[test]
        fn counts_follow_from_the_bits(chunk in any_chunk()) {
            let places = (0..64).filter(|&i| chunk.index_of(chunk.inode(i)).is_some()).count();
            let used = (0..64).filter(|&i| chunk.is_in_use(chunk.inode(i))).count();
            prop_assert_eq!(places, usize::try_from(chunk.count).unwrap());
            prop_assert_eq!(places - used, usize::try_from(chunk.free_count).unwrap());
        }

        #[test]
        fn taking_all_and_giving_all_back_changes_nothing(chunk in any_chunk()) {
            let (mut now, mut taken) = (chunk, Vec::new());
            while let Some(index) = now.first_free() {
                now = now.taken(index);
                prop_assert!(now.is_in_use(now.inode(index)));
                taken.push(index);
            }
            prop_assert_eq!(taken.len(), usize::try_from(chunk.free_count).unwrap());
            prop_assert_eq!(now.count, chunk.count);
            for index in taken {
                now = now.given_back(index);
            }
            prop_assert_eq!(now, chunk);
        }

        #[test]
        fn a_sparse_part_fills_exactly_its_holes(first in 0u32..16, count in 1u32..=16) {
            let count = count.min(16 - first);
            let part = InodeChunk::sparse(START, first * 4, count * 4);
            prop_assert_eq!((part.count, part.free_count), (count * 4, count * 4));
            prop_assert_eq!(part.first_free(), Some(first * 4));
            prop_assert_eq!(part.merged(&part), None);
        }
    }
}
