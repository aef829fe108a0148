//! VMDK: the images of VMware products.
//!
//! Source: VMware, "Virtual Disk Format 5.0" (Technical Note, December 2011). Numbers are little-endian. A text, the
//! [`descriptor`], names the extents whose bytes are the disk, one after the other; an extent is raw bytes, zeros, or
//! a [`sparse`] file. In a `monolithicSparse` image the descriptor lies inside the only extent.
//!
//! | subformat                             | files                              | read | written                    |
//! |---------------------------------------|------------------------------------|------|----------------------------|
//! | `monolithicFlat`, `vmfs`              | descriptor, one raw extent         | yes  | yes                        |
//! | `twoGbMaxExtentFlat`                  | descriptor, raw extents            | yes  | yes                        |
//! | `monolithicSparse`                    | one sparse extent with descriptor  | yes  | yes                        |
//! | `twoGbMaxExtentSparse`                | descriptor, sparse extents         | yes  | yes                        |
//! | `streamOptimized`                     | one [extent](stream) of compressed grains | yes | no                    |
//! | ESX sparse (`COWD`), `seSparse`, raw device mapping | ...                  | no   | no                         |
//!
//! Images with a parent are refused: what they do not hold is somewhere else. A descriptor can name only files beside
//! it, by plain names; [`ReadFiles`] sees to it that no link leads out of the directory.
//!
//! # Crash safety
//!
//! Raw extents are written in place. For sparse ones see [`sparse`].

mod concat;
mod descriptor;
mod extent_header;
#[cfg(test)]
mod refusal_tests;
mod sparse;
mod stream;
#[cfg(test)]
mod tests;

use super::Opened;
use super::block_map::Source;
use super::block_map::disk::MappedDisk;
use super::block_map::medium::MappedMedium;
use super::files::{FileId, ReadFiles, WriteFiles};
use crate::bytes::{arith, field};
use crate::disk::Disk;
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Context as _, Error, Refusal, Result};
use crate::image::host_file::Role;
use concat::{ReadPart, ReadPiece, VmdkDisk, VmdkMedium, WritePart, WritePiece};
use descriptor::{Access, Descriptor, DescriptorDefect, Extent, Kind};
use extent_header::ExtentHeader;
use sparse::SparseMap;
use std::collections::HashMap;
use std::sync::Arc;
use stream::StreamDisk;

/// First bytes of a sparse extent.
const SPARSE_MAGIC: &[u8] = b"KDMV";

/// Opens a VMDK for reading.
///
/// # Errors
/// * `Unsupported` - a kind that cannot be read: with a parent, of ESX.
/// * `Refused` - the descriptor refers to a file that it must not refer to.
/// * `Corrupt`, `Limit`, `Io`.
pub fn open(files: &mut dyn ReadFiles) -> Result<Opened> {
    let first = files.target();
    let descriptor = match shape(&first)? {
        Shape::Monolithic(header) => {
            let not_writable = header.not_writable();
            let disk = sparse_disk(*header, first, 1)?;
            return Ok(Opened { not_writable, ..Opened::new(disk) });
        }
        Shape::Described(descriptor) => descriptor,
    };
    let mut opened = HashMap::new();
    for name in descriptor.files() {
        let (_, disk) = files.open(FileId::TARGET, &name, Role::Written)?;
        opened.insert(name, disk);
    }
    let mut not_writable = None;
    let mut pieces = Vec::new();
    for extent in &descriptor.extents {
        let file = extent.file.as_ref().and_then(|name| opened.get(name));
        let count = descriptor.extents.len();
        let (piece, refusal) = read_piece(extent, file, count).context(|| extent.shown())?;
        not_writable = not_writable.or(refusal);
        pieces.push(piece);
    }
    Ok(Opened { not_writable, ..Opened::new(Arc::new(VmdkDisk::new(pieces)?)) })
}

/// Opens a VMDK for writing. Nothing is written yet, and never to a descriptor.
///
/// # Errors
/// * `Refused` - the image was not closed by who has written it before.
/// * `Mismatch` - the descriptor names other files than when it was opened for reading.
/// * As [`open`]; `Corrupt` also if extents share a file.
pub fn open_writable(mut files: WriteFiles) -> Result<Box<dyn Medium>> {
    let first: Box<dyn HostMedium> = Box::new(files.target_medium()?);
    let descriptor = match shape(&first)? {
        Shape::Monolithic(header) => {
            let piece = sparse_medium(*header, first)?;
            return Ok(Box::new(VmdkMedium::new(vec![piece])?));
        }
        Shape::Described(descriptor) => descriptor,
    };
    descriptor.check_files_not_shared()?;
    let mut pieces = Vec::new();
    for extent in &descriptor.extents {
        let host: Option<Box<dyn HostMedium>> = match &extent.file {
            Some(name) => Some(Box::new(files.next_written(name)?)),
            None => None,
        };
        pieces.push(write_piece(extent, host).context(|| extent.shown())?);
    }
    Ok(Box::new(VmdkMedium::new(pieces)?))
}

