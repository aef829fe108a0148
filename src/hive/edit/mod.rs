//! Editing, in memory: bytes in place, values of any length, new values and keys.
//!
//! Every edit happens wholly or not at all. Data cells are used again where the new data fit; everything else
//! goes through [`space`].

mod space;
mod subkey;
mod value;

#[cfg(test)]
mod tests;

use super::Hive;
use super::defect::{Defect, corrupt};
use super::key_value::KeyValue;
use super::read::Value;
use crate::bytes::arith;
use crate::error::{Error, Result};

impl Hive<'_> {
    /// Overwrites `bytes` of the data of `value` from `offset_bytes`. The length stays, and nothing moves.
    ///
    /// # Errors
    /// * `Usage` - the bytes do not lie inside the data.
    /// * `Corrupt` - the value is damaged.
    pub fn overwrite_data(&mut self, value: &Value, offset_bytes: u32, bytes: &[u8]) -> Result<()> {
        self.attempt(|hive| hive.overwrite_runs(value, offset_bytes, bytes))
    }

    /// Sets the number of `value`, which must be a REG_DWORD of 4 bytes. Nothing moves.
    ///
    /// # Errors
    /// As [`Hive::overwrite_data`]; `Usage` if it is no such value.
    pub fn set_dword(&mut self, value: &Value, number: u32) -> Result<()> {
        if self.data(value)?.as_u32().is_none() || value.kind() != super::ValueKind::Dword {
            return Err(Error::usage(format!("the value {} is no REG_DWORD", value.name())));
        }
        self.overwrite_data(value, 0, &number.to_le_bytes())
    }

    fn overwrite_runs(&mut self, value: &Value, offset_bytes: u32, bytes: &[u8]) -> Result<()> {
        let value = KeyValue::read(&self.pages, value.at)?;
        let end = arith::add(offset_bytes.into(), arith::len_u64(bytes.len()))?;
        if end > value.data_len.into() {
            return Err(Error::usage(format!(
                "{} bytes from byte {offset_bytes} of a value of {} bytes",
                bytes.len(),
                value.data_len
            )));
        }
        let mut skip = offset_bytes;
        let mut rest = bytes;
        for run in value.runs(&self.pages, self.base.minor)? {
            let room = run.len.saturating_sub(skip);
            let (head, tail) = rest.split_at(rest.len().min(arith::to(room)?));
            // A run that is skipped takes nothing.
            if !head.is_empty() {
                self.pages.write(run.offset.saturating_add(skip), head)?;
            }
            skip = skip.saturating_sub(run.len);
            rest = tail;
        }
        Ok(())
    }

    /// Runs an edit; if it fails, everything is as before.
    fn attempt<T>(&mut self, edit: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.pages.edits();
        let done = edit(self);
        if done.is_err() {
            self.pages.restore(before);
            self.base.bins_bytes = self.pages.bins_bytes();
            self.bins = None;
        }
        done
    }
}

/// `count` raised or lowered by one.
fn step(count: u32, is_up: bool, structure: &'static str, at: super::CellOffset) -> Result<u32> {
    let next = if is_up { count.checked_add(1) } else { count.checked_sub(1) };
    next.ok_or_else(|| corrupt(structure, at, Defect::Count(count)))
}
