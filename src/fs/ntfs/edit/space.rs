//! Clusters: found, taken and given back in `$Bitmap`.
//!
//! Every bit is checked before it is changed: a cluster that is taken must be free, one that is given back must
//! be in use. New clusters are looked for near a goal first, and in the zone that is kept for the MFT last.
//! `$Bitmap` is read in pieces, as that of a volume of 1 TiB has 32 MiB.

use super::super::attribute::AttributeKind;
use super::super::bitmap::{self, BitDefect};
use super::super::run_list::{Run, RunList};
use super::super::units::{Lcn, MftRecordNumber, Vcn};
use super::Editor;
use super::file::EditedFile;
use super::store::{needs_check, on_runs};
use crate::bytes::arith;
use crate::error::{Corrupt, Refusal, Result};
use std::ops::Range;

/// Length of the pieces in which a bitmap is read, in bytes.
const PIECE_BYTES: u64 = 32 * 1024;
/// Pieces that are searched for one stretch that is long enough, before shorter ones are taken.
const PIECES_FOR_ONE_STRETCH: usize = 16;
/// The part of the volume from the start of the MFT that is kept for it: an eighth, as Windows does by default.
const MFT_ZONE_SHARE: u64 = 8;

/// A non-resident bitmap.
#[derive(Debug, Clone)]
pub(super) struct BitmapStream {
    pub(super) runs: RunList,
    /// Bits that count.
    pub(super) bits: u64,
    /// What it is called in labels.
    pub(super) what: &'static str,
    /// What one bit stands for.
    pub(super) unit: &'static str,
}

impl BitmapStream {
    /// Sets or clears `bits`, all of which must be the other way.
    pub(super) fn flip(&self, editor: &Editor<'_>, bits: Range<u64>, to_set: bool) -> Result<()> {
        self.each_piece(editor, bits, |bytes, part| {
            bitmap::flip(bytes, part, to_set)?;
            Ok(true)
        })
    }

    /// Checks that all `bits` are set, or all clear.
    pub(super) fn check(&self, editor: &Editor<'_>, bits: Range<u64>, is_set: bool) -> Result<()> {
        self.each_piece(editor, bits, |bytes, part| {
            bitmap::check(bytes, part, is_set)?;
            Ok(false)
        })
    }

    /// Reads the bytes that hold `bits` piece by piece, and writes those back for which `edit` says so.
    fn each_piece(
        &self,
        editor: &Editor<'_>,
        bits: Range<u64>,
        mut edit: impl FnMut(&mut [u8], Range<u64>) -> Result<bool, BitDefect>,
    ) -> Result<()> {
        if bits.end > self.bits {
            return Err(Corrupt::new(self.what, arith::OutOfRange).into());
        }
        let mut at = bits.start;
        // Every turn takes at least one bit.
        while at < bits.end {
            let first_byte = at >> 3;
            let end = bits.end.min(arith::mul(arith::add(first_byte, PIECE_BYTES)?, 8)?);
            let len = arith::sub(arith::div_ceil(end, 8)?, first_byte)?;
            let base = arith::mul(first_byte, 8)?;
            let mut bytes = editor.read_clusters(&self.runs, first_byte, arith::to(len)?)?;
            let part = arith::sub(at, base)?..arith::sub(end, base)?;
            let is_changed =
                edit(&mut bytes, part).map_err(|defect| self.disagrees(base, defect))?;
            if is_changed {
                editor.write_clusters(&self.runs, first_byte, &bytes, self.what)?;
            }
            at = end;
        }
        Ok(())
    }

    fn disagrees(&self, base: u64, defect: BitDefect) -> crate::error::Error {
        match defect {
            BitDefect::Unexpected { bit, is_set } => {
                let state = if is_set { "in use" } else { "free" };
                let bit = base.saturating_add(bit);
                needs_check(format!("{} calls {} {bit} {state}", self.what, self.unit))
            }
            other => Corrupt::new(self.what, other).into(),
        }
    }

