//! After the last object: times, durable names, and the proof by reading back.

use super::super::state::{self, Standing, is_same_time};
use super::Run;
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use crate::image::directory::Directory;
use crate::image::directory::record::How;
use crate::image::directory::stat::Kind;
use std::collections::BTreeSet;
use std::io;

impl Run<'_> {
    /// Sets the times of directories, and makes all names durable. Gives the records whose times were set, and how many
    /// had another one.
    pub(super) fn settle(&self) -> Result<(Vec<usize>, u64)> {
        let (mut dated, mut corrected) = (Vec::new(), 0u64);
        let mut places: BTreeSet<Vec<&[u8]>> = BTreeSet::new();
        for (index, record) in self.patch.records().iter().enumerate() {
            if record.how != How::Times {
                places.insert(record.directory().collect());
                if record.after.as_ref().is_some_and(|side| side.kind == Kind::Directory) {
                    places.insert(record.components().collect());
                }
                continue;
            }
            let Some(wanted) = self.sides(record).1 else { continue };
            let Some(node) = self.directory.walk(record.components())? else { continue };
            if self.writer.set_modified(&node, wanted.modified).context(|| escape(&record.path))? {
                dated.push(index);
                let was_right = is_same_time(wanted.modified, node.stat.modified);
                corrected = corrected.saturating_add(u64::from(!was_right));
            }
        }
        for names in places {
            if let Some(place) = self.directory.walk(names.into_iter())? {
                self.writer.sync_directory(&place)?;
            }
        }
        Ok((dated, corrected))
    }

    /// Looks at everything again from the path of the target on.
    pub(super) fn read_back(&self, dated: &[usize]) -> Result<()> {
        let again = Directory::open(&self.directory.path)?;
        if !again.is_same(self.directory) {
            let what = "the path of the target leads to another directory by now";
            return Err(Error::mismatch(what));
        }
        let standings = state::survey(self.patch, &again, &self.temporaries, true)?;
        if let Some(&index) = self.pending(&standings).first() {
            let (record, _) = self.record(index)?;
            let path = escape(&record.path);
            return Err(match standings.get(index) {
                Some(Standing::Foreign(reason)) => Error::mismatch(format!("{path} {reason}")),
                _ => io::Error::other(format!("{path} did not keep what was written")).into(),
            });
        }
        for &index in dated {
            let (record, _) = self.record(index)?;
            let Some(wanted) = self.sides(record).1 else { continue };
            let Some(node) = again.walk(record.components())? else { continue };
            if !is_same_time(wanted.modified, node.stat.modified) {
                let path = escape(&record.path);
                return Err(io::Error::other(format!("{path} did not keep its time")).into());
            }
        }
        Ok(())
    }
}
