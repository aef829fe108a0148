//! Which volumes belong to which system: what the fstab of each root says is mounted from all volumes of the
//! session (VOL-14, VOL-17).
//!
//! A volume may be part of several trees, as a /home that two systems share. Of a Btrfs the root subvolume is
//! chosen first. What cannot be mounted is noted in the tree, and told of by the login rules where it matters.

use super::{Content, Root, Session, SessionVolume, Source};
use crate::action::Plan;
use crate::bytes::arith::len_u64;
use crate::bytes::field::le_u32;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::FileSystem;
use crate::fs::mounted::Mounted;
use crate::fs::path::GuestPath;
use crate::fs::probe::ProbeKind;
use crate::guest;
use crate::guest::linux::crypttab::{self, MappedName};
use crate::guest::linux::fstab::VolumeNames;
use crate::guest::linux::fstab::mounting::{Candidate, mount_all};
use crate::guest::linux::{root_subvolume, text};
use crate::volume::TableKind;
use std::collections::BTreeSet;

/// Bound on the volumes whose fstab is followed. Partitions may overlap, so that many cost a disk nothing.
const ROOTS_MAX: usize = 64;
/// Where the signature of a disk stands in its master boot record, from which partitions get their UUID.
const MBR_SIGNATURE_AT: u64 = 440;

impl Session {
    /// Mounts what belongs to each system, and looks again at the systems: a root without its /usr says little.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn mount_systems(&mut self) -> Result<()> {
        let candidates = self.candidates()?;
        let mut count = 0usize;
        for index in 0..self.volumes.len() {
            let Ok(open) = self.open_at(index) else { continue };
            if !may_be_root(&open.fs, open.kind) {
                continue;
            }
            count = count.saturating_add(1);
            if count > ROOTS_MAX {
                let what = "number of volumes with an /etc";
                let error = Error::limit(what, len_u64(ROOTS_MAX), len_u64(count));
                self.open_mut(index)?.system = Err(error);
                continue;
            }
            match self.mount_system(index, &candidates) {
                Err(error) if !matches!(error.kind(), ErrorKind::Io(_)) => {
                    self.open_mut(index)?.system = Err(error);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Mounts the system on the volume at `index`, or notes that there are several.
    fn mount_system(&mut self, index: usize, candidates: &[Candidate]) -> Result<()> {
        let roots = root_subvolume::find(index, candidates)?;
        if let [directory] = roots.as_slice() {
            let is_top = directory.parent().is_none();
            let tree = mount_all(index, directory.clone(), candidates)?;
            if !is_top || !tree.mount_points().is_empty() {
                let system = guest::detect(&tree);
                self.mount(index, tree)?;
                self.open_mut(index)?.system = system;
            }
            return Ok(());
        }
        let root = |directory: &GuestPath| {
            Ok(Root::new(directory.clone(), &mount_all(index, directory.clone(), candidates)?))
        };
        self.open_mut(index)?.roots = roots.iter().map(root).collect::<Result<_>>()?;
        if !roots.is_empty() {
            let ambiguous = self.volume_at(index)?.ambiguous_roots();
            self.open_mut(index)?.system = Err(ambiguous);
        }
        Ok(())
    }

    /// The tree of the system whose root is `directory` of the volume at `index`.
    pub(super) fn tree_of(&self, index: usize, directory: &GuestPath) -> Result<Mounted> {
        mount_all(index, directory.clone(), &self.candidates()?)
    }

    /// The volumes, as what may be mounted.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mapped = self.mapped_names();
        let candidate = |volume: &SessionVolume| {
            Ok(Candidate {
                names: self.names(volume, &mapped)?,
                name: volume.describe(),
                content: match &volume.content {
                    Content::Open(open) => Ok(open.fs.clone()),
                    Content::Closed(error) => Err(error.to_string()),
                    Content::Layer(what) => Err(format!("it is {what}")),
                    Content::Unknown => Err("it holds no file system that regain knows".to_owned()),
                },
            })
        };
        self.volumes.iter().map(candidate).collect()
    }

    /// What the user should know about the volumes that `plan` edits in the tree of the volume at `index`, each with
    /// its name; about that volume if it edits none.
    ///
    /// # Errors
    /// As the file system.
    pub fn warnings_about(&self, index: usize, plan: &Plan) -> Result<Vec<String>> {
        let mut volumes = BTreeSet::new();
        for change in &plan.changes {
            // What is below a directory that the plan makes lies where that directory does.
            volumes.insert(self.locate(index, change.path())?.volume);
        }
        if volumes.is_empty() {
            volumes.insert(index);
        }
        let mut warnings = Vec::new();
        for volume in volumes {
            warnings.extend(self.volume_at(volume)?.warnings());
        }
        Ok(warnings)
    }

    /// What the systems call their encrypted volumes.
    fn mapped_names(&self) -> Vec<MappedName> {
        let has_clear = |it: &SessionVolume| matches!(it.source, Source::Unlocked { .. });
        if !self.volumes.iter().any(has_clear) {
            return Vec::new();
        }
        let open = self.volumes.iter().filter_map(SessionVolume::open);
        let roots = open.filter(|open| may_be_root(&open.fs, open.kind));
        roots.flat_map(|open| crypttab::read(&open.fs)).collect()
    }

    /// What a volume is called on its guest.
    fn names(&self, volume: &SessionVolume, mapped: &[MappedName]) -> Result<VolumeNames> {
        let probe = volume.probe.as_ref();
        let part = &volume.volume;
        let names = VolumeNames {
            uuid: probe.map(|probe| probe.uuid.clone()).unwrap_or_default(),
            label: probe.map(|probe| probe.label.clone()).unwrap_or_default(),
            part_uuid: match part.part_uuid {
                Some(uuid) => uuid.to_string(),
                None => self.mbr_part_uuid(volume)?.unwrap_or_default(),
            },
            part_label: part.name.clone(),
            paths: Vec::new(),
        };
        Ok(match &volume.source {
            Source::Logical { group, name, .. } => names.with_logical_volume(group, name),
            Source::Unlocked { uuid } => {
                // What the installers of Fedora and its relatives call it.
                let mut paths = vec![format!("/dev/mapper/luks-{uuid}").into_bytes()];
                let own = mapped.iter().filter(|it| it.uuid.eq_ignore_ascii_case(uuid.as_bytes()));
                paths.extend(own.map(|it| [b"/dev/mapper/", it.name.as_slice()].concat()));
                VolumeNames { paths, ..names }
            }
            Source::Array { .. } | Source::Partition => names,
        })
    }

    /// The UUID of a partition in a master boot record: signature of the disk and number.
    fn mbr_part_uuid(&self, volume: &SessionVolume) -> Result<Option<String>> {
        let Some((index, _)) = volume.place.start() else { return Ok(None) };
        let disk = self.disk(index)?;
        if disk.layout.table != TableKind::Mbr || volume.volume.number == 0 {
            return Ok(None);
        }
        let signature = le_u32(&disk.bytes.read_vec(MBR_SIGNATURE_AT, 4)?, 0)?;
        let number = volume.volume.number;
        Ok((signature != 0).then(|| format!("{signature:08x}-{number:02x}")))
    }
}

/// True for what may have an fstab: not Windows, and not a volume with homes only.
fn may_be_root(fs: &dyn FileSystem, kind: Option<ProbeKind>) -> bool {
    kind != Some(ProbeKind::Ntfs) && (kind == Some(ProbeKind::Btrfs) || text::exists(fs, "/etc"))
}
