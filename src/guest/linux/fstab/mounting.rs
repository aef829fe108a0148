//! Mounts what fstab and mount units say, from the volumes that are given, as the guest does at boot (fstab(5),
//! systemd.mount(5), systemd-fstab-generator(8); VOL-17).
//!
//! Directories near the root come first, bind mounts last. Where the answer would be a guess, nothing is mounted
//! and the tree says why (see [`FileSystem::mount_points`]): several volumes with one name, names of devices, two
//! lines for one directory that mean different things (the first counts for systemd, the last for mount(8)).
//!
//! What is mounted by hand only, in memory or over a network is left alone: what that means for a login is decided
//! by the rules for it.

use super::{Found, Mount, Start, VolumeNames, is_below, source};
use crate::bytes::text::escape_limited;
use crate::error::{Error, Result};
use crate::fs::mounted::{Mounted, Part, Shared};
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem, Missing, Subvolume};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bound on the rounds: a mounted /usr may bring units that mount more.
const ROUNDS_MAX: usize = 3;

/// A volume that may be mounted.
#[derive(Debug)]
pub struct Candidate {
    /// Its names.
    pub names: VolumeNames,
    /// The volume for people, as in `volume 2 (xfs "home")`.
    pub name: String,
    /// Its file system, or why it cannot be read.
    pub content: Result<Shared, String>,
}

/// The tree of the system whose root is `directory` of the volume at `root` in `volumes`.
///
/// # Errors
/// As [`Mounted::new`]; what cannot be mounted is no error.
pub fn mount_all(root: usize, directory: GuestPath, volumes: &[Candidate]) -> Result<Mounted> {
    let part = part(root, directory, volumes)?;
    let names = volumes.iter().map(|v| v.names.clone()).collect();
    let mounting = Mounting { volumes, names, subvolumes: RefCell::default() };
    let mut tree = Mounted::new(part)?;
    let mut done = BTreeSet::from([GuestPath::root()]);
    for _ in 0..ROUNDS_MAX {
        // An fstab that cannot be read is told of by those who need it.
        let mounts = super::read(&tree).unwrap_or_default();
        let mut is_changed = false;
        for group in groups(&mounts) {
            let [first, ..] = group.as_slice() else { continue };
            if !done.insert(first.target.clone()) {
                continue;
            }
            match mounting.mount(&mut tree, &group) {
                Ok(is_mounted) => is_changed |= is_mounted,
                Err(why) => tree.leave_out(&first.target, why),
            }
        }
        if !is_changed {
            break;
        }
    }
    Ok(tree)
}

/// The mounts of one directory each, in the order in which they are made.
fn groups(mounts: &[Mount]) -> Vec<Vec<&Mount>> {
    let mut by_target: BTreeMap<&GuestPath, Vec<&Mount>> = BTreeMap::new();
    for mount in mounts.iter().filter(|mount| mount.start != Start::ByHand) {
        by_target.entry(&mount.target).or_default().push(mount);
    }
    let mut groups: Vec<Vec<&Mount>> = by_target.into_values().collect();
    groups.sort_by_key(|group| {
        let depth = |mount: &&Mount| {
            let bytes = mount.target.as_bytes();
            (mount.bound_from().is_some(), bytes.split(|&byte| byte == b'/').count())
        };
        group.iter().map(depth).max()
    });
    groups
}

fn part(index: usize, directory: GuestPath, volumes: &[Candidate]) -> Result<Part> {
    let candidate = volumes.get(index).ok_or_else(|| Error::not_found("no such volume"))?;
    let fs = candidate.content.as_ref().map_err(|reason| Error::not_found(reason.clone()))?;
    let (name, fs) = (candidate.name.clone(), fs.clone());
    Ok(Part { volume: index, name, fs, directory })
}

/// What a line means.
#[derive(PartialEq, Eq)]
enum Meaning {
    Directory(usize, GuestPath),
    Bind(GuestPath),
    /// Nothing that could be mounted here.
    Other,
}

struct Mounting<'a> {
    volumes: &'a [Candidate],
    names: Vec<VolumeNames>,
    /// The subvolumes of the volumes that were asked for: every line may name the same volume.
    subvolumes: RefCell<BTreeMap<usize, Rc<[Subvolume]>>>,
}

