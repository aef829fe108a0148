//! The volume under all structures: superblock, chunks and tree blocks of a disk.
//!
//! Tree blocks are read once and kept, up to a bound. A block is checked before it is used: its checksum (a copy that
//! has a wrong one is passed over for the next), and its header against what its parent says.

use super::chunk::{Chunk, ChunkMap};
use super::extent::change::Changes;
use super::key::{Key, item, object};
use super::node::{self, Defect, Expected, Node};
use super::superblock::{self, Superblock};
use super::tree::TreeRoot;
use super::write::pending::Pending;
use crate::bytes::arith::{add, len_u64, to};
use crate::bytes::field;
use crate::disk::DiskEdit;
use crate::error::{Context as _, Corrupt, Error, Result};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// Bound on the tree blocks that are kept in memory.
const NODES_KEPT_MAX: usize = 512;

/// A disk with a Btrfs volume.
#[derive(Debug)]
pub(crate) struct Volume {
    disk: Arc<dyn DiskEdit>,
    superblock: Superblock,
    /// What is wrong with the first copy of the superblock.
    first_copy: Option<Error>,
    chunks: ChunkMap,
    nodes: Mutex<HashMap<Expected, Arc<Node>>>,
    transaction: Option<Box<Pending>>,
}

impl Volume {
    /// Reads the superblock and the chunk tree of `disk`.
    ///
    /// # Errors
    /// * `Corrupt` - a structure makes no sense.
    /// * `Unsupported` - a feature or profile prevents reading.
    pub(crate) fn open(disk: Arc<dyn DiskEdit>) -> Result<Self> {
        let found = superblock::read(disk.as_ref())?;
        let chunks = ChunkMap::system(&found.superblock)?;
        let mut volume = Self {
            disk,
            superblock: found.superblock,
            first_copy: found.first_copy,
            chunks,
            nodes: Mutex::default(),
            transaction: None,
        };
        volume.read_chunk_tree().context(|| "chunk tree")?;
        Ok(volume)
    }

    fn read_chunk_tree(&mut self) -> Result<()> {
        let root = self.chunk_root();
        let first = Key::new(object::FIRST_FREE, item::CHUNK_ITEM, 0);
        let last = Key::new(object::FIRST_FREE, item::CHUNK_ITEM, u64::MAX);
        let mut chunks = self.chunks.clone();
        self.for_each(&root, first, last, &mut |key, data| {
            let (chunk, _) = Chunk::parse(key, data, &self.superblock)?;
            chunks.insert(chunk)?;
            Ok(ControlFlow::Continue(()))
        })?;
        self.chunks = chunks;
        Ok(())
    }

    /// The disk below.
    pub(crate) fn disk(&self) -> &Arc<dyn DiskEdit> {
        &self.disk
    }

    /// The superblock.
    pub(crate) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// What is wrong with the first copy of the superblock, if another one was taken.
    pub(crate) fn first_copy(&self) -> Option<&Error> {
        self.first_copy.as_ref()
    }

    /// Where logical addresses are.
    pub(crate) fn chunks(&self) -> &ChunkMap {
        &self.chunks
    }

    /// Size of a tree block in bytes.
    pub(crate) fn node_bytes(&self) -> u64 {
        u64::from(self.superblock.node_bytes)
    }

    /// The root of the tree of trees.
    pub(crate) fn root_tree(&self) -> TreeRoot {
        self.pending_root(object::ROOT_TREE).unwrap_or(self.committed_root_tree())
    }

    /// The root of the tree of trees as it is on the disk.
    pub(crate) fn committed_root_tree(&self) -> TreeRoot {
        let superblock = &self.superblock;
        TreeRoot {
            tree: object::ROOT_TREE,
            bytenr: superblock.root,
            level: superblock.root_level,
            generation: superblock.generation,
        }
    }

    /// The root of the chunk tree.
    pub(crate) fn chunk_root(&self) -> TreeRoot {
        let superblock = &self.superblock;
        TreeRoot {
            tree: object::CHUNK_TREE,
            bytenr: superblock.chunk_root,
            level: superblock.chunk_root_level,
            generation: superblock.chunk_root_generation,
        }
    }

