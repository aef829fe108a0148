//! Verification of an edit by `ext4-view`, a reader that shares no code with ours.
//!
//! `ext4-view` does not read inline_data, ea_inode, meta_bg, large_dir, casefold and encrypted
//! directories, and it has no extended attributes. What it refuses to read is read by our own
//! reader, opened afresh, and the verdict says so. What it calls corrupt is not verified.

use super::checksum::{self, DESCRIPTOR_CHECKSUM_AT};
use super::feature::{incompat, ro_compat};
use super::superblock::{SUPERBLOCK_AT_BYTES, SUPERBLOCK_BYTES, Superblock};
use super::units::{GroupIndex, InodeNumber};
use crate::bytes::{arith, field};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::fs::path::GuestPath;
use crate::fs::verify::{Expectation, Found, OwnReader, Owner, Verdict, VerifyReader, check};
use crate::fs::{FileSystem, NodeKind};
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Path};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

const READER: &str = "ext4-view";

/// Checks that `disk`, which starts with the file system, is as expected.
///
/// `disk` should be a [`Cache`](crate::disk::cache::Cache): `ext4-view` reads group descriptors one
/// by one. `own` is our own reader, opened afresh on the same disk; it answers when `ext4-view` cannot read it, and
/// says which groups of a large volume matter.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs, or if `ext4-view` finds damage; `Io`.
pub fn verify(
    disk: Arc<dyn Disk>,
    own: &dyn FileSystem,
    expectations: &[Expectation],
) -> Result<Verdict> {
    let adapter = Adapter { table: table(disk.as_ref(), own, expectations), disk };
    let reason = match verify_independently(adapter, expectations) {
        Ok(()) => return Ok(Verdict::Independent { reader: READER }),
        Err(error) => match error.kind() {
            ErrorKind::Unsupported(reason) => reason.clone(),
            _ => return Err(error),
        },
    };
    check(&OwnReader(own), expectations)?;
    Ok(Verdict::OwnReaderOnly { reason })
}

/// `Unsupported` if `ext4-view` cannot read the file system, or something on a path.
fn verify_independently(adapter: Adapter, expectations: &[Expectation]) -> Result<()> {
    check_inode_size(adapter.disk.as_ref())?;
    let fs = Ext4::load(Box::new(adapter)).map_err(reader_error)?;
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

/// The descriptor table of a large volume. `ext4-view` reads all of it before anything else, 4 MiB on 8 TiB,
/// and uses only where inode tables start. Groups without an inode that matters are not read: their
/// descriptors look empty, so that an inode there, if it were asked for all the same, would be found in the
/// boot block, and nothing be verified.
struct Table {
    start_bytes: u64,
    descriptor_bytes: u64,
    group_count: u32,
    checksum_seed: Option<u32>,
    /// The groups that are read.
    groups: BTreeSet<u32>,
}

/// Volumes of fewer groups are read as they are: 8 GiB in blocks of 4 KiB.
const GROUPS_MIN: u32 = 65;

/// The table of a large volume; `None` if all of it is to be read, also where our own reader cannot say what
/// matters.
fn table(disk: &dyn Disk, own: &dyn FileSystem, expectations: &[Expectation]) -> Option<Table> {
    let bytes = disk.read_vec(SUPERBLOCK_AT_BYTES, SUPERBLOCK_BYTES).ok()?;
    let superblock = Superblock::parse(&bytes, disk.len_bytes()).ok()?;
    let is_one_piece = !superblock.features.has_incompat(incompat::META_BG);
    if superblock.group_count < GROUPS_MIN || !is_one_piece {
        return None;
    }
    let mut groups = BTreeSet::new();
    let mut add = |number: u64| {
        let number = u32::try_from(number).ok().filter(|number| *number != 0)?;
        let (group, _) = superblock.inode_place(InodeNumber(number)).ok()?;
        groups.insert(group.0);
        Some(())
    };
    add(own.root().0)?;
    if superblock.journal_inode != 0 {
        add(superblock.journal_inode.into())?;
    }
    for Expectation { path, .. } in expectations {
        let mut node = own.root();
        for name in path.as_bytes().split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            let Some(next) = own.lookup(node, name).ok()? else { break };
            node = next;
            add(node.0)?;
        }
    }
    Some(Table {
        start_bytes: superblock.descriptor_offset(GroupIndex(0)).ok()?,
        descriptor_bytes: superblock.descriptor_bytes.into(),
        group_count: superblock.group_count,
        checksum_seed: superblock.checksum_seed,
        groups,
    })
}

impl Table {
    /// The group whose descriptor these bytes are, if it is none of those that are read.
    fn skipped_group(&self, start_byte: u64, len: usize) -> Option<GroupIndex> {
        let inside = start_byte.checked_sub(self.start_bytes)?;
        let is_whole = arith::len_u64(len) == self.descriptor_bytes
            && inside.is_multiple_of(self.descriptor_bytes);
        let index = u32::try_from(inside.checked_div(self.descriptor_bytes)?).ok()?;
        let is_skipped = is_whole && index < self.group_count && !self.groups.contains(&index);
        is_skipped.then_some(GroupIndex(index))
    }

