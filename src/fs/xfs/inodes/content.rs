//! What is in an inode that was never used, that was just taken, and that was just given back.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "On-disk Inode"; `di_cowextsize` and the defaults of the
//! rest as the kernel leaves them on a volume that it wrote.

use crate::bytes::field::{be_u32, put, put_be_u16, put_be_u32, put_be_u64};
use crate::error::Result;
use crate::fs::NodeKind;
use crate::fs::xfs::checksum;
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode, MAGIC, Time, flag, flag2};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{InodeNumber, Lsn, NULL_AG_INODE};
use crate::fs::xfs::volume::Volume;

const VERSION_AT: usize = 4;
const GENERATION_AT: usize = 92;
const NEXT_UNLINKED_AT: usize = 96;
const CRC_AT: usize = 100;
const COW_EXTENT_SIZE_AT: usize = 128;
const NUMBER_AT: usize = 152;
const UUID_AT: usize = 160;
/// `di_version` of volumes with checksums.
const VERSION: u8 = 3;

/// The bytes of an inode that was never used.
///
/// All fields are 0 but `di_magic`, `di_version`, `di_gen`, `di_next_unlinked`, `di_ino`, `di_uuid` and `di_crc`.
pub(super) fn unused(
    superblock: &Superblock,
    number: InodeNumber,
    generation: u32,
) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(superblock.inode_size_bytes)];
    put_be_u16(&mut bytes, 0, MAGIC)?;
    put(&mut bytes, VERSION_AT, &[VERSION])?;
    put_be_u32(&mut bytes, GENERATION_AT, generation)?;
    put_be_u32(&mut bytes, NEXT_UNLINKED_AT, NULL_AG_INODE.0)?;
    put_be_u64(&mut bytes, NUMBER_AT, number.0)?;
    put(&mut bytes, UUID_AT, &superblock.meta_uuid.0)?;
    checksum::seal(&mut bytes, CRC_AT)?;
    Ok(bytes)
}

/// What `free`, which the trees gave out, becomes as a new node in the directory `parent`: without permissions,
/// owner, names' content and attributes, which are the caller's.
pub(super) fn taken(
    volume: &Volume,
    free: &Inode,
    parent: &Inode,
    kind: NodeKind,
) -> Result<Inode> {
    let superblock = volume.superblock();
    let bytes = unused(superblock, free.number, free.generation())?;
    let offset = volume.inode_offset(free.number)?;
    let mut inode = Inode::parse(superblock, free.number, bytes, offset)?;
    let is_directory = kind == NodeKind::Directory;
    inode.set_mode(kind.mode_bits())?;
    inode.set_link_count(if is_directory { 2 } else { 1 })?;
    let format = match kind {
        NodeKind::File => ForkFormat::Extents,
        NodeKind::Directory | NodeKind::Symlink => ForkFormat::Local,
        _ => ForkFormat::Device,
    };
    inode.set_format(ForkKind::Data, format)?;
    inode.set_format(ForkKind::Attribute, ForkFormat::Extents)?;
    inherit(superblock, &mut inode, parent, kind)?;
    for time in [Time::Access, Time::Modify, Time::Change, Time::Create] {
        inode.set_time(time, volume.clock())?;
    }
    inode.count_change()?;
    inode.set_lsn(Lsn(0))?;
    Ok(inode)
}

/// Takes over what the directory passes on: its project to every node, its flags and hints to files and
/// directories. That content should go to a realtime device is passed on only between directories, as nothing is
/// ever put there.
fn inherit(
    superblock: &Superblock,
    inode: &mut Inode,
    parent: &Inode,
    kind: NodeKind,
) -> Result<()> {
    let has = |bit| superblock.features.has_incompat(bit);
    let big_times = if has(incompat::BIGTIME) { flag2::BIGTIME } else { 0 };
    let big_counts = if has(incompat::NREXT64) { flag2::NREXT64 } else { 0 };
    inode.set_flags2(big_times | big_counts)?;
    if parent.has_flag(flag::PROJINHERIT) {
        inode.set_project(parent.project())?;
    }
    let (flags, extent_size) = match kind {
        NodeKind::Directory => {
            (flag::INHERITED | flag::RTINHERIT | flag::EXTSZINHERIT, flag::EXTSZINHERIT)
        }
        NodeKind::File => (flag::INHERITED & !flag::PROJINHERIT, flag::EXTSIZE),
        _ => return Ok(()),
    };
    inode.set_flags(parent.flags() & flags)?;
    if parent.has_flag(flag::EXTSZINHERIT) {
        inode.set_flags(inode.flags() | extent_size)?;
        inode.set_extent_size_blocks(parent.extent_size_blocks())?;
    }
    let hints = parent.flags2() & (flag2::COW_EXTSIZE | flag2::DAX);
    inode.set_flags2(inode.flags2() | hints)?;
    if parent.has_flag2(flag2::COW_EXTSIZE) {
        let size = be_u32(parent.bytes(), COW_EXTENT_SIZE_AT)?;
        put_be_u32(inode.bytes_mut(), COW_EXTENT_SIZE_AT, size)?;
    }
    Ok(())
}

/// Makes an inode free, whose forks have no blocks any more. Its owner and times stay, as the kernel leaves them.
pub(super) fn give_back(volume: &Volume, inode: &mut Inode) -> Result<()> {
    inode.set_mode(0)?;
    inode.set_link_count(0)?;
    inode.set_size_bytes(0)?;
    inode.set_fork_offset_bytes(0)?;
    inode.put_fork(ForkKind::Data, &[])?;
    for fork in [ForkKind::Data, ForkKind::Attribute] {
        inode.set_format(fork, ForkFormat::Extents)?;
        inode.set_extent_count(fork, 0)?;
    }
    inode.set_extent_size_blocks(0)?;
    inode.set_flags(0)?;
    inode.set_flags2(inode.flags2() & (flag2::BIGTIME | flag2::NREXT64))?;
    put_be_u32(inode.bytes_mut(), COW_EXTENT_SIZE_AT, 0)?;
    inode.set_generation(inode.generation().wrapping_add(1))?;
    inode.set_next_unlinked(NULL_AG_INODE)?;
    inode.set_time(Time::Change, volume.clock())?;
    inode.count_change()
}
