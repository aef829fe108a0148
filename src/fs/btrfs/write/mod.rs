//! The copy-on-write transaction: what an edit changes before it is brought onto the disk.
//!
//! Blocks that an edit changes are copied into free space, up to the root; nothing that the volume uses is written
//! over, but for the superblock. Until [`commit`] all of it is in memory ([`pending`]), and everything that reads
//! through the [`Volume`](super::volume::Volume) sees the new state.
//!
//! ```text
//!  commit      references, block groups, root items until nothing changes; blocks; superblocks
//!  checksums   the checksum tree: of data that is written, of data that is given up
//!  quota       counts of quota groups are marked as out of date
//!  items       insert, replace, delete
//!  shape       splitting and joining blocks, growing and shrinking trees
//!  path        the blocks from the root to a leaf, all of them copied
//!  pending     the blocks, roots and counters of the transaction
//!  preflight   volumes that are refused
//! ```
//!
//! A transaction never writes over what the superblocks before it point to, and the patch brings the superblocks onto
//! the target one after the other, the first one last, when everything else is durable there. So a run that is interrupted
//! at any moment leaves a volume that is whole, without the edit or with it; at worst one copy of the superblock is torn,
//! and the others are not. The old state also stays reachable as a backup root (`usebackuproot`).

mod checksums;
mod commit;
mod items;
mod path;
pub(crate) mod pending;
mod preflight;
mod quota;
#[cfg(test)]
mod refusal_tests;
mod shape;
mod superblock;
#[cfg(test)]
mod tests;
