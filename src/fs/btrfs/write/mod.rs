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
//! The superblock is not written last: the patch brings all runs onto the target in ascending order. Whoever is
//! interrupted between the superblock and the blocks leaves a volume that only the undo record, or finishing the patch,
//! makes whole; regain knows such a target and does one or the other. A transaction never writes over what the
//! superblocks before it point to, so the old state also stays reachable as a backup root (`usebackuproot`).

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
