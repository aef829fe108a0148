//! Finds the volumes of the disks: the partitions, and what they hold layer by layer.
//!
//! ```text
//! disk -> partition -> mirror -> encrypted volume -> physical volume -> logical volume -> file system
//! ```
//!
//! A round looks at everything that the one before has found, and puts groups together once all of their disks are
//! there; a group that still lacks some when nothing else is found is shown with what can be had of it. Each
//! volume knows the volumes that it lies on. Depth and number of volumes are bounded.

mod array;
mod encrypted;
mod group;
mod table;

use super::open::{Finder, Found};
use super::{Content, OpenOptions, Session, SessionDisk, SessionVolume, Source};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fs::probe::ProbeKind;
use crate::volume::place::{DiskIndex, Place};
use crate::volume::{lvm, md};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bound on the layers of volumes below a file system.
pub(super) const LAYERS_MAX: usize = 8;

/// Bound on the volumes of a session, so that hostile metadata cannot name endless ones.
pub(super) const VOLUMES_MAX: usize = 1024;

/// Bound on the places that a volume is made of, each counted as often as it is used: groups that lie on each other
/// with all of their volumes would have more of them than can be counted.
const PLACES_MAX: u64 = 4096;

/// Looks at every volume of every disk, and gives them with what is odd about the layers between. Only a failing
/// host is an error.
///
/// # Errors
/// `Io`; `Limit` above [`VOLUMES_MAX`].
pub(super) fn volumes(
    session: &Session,
    options: &OpenOptions<'_>,
) -> Result<(Vec<SessionVolume>, Vec<String>)> {
    let finder = Finder {
        bottoms: session.disks().map(SessionDisk::bottom).collect(),
        further: session.further.iter().map(|disk| disk.bytes.clone()).collect(),
        options,
    };
    let mut layers = Layers {
        finder,
        volumes: Vec::new(),
        below: Vec::new(),
        next: 0,
        physical: Vec::new(),
        shown_groups: BTreeSet::new(),
        members: Vec::new(),
        shown_arrays: BTreeSet::new(),
        warnings: Vec::new(),
    };
    layers.add_partitions(session)?;
    layers.climb()?;
    layers.tell_groups_apart();
    layers.tell_arrays_apart();
    Ok((layers.volumes, layers.warnings))
}

/// What was found so far.
#[derive(Debug)]
struct Layers<'a> {
    finder: Finder<'a>,
    volumes: Vec<SessionVolume>,
    /// What lies below each of the volumes.
    below: Vec<Below>,
    /// Index of the first volume that was not looked into.
    next: usize,
    /// The physical volumes of LVM: indices of their volumes, and what they say.
    physical: Vec<(usize, lvm::PhysicalVolume)>,
    /// The groups whose logical volumes are among the volumes.
    shown_groups: BTreeSet<lvm::LvmUuid>,
    /// The members of arrays: indices of their volumes, and what they say.
    members: Vec<(usize, md::Superblock)>,
    /// The identifiers of the arrays that are among the volumes.
    shown_arrays: BTreeSet<String>,
    /// What is odd, as sentences for people.
    warnings: Vec<String>,
}

/// What lies below a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Below {
    /// The most volumes on one way down.
    depth: usize,
    /// The places that it is made of, on all ways together.
    places: u64,
}

