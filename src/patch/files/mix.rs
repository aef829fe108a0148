//! What an interrupted change of an object that stays may have left, and nothing else.

use super::check::split_tail;
use super::state::Look;
use crate::bytes::arith;
use crate::error::{Corrupt, Result};
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, PIECE_UNIT_BYTES, Piece, Side};
use crate::image::directory::stat::Kind;
use std::collections::BTreeSet;

/// Set-user-ID and set-group-ID, which the kernel takes away when a file changes hands.
const SET_ID_BITS: u32 = 0o6000;

/// The list that changes with the mode.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

impl Look<'_> {
    /// True if `found` can be what an interrupted change from one side to the other has left.
    pub(super) fn is_mix(&self, found: &Handle, before: &Side, after: &Side) -> Result<bool> {
        let stat = found.stat_now()?;
        let is_ntfs = self.directory.ntfs_acl_name().is_some();
        let has_names = stat.kind == Kind::File && stat.link_count > 1 && !is_ntfs;
        if stat.kind != before.kind || has_names || found.standing.reason().is_some() {
            return Ok(false);
        }
        let (b, a) = (before, after);
        let mixed = |high: u32, low: u32| (high & 0o7000) | (low & 0o777);
        let modes = [b.mode, a.mode, mixed(b.mode, a.mode), mixed(a.mode, b.mode)];
        let is_mode = |mode: &u32| *mode == stat.mode || mode & !SET_ID_BITS == stat.mode;
        let is_owner = (stat.uid == b.uid || stat.uid == a.uid)
            && (stat.gid == b.gid || stat.gid == a.gid)
            && modes.iter().any(is_mode);
        if !(is_ntfs || is_owner) || !self.attributes_are_mixed(found, b, a)? {
            return Ok(false);
        }
        match (&b.content, &a.content) {
            (
                Content::Pieces { size_bytes: size_before, pieces: before },
                Content::Pieces { size_bytes: size_after, pieces: after },
            ) => Pieces { found, size_bytes: stat.size_bytes }
                .are_mixed((*size_before, before), (*size_after, after)),
            _ => Ok(true),
        }
    }

    fn attributes_are_mixed(&self, found: &Handle, before: &Side, after: &Side) -> Result<bool> {
        let mut names: BTreeSet<Vec<u8>> = found.xattr_names()?.into_iter().collect();
        names.retain(|name| !self.directory.is_made_by_host(name));
        let of = |side: &Side, name: &[u8]| {
            side.xattrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        names.extend(before.xattrs.iter().chain(&after.xattrs).map(|(name, _)| name.clone()));
        for name in &names {
            let value = found.xattr(self.directory.host_attribute(name))?;
            let follows_mode = name == ACCESS_LIST && before.mode != after.mode;
            if !follows_mode && value != of(before, name) && value != of(after, name) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A file in which pieces are overwritten.
struct Pieces<'a> {
    found: &'a Handle,
    size_bytes: u64,
}

impl Pieces<'_> {
    /// True if every unit is as on one of the sides, and what is of the end of the longer one is its beginning, or not
    /// written yet (zeros).
    fn are_mixed(&self, before: (u64, &[Piece]), after: (u64, &[Piece])) -> Result<bool> {
        let common_bytes = before.0.min(after.0);
        if self.size_bytes < common_bytes || self.size_bytes > before.0.max(after.0) {
            return Ok(false);
        }
        let (before_pieces, before_tail) = split_tail(before.1, common_bytes, before.0)
            .map_err(|defect| Corrupt::new("patch record", defect))?;
        let (after_pieces, after_tail) = split_tail(after.1, common_bytes, after.0)
            .map_err(|defect| Corrupt::new("patch record", defect))?;
        for (before, after) in before_pieces.iter().zip(after_pieces) {
            let found = self.found.read_at(before.offset_bytes, before.bytes.len())?;
            let units = found
                .chunks(PIECE_UNIT_BYTES)
                .zip(before.bytes.chunks(PIECE_UNIT_BYTES))
                .zip(after.bytes.chunks(PIECE_UNIT_BYTES));
            let mut sides = units.map(|((found, before), after)| found == before || found == after);
            if found.len() != before.bytes.len() || !sides.all(|is_known| is_known) {
                return Ok(false);
            }
        }
        let Some(tail) = before_tail.or(after_tail) else { return Ok(true) };
        let len: usize = arith::to(self.size_bytes.saturating_sub(common_bytes))?;
        let found = self.found.read_at(common_bytes, len)?;
        let is_known = |(found, wanted): (&u8, &u8)| found == wanted || *found == 0;
        Ok(found.iter().zip(&tail.bytes).all(is_known))
    }
}
