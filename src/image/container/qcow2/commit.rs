//! Bringing staged changes into the files, so that a power cut at any moment does no harm.
//!
//! | step | written                                                       | if the power goes in or after it    |
//! |------|---------------------------------------------------------------|-------------------------------------|
//! | 1    | new clusters, which nothing refers to                         | nothing has changed                 |
//! | 2    | reference counts that go up                                   | leaked clusters                     |
//! | 3    | refcount table entries of new blocks, or the place of a table | leaked clusters                     |
//! | 4    | L1 and L2 entries, sector by sector                           | some guest clusters old, some new; leaked clusters |
//! | 5    | reference counts that go down                                 | leaked clusters                     |
//!
//! A sync stands between each two steps. So every reference leads to a cluster whose content and whose count are durable;
//! `qemu-img check` finds leaked clusters at most, which cost room and nothing else.

use super::refcounts::{Refcounts, needs_check};
use super::staged::{SectorEdits, Staged};
use crate::bytes::arith::{self, len_u64};
use crate::disk::medium::{HostMedium as _, Medium as _};
use crate::error::Result;
use crate::image::container::files::SharedMedium;

/// Where the header has the offset of the refcount table, and its number of clusters in 4 bytes behind it.
const HEADER_REFTABLE: u64 = 48;

/// New clusters are written in pieces of this many bytes, and those of zeros not at all where the file is new.
const PIECE_BYTES: usize = 4096;

/// Writes `staged` into `image` and `data`, its external data file.
///
/// # Errors
/// `Io`; what was written is then one of the states of the table above.
pub(super) fn commit(
    staged: &Staged,
    refcounts: &Refcounts,
    order: u32,
    image: &mut SharedMedium,
    data: Option<&mut SharedMedium>,
) -> Result<()> {
    for (&offset, bytes) in &staged.clusters {
        write_new(image, offset, bytes)?;
    }
    if let Some(data) = data {
        for (&offset, bytes) in &staged.data {
            write_new(data, offset, bytes)?;
        }
        data.sync()?;
    }
    image.sync()?;
    raise_counts(staged, refcounts, order, image)?;
    enter_blocks(staged, refcounts, image)?;
    if !staged.pointers.is_empty() {
        let mut edits = SectorEdits::default();
        for (&offset, &entry) in &staged.pointers {
            edits.put_entry(image, offset, entry)?;
        }
        edits.write(image)?;
        image.sync()?;
    }
    lower_counts(staged, refcounts, order, image)
}

/// Writes a cluster that nothing refers to yet, where the file may have to grow first.
fn write_new(file: &mut SharedMedium, offset: u64, bytes: &[u8]) -> Result<()> {
    let end = arith::add(offset, len_u64(bytes.len()))?;
    let is_new = offset >= file.len_bytes();
    if end > file.len_bytes() {
        file.set_len(end)?;
    }
    if !is_new {
        return file.write_at(offset, bytes);
    }
    let mut at = offset;
    for piece in bytes.chunks(PIECE_BYTES) {
        if piece.iter().any(|&byte| byte != 0) {
            file.write_at(at, piece)?;
        }
        at = arith::add(at, len_u64(piece.len()))?;
    }
    Ok(())
}

fn raise_counts(
    staged: &Staged,
    refcounts: &Refcounts,
    order: u32,
    image: &mut SharedMedium,
) -> Result<()> {
    let mut edits = SectorEdits::default();
    for &cluster in &staged.taken {
        if let (Some(block), index) = refcounts.place(image, staged, cluster)? {
            edits.change_refcount(image, block, index, order, |count| Ok(arith::add(count, 1)?))?;
        }
    }
    if staged.taken.is_empty() {
        return Ok(());
    }
    edits.write(image)?;
    image.sync()
}

fn enter_blocks(staged: &Staged, refcounts: &Refcounts, image: &mut SharedMedium) -> Result<()> {
    if staged.has_new_table {
        let mut bytes = refcounts.table_offset.to_be_bytes().to_vec();
        let clusters: u32 = arith::to(refcounts.table_clusters)?;
        bytes.extend_from_slice(&clusters.to_be_bytes());
        // Both fields are in one sector, so they change together.
        image.write_at(HEADER_REFTABLE, &bytes)?;
    } else if staged.block_entries.is_empty() {
        return Ok(());
    } else {
        let mut edits = SectorEdits::default();
        for (&offset, &entry) in &staged.block_entries {
            edits.put_entry(image, offset, entry)?;
        }
        edits.write(image)?;
    }
    image.sync()
}

fn lower_counts(
    staged: &Staged,
    refcounts: &Refcounts,
    order: u32,
    image: &mut SharedMedium,
) -> Result<()> {
    let mut edits = SectorEdits::default();
    for (&cluster, &released) in &staged.released {
        if let (Some(block), index) = refcounts.place(image, staged, cluster)? {
            edits.change_refcount(image, block, index, order, |count| {
                count.checked_sub(released).ok_or_else(|| needs_check(cluster, count))
            })?;
        }
    }
    edits.write(image)
}