    /// Calls `visit` with every stretch of clear bits in `within`, in order, until it says stop; a stretch that
    /// crosses pieces comes in parts. `pieces_max` bounds what is read.
    pub(super) fn each_clear(
        &self,
        editor: &Editor<'_>,
        within: Range<u64>,
        pieces_max: usize,
        visit: &mut dyn FnMut(Range<u64>) -> bool,
    ) -> Result<()> {
        let end = within.end.min(self.bits);
        let mut at = within.start;
        for _ in 0..pieces_max {
            if at >= end {
                break;
            }
            let first_byte = at >> 3;
            let base = arith::mul(first_byte, 8)?;
            let piece_end = end.min(arith::add(base, arith::mul(PIECE_BYTES, 8)?)?);
            let len = arith::sub(arith::div_ceil(piece_end, 8)?, first_byte)?;
            let bytes = editor.read_clusters(&self.runs, first_byte, arith::to(len)?)?;
            let mut from = arith::sub(at, base)?;
            let to = arith::sub(piece_end, base)?;
            // Ends with the piece.
            while let Some(found) = bitmap::next_clear(&bytes, from..to) {
                from = found.end;
                if !visit(arith::add(found.start, base)?..arith::add(found.end, base)?) {
                    return Ok(());
                }
            }
            at = piece_end;
        }
        Ok(())
    }
}

