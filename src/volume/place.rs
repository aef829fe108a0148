//! Where a volume lies: the recipe that makes it out of disks.
//!
//! A [`Place`] holds no bytes. The same recipe is cooked twice: over disks that are only read, for the file system
//! that is looked at and edited in an overlay, and over overlays of the disks, through which a finished edit is
//! brought down to the bytes that the disks hold.

use super::{luks, lvm, md};
use crate::bytes::arith;
use crate::disk::DiskEdit;
use crate::disk::window::Window;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Number of a disk among those that were given: 0 is the target, the others follow in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskIndex(pub usize);

/// How to make a volume.
#[derive(Debug, Clone)]
pub enum Place {
    /// All of a disk.
    Disk(DiskIndex),
    /// Consecutive bytes of another place: a partition.
    Part {
        /// The place that is cut.
        whole: Arc<Place>,
        /// Where the part starts in it.
        offset_bytes: u64,
        /// How long it is.
        size_bytes: u64,
    },
    /// A logical volume of LVM.
    Logical {
        /// Where its bytes are.
        mapping: lvm::Mapping,
        /// Its physical volumes, in the order of the [`members`](lvm::Mapping::members) of the mapping.
        physical: Vec<Arc<Place>>,
    },
    /// A mirror of Linux RAID.
    Mirror {
        /// Where the copies are.
        layout: md::MirrorLayout,
        /// Its members, in the order of the [`members`](md::MirrorLayout::members) of the layout.
        copies: Vec<Arc<Place>>,
    },
    /// The clear text of an encrypted volume.
    Unlocked {
        /// What opens it.
        key: luks::Unlocked,
        /// The encrypted volume.
        cipher: Arc<Place>,
    },
    /// It cannot be made: what it is made of is not known, or not there.
    Unknown,
}

impl Place {
    /// The part of `size_bytes` that starts at `offset_bytes` of this place.
    #[must_use]
    pub fn part(self: &Arc<Self>, offset_bytes: u64, size_bytes: u64) -> Arc<Self> {
        Arc::new(Self::Part { whole: self.clone(), offset_bytes, size_bytes })
    }

    /// The volume over `disks`, which are numbered by [`DiskIndex`].
    ///
    /// # Errors
    /// `Corrupt` if a part does not lie inside its whole; `NotFound` if a disk is missing.
    pub fn on(&self, disks: &[Arc<dyn DiskEdit>]) -> Result<Arc<dyn DiskEdit>> {
        match self {
            Self::Disk(DiskIndex(index)) => {
                let disk = disks.get(*index).cloned();
                disk.ok_or_else(|| Error::not_found(format!("disk {index} of the target")))
            }
            Self::Part { whole, offset_bytes, size_bytes } => {
                Ok(Arc::new(Window::new(whole.on(disks)?, *offset_bytes, *size_bytes)?))
            }
            Self::Logical { mapping, physical } => {
                let physical = physical.iter().map(|place| place.on(disks));
                let physical = physical.collect::<Result<_>>()?;
                Ok(Arc::new(lvm::LogicalDisk::new(mapping.clone(), physical)?))
            }
            Self::Mirror { layout, copies } => {
                let copies = copies.iter().map(|place| place.on(disks)).collect::<Result<_>>()?;
                Ok(Arc::new(md::Mirror::new(layout, copies)?))
            }
            Self::Unlocked { key, cipher } => key.over(cipher.on(disks)?),
            Self::Unknown => Err(Error::not_found("the bytes of the volume")),
        }
    }

    /// The disks that it is made of.
    pub fn disks(&self) -> BTreeSet<DiskIndex> {
        match self {
            Self::Disk(index) => BTreeSet::from([*index]),
            Self::Part { whole, .. } => whole.disks(),
            Self::Mirror { copies: places, .. } | Self::Logical { physical: places, .. } => {
                places.iter().flat_map(|it| it.disks()).collect()
            }
            Self::Unlocked { cipher, .. } => cipher.disks(),
            Self::Unknown => BTreeSet::new(),
        }
    }

    /// The disk and the offset in bytes where it starts, if its bytes are consecutive bytes of one disk.
    pub fn start(&self) -> Option<(DiskIndex, u64)> {
        match self {
            Self::Disk(index) => Some((*index, 0)),
            Self::Part { whole, offset_bytes, .. } => {
                let (disk, start_bytes) = whole.start()?;
                Some((disk, arith::add(start_bytes, *offset_bytes).ok()?))
            }
            Self::Logical { .. } | Self::Mirror { .. } | Self::Unlocked { .. } | Self::Unknown => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk as _;
    use crate::disk::memory::MemoryDisk;
    use crate::disk::overlay::Overlay;

    #[test]
    fn a_part_of_a_part_is_found_and_written_where_it_lies() {
        let disks = [0u8, 1].map(|byte| Overlay::new(Arc::new(MemoryDisk::new(vec![byte; 8192]))));
        let disks = disks.map(Arc::new);
        let below = disks.clone().map(|disk| disk as Arc<dyn DiskEdit>);
        let place = Arc::new(Place::Disk(DiskIndex(1))).part(1024, 4096).part(512, 1024);
        assert_eq!(place.start(), Some((DiskIndex(1), 1536)));
        assert_eq!(place.disks(), BTreeSet::from([DiskIndex(1)]));
        let volume = place.on(&below).unwrap();
        assert_eq!((volume.len_bytes(), volume.read_vec(0, 1).unwrap()), (1024, vec![1]));
        volume.write_at(3, b"x", "test").unwrap();
        assert_eq!(disks[1].read_vec(1539, 1).unwrap(), b"x");
        assert_eq!(disks[0].changes().unwrap(), []);
        assert_eq!(Place::Unknown.disks(), BTreeSet::new());
        assert_eq!(Place::Unknown.on(&below).unwrap_err().kind_name(), "not_found");
        assert!(place.part(0, 1025).on(&below).is_err());
        assert!(Place::Disk(DiskIndex(2)).on(&below).is_err());
    }
}
