//! A file as it is after the log was replayed, for reading.

use super::log::{Content, Replay};
use crate::bytes::arith::{self, len_u64};
use crate::disk::{Disk, check_range};
use crate::error::Result;
use std::sync::Arc;

/// A file under the changes of its log.
#[derive(Debug)]
pub(super) struct Replayed {
    file: Arc<dyn Disk>,
    replay: Replay,
}

impl Replayed {
    pub(super) fn new(file: Arc<dyn Disk>, replay: Replay) -> Self {
        Self { file, replay }
    }

    /// Reads the file itself, with zeros behind its end.
    fn read_file(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let room = self.file.len_bytes().saturating_sub(offset_bytes);
        let len = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let (head, tail) = buffer.split_at_mut(len);
        tail.fill(0);
        if head.is_empty() { Ok(()) } else { self.file.read_at(offset_bytes, head) }
    }
}

impl Disk for Replayed {
    fn len_bytes(&self) -> u64 {
        self.replay.file_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        self.file.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        self.read_file(offset_bytes, buffer)?;
        let end = arith::add(offset_bytes, len_u64(buffer.len()))?;
        for change in &self.replay.changes {
            let change_end = arith::add(change.start_bytes, change.len_bytes())?;
            let (start, stop) = (change.start_bytes.max(offset_bytes), change_end.min(end));
            let Some(len) = stop.checked_sub(start).filter(|len| *len != 0) else { continue };
            let into = arith::to(arith::sub(start, offset_bytes)?)?;
            let into = buffer.get_mut(into..).unwrap_or_default();
            let into = into.get_mut(..arith::to(len)?).unwrap_or_default();
            match &change.content {
                Content::Zeros(_) => into.fill(0),
                Content::Sector(bytes) => {
                    let from: usize = arith::to(arith::sub(start, change.start_bytes)?)?;
                    into.copy_from_slice(crate::bytes::field::slice(bytes, from, into.len())?);
                }
            }
        }
        Ok(())
    }
}
