//! Verification of an edit. There is no reader of XFS but ours that could be asked, so it has to look closely:
//! everything that was edited is read back through a file system that is opened afresh, with all checks on, and
//! in every allocation group whose headers were written the trees must tell the same story.

use super::Xfs;
use super::cross_check::{CrossCheck, cross_check};
use super::units::AgNumber;
use super::volume::AgSector;
use crate::bytes::arith::{add, mul};
use crate::disk::DiskEdit;
use crate::error::{Error, Refusal, Result};
use crate::fs::Timestamp;
use crate::fs::verify::{Expectation, OwnReader, Verdict, check};
use std::ops::Range;
use std::sync::Arc;

/// Checks that the file system on `disk` is as expected; `written` are the bytes that the edit wrote.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if anything differs; `Io`; as [`Xfs::open`].
pub fn verify(
    disk: Arc<dyn DiskEdit>,
    clock: Timestamp,
    written: &[Range<u64>],
    expectations: &[Expectation],
) -> Result<Verdict> {
    let fs = Xfs::open(disk, clock)?;
    check(&OwnReader(&fs), expectations)?;
    let mut compared: u32 = 0;
    for ag in fs.edited_groups(written)? {
        match cross_check(&fs.volume, ag).map_err(|error| not_verified(ag, &error))? {
            CrossCheck::Complete { .. } => compared = compared.saturating_add(1),
            CrossCheck::WithoutOwners { .. } | CrossCheck::TooLarge => {}
        }
    }
    let trees = match compared {
        0 => String::new(),
        1 => "; the trees of the edited allocation group agree".to_owned(),
        count => format!("; the trees of {count} edited allocation groups agree"),
    };
    Ok(Verdict::OwnReaderOnly { reason: format!("no other reader knows XFS{trees}") })
}

fn not_verified(ag: AgNumber, error: &Error) -> Error {
    Refusal::NotVerified { detail: format!("{ag}: {error}") }.into()
}

impl Xfs {
    /// The groups whose headers were written: in the others nothing was taken or given back.
    fn edited_groups(&self, written: &[Range<u64>]) -> Result<Vec<AgNumber>> {
        let superblock = self.volume.superblock();
        let mut groups = Vec::new();
        for ag in (0..superblock.ag_count).map(AgNumber) {
            let start = self.volume.sector_offset(ag, AgSector::Agf)?;
            let end = add(start, mul(3, u64::from(superblock.sector_size_bytes))?)?;
            if written.iter().any(|range| range.start < end && start < range.end) {
                groups.push(ag);
            }
        }
        Ok(groups)
    }
}
