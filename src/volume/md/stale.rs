//! Members that fell behind the others, and what they forbid.

use super::array::{Unusable, unusable};
use super::{Role, Superblock};
use crate::error::VolumeObstacle;

/// Why an array is not written while members are there that are older than the `fresh` ones: somebody could take one of
/// them for a member in sync, and undo the edit by it.
pub(super) fn obstacle(fresh: &[&Superblock], stale: &[&Superblock]) -> Option<Unusable> {
    let refused = |reason: String| Some(unusable(VolumeObstacle::OutOfSync, reason));
    let newest = fresh.first()?;
    let in_use: Vec<usize> =
        fresh.iter().map(|one| one.number).filter(|&number| newest.has_in_use(number)).collect();
    if in_use.is_empty() {
        return None;
    }
    let knows_us = |one: &Superblock| in_use.iter().any(|&number| one.has_in_use(number));
    if !stale.iter().all(|one| knows_us(one)) {
        return refused("its members disagree about each other: they were used apart".to_owned());
    }
    // A number can be given to another member once its own has left.
    let is_named =
        |one: &&&Superblock| newest.has_in_use(one.number) && !in_use.contains(&one.number);
    let named = stale.iter().filter(is_named).count();
    if named > 0 {
        return refused(format!("{named} of its in-sync members are out of date"));
    }
    // The kernel lets a member pass that missed nothing but the last change of the superblocks.
    let is_close = |one: &&Superblock| one.events.checked_add(1) == Some(newest.events);
    if stale.iter().any(is_close) {
        let reason = "a member fell out with the last change, and may be taken for one in sync";
        return refused(reason.to_owned());
    }
    None
}

impl Superblock {
    /// True if this one has the member of that number in use.
    fn has_in_use(&self, number: usize) -> bool {
        matches!(self.roles.get(number), Some(Role::Active(_)))
    }
}
