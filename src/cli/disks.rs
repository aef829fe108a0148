//! The disks that a patch is for: opened, compared, held and named together.

use super::hints::shell_word;
use super::output::{Failure, Outcome};
use crate::disk::Disk;
use crate::disk::joined::{JoinedDisk, JoinedMedium};
use crate::disk::medium::Medium;
use crate::error::{Error, Refusal, Result};
use crate::image::in_use::{Look, in_use_report};
use crate::image::{Image, writable};
use crate::patch::{self, PartIdentity, Patch, State, TargetIdentity};
use crate::session::{Session, table_guid};
use crate::volume::place::DiskIndex;
use std::sync::Arc;

/// One disk or several, in the order of the parts of a patch.
#[derive(Debug, Clone)]
pub(super) struct Disks<'a> {
    images: Vec<&'a Image>,
}

impl<'a> Disks<'a> {
    /// Those that an edit changes; the target for one that changes nothing.
    pub(super) fn of_edit(session: &'a Session, changed: &[DiskIndex]) -> Result<Self> {
        let changed = if changed.is_empty() { &[DiskIndex(0)] } else { changed };
        let image = |index: &DiskIndex| Ok(&session.disk(*index)?.image);
        Ok(Self { images: changed.iter().map(image).collect::<Result<_>>()? })
    }

    /// Those that were named with `patch`, which must be the ones that it is for, in any order.
    pub(super) fn of_patch(patch: &Patch, images: &'a [Image]) -> Outcome<Self> {
        let mut disks = Self { images: images.iter().collect() };
        let identity = &patch.description().identity;
        let wanted = identity.parts.len().max(1);
        if images.len() != wanted {
            let given = images.len();
            let what = format!("the patch is for {}, {given} given", count_disks(wanted));
            return Err(Box::new(with_order_hint(Error::mismatch(what), identity)));
        }
        if !identity.parts.is_empty() {
            disks.put_in_order(patch)?;
            let found = disks.identity(identity.size_bytes);
            identity.check(&found).map_err(|error| Box::new(with_order_hint(error, identity)))?;
        }
        Ok(disks)
    }

    /// Puts them in the order of the parts of `patch`, if that can be told; otherwise they stay as they are.
    fn put_in_order(&mut self, patch: &Patch) -> Result<()> {
        let identity = self.identity(0);
        let disks = self.images.iter().map(|image| -> Arc<dyn Disk> { image.disk.clone() });
        let given: Vec<_> = identity.parts.into_iter().zip(disks).collect();
        if let Some(order) = patch::order::order(patch, &given)? {
            self.images = order.iter().filter_map(|&disk| self.images.get(disk).copied()).collect();
        }
        Ok(())
    }

    /// Compares the partition tables with that of `patch`, once the sizes are known to agree.
    pub(super) fn check_identity(&self, patch: &Patch) -> Result<()> {
        let identity = &patch.description().identity;
        let found = self.identity(identity.size_bytes);
        match found.parts.as_slice() {
            [only] if identity.parts.is_empty() => {
                let table_guid = only.table_guid.clone();
                identity.check(&TargetIdentity { table_guid, parts: Vec::new(), ..found })
            }
            _ => identity.check(&found),
        }
    }

    fn identity(&self, size_bytes: u64) -> TargetIdentity {
        let part = |image: &&Image| PartIdentity {
            name: super::shown(&image.path),
            size_bytes: image.disk.len_bytes(),
            sector_size_bytes: image.disk.sector_size_bytes(),
            table_guid: table_guid(image),
        };
        TargetIdentity {
            size_bytes,
            sector_size_bytes: 0,
            table_guid: None,
            volumes: Vec::new(),
            parts: self.images.iter().map(part).collect(),
        }
    }

    /// The disks for people, as in `a.img and b.img`.
    pub(super) fn name(&self) -> String {
        let names: Vec<String> = self.images.iter().map(|it| super::shown(&it.path)).collect();
        names.join(" and ")
    }

    /// The disks as arguments of a command, as in `a.img --device b.img`.
    pub(super) fn arguments(&self) -> String {
        arguments(&self.images)
    }

    /// Where they stand between the two sides of `patch`.
    pub(super) fn state(&self, patch: &Patch) -> Result<State> {
        let disks: Vec<Arc<dyn Disk>> =
            self.images.iter().map(|image| -> Arc<dyn Disk> { image.disk.clone() }).collect();
        patch::state(patch, &JoinedDisk::new(disks)?)
    }

    /// What stands in the way of writing them.
    pub(super) fn in_use(&self, look: Look) -> Result<Option<Refusal>> {
        for image in &self.images {
            if let Some(refusal) = in_use_report(image, look)? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    /// Opens all of them for writing, and takes hold of them.
    pub(super) fn hold(&self) -> Result<JoinedMedium<'static>> {
        let mut media: Vec<Box<dyn Medium>> = Vec::new();
        for image in &self.images {
            media.push(Box::new(writable::open(image)?));
        }
        JoinedMedium::new(media)
    }

    /// Bytes read from the host so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.images.iter().fold(0, |sum, image| sum.saturating_add(image.bytes_read()))
    }
}

/// Every disk of a session as arguments of a command.
pub(super) fn session_arguments(session: &Session) -> String {
    if session.directory().is_some() {
        return shell_word(&session.target_name());
    }
    arguments(&session.disks().map(|disk| &disk.image).collect::<Vec<_>>())
}

/// Names of disks as arguments: the target, then the further ones.
fn name_arguments<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(shell_word).collect::<Vec<_>>().join(" --device ")
}

/// Disks as arguments: the target, then the further ones, then the files elsewhere that they refer to.
fn arguments(images: &[&Image]) -> String {
    let names: Vec<String> = images.iter().map(|image| super::shown(&image.path)).collect();
    let mut text = name_arguments(names.iter().map(String::as_str));
    for path in images.iter().flat_map(|image| image.files_elsewhere()) {
        text.push_str(" --allow-backing ");
        text.push_str(&shell_word(&super::shown(path)));
    }
    text
}

fn count_disks(count: usize) -> String {
    if count == 1 { "1 disk".to_owned() } else { format!("{count} disks") }
}

/// Says which disks a patch was made for.
fn with_order_hint(error: Error, identity: &TargetIdentity) -> Failure {
    let failure = Failure::from(error);
    if identity.parts.is_empty() {
        return failure
            .hint("name only the disk that `regain show PATCH` tells the size of".to_owned());
    }
    let names = name_arguments(identity.parts.iter().map(|part| part.name.as_str()));
    failure.hint(format!("name the disks that the patch was made for, as in {names}"))
}
