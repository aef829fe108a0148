//! Directories that autofs mounts (auto.master(5), autofs(5)).

use super::{Mount, Start};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::text::{TEXT_BYTES_MAX, exists, lines, required, sorted_names};

/// Where a service shows that it starts at boot: systemd, and the runlevels of the time before it.
const ENABLED: [&str; 4] = [
    "/etc/systemd/system/multi-user.target.wants/autofs.service",
    "/etc/rc3.d/S28autofs",
    "/etc/rc.d/rc3.d/S28autofs",
    "/etc/rc5.d/S01autofs",
];
const MASTERS: [&str; 2] = ["/etc/auto.master", "/etc/autofs/auto.master"];
/// Bound on the entries of all maps.
const ENTRIES_MAX: usize = 1024;

/// The mounts of all maps that can be read.
pub(super) fn read(fs: &dyn FileSystem) -> Vec<Mount> {
    let start =
        if ENABLED.iter().any(|path| exists(fs, path)) { Start::Boot } else { Start::ByHand };
    let mut files: Vec<String> = MASTERS.iter().map(|path| (*path).to_owned()).collect();
    let directory = GuestPath::new("/etc/auto.master.d");
    if let Ok(Some(found)) = find(fs, &directory) {
        let names = sorted_names(fs, found.node).unwrap_or_default();
        let maps = names.into_iter().filter(|name| name.ends_with(b".autofs"));
        files.extend(maps.map(|name| directory.join(name).to_string()));
    }
    let mut mounts = Vec::new();
    for file in files {
        let content = required(fs, &file, TEXT_BYTES_MAX).ok().flatten().unwrap_or_default();
        for (line, number) in lines(&content).zip(1u64..) {
            let words = words(line);
            let [point, map, ..] = words.as_slice() else { continue };
            let place = format!("{file}:{number}");
            if *point == b"/-" {
                mounts.extend(entries(fs, map, None, start));
            } else if point.starts_with(b"/") && !map.starts_with(b"-") {
                mounts.extend(indirect(fs, point, map, &place, start));
            }
            if mounts.len() > ENTRIES_MAX {
                mounts.truncate(ENTRIES_MAX);
                return mounts;
            }
        }
    }
    mounts
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    let line = line.trim_ascii();
    if line.starts_with(b"#") || line.starts_with(b"+") {
        return Vec::new();
    }
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

/// The names of an indirect map; one that cannot be read, or that knows every name, covers the whole directory.
fn indirect(
    fs: &dyn FileSystem,
    point: &[u8],
    map: &[u8],
    place: &str,
    start: Start,
) -> Vec<Mount> {
    let point = GuestPath::new(point);
    let found = entries(fs, map, Some(&point), start);
    if !found.is_empty() && found.iter().all(|mount| mount.target != point) {
        return found;
    }
    let (source, type_name) = (map.to_vec(), b"autofs".to_vec());
    vec![Mount {
        source,
        target: point,
        type_name,
        options: Vec::new(),
        place: place.to_owned(),
        start,
    }]
}

/// The entries of a map in a file; a name that begins with `/` is a path itself.
fn entries(fs: &dyn FileSystem, map: &[u8], below: Option<&GuestPath>, start: Start) -> Vec<Mount> {
    let map = map.strip_prefix(b"file:").unwrap_or(map);
    let path =
        if map.starts_with(b"/") { GuestPath::new(map) } else { GuestPath::new("/etc").join(map) };
    let file = path.to_string();
    let content = required(fs, &file, TEXT_BYTES_MAX).ok().flatten().unwrap_or_default();
    let mut mounts = Vec::new();
    for (line, number) in lines(&content).zip(1u64..).take(ENTRIES_MAX) {
        // `+map` includes another one, which may know any name.
        let includes = line.trim_ascii().starts_with(b"+");
        let words = words(line);
        let (Some(name), Some(source)) =
            (words.first().copied().or(includes.then_some(b"*")), words.last())
        else {
            if let (true, Some(point)) = (includes, below) {
                mounts.push(any(point, line, &file, number, start));
            }
            continue;
        };
        let target = match below {
            None if name.starts_with(b"/") => GuestPath::new(name),
            None => continue,
            Some(point) if name == b"*" => point.clone(),
            Some(point) => point.join(name),
        };
        let (source, type_name) = (source.to_vec(), b"autofs".to_vec());
        let place = format!("{file}:{number}");
        mounts.push(Mount { source, target, type_name, options: Vec::new(), place, start });
    }
    mounts
}

fn any(point: &GuestPath, line: &[u8], file: &str, number: u64, start: Start) -> Mount {
    let (source, type_name) = (line.trim_ascii().to_vec(), b"autofs".to_vec());
    let (target, place) = (point.clone(), format!("{file}:{number}"));
    Mount { source, target, type_name, options: Vec::new(), place, start }
}
