//! Whether a write would succeed, found out before anything is written.
//!
//! The write is made up to its commit, on a copy of what is in memory and without the content: what the tables and
//! the counts say of every cluster is looked at, and room is found for every new one.

use super::bitmaps;
use super::writer::Qcow2Medium;
use crate::bytes::arith;
use crate::disk::medium::{HostMedium as _, Medium as _};
use crate::error::{Refusal, Result};
use std::ops::Range;

/// Checks that `ranges` of the guest can be written.
///
/// # Errors
/// `Refused` if there is no room, or if the tables contradict each other; `Corrupt`, `Limit`, `Io`.
pub(super) fn check(medium: &Qcow2Medium, ranges: &[Range<u64>]) -> Result<()> {
    let mut trial = medium.copy();
    if let Some(directory) = trial.header.valid_bitmaps() {
        bitmaps::places(directory, &trial.image)?;
    }
    let cluster_bytes = trial.header.cluster_bytes();
    for range in ranges {
        let mut guest = arith::sub(range.start, arith::rem(range.start, cluster_bytes)?)?;
        while guest < range.end {
            let next = arith::add(guest, cluster_bytes)?;
            trial.check_cluster(guest, arith::sub(range.end.min(next), guest)?)?;
            guest = next;
        }
    }
    Ok(())
}

impl Qcow2Medium {
    /// Goes through the motions of a write that ends at the byte `end` of the cluster of the guest at `guest`.
    fn check_cluster(&mut self, guest: u64, end: u64) -> Result<()> {
        if self.staged.guest.contains_key(&guest) {
            return Ok(());
        }
        let path = self.path(guest)?;
        let place = if let Some(place) = self.place_to_write(guest, &path)? {
            arith::add(place, end)?
        } else {
            let place = self.reserve(guest, &path)?;
            arith::add(place, self.header.cluster_bytes())?
        };
        let file = self.data.as_ref().unwrap_or(&self.image);
        if place <= file.len_bytes() || file.can_grow() {
            return Ok(());
        }
        let what = "an image on a device that is too short for what the edit would write";
        Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into())
    }
}
