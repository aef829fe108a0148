//! Finds the volumes of the disks, and opens what is on them.

use super::{Content, OpenOptions, OpenVolume, Session, SessionDisk, SessionVolume};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Context as _, Result};
use crate::fs::known;
use crate::fs::mounted::Shared;
use crate::fs::probe::{ProbeKind, probe};
use crate::guest;
use crate::volume::Volume;
use crate::volume::place::{DiskIndex, Place};
use std::sync::Arc;

/// Looks at every volume of every disk. Only a failing host is an error.
///
/// # Errors
/// `Io`.
pub(super) fn volumes(session: &Session, options: &OpenOptions<'_>) -> Result<Vec<SessionVolume>> {
    let bottoms: Vec<Arc<dyn DiskEdit>> = session.disks().map(SessionDisk::bottom).collect();
    let further: Vec<Arc<dyn Disk>> =
        session.further.iter().map(|disk| disk.bytes.clone()).collect();
    let finder = Finder { bottoms: &bottoms, further: &further, options };
    let mut volumes = Vec::new();
    for (index, disk) in session.disks().enumerate() {
        let whole = Arc::new(Place::Disk(DiskIndex(index)));
        for volume in &disk.layout.volumes {
            let mut volume = volume.clone();
            if index > 0 {
                volume.id = format!("{}:{}", index.saturating_add(1), volume.id);
            }
            let place = whole.part(volume.offset_bytes, volume.size_bytes);
            volumes.push(finder.look(volume, place).context(|| disk.name())?);
        }
    }
    Ok(volumes)
}

/// What is needed to look at a volume.
struct Finder<'a> {
    /// The disks, to be read.
    bottoms: &'a [Arc<dyn DiskEdit>],
    /// The disks but for the target, as devices of file systems.
    further: &'a [Arc<dyn Disk>],
    options: &'a OpenOptions<'a>,
}

impl Finder<'_> {
    fn look(&self, volume: Volume, place: Arc<Place>) -> Result<SessionVolume> {
        let stack = place.on(self.bottoms)?;
        let probe = probe(stack.as_ref())?;
        let content = match probe.as_ref().map(|probe| probe.kind) {
            None => Content::Unknown,
            Some(kind) => match self.open_file_system(kind, stack) {
                Ok(open) => Content::Open(Box::new(open)),
                Err(error) => Content::Closed(error),
            },
        };
        Ok(SessionVolume { volume, place, probe, content })
    }

    fn open_file_system(&self, kind: ProbeKind, stack: Arc<dyn DiskEdit>) -> Result<OpenVolume> {
        let base: Arc<dyn Disk> = stack;
        let overlay = Arc::new(Overlay::new(base));
        let clock = self.options.clock;
        let fs = if self.options.clears_ntfs_log && kind == ProbeKind::Ntfs {
            known::open_clearing_log(kind, overlay.clone(), clock)?
        } else {
            known::open_with(kind, overlay.clone(), self.further, clock)?
        };
        let system = guest::detect(fs.as_ref());
        let fs = Shared::new(fs);
        let devices = self.further.to_vec();
        Ok(OpenVolume { overlay, devices, fs, kind, tree: None, system })
    }
}
