//! Verification of an edit by `ext4-view`, a reader that shares no code with ours.
//!
//! `ext4-view` does not read inline_data, ea_inode, meta_bg, large_dir, casefold and encrypted
//! directories, and it has no extended attributes. What it refuses to read is read by our own
//! reader, opened afresh, and the verdict says so. What it calls corrupt is not verified.

use super::feature::ro_compat;
use crate::bytes::{arith, field};
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
/// `disk` should be a [`Cache`](crate::disk::cache::Cache): `ext4-view` reads group descriptors one
/// by one. `open_own` opens our own reader on the same disk; it is only called when `ext4-view`
/// cannot read it.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs, or if `ext4-view` finds damage; `Io`;
/// the error of `open_own`.
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
    check_inode_size(disk.as_ref())?;
    let fs = Ext4::load(Box::new(Adapter(disk))).map_err(reader_error)?;
    check(&View(fs), expectations)
}

/// `Unsupported` for inodes of 128 bytes on a volume with metadata_csum: they have no room for the upper half
/// of the checksum, and `ext4-view` 1.0 calls every one of them truncated.
fn check_inode_size(disk: &dyn Disk) -> Result<()> {
    let superblock = disk.read_vec(1024, 1024)?;
    let has_checksums = field::le_u32(&superblock, 0x64)? & ro_compat::METADATA_CSUM != 0;
    if has_checksums && field::le_u16(&superblock, 0x58)? == 128 {
        return Err(Error::unsupported(format!("{READER}: inodes of 128 bytes with checksums")));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ext::testing::Image;
    use crate::fs::verify::Expected;

    const OWNER: Owner = Owner { uid: 1000, gid: 1001, mode: 0o640 };

    /// `/home/user/keys` with 5,000 bytes.
    fn image(features: &str) -> Image {
        let image = Image::make(4096, &["-t", "ext4", "-O", features]);
        let host = image.directory.path().join("keys");
        std::fs::copy(&image.path, &host).unwrap();
        let file = std::fs::File::options().append(true).open(&host).unwrap();
        file.set_len(5000).unwrap();
        image.debugfs(&format!(
            "mkdir home\nmkdir home/user\nwrite {} home/user/keys\n\
             sif home/user/keys uid 1000\nsif home/user/keys gid 1001\n\
             sif home/user/keys mode 0100640\n",
            host.to_str().unwrap()
        ));
        image
    }

    fn expectations(image: &Image) -> Vec<Expectation> {
        let content = std::fs::read(image.directory.path().join("keys")).unwrap();
        let owner = Owner { uid: 0, gid: 0, mode: 0o755 };
        [
            ("/home/user", Expected::Directory { owner }),
            ("/home/user/keys", Expected::File { content, owner: OWNER }),
            ("/home/user/other", Expected::Absent),
        ]
        .map(|(path, state)| Expectation { path: GuestPath::new(path), state })
        .to_vec()
    }

    fn no_own_reader() -> Result<Box<dyn FileSystem>> {
        Err(Error::usage("own reader"))
    }

    #[test]
    fn what_is_there_is_confirmed_and_what_is_not_is_not() {
        for features in ["metadata_csum", "^metadata_csum,^64bit", "^extent,^64bit,^has_journal"] {
            let image = image(features);
            let mut expected = expectations(&image);
            let verdict = verify(image.overlay(), &no_own_reader, &expected).unwrap();
            assert_eq!((verdict.reader(), features), ("ext4-view", features));
            if let Expected::File { content, .. } = &mut expected[1].state {
                content[4999] ^= 1;
            }
            let error = verify(image.overlay(), &no_own_reader, &expected).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the finished edit failed verification: /home/user/keys has other content than was \
                 written"
            );
        }
    }

    #[test]
    fn features_that_ext4_view_does_not_read_go_to_our_own_reader() {
        for features in ["inline_data", "ea_inode", "meta_bg,^resize_inode", "large_dir"] {
            let image = image(features);
            let error = verify(image.overlay(), &no_own_reader, &expectations(&image)).unwrap_err();
            assert_eq!((error.to_string().as_str(), features), ("own reader", features));
        }
    }

    #[test]
    fn damage_that_only_ext4_view_sees_is_not_verified() {
        let image = image("metadata_csum");
        let disk = image.overlay();
        // A bit in the second group descriptor field of the first group: its checksum is wrong now.
        crate::disk::DiskEdit::write_at(&*disk, 4096 + 9, &[0x55], "descriptor").unwrap();
        let error = verify(disk, &no_own_reader, &expectations(&image)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::NotVerified { .. })), "{error}");
    }
}
