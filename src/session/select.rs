//! Which volume is meant (VOL-10: never guess between two roots).

use super::{Content, Session, SessionVolume, roots};
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fs::probe::ProbeKind;

impl Session {
    /// The index of the one volume with a system, or of the one that `wanted` names: a partition number, a
    /// file-system UUID, or a LABEL, and with `:` the subvolume. There is one system on it.
    ///
    /// # Errors
    /// * `NotFound` - no such volume, or no system anywhere.
    /// * `Ambiguous` - several volumes have that name, or a system.
    /// * `Unsupported`, `Refused`, `Corrupt` - the volume that was named, or the first that could hold a system,
    ///   cannot be read, and this is why.
    pub fn choose(&mut self, wanted: Option<&str>) -> Result<usize> {
        if let Some(name) = wanted {
            let index = self.find_system(name).context(|| self.target_name())?;
            return self.with_system(index);
        }
        let roots = indices(self, |volume| volume.systems_count() > 0);
        match roots.as_slice() {
            [index] => self.with_system(*index),
            [] => Err(self.no_system()),
            several => Err(self.ambiguous("several volumes hold a system".to_owned(), several)),
        }
    }

    /// The index of the volume that `name` names, seen as the system in its subvolume if it names one.
    ///
    /// # Errors
    /// As [`Session::find`]; `NotFound` also for a subvolume that is not there; otherwise as the file system.
    pub fn find_system(&mut self, name: &str) -> Result<usize> {
        let found = self.find(name);
        if found.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound(_)))
            && let Some((index, directory)) = self.find_subvolume(name)?
        {
            self.mount_root(index, &directory)?;
            return Ok(index);
        }
        found
    }

    /// The index of the one volume that `name` names, whatever is on it.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub fn find(&self, name: &str) -> Result<usize> {
        let matching = indices(self, |volume| is_called(volume, name));
        match matching.as_slice() {
            [index] => Ok(*index),
            [] => Err(self.no_volume(name)),
            several => {
                let what = format!("several volumes are called \"{}\"", escape(name.as_bytes()));
                Err(self.ambiguous(what, several))
            }
        }
    }

    /// What is wrong with volumes other than the one at `chosen` whose file system regain knows but could not
    /// read: a system on them would have been missed.
    pub fn unreadable_besides(&self, chosen: usize) -> Vec<String> {
        let others = self.volumes.iter().enumerate().filter(|(index, _)| *index != chosen);
        let reasons = others.filter_map(|(_, volume)| match &volume.content {
            Content::Closed(error)
                if has_ext(volume) || has_ntfs(volume) || volume.probe.is_none() =>
            {
                Some(format!("{}: {error}", volume.describe()))
            }
            Content::Open(open) => {
                let error = open.system.as_ref().err()?;
                Some(format!("{}: {error}", volume.describe()))
            }
            Content::Closed(_) | Content::Layer(_) | Content::Unknown => None,
        });
        reasons.collect()
    }

    /// The volume at `index`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume_at(&self, index: usize) -> Result<&SessionVolume> {
        self.volumes.get(index).ok_or_else(|| Error::not_found("no such volume"))
    }

    fn with_system(&mut self, index: usize) -> Result<usize> {
        if self.volume_at(index)?.system().is_some() {
            return Ok(index);
        }
        Err(self.without_system(index))
    }

    fn no_volume(&self, name: &str) -> Error {
        let known: Vec<String> = self.volumes.iter().map(SessionVolume::describe).collect();
        let name = escape(name.as_bytes());
        Error::not_found(format!("no volume is called \"{name}\"; there are: {}", known.join(", ")))
    }

    fn ambiguous(&self, what: String, indices: &[usize]) -> Error {
        let volumes = indices.iter().filter_map(|&index| self.volumes.get(index));
        let candidates = volumes.flat_map(candidates).collect();
        Error::new(ErrorKind::Ambiguous { what, candidates })
    }

    /// The kind of file system that stands in the way of finding a system, if that is the reason.
    pub fn blocking_kind(&self) -> Option<ProbeKind> {
        let is_closed = |volume: &&SessionVolume| matches!(volume.content, Content::Closed(_));
        let closed = self.volumes.iter().filter(is_closed);
        let kinds = closed.filter_map(|volume| Some(volume.probe.as_ref()?.kind));
        kinds.into_iter().find(|&kind| can_hold_a_root(kind) && !is_ext(kind))
    }

    /// Why there is no system: the first volume that could hold one but cannot be read says so, and ext before
    /// what regain does not read at all.
    fn no_system(&mut self) -> Error {
        let volumes = || self.volumes.iter();
        let damaged = volumes().position(|volume| has_ext(volume) && volume.may_hide_a_system());
        match damaged.or_else(|| volumes().position(SessionVolume::may_hide_a_system)) {
            Some(index) => self.without_system(index),
            None => Error::not_found(format!("{}: no operating system found", self.target_name())),
        }
    }

    /// Why there is no system on the volume at `index`. Takes the reason out of the session.
    fn without_system(&mut self, index: usize) -> Error {
        let name = self.target_name();
        let Some(volume) = self.volumes.get_mut(index) else {
            return Error::not_found("no such volume");
        };
        let layer = volume.describe();
        let reason: Result<()> = match std::mem::replace(&mut volume.content, Content::Unknown) {
            Content::Closed(error) => Err(error),
            Content::Open(open) => match open.system {
                Err(error) => Err(error),
                Ok(_) => Err(Error::not_found("no operating system on it")),
            },
            Content::Layer(what) => {
                Err(Error::not_found(format!("no operating system on it: it is {what}")))
            }
            Content::Unknown => Err(Error::not_found("no file system that regain knows")),
        };
        match reason.context(|| layer).context(|| name) {
            Err(error) => error,
            Ok(()) => Error::not_found("no operating system found"),
        }
    }
}

