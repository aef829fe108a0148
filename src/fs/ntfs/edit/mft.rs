//! MFT records: found, taken and given back in the `$BITMAP` of `$MFT`; the MFT grown when it is full.
//!
//! WIN-109, WIN-112. Records below 24 are never taken. A record that is taken keeps its sequence number, one that
//! is given back gets the next. `$MFT` grows by one record at a time, its clusters by a few.

use super::super::attribute::AttributeKind;
use super::super::record::{Record, RecordDefect, flag};
use super::super::units::MftRecordNumber;
use super::Editor;
use super::bits::BitsName;
use super::file::EditedFile;
use super::store::{needs_check, on_record};
use crate::bytes::arith;
use crate::error::{Refusal, Result};

/// What the MFT grows by when it needs clusters, in bytes.
const GROWTH_BYTES: u64 = 16 * 1024;

/// Which records are in use.
const RECORD_BITS: BitsName<'static> =
    BitsName { name: &[], what: "$MFT:$BITMAP", unit: "MFT record" };

impl Editor<'_> {
    /// Takes a free record. It is not stored: the caller fills it first.
    ///
    /// # Errors
    /// `Refused` without space, or if the bitmap and the record disagree.
    pub(super) fn allocate_record(&mut self) -> Result<Record> {
        let mut mft = EditedFile::load(self.volume, MftRecordNumber::MFT)?;
        let records = self.volume.mft().records();
        let within = MftRecordNumber::FIRST_USER.0..records;
        let number = match RECORD_BITS.first_clear(self, &mft, within)? {
            Some(free) => MftRecordNumber(free),
            None => MftRecordNumber(records),
        };
        let len = self.volume.geometry().record_len()?;
        let record = if number.0 < records {
            let at = arith::mul(number.0, self.volume.geometry().record_size())?;
            let bytes = self.volume.mft().stream().read(self.volume, at, len)?;
            match Record::parse(number, bytes) {
                Ok(old) if old.is_in_use() => {
                    let detail = format!("{number} is in use, but $MFT:$BITMAP calls it free");
                    return Err(needs_check(detail));
                }
                Ok(old) => Record::format_over(&old),
                // Never written.
                Err(RecordDefect::Signature([0, 0, 0, 0])) => Record::format(number, len, 1),
                Err(defect) => Err(defect),
            }
        } else {
            self.grow_mft(&mut mft)?;
            Record::format(number, len, 1)
        };
        RECORD_BITS.flip(self, &mut mft, number.0, true)?;
        mft.store(self)?;
        on_record(number, record)
    }

    /// Gives a record back: not in use, with the next sequence number. Its attributes stay (WIN-109).
    ///
    /// # Errors
    /// `Refused` if its bit is clear already; `Corrupt`, `Io`.
    pub(super) fn free_record(&mut self, mut record: Record, label: &str) -> Result<()> {
        let mut mft = EditedFile::load(self.volume, MftRecordNumber::MFT)?;
        RECORD_BITS.flip(self, &mut mft, record.number.0, false)?;
        mft.store(self)?;
        record.header.flags &= !flag::IN_USE;
        record.header.sequence = match record.header.sequence.wrapping_add(1) {
            0 => 1,
            sequence => sequence,
        };
        self.put_record(&record, label)
    }

    /// Checks that the records of a file are marked as in use.
    ///
    /// # Errors
    /// `Refused` (needs a check) if one is not.
    pub(super) fn check_records_used(&mut self, file: &EditedFile) -> Result<()> {
        let mft = EditedFile::load(self.volume, MftRecordNumber::MFT)?;
        for record in &file.records {
            if !RECORD_BITS.is_set(self, &mft, record.number.0)? {
                let detail = format!("{} is in use, but $MFT:$BITMAP calls it free", record.number);
                return Err(needs_check(detail));
            }
        }
        Ok(())
    }

    /// Makes room for one more record, and for its bit.
    fn grow_mft(&mut self, mft: &mut EditedFile) -> Result<()> {
        let geometry = *self.volume.geometry();
        let (mut sizes, mut runs) = mft.non_resident(AttributeKind::DATA, &[])?;
        if sizes.value != sizes.initialised {
            let feature = "an MFT whose records are not all written".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        sizes.value = arith::add(sizes.value, geometry.record_size())?;
        sizes.initialised = sizes.value;
        if sizes.value > sizes.allocated {
            let step = geometry.clusters_for(GROWTH_BYTES)?.max(1);
            let clusters = arith::add(runs.clusters(), step)?;
            self.resize_runs(&mut runs, clusters, None)?;
            sizes.allocated = arith::mul(clusters, geometry.cluster_size())?;
        }
        mft.put_runs(self, AttributeKind::DATA, &[], &runs, sizes)?;
        let records = arith::div(sizes.value, geometry.record_size())?;
        RECORD_BITS.grow(self, mft, records)?;
        mft.store(self)?;
        self.volume.reload_mft()
    }
}