    /// Makes `descriptor` an empty one of `group` whose checksum is right.
    fn put_empty(&self, group: GroupIndex, descriptor: &mut [u8]) -> Result<()> {
        descriptor.fill(0);
        if let Some(seed) = self.checksum_seed {
            let sum = checksum::descriptor_crc32c(seed, group, descriptor)?;
            field::put_le_u16(descriptor, DESCRIPTOR_CHECKSUM_AT, sum)?;
        }
        Ok(())
    }
}

/// A disk as `ext4-view` wants it.
struct Adapter {
    disk: Arc<dyn Disk>,
    table: Option<Table>,
}

impl Ext4Read for Adapter {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(table) = &self.table
            && let Some(group) = table.skipped_group(start_byte, dst.len())
        {
            return Ok(table.put_empty(group, dst)?);
        }
        Ok(self.disk.read_at(start_byte, dst)?)
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
    use crate::fs::ext::Ext;
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

    /// Our own reader on an empty volume: what it is asked, it cannot confirm.
    fn foreign_reader() -> Ext {
        own_reader(&Image::make(1024, &["-t", "ext4"]))
    }

    fn own_reader(image: &Image) -> Ext {
        Ext::open(image.overlay(), crate::fs::Timestamp::default()).unwrap()
    }

    #[test]
    fn what_is_there_is_confirmed_and_what_is_not_is_not() {
        let foreign = foreign_reader();
        for features in ["metadata_csum", "^metadata_csum,^64bit", "^extent,^64bit,^has_journal"] {
            let image = image(features);
            let mut expected = expectations(&image);
            let verdict = verify(image.overlay(), &foreign, &expected).unwrap();
            assert_eq!((verdict.reader(), features), ("ext4-view", features));
            if let Expected::File { content, .. } = &mut expected[1].state {
                content[4999] ^= 1;
            }
            let error = verify(image.overlay(), &foreign, &expected).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the finished edit failed verification: /home/user/keys has other content than was \
                 written"
            );
        }
    }

    #[test]
    fn features_that_ext4_view_does_not_read_go_to_our_own_reader() {
        let foreign = foreign_reader();
        for features in ["inline_data", "ea_inode", "meta_bg,^resize_inode", "large_dir"] {
            let image = image(features);
            let expected = expectations(&image);
            let verdict = verify(image.overlay(), &own_reader(&image), &expected).unwrap();
            assert!(matches!(verdict, Verdict::OwnReaderOnly { .. }), "{features}: {verdict:?}");
            let error = verify(image.overlay(), &foreign, &expected).unwrap_err();
            assert_eq!((error.kind_name(), features), ("refused", features), "{error}");
        }
    }

    #[test]
    fn damage_that_only_ext4_view_sees_is_not_verified() {
        let image = image("metadata_csum");
        let disk = image.overlay();
        // A bit in the second group descriptor field of the first group: its checksum is wrong now.
        crate::disk::DiskEdit::write_at(&*disk, 4096 + 9, &[0x55], "descriptor").unwrap();
        let error = verify(disk, &own_reader(&image), &expectations(&image)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::NotVerified { .. })), "{error}");
    }

    /// A volume of 128 groups, whose descriptors take two blocks.
    fn large_image() -> Image {
        let image = Image::make(1024, &["-t", "ext4", "-g", "256", "-O", "^resize_inode"]);
        image.debugfs("mkdir home\nmkdir home/user\n");
        image
    }

    #[test]
    fn only_the_groups_that_matter_are_read() {
        let image = large_image();
        let disk = image.overlay();
        let own =
            super::super::Ext::open(image.overlay(), crate::fs::Timestamp::default()).unwrap();
        let owner = Owner { uid: 0, gid: 0, mode: 0o755 };
        let question = |path: &str, state| Expectation { path: GuestPath::new(path), state };
        let questions = [
            question("/home/user", Expected::Directory { owner }),
            question("/home/none", Expected::Absent),
        ];
        let found = table(disk.as_ref(), &own, &questions).unwrap();
        assert!(found.groups.len() < 5 && found.group_count == 128, "{:?}", found.groups);
        // A descriptor that nobody needs may be rubbish, and one that is needed may not.
        let foreign = (0..128).rev().find(|index| !found.groups.contains(index)).unwrap();
        let needed = found.groups.last().unwrap();
        for (index, is_fine) in [(foreign, true), (*needed, false)] {
            let disk = image.overlay();
            let at = found.start_bytes + u64::from(index) * found.descriptor_bytes;
            crate::disk::DiskEdit::write_at(&*disk, at + 9, &[0x55], "descriptor").unwrap();
            assert_eq!(verify(disk, &own, &questions).is_ok(), is_fine, "group {index}");
        }
        // Without a group that matters nothing is verified.
        let mut poor = table(disk.as_ref(), &own, &questions).unwrap();
        poor.groups.clear();
        let adapter = Adapter { disk, table: Some(poor) };
        let error = verify_independently(adapter, &questions).unwrap_err();
        assert_eq!(error.kind_name(), "refused", "{error}");
    }
}
