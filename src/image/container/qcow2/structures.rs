//! Where the structures of an image are, so that data of a guest are never written over them.

use super::defect::Defect;
use super::header::Header;
use super::table;
use crate::bytes::arith;
use crate::bytes::field;
use crate::disk::medium::Medium as _;
use crate::error::{Corrupt, Result};
use crate::image::container::files::SharedMedium;
use std::collections::HashSet;

/// Bytes of a table that are read at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The offsets of the clusters that hold the header, the tables and the refcount blocks.
#[derive(Debug, Clone)]
pub(super) struct Structures(HashSet<u64>);

impl Structures {
    /// Looks at the tables of the image with `header` in `file`.
    ///
    /// # Errors
    /// `Corrupt` if an entry leads nowhere, or two to the same table; `Io`.
    pub(super) fn find(header: &Header, file: &SharedMedium) -> Result<Self> {
        let cluster_bytes = header.cluster_bytes();
        let mut found = HashSet::from([0]);
        let l1_bytes = arith::mul(header.l1_entries, 8)?;
        let reftable_bytes = arith::mul(header.reftable_clusters, cluster_bytes)?;
        for (start, len) in [(header.l1_offset, l1_bytes), (header.reftable_offset, reftable_bytes)]
        {
            let mut offset = start;
            while offset < arith::add(start, len)? {
                found.insert(offset);
                offset = arith::add(offset, cluster_bytes)?;
            }
        }
        let check = |entry: u64, offset: u64| {
            let is_possible = offset < file.len_bytes() && arith::rem(offset, cluster_bytes)? == 0;
            if is_possible { Ok(()) } else { Err(table::impossible(entry)) }
        };
        for_each_entry(file, header.reftable_offset, reftable_bytes, &mut |entry| {
            if entry != 0 {
                check(entry, entry)?;
                found.insert(entry);
            }
            Ok(())
        })?;
        for_each_entry(file, header.l1_offset, l1_bytes, &mut |entry| {
            let Some(l2) = table::decode_l1(entry, header)? else { return Ok(()) };
            check(entry, l2.offset)?;
            if !found.insert(l2.offset) {
                let defect = Defect::SharedTable { offset: l2.offset };
                return Err(Corrupt::new("qcow2 L1 table", defect).into());
            }
            Ok(())
        })?;
        Ok(Self(found))
    }

    /// True if a structure is in the cluster at `offset`.
    pub(super) fn contains(&self, offset: u64) -> bool {
        self.0.contains(&offset)
    }

    /// Adds a new one.
    pub(super) fn insert(&mut self, offset: u64) {
        self.0.insert(offset);
    }
}

fn for_each_entry(
    file: &SharedMedium,
    start: u64,
    len: u64,
    look: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let end = arith::add(start, len)?;
    let mut offset = start;
    while offset < end {
        let chunk = arith::sub(end, offset)?.min(CHUNK_BYTES);
        let mut bytes = vec![0; arith::to(chunk)?];
        file.read_at(offset, &mut bytes)?;
        for entry in bytes.chunks_exact(8) {
            look(field::be_u64(entry, 0)?)?;
        }
        offset = arith::add(offset, chunk)?;
    }
    Ok(())
}