impl Layers<'_> {
    fn add_partitions(&mut self, session: &Session) -> Result<()> {
        for (index, disk) in session.disks().enumerate() {
            let whole = Arc::new(Place::Disk(DiskIndex(index)));
            for volume in &disk.layout.volumes {
                let mut volume = volume.clone();
                if index > 0 {
                    volume.id = format!("{}:{}", index.saturating_add(1), volume.id);
                }
                let place = whole.part(volume.offset_bytes, volume.size_bytes);
                let (source, parents) = (Source::Partition, Vec::new());
                let obstacle = disk.image.not_writable.clone();
                let found = Found { volume, place, source, parents, obstacle };
                self.add(found).context(|| disk.name())?;
            }
        }
        Ok(())
    }

    /// Refuses one volume more than there may be.
    fn check_count(&self) -> Result<()> {
        if self.volumes.len() >= VOLUMES_MAX {
            let count = len_u64(self.volumes.len()).saturating_add(1);
            return Err(Error::limit("number of volumes", len_u64(VOLUMES_MAX), count));
        }
        Ok(())
    }

    /// Looks at a volume and keeps it.
    fn add(&mut self, mut found: Found) -> Result<()> {
        self.check_count()?;
        let below = self.below_of(&found.parents);
        if below.places > PLACES_MAX {
            let error = Error::limit("parts that a volume is made of", PLACES_MAX, below.places);
            found.place = Arc::new(Place::Unknown);
            return self.add_closed(found, error);
        }
        let mut below = found.parents.iter().filter_map(|&parent| self.volumes.get(parent));
        let inherited = below.find_map(|parent| parent.obstacle.clone());
        found.obstacle = inherited.or(found.obstacle);
        let parents = found.parents.clone();
        let volume = self.finder.look(found)?;
        self.keep(volume, &parents);
        Ok(())
    }

    fn keep(&mut self, volume: SessionVolume, parents: &[usize]) {
        self.below.push(self.below_of(parents));
        self.volumes.push(volume);
    }

    /// What lies below a volume that is made of `parents`. They were found before it.
    fn below_of(&self, parents: &[usize]) -> Below {
        let parents = parents.iter().filter_map(|&parent| self.below.get(parent));
        parents.fold(Below { depth: 0, places: 1 }, |all, one| Below {
            depth: all.depth.max(one.depth.saturating_add(1)),
            places: all.places.saturating_add(one.places),
        })
    }

    /// Keeps a volume whose bytes cannot be had, with the reason.
    fn add_closed(&mut self, found: Found, reason: Error) -> Result<()> {
        self.check_count()?;
        let Found { volume, place, source, parents, obstacle } = found;
        let content = Content::Closed(reason);
        let probe = None;
        let below = parents.clone();
        let closed = SessionVolume { volume, place, source, parents, obstacle, probe, content };
        self.keep(closed, &below);
        Ok(())
    }

    /// Looks into what was found until there is nothing more.
    fn climb(&mut self) -> Result<()> {
        loop {
            while self.next < self.volumes.len() {
                let index = self.next;
                self.next = self.next.saturating_add(1);
                self.look_into(index)?;
            }
            self.show_arrays(Show::Complete)?;
            self.show_groups(Show::Complete)?;
            if self.next == self.volumes.len() {
                self.show_arrays(Show::All)?;
            }
            // A group may lie on an array that was just found.
            if self.next == self.volumes.len() {
                self.show_groups(Show::All)?;
            }
            if self.next == self.volumes.len() {
                return Ok(());
            }
        }
    }

    fn look_into(&mut self, index: usize) -> Result<()> {
        let Some(volume) = self.volumes.get(index) else { return Ok(()) };
        if !matches!(volume.content, Content::Unknown) {
            return Ok(());
        }
        let kind = volume.probe.as_ref().map(|probe| probe.kind);
        let place = volume.place.clone();
        if self.below.get(index).is_none_or(|below| below.depth >= LAYERS_MAX) {
            let depth = len_u64(LAYERS_MAX);
            let error = Error::limit("layers of volumes", depth, depth.saturating_add(1));
            self.set_content(index, Content::Closed(error));
            return Ok(());
        }
        let looked = match kind {
            Some(ProbeKind::Lvm2) => self.read_physical(index, &place),
            Some(ProbeKind::Luks { .. }) => self.read_encrypted(index, &place),
            Some(ProbeKind::MdRaid) => self.read_member(index, &place).map(drop),
            // A whole disk whose partition table belongs to the array shows no superblock to the probe.
            None => match self.read_member(index, &place) {
                Ok(false) => self.read_table(index, &place),
                looked => looked.map(drop),
            },
            Some(_) => Ok(()),
        };
        match looked {
            Err(error) if !matches!(error.kind(), ErrorKind::Io(_) | ErrorKind::Limit { .. }) => {
                self.set_content(index, Content::Closed(error));
                Ok(())
            }
            looked => looked,
        }
    }

    fn set_content(&mut self, index: usize, content: Content) {
        if let Some(volume) = self.volumes.get_mut(index) {
            volume.content = content;
        }
    }
}

/// Which groups are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Those of which every disk is there.
    Complete,
    /// The others as well, because nothing more will be found.
    All,
}
