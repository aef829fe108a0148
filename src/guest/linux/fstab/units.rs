//! `.mount` and `.automount` units (systemd.mount(5), systemd.automount(5)).

use super::{Mount, Start};
use crate::fs::path::{GuestPath, Resolution, find, resolve};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::{TEXT_BYTES_MAX, lines, required, sorted_names};
use std::collections::BTreeSet;

/// Where units are, the first one that has a unit decides.
const DIRECTORIES: [&str; 3] =
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// Mounts of the system itself, which no home is in.
const OWN: [&str; 6] = ["/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp"];
/// Bound on the units that are read.
const UNITS_MAX: usize = 256;

/// The mounts of all units that are not masked.
pub(super) fn read(fs: &dyn FileSystem) -> Vec<Mount> {
    let enabled = enabled(fs);
    let mut seen = BTreeSet::new();
    let mut mounts = Vec::new();
    for directory in DIRECTORIES {
        for name in names(fs, directory) {
            let is_mount = name.ends_with(b".mount");
            if !is_mount || seen.len() >= UNITS_MAX || !seen.insert(name.clone()) {
                continue;
            }
            let path = GuestPath::new(directory).join(&name);
            mounts.extend(unit(fs, &path, &name, &enabled));
        }
    }
    mounts
}

fn names(fs: &dyn FileSystem, directory: &str) -> Vec<Vec<u8>> {
    let Ok(Some(found)) = find(fs, &GuestPath::new(directory)) else { return Vec::new() };
    sorted_names(fs, found.node).unwrap_or_default()
}

/// Names of the units that some target wants.
fn enabled(fs: &dyn FileSystem) -> BTreeSet<Vec<u8>> {
    let mut enabled = BTreeSet::new();
    for directory in DIRECTORIES {
        for target in names(fs, directory) {
            if target.ends_with(b".wants") || target.ends_with(b".requires") {
                let path = GuestPath::new(directory).join(&target);
                let units = names(fs, &String::from_utf8_lossy(path.as_bytes()));
                let is_mount =
                    |name: &Vec<u8>| name.ends_with(b".mount") || name.ends_with(b".automount");
                enabled.extend(units.into_iter().filter(is_mount));
            }
        }
    }
    enabled
}

fn unit(
    fs: &dyn FileSystem,
    path: &GuestPath,
    name: &[u8],
    enabled: &BTreeSet<Vec<u8>>,
) -> Option<Mount> {
    // A link to /dev/null masks the unit.
    if let Ok(Resolution::Found(found)) = resolve(fs, path, false)
        && fs.metadata(found.node).ok()?.kind == NodeKind::Symlink
        && fs.read_link(found.node).ok()? == b"/dev/null"
    {
        return None;
    }
    let content = required(fs, &path.to_string(), TEXT_BYTES_MAX).ok().flatten()?;
    let value = |key: &str| {
        let found = lines(&content).filter_map(|line| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
            (name.trim() == key).then(|| value.trim().as_bytes().to_vec())
        });
        found.last().unwrap_or_default()
    };
    let target = value("Where");
    if !target.starts_with(b"/") || OWN.iter().any(|own| target.starts_with(own.as_bytes())) {
        return None;
    }
    let automount = [name.strip_suffix(b".mount")?, b".automount".as_slice()].concat();
    let is_enabled = enabled.contains(name) || enabled.contains(&automount);
    let options = value("Options");
    let start = if is_enabled { Start::of(&options) } else { Start::ByHand };
    Some(Mount {
        source: value("What"),
        target: GuestPath::new(target),
        type_name: value("Type"),
        options,
        place: path.to_string(),
        start,
    })
}