/// How the disk is stored.
enum Shape {
    /// In one sparse extent, which holds its descriptor.
    Monolithic(Box<ExtentHeader>),
    /// In extents that a text names.
    Described(Descriptor),
}

fn shape(first: &dyn Source) -> Result<Shape> {
    let mut magic = [0; 4];
    if first.len_bytes() >= 4 {
        first.read_at(0, &mut magic)?;
    }
    if magic.as_slice() != SPARSE_MAGIC {
        if magic.as_slice() == b"COWD" {
            return Err(Error::unsupported("an extent of a sparse VMDK of ESX (COWD)"));
        }
        return Ok(Shape::Described(Descriptor::read_file(first)?));
    }
    let header = ExtentHeader::read(first)?;
    let Some(text) = header.descriptor(first)? else {
        return Err(Error::unsupported(
            "one extent of a split VMDK: name the file with the descriptor (without -s001)",
        ));
    };
    // Its extent is this file, by whatever name it was made.
    Descriptor::parse(&text)?;
    Ok(Shape::Monolithic(Box::new(header)))
}

/// The bytes of an extent, and why they must not be written.
fn read_piece(
    extent: &Extent,
    file: Option<&Arc<dyn Disk>>,
    count: usize,
) -> Result<(ReadPiece, Option<Refusal>)> {
    let len_bytes = extent.len_bytes()?;
    let Some(file) = file else {
        return Ok((ReadPiece { len_bytes, part: ReadPart::Zeros }, None));
    };
    let (disk, start_bytes, refusal): (Arc<dyn Disk>, _, _) = match extent.kind {
        Kind::Sparse => {
            let header = ExtentHeader::read(file)?;
            (sparse_disk(header, file.clone(), count)?, 0, header.not_writable())
        }
        Kind::Flat | Kind::Zero => (file.clone(), extent.offset_bytes()?, None),
    };
    check_room(disk.len_bytes(), start_bytes, len_bytes)?;
    Ok((ReadPiece { len_bytes, part: ReadPart::Disk { disk, start_bytes } }, refusal))
}

/// The disk in a sparse extent, which is one of `count`: they share the memory for what is kept. Several may have one
/// file.
fn sparse_disk(header: ExtentHeader, file: Arc<dyn Disk>, count: usize) -> Result<Arc<dyn Disk>> {
    if header.is_compressed {
        return Ok(Arc::new(StreamDisk::one_of(count, &header, file)?));
    }
    Ok(Arc::new(MappedDisk::one_of(count, SparseMap::new(header)?, file)))
}

fn write_piece(extent: &Extent, file: Option<Box<dyn HostMedium>>) -> Result<WritePiece> {
    let len_bytes = extent.len_bytes()?;
    let Some(host) = file else {
        return Ok(WritePiece { len_bytes, is_writable: false, part: WritePart::Zeros });
    };
    let is_writable = extent.access == Access::ReadWrite;
    match extent.kind {
        Kind::Sparse => {
            let header = ExtentHeader::read(&host)?;
            check_room(header.capacity_bytes()?, 0, len_bytes)?;
            Ok(WritePiece { len_bytes, is_writable, ..sparse_medium(header, host)? })
        }
        Kind::Flat | Kind::Zero => {
            let start_bytes = extent.offset_bytes()?;
            check_room(host.len_bytes(), start_bytes, len_bytes)?;
            Ok(WritePiece { len_bytes, is_writable, part: WritePart::Flat { host, start_bytes } })
        }
    }
}

fn sparse_medium(header: ExtentHeader, host: Box<dyn HostMedium>) -> Result<WritePiece> {
    if let Some(refusal) = header.not_writable() {
        return Err(refusal.into());
    }
    let len_bytes = header.capacity_bytes()?;
    let medium = Box::new(MappedMedium::new(SparseMap::new(header)?, host));
    Ok(WritePiece { len_bytes, is_writable: true, part: WritePart::Sparse(medium) })
}

/// Checks that an extent has the bytes that the descriptor promises.
fn check_room(file_bytes: u64, start_bytes: u64, len_bytes: u64) -> Result<()> {
    if arith::add(start_bytes, len_bytes)? <= file_bytes {
        return Ok(());
    }
    Err(descriptor::corrupt(DescriptorDefect::ExtentTooShort {
        start_bytes,
        len_bytes,
        file_bytes,
    }))
}

/// Where a sector is, in bytes.
fn sectors(count: u64) -> Result<u64> {
    Ok(arith::mul(count, 512)?)
}

/// The little-endian number in the 4 bytes at `offset_bytes` of a file.
fn read_u32(source: &dyn Source, offset_bytes: u64) -> Result<u32> {
    Ok(field::le_u32(&source.read_vec(offset_bytes, 4)?, 0)?)
}