    /// Where the transaction is kept.
    pub(crate) fn transaction(&mut self) -> &mut Option<Box<Pending>> {
        &mut self.transaction
    }

    /// The changes of references of the transaction; `None` if there is none.
    pub(crate) fn changes(&self) -> Option<&Changes> {
        self.transaction.as_ref().map(|pending| &pending.changes)
    }

    /// The root of a tree that the transaction changed.
    pub(crate) fn pending_root(&self, tree: u64) -> Option<TreeRoot> {
        self.transaction.as_ref().and_then(|pending| pending.root(tree))
    }

    /// A block that the transaction made.
    pub(crate) fn pending_node(&self, bytenr: u64) -> Option<&Arc<Node>> {
        self.transaction.as_ref().and_then(|pending| pending.node(bytenr))
    }

    /// How much of each block group was in use before the transaction.
    pub(crate) fn groups_before(&self) -> Vec<(u64, u64)> {
        let groups = self.transaction.iter().flat_map(|pending| pending.groups.values());
        groups.map(|group| (group.start, group.before)).collect()
    }

    /// The transaction is on the disk.
    pub(crate) fn committed(&mut self, superblock: Superblock) {
        self.superblock = superblock;
        self.transaction = None;
        self.kept().clear();
    }

    /// Reads `buffer` from the first copy of data at a logical address. The range may go over several chunks; what lies
    /// between chunks is corrupt. Nothing is checked: checksums of data are in the checksum tree.
    ///
    /// # Errors
    /// As [`ChunkMap::copies`] and [`Disk::read_at`](crate::disk::Disk::read_at).
    pub(crate) fn read_logical(&self, logical: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_copy(logical, 0, buffer).map(|_| ())
    }

    /// As [`Volume::read_logical`], but from copy number `copy`, counted from 0. False, and nothing read, if some part
    /// has no such copy.
    ///
    /// # Errors
    /// As [`Volume::read_logical`].
    pub(crate) fn read_copy(&self, logical: u64, copy: usize, buffer: &mut [u8]) -> Result<bool> {
        let (mut at, mut rest) = (logical, buffer);
        while !rest.is_empty() {
            let run = self.chunks.run(at)?.min(len_u64(rest.len()));
            let (head, tail) = rest.split_at_mut(to(run)?);
            let copies = self.chunks.copies(at, run)?;
            let Some(&physical) = copies.get(copy) else { return Ok(false) };
            self.disk.read_at(physical, head)?;
            at = add(at, run)?;
            rest = tail;
        }
        Ok(true)
    }

    /// A tree block.
    ///
    /// # Errors
    /// `Corrupt` if no copy of it is right.
    pub(crate) fn node(&self, expected: Expected) -> Result<Arc<Node>> {
        if let Some(node) = self.pending_node(expected.bytenr)
            && (node.generation, node.level) == (expected.generation, expected.level)
        {
            return Ok(node.clone());
        }
        if let Some(node) = self.kept().get(&expected) {
            return Ok(node.clone());
        }
        let node = Arc::new(self.load_node(expected)?);
        let mut kept = self.kept();
        if kept.len() >= NODES_KEPT_MAX {
            kept.clear();
        }
        kept.insert(expected, node.clone());
        Ok(node)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Expected, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load_node(&self, expected: Expected) -> Result<Node> {
        node::check_level(expected.bytenr, expected.level)?;
        let mut problem = None;
        for physical in self.chunks.copies(expected.bytenr, self.node_bytes())? {
            let bytes = self.disk.read_vec(physical, to(self.node_bytes())?)?;
            let parsed = if self.superblock.checksum.agrees(&bytes) {
                Node::parse(&bytes, &self.superblock, expected)
            } else {
                Err(Corrupt::new("tree block", Defect::Checksum).at(expected.bytenr).into())
            };
            match parsed {
                Ok(node) => return Ok(node),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        // There is at least one copy.
        Err(problem.unwrap_or_else(|| Error::from(field::Short { needed: 1, available: 0 })))
    }
}
