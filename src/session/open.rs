//! Looks at a volume, and opens what is on it.

use super::{Content, OpenOptions, OpenVolume, SessionVolume, Source};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Refusal, Result};
use crate::fs::known;
use crate::fs::mounted::Shared;
use crate::fs::probe::{ProbeKind, probe};
use crate::guest;
use crate::volume::Volume;
use crate::volume::place::Place;
use std::sync::Arc;

/// A volume that was found and not looked at yet.
#[derive(Debug)]
pub(super) struct Found {
    /// What it is called, and how large it is.
    pub(super) volume: Volume,
    /// Where it lies.
    pub(super) place: Arc<Place>,
    /// What made it.
    pub(super) source: Source,
    /// Indices of the volumes that it lies on.
    pub(super) parents: Vec<usize>,
    /// Why it must not be written, whatever is on it.
    pub(super) obstacle: Option<Refusal>,
}

/// What is needed to look at a volume.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    /// The disks, to be read.
    pub(super) bottoms: Vec<Arc<dyn DiskEdit>>,
    /// The disks but for the target, as devices of file systems.
    pub(super) further: Vec<Arc<dyn Disk>>,
    pub(super) options: &'a OpenOptions<'a>,
}

impl Finder<'_> {
    /// The bytes of a volume, to be read.
    pub(super) fn stack(&self, place: &Place) -> Result<Arc<dyn DiskEdit>> {
        place.on(&self.bottoms)
    }

    /// Looks at a volume. Only a failing host is an error. What is a layer of volumes and no file system stays
    /// [`Content::Unknown`], with its probe.
    pub(super) fn look(&self, found: Found) -> Result<SessionVolume> {
        let stack = self.stack(&found.place)?;
        let probe = probe(stack.as_ref())?;
        let content = match probe.as_ref().map(|probe| probe.kind) {
            None | Some(ProbeKind::Lvm2 | ProbeKind::Luks { .. } | ProbeKind::MdRaid) => {
                Content::Unknown
            }
            Some(kind) => match self.open_file_system(kind, stack) {
                Ok(open) => Content::Open(Box::new(open)),
                Err(error) => Content::Closed(error),
            },
        };
        let Found { volume, place, source, parents, obstacle } = found;
        Ok(SessionVolume { volume, place, source, parents, obstacle, probe, content })
    }

    fn open_file_system(&self, kind: ProbeKind, stack: Arc<dyn DiskEdit>) -> Result<OpenVolume> {
        let base: Arc<dyn Disk> = stack;
        let overlay = Arc::new(Overlay::new(base));
        let clock = self.options.clock;
        let fs = if self.options.clears_ntfs_log && kind == ProbeKind::Ntfs {
            known::open_clearing_log(kind, overlay.clone(), clock)?
        } else {
            known::open_with(kind, overlay.clone(), &self.further, clock)?
        };
        let system = guest::detect(fs.as_ref());
        let fs = Shared::new(fs);
        let devices = self.further.clone();
        Ok(OpenVolume {
            overlay,
            devices,
            fs,
            kind: Some(kind),
            tree: None,
            system,
            roots: Vec::new(),
            chosen_root: None,
        })
    }
}
