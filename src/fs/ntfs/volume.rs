//! The volume under all structures: the disk, its boot sector, where the MFT lies, and the table of capitals.
//!
//! Nothing else is kept in memory between two calls: the overlay below is the one place where an edit lives. An
//! edit that grows the MFT says so with [`Volume::reload_mft`].

use super::attribute::AttributeKind;
use super::boot::{BOOT_BYTES, BootSector};
use super::mft::Mft;
use super::units::{Geometry, MftRecordNumber};
use super::upcase::{UP_CASE_BYTES, UpCase};
use crate::bytes::arith::len_u64;
use crate::disk::DiskEdit;
use crate::error::{Corrupt, Result};
use crate::fs::Timestamp;
use std::sync::Arc;

/// A disk with an NTFS boot sector and an MFT.
#[derive(Debug)]
pub(crate) struct Volume {
    disk: Arc<dyn DiskEdit>,
    boot: BootSector,
    mft: Mft,
    up_case: Arc<UpCase>,
    clock: Timestamp,
}

impl Volume {
    /// Reads the boot sector, the records of the MFT and of its mirror, and `$UpCase`; `clock` is the time that
    /// edits are made at.
    ///
    /// # Errors
    /// `Corrupt` if one of them makes no sense.
    pub(crate) fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        let sector = disk.read_vec(0, BOOT_BYTES)?;
        let boot = BootSector::parse(&sector, disk.len_bytes())?;
        let mft = Mft::open(disk.as_ref(), &boot)?;
        let mut volume = Self { disk, boot, mft, up_case: Arc::new(UpCase::identity()), clock };
        let file = volume.load_file(MftRecordNumber::UP_CASE)?;
        let Some(stream) = file.stream(&volume, AttributeKind::DATA, &[])? else {
            return Err(Corrupt::new("$UpCase", "has no content").into());
        };
        let table = stream.read_all(&volume, len_u64(UP_CASE_BYTES))?;
        volume.up_case = Arc::new(UpCase::parse(&table)?);
        Ok(volume)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn DiskEdit> {
        &self.disk
    }

    pub(crate) fn boot(&self) -> &BootSector {
        &self.boot
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.boot.geometry
    }

    pub(crate) fn mft(&self) -> &Mft {
        &self.mft
    }

    pub(crate) fn up_case(&self) -> &UpCase {
        &self.up_case
    }

    /// The table of capitals for an edit, which changes the volume meanwhile.
    pub(crate) fn shared_up_case(&self) -> Arc<UpCase> {
        self.up_case.clone()
    }

    /// The time of the edit.
    pub(crate) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Reads again where the MFT lies, after an edit of record 0.
    ///
    /// # Errors
    /// `Corrupt` if that makes no sense.
    pub(crate) fn reload_mft(&mut self) -> Result<()> {
        self.mft = Mft::open(self.disk.as_ref(), &self.boot)?;
        Ok(())
    }
}
