//! Dquots in the log.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Journaling Log" (sections "Quota Update Data Log
//! Item" and "Quota Off") and "Internal Inodes" (section "Quota Inodes").
//!
//! A new block of dquots is logged as a buffer, a dquot that changed as its first 104 bytes. When the
//! accounting of a kind was switched off, its file may be gone, and its blocks may hold something else:
//! nothing of that kind is replayed then, wherever it stands in the log.

use super::item::{Quota, buffer_flag};
use crate::bytes::arith::to;
use crate::bytes::field::{Short, be_u64, put, put_be_u64, slice};
use crate::error::{Corrupt, Result};
use crate::fs::xfs::checksum;
use crate::fs::xfs::quota::dquot::{CRC_AT, DQUOT_BYTES, Dquot, DquotDefect, LSN_AT};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::Lsn;

/// Size of a dquot in the log: without its checksum and what follows that.
const LOGGED_BYTES: usize = 104;

/// Kinds of quota, with the bits of `d_flags`: user, project, group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct QuotaKinds(u8);

const USER: u8 = 1;
const PROJECT: u8 = 2;
const GROUP: u8 = 4;

impl QuotaKinds {
    /// Those that `qf_flags` names, which has the bits of `sb_qflags`: what is counted.
    pub(super) fn of_accounting(flags: u32) -> Self {
        let kinds = [(0x1, USER), (0x8, PROJECT), (0x40, GROUP)];
        let named = kinds.iter().filter(|(bit, _)| flags & bit != 0);
        Self(named.fold(0, |all, (_, kind)| all | kind))
    }

    /// Those whose dquots a buffer with these `blf_flags` holds; none for other buffers. Both the flags and
    /// the kind of the buffer say it.
    pub(super) fn of_buffer(flags: u16) -> Self {
        let by_flag = [(0x4, USER), (0x8, PROJECT), (0x10, GROUP)];
        let named = by_flag.iter().filter(|(bit, _)| flags & buffer_flag::QUOTA & bit != 0);
        let by_kind = match flags >> buffer_flag::KIND_SHIFT {
            1 => USER,
            2 => PROJECT,
            3 => GROUP,
            _ => 0,
        };
        Self(named.fold(by_kind, |all, (_, kind)| all | kind))
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if one of `others` is among them.
    pub(super) fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl Quota {
    /// For messages.
    pub(super) fn name(&self) -> String {
        format!("quota of {}", self.id)
    }
}

/// The kind of quota of a logged dquot.
///
/// # Errors
/// `Corrupt` if it is none, or not the one that its item names.
pub(super) fn kind_of(quota: &Quota) -> Result<QuotaKinds> {
    let wrong = |defect: DquotDefect| Corrupt::new("logged dquot", defect).of(quota.name());
    let (kind, id) = Dquot::check_header(&quota.record).map_err(wrong)?;
    if id != quota.id {
        return Err(wrong(DquotDefect::Id(id)).into());
    }
    if ![USER, PROJECT, GROUP].contains(&kind) {
        return Err(wrong(DquotDefect::Type { stored: kind, expected: USER }).into());
    }
    Ok(QuotaKinds(kind))
}

/// True if the dquot at a place is of a later change than `lsn`. A torn one, whose checksum is wrong, is
/// not; one that was never changed has no number.
pub(super) fn is_newer(bytes: &[u8], lsn: Lsn, uuid: &[u8; 16]) -> Result<bool, DquotDefect> {
    match Dquot::check(bytes, uuid) {
        Ok(_) => {}
        Err(DquotDefect::Checksum(_)) => return Ok(false),
        Err(other) => return Err(other),
    }
    let present = be_u64(bytes, LSN_AT)?;
    Ok(present != u64::MAX && present > lsn.0)
}

/// Puts a logged dquot over the one in `bytes`, with the number of its change and a checksum that fits.
pub(super) fn apply(quota: &Quota, bytes: &mut [u8], lsn: Lsn) -> Result<()> {
    put(bytes, 0, slice(&quota.record, 0, LOGGED_BYTES)?)?;
    put_be_u64(bytes, LSN_AT, lsn.0)?;
    checksum::seal(bytes, CRC_AT)
}

/// Checks that every dquot in blocks of `bytes` is one, of one of `kinds` and of the file system.
pub(super) fn check_buffer(
    superblock: &Superblock,
    kinds: QuotaKinds,
    bytes: &[u8],
) -> Result<(), DquotDefect> {
    let block_bytes = to(superblock.block_size()).unwrap_or(usize::MAX);
    if !bytes.len().is_multiple_of(block_bytes) {
        return Err(Short { needed: block_bytes, available: bytes.len() }.into());
    }
    let blocks = bytes.chunks_exact(block_bytes);
    for dquot in blocks.flat_map(|block| block.chunks_exact(DQUOT_BYTES)) {
        let (kind, _) = Dquot::check(dquot, &superblock.meta_uuid.0)?;
        if !kinds.has_any(QuotaKinds(kind)) {
            return Err(DquotDefect::Type { stored: kind, expected: kinds.0 });
        }
    }
    Ok(())
}
