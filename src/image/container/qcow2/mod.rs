//! qcow2, the format of qemu.
//!
//! Source: qemu's specification "Qcow2 image file format" (docs/interop/qcow2). All numbers are big-endian.
//!
//! | offset | size | field                   | valid when, and what is done with it                              |
//! |-------:|-----:|-------------------------|-------------------------------------------------------------------|
//! |      0 |    4 | magic                   | `QFI` FB                                                          |
//! |      4 |    4 | version                 | 2 or 3                                                            |
//! |      8 |    8 | backing_file_offset     | 0, or a name inside the first cluster                             |
//! |     16 |    4 | backing_file_size       | at most 1023                                                      |
//! |     20 |    4 | cluster_bits            | 9 to 21                                                           |
//! |     24 |    8 | size                    | at most what the L1 table maps                                    |
//! |     32 |    4 | crypt_method            | 0; otherwise refused: the data are cipher text                    |
//! |     36 |    4 | l1_size                 | at most 32 MiB of entries                                         |
//! |     40 |    8 | l1_table_offset         | aligned to a cluster, inside the file                             |
//! |     48 |    8 | refcount_table_offset   | aligned to a cluster, inside the file                             |
//! |     56 |    4 | refcount_table_clusters | at most 8 MiB                                                     |
//! |     60 |    4 | nb_snapshots            | any; they keep what they hold                                     |
//! |     64 |    8 | snapshots_offset        | not read                                                          |
//! |     72 |    8 | incompatible_features   | dirty, corrupt: read only; data file; others refused by name      |
//! |     80 |    8 | compatible_features     | not needed: refcounts are always kept                             |
//! |     88 |    8 | autoclear_features      | unknown ones are cleared before the first write                   |
//! |     96 |    4 | refcount_order          | 0 to 6; version 2 has 4                                           |
//! |    100 |    4 | header_length           | a multiple of 8, from 104 to a cluster; version 2 has 72          |
//! |    104 |    1 | compression_type        | looked at for the message                                         |
//!
//! Behind the header: extensions of type (4), length (4) and data, padded to 8; used are E2792ACA (format of the backing
//! file), 44415441 (name of the data file) and 23852875 (see [`bitmaps`]).
//!
//! Tables: the L1 table has the offsets of L2 tables, each one cluster; an L2 entry has the offset of a cluster (bits
//! 9 to 55), COPIED (63), compressed (62), zero (0). See [`table`] and [`refcounts`].
//!
//! Reading is [`reader`]; writing is [`writer`] and [`commit`]. There is a crate for both, `imago`, which was compared and
//! is not used: its files can only be ours in `unsafe` code, and a crash between its writes can leave a reference
//! to a cluster that is not counted.
//!
//! Not handled: extended L2 entries, zstd, encryption, resizing, discarding; an image that is the base of another must
//! not be edited, which cannot be seen from it.

mod bitmaps;
mod chain;
mod commit;
mod defect;
mod header;
mod reader;
mod refcounts;
mod staged;
mod staging;
mod structures;
mod table;
mod trial;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use super::Opened;
use super::files::{ReadFiles, WriteFiles};
use crate::disk::medium::Medium;
use crate::error::{Error, Refusal, Result};
use header::Header;
use writer::Qcow2Medium;

/// Opens the image that is the target of `files`, with its data file and the images of which it is an overlay.
///
/// # Errors
/// As [`super::open`].
pub(super) fn open(files: &mut dyn ReadFiles) -> Result<Opened> {
    let layer = chain::open(files)?;
    Ok(Opened {
        not_writable: not_writable(&layer.header),
        warnings: warnings(&layer.header),
        disk: layer.disk,
    })
}

/// Opens the image for writing.
///
/// # Errors
/// As [`super::open_writable`].
pub(super) fn open_writable(mut files: WriteFiles) -> Result<Box<dyn Medium>> {
    let image = files.target_medium()?;
    let layer = chain::open(&mut files)?;
    if let Some(refusal) = not_writable(&layer.header) {
        return Err(refusal.into());
    }
    let data = match &layer.data {
        Some((id, _)) => Some(files.medium(*id)?),
        None => None,
    };
    if layer.header.data_file.is_some() != data.is_some() {
        return Err(Error::mismatch("its data file changed since it was read"));
    }
    Ok(Box::new(Qcow2Medium::new(layer, image, data)?))
}

fn not_writable(header: &Header) -> Option<Refusal> {
    let marks = match (header.is_dirty, header.is_corrupt) {
        (false, false) => return None,
        (true, false) => "dirty: a machine that used it was not stopped cleanly",
        (_, true) => "corrupt: qemu found damage",
    };
    let what = format!("it is a qcow2 image that is marked as {marks}");
    Some(Refusal::ContainerNeedsCheck { what })
}

fn warnings(header: &Header) -> Vec<String> {
    let mut warnings = Vec::new();
    if header.snapshots > 0 {
        let count = header.snapshots;
        let noun = if count == 1 { "snapshot keeps" } else { "snapshots keep" };
        warnings.push(format!("{count} internal {noun} the content from before the edit"));
    }
    if header.valid_bitmaps().is_some() {
        warnings.push(
            "an edit makes the dirty bitmaps of the image invalid: the next backup must be a full one"
                .to_owned(),
        );
    }
    warnings
}