fn indices(session: &Session, fits: impl Fn(&SessionVolume) -> bool) -> Vec<usize> {
    let volumes = session.volumes.iter().enumerate();
    volumes.filter(|(_, volume)| fits(volume)).map(|(index, _)| index).collect()
}

fn is_called(volume: &SessionVolume, name: &str) -> bool {
    let probe = volume.probe.as_ref();
    volume.volume.id == name
        || volume.source.is_called(name)
        || probe.is_some_and(|probe| {
            (!probe.uuid.is_empty() && probe.uuid.eq_ignore_ascii_case(name))
                || (!probe.label.is_empty() && probe.label == name.as_bytes())
        })
}

impl SessionVolume {
    /// True if a system may be on it that could not be looked for.
    pub fn may_hide_a_system(&self) -> bool {
        match &self.content {
            // A volume that cannot be put together may hold anything.
            Content::Closed(_) => self.probe.as_ref().is_none_or(|p| can_hold_a_root(p.kind)),
            Content::Open(open) => open.system.is_err(),
            Content::Layer(_) | Content::Unknown => false,
        }
    }

    /// The system for people, as in `Debian GNU/Linux 13, host "web"`; none if there is none.
    pub fn describe_system(&self) -> Option<String> {
        self.system().map(roots::describe)
    }
}

fn has_ext(volume: &SessionVolume) -> bool {
    volume.probe.as_ref().is_some_and(|probe| is_ext(probe.kind))
}

fn has_ntfs(volume: &SessionVolume) -> bool {
    volume.probe.as_ref().is_some_and(|probe| probe.kind == ProbeKind::Ntfs)
}

fn is_ext(kind: ProbeKind) -> bool {
    matches!(kind, ProbeKind::Ext2 | ProbeKind::Ext3 | ProbeKind::Ext4)
}

fn can_hold_a_root(kind: ProbeKind) -> bool {
    !matches!(
        kind,
        ProbeKind::Swap { .. } | ProbeKind::Vfat | ProbeKind::Exfat | ProbeKind::ExtJournal
    )
}

/// A volume as a candidate, as in `1 (Debian GNU/Linux 13, host "web")`; or its systems, if there are several.
fn candidates(volume: &SessionVolume) -> Vec<String> {
    if volume.system().is_none() && !volume.roots().is_empty() {
        return volume.root_candidates();
    }
    let system = volume.describe_system();
    vec![
        system
            .map_or_else(|| volume.describe(), |system| format!("{} ({system})", volume.volume.id)),
    ]
}