impl Editor<'_> {
    /// `$Bitmap`.
    fn cluster_bitmap(&mut self) -> Result<BitmapStream> {
        if let Some(bitmap) = &self.clusters {
            return Ok(bitmap.clone());
        }
        let file = EditedFile::load(self.volume, MftRecordNumber::BITMAP)?;
        let (sizes, runs) = file.non_resident(AttributeKind::DATA, &[])?;
        let bits = self.volume.geometry().total_clusters;
        if sizes.initialised < arith::div_ceil(bits, 8)? || runs.has_holes() {
            let detail = "$Bitmap is shorter than the volume".to_owned();
            return Err(needs_check(detail));
        }
        let bitmap = BitmapStream { runs, bits, what: "$Bitmap", unit: "cluster" };
        self.clusters = Some(bitmap.clone());
        Ok(bitmap)
    }

    /// Checks that every cluster of `runs` is marked as in use.
    ///
    /// # Errors
    /// `Refused` (needs a check) if one is not.
    pub(super) fn check_used(&mut self, runs: &RunList) -> Result<()> {
        let bitmap = self.cluster_bitmap()?;
        for run in runs.runs() {
            let Some(Lcn(start)) = run.lcn else { continue };
            bitmap.check(self, start..arith::add(start, run.clusters)?, true)?;
        }
        Ok(())
    }

    /// Gives clusters back. Holes are left out.
    ///
    /// # Errors
    /// `Refused` (needs a check) if one is free already.
    pub(super) fn free_clusters(&mut self, runs: &[Run]) -> Result<()> {
        let bitmap = self.cluster_bitmap()?;
        for run in runs {
            let Some(Lcn(start)) = run.lcn else { continue };
            bitmap.flip(self, start..arith::add(start, run.clusters)?, false)?;
        }
        Ok(())
    }

    /// Makes a run list `clusters` long: cut, or continued with new clusters. The content of new clusters is not
    /// touched.
    ///
    /// # Errors
    /// `Refused` without space, or if `$Bitmap` disagrees.
    pub(super) fn resize_runs(
        &mut self,
        runs: &mut RunList,
        clusters: u64,
        goal: Option<Lcn>,
    ) -> Result<()> {
        let end = Vcn(arith::add(runs.first().0, clusters)?);
        let cut = runs.truncate(end);
        self.free_clusters(&cut)?;
        let missing = arith::sub(clusters, runs.clusters())?;
        if missing == 0 {
            return Ok(());
        }
        let last = runs
            .runs()
            .iter()
            .rev()
            .find_map(|run| run.lcn.and_then(|lcn| lcn.0.checked_add(run.clusters)).map(Lcn));
        for (start, count) in self.allocate_clusters(last.or(goal), missing)? {
            on_runs(MftRecordNumber::BITMAP, runs.push(Some(start), count))?;
        }
        Ok(())
    }

    /// Takes `wanted` clusters, together if that is possible.
    fn allocate_clusters(&mut self, goal: Option<Lcn>, wanted: u64) -> Result<Vec<(Lcn, u64)>> {
        let bitmap = self.cluster_bitmap()?;
        let zone = self.mft_zone()?;
        let goal = goal.map_or(zone.end, |lcn| lcn.0).min(bitmap.bits);
        let outside = outside_zone(goal, &zone, bitmap.bits);
        let mut found = self.one_stretch(&bitmap, goal, &outside, wanted)?;
        if found.is_empty() {
            let mut left = wanted;
            for within in outside.into_iter().chain([zone]) {
                let pieces = usize::MAX;
                bitmap.each_clear(self, within, pieces, &mut |stretch| {
                    let len = stretch.end.saturating_sub(stretch.start).min(left);
                    found.push(stretch.start..stretch.start.saturating_add(len));
                    left = left.saturating_sub(len);
                    left > 0
                })?;
                if left == 0 {
                    break;
                }
            }
            if left > 0 {
                let what = format!("clusters of {} bytes", self.volume.geometry().cluster_size());
                let available = wanted.saturating_sub(left);
                return Err(Refusal::NoSpace { what, needed: wanted, available }.into());
            }
        }
        let mut taken = Vec::new();
        for stretch in found {
            bitmap.flip(self, stretch.clone(), true)?;
            taken.push((Lcn(stretch.start), arith::sub(stretch.end, stretch.start)?));
        }
        Ok(taken)
    }

    /// A stretch of `wanted` clusters: at the goal, or the first behind it that is long enough.
    fn one_stretch(
        &self,
        bitmap: &BitmapStream,
        goal: u64,
        outside: &[Range<u64>],
        wanted: u64,
    ) -> Result<Vec<Range<u64>>> {
        let mut found = Vec::new();
        // At the goal itself the zone does not matter: what is there continues the file.
        let at_goal = goal..goal.saturating_add(wanted).min(bitmap.bits);
        let ranges = std::iter::once(&at_goal).chain(outside);
        for within in ranges {
            let mut joined = within.start..within.start;
            let pieces = PIECES_FOR_ONE_STRETCH;
            bitmap.each_clear(self, within.clone(), pieces, &mut |stretch| {
                // Parts of one stretch touch.
                joined =
                    if stretch.start == joined.end { joined.start..stretch.end } else { stretch };
                if joined.end.saturating_sub(joined.start) >= wanted {
                    found.push(joined.start..joined.start.saturating_add(wanted));
                }
                found.is_empty()
            })?;
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// The clusters that are kept for the MFT.
    fn mft_zone(&self) -> Result<Range<u64>> {
        let total = self.volume.geometry().total_clusters;
        let start = self.volume.boot().mft.0;
        let len = arith::div(total, MFT_ZONE_SHARE)?;
        Ok(start..arith::add(start, len)?.min(total))
    }
}

/// The clusters outside `zone`, those behind `goal` first.
fn outside_zone(goal: u64, zone: &Range<u64>, total: u64) -> Vec<Range<u64>> {
    let pieces = [goal..total, 0..goal];
    let cut = pieces.iter().flat_map(|piece| {
        let before = piece.start..piece.end.min(zone.start);
        let behind = piece.start.max(zone.end)..piece.end;
        [before, behind]
    });
    cut.filter(|range| range.start < range.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_left_out() {
        for (goal, zone, expected) in [
            (50, 10..20, vec![50..100, 0..10, 20..50]),
            (15, 10..20, vec![20..100, 0..10]),
            (5, 10..20, vec![5..10, 20..100, 0..5]),
            (100, 10..20, vec![0..10, 20..100]),
            (1, 0..0, vec![1..100, 0..1]),
        ] {
            assert_eq!(outside_zone(goal, &zone, 100), expected, "{goal}");
        }
    }
}
