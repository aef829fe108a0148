//! One object after the other gets to the wanted side.

use super::super::state::Standing;
use super::stage::needs_staging;
use super::{Direction, Run};
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, How, Record, Side};
use crate::image::directory::stat::Kind;
use std::rc::Rc;

impl Run<'_> {
    /// Refuses to take back a new directory in which there is by now what this patch did not make.
    pub(super) fn check_directories(&self) -> Result<()> {
        if self.direction == Direction::Apply {
            return Ok(());
        }
        let is_ours = |path: &[u8]| self.patch.records().iter().any(|record| record.path == path);
        for record in self.patch.records() {
            let is_directory =
                record.after.as_ref().is_some_and(|side| side.kind == Kind::Directory);
            if record.how != How::Create || !is_directory {
                continue;
            }
            let Some(handle) = self.directory.walk(record.components())? else { continue };
            let mut foreign = None;
            self.directory.names(&handle, &mut |name| {
                let path = [&record.path, b"/".as_slice(), name].concat();
                if !is_ours(&path) && !self.temporaries.iter().any(|other| other == name) {
                    foreign = Some(escape(&path));
                }
                Ok(foreign.is_none())
            })?;
            if let Some(path) = foreign {
                let what =
                    format!("{path} is not of this edit, and would be left without directory");
                return Err(Error::mismatch(what));
            }
        }
        Ok(())
    }

    /// Brings one object to the wanted side, and gives the bytes of content that were written for it.
    pub(super) fn bring(&mut self, index: usize) -> Result<u64> {
        let path = escape(&self.record(index)?.0.path);
        self.bring_one(index).context(|| path)
    }

    fn bring_one(&mut self, index: usize) -> Result<u64> {
        let (record, _) = self.record(index)?;
        if needs_staging(record.how, self.sides(record)) {
            self.stage(index)?;
        }
        let (record, temporary) = self.record(index)?;
        let place = self.place_now(record)?;
        let (present, wanted) = self.sides(record);
        let look = self.look(temporary);
        let is_present = |found: &Handle| match present {
            Some(present) => Ok(look.difference(present, found, 2)?.is_none()),
            None => Ok(false),
        };
        match (record.how, wanted) {
            (How::Times, _) => {}
            (How::Metadata | How::InPlace, Some(wanted)) => {
                // The handle that is compared is the one that is changed, whatever its name leads to by then.
                let node = self.node(record, &place)?;
                if let Standing::Foreign(reason) = look.compare(record, Some((&node, 1)))? {
                    return Err(Error::mismatch(reason));
                }
                self.change(&node, wanted)?;
            }
            (_, None) => match present.map(|side| side.kind) {
                Some(Kind::Directory) => self.writer.remove_directory(&place, record.name())?,
                _ => self.writer.remove(&place, temporary, record.name(), &is_present)?,
            },
            (_, Some(_)) if present.is_some() => {
                self.writer.exchange(&place, temporary, record.name(), &is_present)?;
            }
            (_, Some(_)) => self.writer.publish(&place, temporary, record.name())?,
        }
        Ok(wanted.map_or(0, Side::content_bytes))
    }

    /// Changes an object that stays.
    fn change(&self, node: &Handle, wanted: &Side) -> Result<()> {
        if let Content::Pieces { size_bytes, pieces } = &wanted.content {
            self.writer.write_pieces(node, *size_bytes, pieces)?;
        }
        self.writer.set_metadata(node, wanted)
    }

    fn node(&self, record: &Record, place: &Rc<Handle>) -> Result<Rc<Handle>> {
        if record.name().is_empty() {
            return Ok(place.clone());
        }
        let child = self.directory.child(place, record.name())?;
        Ok(Rc::new(child.ok_or_else(|| Error::mismatch("is gone"))?))
    }
}
