//! The one place that writes: records of the MFT with their fix-ups and their mirror, and clusters of streams.
//!
//! WIN-104 (fix-ups), WIN-105 (mirror; the LSN of a record is kept). Every write has a label for the patch.

use super::super::attribute::{AttributeKind, Sizes};
use super::super::record::{Record, RecordDefect};
use super::super::run_list::{RunDefect, RunList};
use super::super::stream::{Place, Stream};
use super::super::units::MftRecordNumber;
use super::Editor;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Corrupt, Error, Refusal, Result};

/// Damage of the record `number`.
pub(super) fn on_record<T>(number: MftRecordNumber, result: Result<T, RecordDefect>) -> Result<T> {
    result.map_err(|defect| Record::corrupt(number, defect).into())
}

/// Damage of the run list of a stream of the record `number`.
pub(super) fn on_runs<T>(number: MftRecordNumber, result: Result<T, RunDefect>) -> Result<T> {
    result.map_err(|defect| Corrupt::new("run list", defect).of(number.to_string()).into())
}

/// A refusal because two structures disagree that an edit relies on.
pub(super) fn needs_check(detail: String) -> Error {
    Refusal::NeedsCheck { detail }.into()
}

impl Editor<'_> {
    /// Stores a record, and its copy if the mirror has one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(super) fn put_record(&self, record: &Record, label: &str) -> Result<()> {
        let mft = self.volume.mft();
        mft.check(record.number)?;
        let at = arith::mul(record.number.0, self.volume.geometry().record_size())?;
        let bytes = on_record(record.number, record.encode())?;
        mft.stream().overwrite(self.volume, at, &bytes, label)?;
        if record.number.0 < mft.mirrored() {
            mft.mirror().overwrite(self.volume, at, &bytes, &format!("$MFTMirr: {label}"))?;
        }
        Ok(())
    }

    /// All clusters of a run list as one value.
    fn clusters_of(&self, runs: &RunList) -> Result<Stream> {
        let bytes = arith::mul(runs.clusters(), self.volume.geometry().cluster_size())?;
        let sizes = Sizes { allocated: bytes, value: bytes, initialised: bytes, compressed: None };
        let place = Place::Clusters { runs: runs.clone(), sizes, compression_unit_log2: 0 };
        let (owner, kind) = (MftRecordNumber::MFT, AttributeKind::DATA);
        Ok(Stream { owner, kind, flags: 0, place })
    }

    /// `len` bytes of clusters from `offset_bytes`. Holes are zeros.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(super) fn read_clusters(
        &self,
        runs: &RunList,
        offset_bytes: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let bytes = self.clusters_of(runs)?.read(self.volume, offset_bytes, len)?;
        field::slice(&bytes, 0, len)?;
        Ok(bytes)
    }

    /// Writes over clusters from `offset_bytes`.
    ///
    /// # Errors
    /// `Refused` if there is a hole or the runs end before; `Corrupt`, `Io`.
    pub(super) fn write_clusters(
        &self,
        runs: &RunList,
        offset_bytes: u64,
        bytes: &[u8],
        label: &str,
    ) -> Result<()> {
        self.clusters_of(runs)?.overwrite(self.volume, offset_bytes, bytes, label)
    }

    /// Writes zeros from `offset_bytes` to `end_bytes`, in steps.
    pub(super) fn write_zeros(
        &self,
        runs: &RunList,
        offset_bytes: u64,
        end_bytes: u64,
        label: &str,
    ) -> Result<()> {
        const STEP_BYTES: usize = 64 * 1024;
        let zeros = vec![0; STEP_BYTES];
        let clusters = self.clusters_of(runs)?;
        let mut at = offset_bytes;
        // Bounded by the overlay, which holds a limited number of sectors.
        while at < end_bytes {
            let left = arith::sub(end_bytes, at)?.min(len_u64(STEP_BYTES));
            let part = field::slice(&zeros, 0, arith::to(left)?)?;
            clusters.overwrite(self.volume, at, part, label)?;
            at = arith::add(at, left)?;
        }
        Ok(())
    }
}