impl Mounting<'_> {
    /// Mounts what the lines for one directory say. True if there was anything to mount.
    fn mount(&self, tree: &mut Mounted, lines: &[&Mount]) -> Result<bool, Missing> {
        let mut meanings = lines.iter().map(|line| self.meaning(line));
        let Some(meaning) = meanings.next().transpose()? else { return Ok(false) };
        for other in meanings {
            if other? != meaning {
                return Err(conflict(lines));
            }
        }
        let Some(target) = lines.first().map(|line| &line.target) else { return Ok(false) };
        let done = match meaning {
            Meaning::Other => return Ok(false),
            Meaning::Directory(index, directory) => {
                part(index, directory, self.volumes).and_then(|part| tree.mount(target, part))
            }
            Meaning::Bind(from) if from == *target => return Ok(false),
            Meaning::Bind(from) => {
                if tree.mount_points().iter().any(|point| is_below(&point.path, target)) {
                    let reason = format!("{target} is bound over what is mounted in it");
                    return Err(Missing { reason, remedy: "mount it by hand".to_owned() });
                }
                tree.bind(target, &from)
            }
        };
        let cannot = |error: Error| Missing {
            reason: format!("it could not be mounted: {error}"),
            remedy: "look at the volume that it means with `regain inspect`".to_owned(),
        };
        done.map(|()| true).map_err(cannot)
    }

    fn meaning(&self, mount: &Mount) -> Result<Meaning, Missing> {
        if let Some(from) = mount.bound_from() {
            return Ok(Meaning::Bind(from));
        }
        if mount.is_virtual() {
            return Ok(Meaning::Other);
        }
        let source = escape_limited(&mount.source, 128);
        match source::find(&mount.source, &self.names) {
            Found::NoVolume => Ok(Meaning::Other),
            Found::Volume(index) => self.directory(index, mount),
            Found::Missing => Err(Missing {
                reason: format!("{source} is on none of the given disks"),
                remedy: "give its disk too, with --device".to_owned(),
            }),
            Found::DeviceName => Err(Missing {
                reason: format!(
                    "{source} does not tell which volume it is, because such names differ \
                                 between machines"
                ),
                remedy: "name the volume by its UUID in /etc/fstab, or edit it by hand".to_owned(),
            }),
            Found::Several(indices) => {
                let volumes = indices.iter().filter_map(|&index| self.volumes.get(index));
                let names: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
                Err(Missing {
                    reason: format!("{source} could be {}", names.join(" or ")),
                    remedy: "give only the disks of this machine".to_owned(),
                })
            }
        }
    }

    /// The directory of a volume that a line mounts: the root, or a subvolume.
    fn directory(&self, index: usize, mount: &Mount) -> Result<Meaning, Missing> {
        let Some(volume) = self.volumes.get(index) else { return Ok(Meaning::Other) };
        let name = &volume.name;
        let unfit = |reason: String| Missing {
            reason,
            remedy: "correct the line of /etc/fstab, or look at the volume".to_owned(),
        };
        let fs = match &volume.content {
            Ok(fs) => fs,
            Err(why) => return Err(unfit(format!("{name} cannot be read here: {why}"))),
        };
        let found = fs.identity().type_name;
        if !is_type(&mount.type_name, found) {
            let wanted = escape_limited(&mount.type_name, 32);
            return Err(unfit(format!("{} wants {wanted}, and {name} is {found}", mount.place)));
        }
        let subvolumes = self.subvolumes(index, fs);
        let subvolumes = subvolumes.map_err(|error| unfit(format!("{name}: {error}")))?;
        let wanted = wanted_subvolume(mount);
        match (choose(&subvolumes, &wanted), wanted) {
            (Some(subvolume), _) => Ok(Meaning::Directory(index, subvolume.path.clone())),
            (None, Wanted::Default) => Ok(Meaning::Directory(index, GuestPath::root())),
            (None, Wanted::Path(path)) => Err(unfit(format!("{name} has no subvolume {path}"))),
            (None, Wanted::Id(id)) => Err(unfit(format!("{name} has no subvolume {id}"))),
        }
    }

    fn subvolumes(&self, index: usize, fs: &Shared) -> Result<Rc<[Subvolume]>> {
        if let Some(known) = self.subvolumes.borrow().get(&index) {
            return Ok(known.clone());
        }
        let listed: Rc<[Subvolume]> = fs.subvolumes()?.into();
        self.subvolumes.borrow_mut().insert(index, listed.clone());
        Ok(listed)
    }
}

fn conflict(lines: &[&Mount]) -> Missing {
    let places: Vec<&str> = lines.iter().map(|line| line.place.as_str()).collect();
    Missing {
        reason: format!("{} mean different things", places.join(" and ")),
        remedy: "keep one line for each directory in /etc/fstab".to_owned(),
    }
}

/// Whether a file system can be mounted as what fstab calls it.
fn is_type(wanted: &[u8], found: &str) -> bool {
    let is_any = wanted.is_empty() || wanted == b"auto" || wanted == b"none";
    let is_ext = |name: &[u8]| matches!(name, b"ext2" | b"ext3" | b"ext4");
    is_any
        || wanted.split(|&byte| byte == b',').any(|wanted| {
            wanted == found.as_bytes() || (is_ext(wanted) && is_ext(found.as_bytes()))
        })
}

/// Which subvolume is asked for.
pub(crate) enum Wanted {
    /// The default one.
    Default,
    /// By its path.
    Path(GuestPath),
    /// By its number.
    Id(u64),
}

fn wanted_subvolume(mount: &Mount) -> Wanted {
    // With both the kernel wants them to agree; the number is the stronger one.
    wanted(mount.option("subvolid"), mount.option("subvol"))
}

/// What the options `subvolid=` and `subvol=` ask for.
pub(crate) fn wanted(id: Option<&[u8]>, path: Option<&[u8]>) -> Wanted {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    match (id.and_then(number), path) {
        // 0 is an old name of the top level.
        (Some(id), _) => Wanted::Id(if id == 0 { TOP_LEVEL_ID } else { id }),
        (None, Some(path)) => Wanted::Path(GuestPath::new(path)),
        (None, None) => Wanted::Default,
    }
}

/// The number of the subvolume that holds all others.
const TOP_LEVEL_ID: u64 = 5;

/// The subvolume that is asked for, if it is there.
pub(crate) fn choose<'a>(subvolumes: &'a [Subvolume], wanted: &Wanted) -> Option<&'a Subvolume> {
    subvolumes.iter().find(|subvolume| match wanted {
        Wanted::Default => subvolume.is_default,
        Wanted::Path(path) => subvolume.path == *path,
        Wanted::Id(id) => subvolume.id == *id,
    })
}

#[cfg(test)]
mod tests;
