//! New objects under their other names: made before anything leads to them, removed when a run was interrupted.

use super::super::leftover::is_leftover;
use super::Run;
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use crate::image::directory::record::{How, Record, Side, components};
use crate::image::directory::stat::Kind;

impl Run<'_> {
    /// Removes what an interrupted run has left, and counts it.
    pub(super) fn discard_leftovers(&self) -> Result<u64> {
        let mut discarded = 0u64;
        for (record, temporary) in self.patch.records().iter().zip(&self.temporaries) {
            let Some(place) = self.place(record)? else { continue };
            let Some(left) = self.directory.child(&place, temporary)? else { continue };
            let name = || format!("{} beside {}", escape(temporary), escape(&record.path));
            if !is_leftover(record, &left).context(name)? {
                let what =
                    format!("{} is no leftover of regain: look at it, and remove it", name());
                return Err(Error::mismatch(what));
            }
            self.writer.discard(&place, temporary, left.stat.kind).context(name)?;
            discarded = discarded.saturating_add(1);
        }
        Ok(discarded)
    }

    /// Makes every new object whose directory is there.
    pub(super) fn stage_all(&mut self, pending: &[usize]) -> Result<()> {
        for &index in pending {
            let (record, _) = self.record(index)?;
            if needs_staging(record.how, self.sides(record)) && self.place(record)?.is_some() {
                let path = escape(&record.path);
                self.stage(index).context(|| path)?;
            }
        }
        Ok(())
    }

    pub(super) fn stage(&mut self, index: usize) -> Result<()> {
        if self.staged.contains(&index) {
            return Ok(());
        }
        let (record, temporary) = self.record(index)?;
        let place = self.place_now(record)?;
        let missing = || Error::not_found("the wanted side of a record");
        let wanted = self.sides(record).1.ok_or_else(missing)?;
        let (above, modified) = (above(record), place.stat_now()?.modified);
        let result = self.writer.stage(&place, temporary, wanted).inspect_err(|_| {
            // It could not be finished; that it cannot be removed either is not the error to report.
            if let Ok(Some(left)) = self.directory.child(&place, temporary)
                && matches!(is_leftover(record, &left), Ok(true))
            {
                let _ = self.writer.discard(&place, temporary, left.stat.kind);
            }
        });
        self.dated.entry(above).or_insert(modified);
        result?;
        self.staged.insert(index);
        Ok(())
    }

    /// Removes what was made, so that nothing tells of a run that ended here. What goes wrong now is not reported: the
    /// next run finds what is left.
    pub(super) fn discard_staged(&self) {
        for &index in &self.staged {
            let Ok((record, temporary)) = self.record(index) else { continue };
            let kind = self.sides(record).1.map_or(Kind::File, |side| side.kind);
            if let Ok(Some(place)) = self.place(record) {
                let _ = self.writer.discard(&place, temporary, kind);
            }
        }
        for (path, modified) in &self.dated {
            if let Ok(Some(place)) = self.directory.walk(components(path)) {
                let _ = self.writer.set_modified(&place, *modified);
            }
        }
    }
}

/// The path of the directory of `record`.
fn above(record: &Record) -> Vec<u8> {
    let end = record.path.len().saturating_sub(record.name().len());
    record.path.get(..end).unwrap_or_default().to_vec()
}

/// True if a new object takes the name.
pub(super) fn needs_staging(how: How, (_, wanted): (Option<&Side>, Option<&Side>)) -> bool {
    matches!(how, How::Create | How::Replace | How::Remove) && wanted.is_some()
}
