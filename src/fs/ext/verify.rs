//! Verification of an edit by `ext4-view`, a reader that shares no code with ours.
//!
//! `ext4-view` does not read inline_data, ea_inode, meta_bg, large_dir, casefold and encrypted directories,
//! and it has no extended attributes. What it refuses to read is read by our own reader, opened afresh, and
//! the verdict says so. What it calls corrupt is not verified.

use crate::bytes::arith;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::fs::path::GuestPath;
use crate::fs::verify::{Expectation, Found, OwnReader, Owner, Verdict, VerifyReader, check};
use crate::fs::{FileSystem, NodeKind};
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Path};
use std::io;
use std::sync::Arc;

const READER: &str = "ext4-view";

/// Checks that `disk`, which starts with the file system, is as expected.
///
/// `disk` should be a [`Cache`](crate::disk::cache::Cache): `ext4-view` reads group descriptors one by one.
/// `open_own` opens our own reader on the same disk; it is only called when `ext4-view` cannot read it.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs, or if `ext4-view` finds damage; `Io`; the error
/// of `open_own`.
pub fn verify(
    disk: Arc<dyn Disk>,
    open_own: &dyn Fn() -> Result<Box<dyn FileSystem>>,
    expectations: &[Expectation],
) -> Result<Verdict> {
    let reason = match verify_independently(disk, expectations) {
        Ok(()) => return Ok(Verdict::Independent { reader: READER }),
        Err(error) => match error.kind() {
            ErrorKind::Unsupported(reason) => reason.clone(),
            _ => return Err(error),
        },
    };
    check(&OwnReader(&*open_own()?), expectations)?;
    Ok(Verdict::OwnReaderOnly { reason })
}

/// `Unsupported` if `ext4-view` cannot read the file system, or something on a path.
fn verify_independently(disk: Arc<dyn Disk>, expectations: &[Expectation]) -> Result<()> {
    let fs = Ext4::load(Box::new(Adapter(disk))).map_err(reader_error)?;
    check(&View(fs), expectations)
}

fn reader_error(error: Ext4Error) -> Error {
    match error {
        Ext4Error::Incompatible(_) | Ext4Error::Encrypted => {
            Error::unsupported(format!("{READER}: {error}"))
        }
        Ext4Error::Io(source) => match source.downcast::<Error>() {
            Ok(error) => *error,
            Err(source) => Error::new(ErrorKind::Io(io::Error::other(source))),
        },
        other => Refusal::NotVerified { detail: format!("{READER}: {other}") }.into(),
    }
}

/// A disk as `ext4-view` wants it.
struct Adapter(Arc<dyn Disk>);

impl Ext4Read for Adapter {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read_at(start_byte, dst)?)
    }
}

struct View(Ext4);

impl VerifyReader for View {
    fn look(&self, path: &GuestPath) -> Result<Option<Found>> {
        let metadata = match self.0.symlink_metadata(view_path(path)?) {
            Ok(metadata) => metadata,
            Err(Ext4Error::NotFound) => return Ok(None),
            Err(error) => return Err(reader_error(error)),
        };
        let kind = match metadata.file_type() {
            FileType::Regular => Some(NodeKind::File),
            FileType::Directory => Some(NodeKind::Directory),
            FileType::Symlink => Some(NodeKind::Symlink),
            _ => None,
        };
        let mode = u32::from(metadata.mode()) & 0o7777;
        let owner = Owner { uid: metadata.uid(), gid: metadata.gid(), mode };
        Ok(Some(Found { kind, owner, size_bytes: metadata.len() }))
    }

    fn content(&self, path: &GuestPath, size_bytes: u64) -> Result<Vec<u8>> {
        let mut file = self.0.open(view_path(path)?).map_err(reader_error)?;
        let mut content = vec![0; arith::to(size_bytes)?];
        let mut rest = content.as_mut_slice();
        while !rest.is_empty() {
            match file.read_bytes(rest).map_err(reader_error)? {
                0 => break,
                len => rest = rest.get_mut(len..).unwrap_or_default(),
            }
        }
        Ok(content)
    }
}

fn view_path(path: &GuestPath) -> Result<Path<'_>> {
    Path::try_from(path.as_bytes()).map_err(|error| {
        Refusal::NotVerified { detail: format!("{READER}: {path}: {error}") }.into()
    })
}
