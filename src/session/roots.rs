//! A volume with several systems, each in a subvolume of its own: listed, and one of them looked at.

use super::{Session, SessionVolume};
use crate::bytes::text::escape;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::FileSystem as _;
use crate::fs::mounted::Mounted;
use crate::fs::path::GuestPath;
use crate::guest::{self, System};

/// The root of one of several systems on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its directory.
    pub directory: GuestPath,
    /// The system for people, as far as it could be looked at.
    pub(super) description: Option<String>,
}

impl Root {
    /// The root `directory` with the system that was found in `tree`.
    pub(super) fn new(directory: GuestPath, tree: &Mounted) -> Self {
        let system = guest::detect(tree).ok().flatten();
        Self { directory, description: system.as_ref().map(describe) }
    }
}

impl Session {
    /// Lets the volume at `index` be seen as the system whose root is `directory`.
    ///
    /// # Errors
    /// As the file system.
    pub fn mount_root(&mut self, index: usize, directory: &GuestPath) -> Result<()> {
        let tree = self.tree_of(index, directory)?;
        let system = guest::detect(&tree);
        self.mount(index, tree)?;
        let open = self.open_mut(index)?;
        open.system = system;
        open.chosen_root = Some(directory.clone());
        Ok(())
    }

    /// The volume and the subvolume that `name` names, as in `3:/@other`; none if it names no volume that way.
    ///
    /// # Errors
    /// `NotFound` if the volume has no such subvolume; otherwise as the file system.
    pub(super) fn find_subvolume(&self, name: &str) -> Result<Option<(usize, GuestPath)>> {
        let mut without = None;
        // There may be colons in the names of both.
        for (at, _) in name.match_indices(':') {
            let Some((volume_name, rest)) = name.split_at_checked(at) else { continue };
            let directory = rest.trim_start_matches(':');
            let Ok(index) = self.find(volume_name) else { continue };
            let volume = self.volume_at(index)?;
            let Some(open) = volume.open() else { continue };
            let subvolumes = open.fs.subvolumes()?;
            let wanted = GuestPath::new(directory);
            let is_wanted = |path: &GuestPath| {
                *path == wanted || escape(path.as_bytes()).trim_start_matches('/') == directory
            };
            if let Some(found) = subvolumes.iter().find(|it| is_wanted(&it.path)) {
                return Ok(Some((index, found.path.clone())));
            }
            if !subvolumes.is_empty() {
                without = Some(format!("{} has no subvolume {wanted}", volume.describe()));
            }
        }
        without.map_or(Ok(None), |what| Err(Error::not_found(what)))
    }
}

impl SessionVolume {
    /// The roots of the systems on it, if there are several.
    pub fn roots(&self) -> &[Root] {
        self.open().map_or(&[], |open| &open.roots)
    }

    /// How many systems were found on it.
    pub fn systems_count(&self) -> usize {
        self.roots().len().max(usize::from(self.system().is_some()))
    }

    /// What `--volume` calls the system that is looked at: the volume, and the subvolume where that had to be chosen.
    pub fn system_id(&self) -> String {
        match self.open().and_then(|open| open.chosen_root.as_ref()) {
            Some(directory) => self.root_id(directory),
            None => self.volume.id.clone(),
        }
    }

    /// The subvolume with the root of the system that is looked at, if it is not the top of the file system.
    pub fn root_subvolume(&self) -> Option<&GuestPath> {
        let (_, part) = self.open()?.tree.as_ref()?.parts().next()?;
        Some(&part.directory).filter(|directory| directory.parent().is_some())
    }

    /// What several systems on one volume are called, each as in `3:/@other (Debian GNU/Linux 13, host "web")`.
    pub(super) fn root_candidates(&self) -> Vec<String> {
        let candidate = |root: &Root| {
            let id = self.root_id(&root.directory);
            root.description
                .as_ref()
                .map_or_else(|| id.clone(), |system| format!("{id} ({system})"))
        };
        self.roots().iter().map(candidate).collect()
    }

    /// Why there is no one system on it although there are several.
    pub(super) fn ambiguous_roots(&self) -> Error {
        let what = "several subvolumes hold a system".to_owned();
        Error::new(ErrorKind::Ambiguous { what, candidates: self.root_candidates() })
    }

    fn root_id(&self, directory: &GuestPath) -> String {
        format!("{}:{}", self.volume.id, escape(directory.as_bytes()))
    }
}

/// A system for people, as in `Debian GNU/Linux 13, host "web"`.
pub(super) fn describe(system: &System) -> String {
    let host = system.host_name();
    let host = host.map(|host| format!(", host \"{}\"", escape(host))).unwrap_or_default();
    format!("{}{host}", escape(&system.full_name()))
}
