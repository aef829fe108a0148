//! Which users cloud-init knows: its default user, and those it gave sudo (VOL-37, levels 2 and 3).
//!
//! Only one path of the YAML is needed, `system_info: default_user: name:`, so it is followed by indentation, with
//! flow mappings on one line understood. Not handled: anchors, tags, block scalars on that path, keys in quotes,
//! merges other than "later file wins".

use super::text::{lines, optional, sorted_names};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};
use std::collections::BTreeSet;

/// Bound on the drop-in files that are read.
const FILES_MAX: usize = 128;
/// Bound on the lines of one file that are looked at.
const LINES_MAX: usize = 20_000;
/// Bound on the nesting that is followed.
const DEPTH_MAX: usize = 32;

const DEFAULT_USER_NAME: [&[u8]; 3] = [b"system_info", b"default_user", b"name"];

/// The name of the default user: `/etc/cloud/cloud.cfg`, then `cloud.cfg.d/*.cfg` in name order,
/// the last wins.
pub fn default_user(fs: &dyn FileSystem, warnings: &mut Vec<String>) -> Option<Vec<u8>> {
    let mut name = None;
    for path in configuration_files(fs) {
        let Some(content) = optional(fs, &path, warnings) else { continue };
        name = value_at(&content, &DEFAULT_USER_NAME).or(name);
    }
    name
}

/// The names in `/etc/sudoers.d/90-cloud-init-users`, each once, in file order.
pub fn sudo_users(fs: &dyn FileSystem, warnings: &mut Vec<String>) -> Vec<Vec<u8>> {
    let content = optional(fs, "/etc/sudoers.d/90-cloud-init-users", warnings).unwrap_or_default();
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in lines(&content).take(LINES_MAX) {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { continue };
        let is_rule = words.next().is_some_and(|word| word.contains(&b'='));
        let is_name = !matches!(name.first(), Some(b'#' | b'%' | b'@' | b'+'));
        if is_rule && is_name && seen.insert(name) {
            names.push(name.to_vec());
        }
    }
    names
}

pub(super) fn configuration_files(fs: &dyn FileSystem) -> Vec<String> {
    let mut paths = vec!["/etc/cloud/cloud.cfg".to_owned()];
    let directory = "/etc/cloud/cloud.cfg.d";
    let found = find(fs, &GuestPath::new(directory)).ok().flatten();
    let names = found.and_then(|found| sorted_names(fs, found.node).ok()).unwrap_or_default();
    let names = names.into_iter().filter(|name| name.ends_with(b".cfg")).take(FILES_MAX);
    // A name that is no UTF-8 cannot be the work of a package; it is left out.
    let names = names.filter_map(|name| String::from_utf8(name).ok());
    paths.extend(names.map(|name| format!("{directory}/{name}")));
    paths
}

/// The scalar at a path of mapping keys.
fn value_at(content: &[u8], path: &[&[u8]]) -> Option<Vec<u8>> {
    // Indentation and key of the mappings around the present line.
    let mut around: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut found = None;
    for line in lines(content).take(LINES_MAX) {
        let text = line.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let indent = line.len().saturating_sub(line.trim_ascii_start().len());
        around.retain(|(outer, _)| *outer < indent);
        let Some((key, value)) = key_and_value(text) else { continue };
        if around.len() >= DEPTH_MAX {
            continue;
        }
        around.push((indent, key.to_vec()));
        let is_prefix = around
            .iter()
            .map(|(_, key)| key.as_slice())
            .eq(path.iter().copied().take(around.len()));
        if is_prefix {
            let rest = path.get(around.len()..).unwrap_or_default();
            found = scalar_or_flow(value, rest).or(found);
        }
    }
    found
}

fn key_and_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().zip(1usize..).position(|(&byte, next)| {
        byte == b':' && text.get(next).is_none_or(u8::is_ascii_whitespace)
    })?;
    let key = text.get(..colon)?.trim_ascii();
    Some((key, text.get(colon.saturating_add(1)..).unwrap_or_default().trim_ascii()))
}

/// The value itself if nothing is left of the path, else what a flow mapping `{a: {b: c}}` has
/// there.
fn scalar_or_flow(value: &[u8], rest: &[&[u8]]) -> Option<Vec<u8>> {
    let Some((key, deeper)) = rest.split_first() else { return scalar(value) };
    let inside = value.strip_prefix(b"{")?;
    let mut depth = 0usize;
    for part in inside.split(|&byte| byte == b',') {
        if depth == 0
            && let Some((found, value)) = key_and_value(part.trim_ascii())
            && found == *key
        {
            return scalar_or_flow(value, deeper);
        }
        for byte in part {
            match byte {
                b'{' => depth = depth.saturating_add(1),
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    None
}

fn scalar(value: &[u8]) -> Option<Vec<u8>> {
    let text = match value.first()? {
        quote @ (b'"' | b'\'') => value.get(1..)?.split(|byte| byte == quote).next()?,
        b'&' | b'*' | b'!' | b'|' | b'>' | b'{' | b'[' | b'#' => return None,
        _ => {
            let end = value.windows(2).position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
            let text = value.get(..end.unwrap_or(value.len()))?.trim_ascii();
            text.split(|&byte| matches!(byte, b'}' | b',')).next()?.trim_ascii()
        }
    };
    (!text.is_empty() && text.len() <= 255).then(|| text.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn the_default_user_is_found_however_it_is_written() {
        for (yaml, expected) in [
            ("system_info:\n  default_user:\n    name: admin\n", Some("admin")),
            (
                "system_info:\n   distro: debian\n   default_user:\n     lock: True\n     name: 'ubuntu' # x\n",
                Some("ubuntu"),
            ),
            ("system_info: {default_user: {name: core, gecos: x}}\n", Some("core")),
            (
                "system_info:\n  default_user: {gecos: \"a, b\", name: \"ec2-user\"}\n",
                Some("ec2-user"),
            ),
            ("system_info:\r\n  default_user:\r\n    name: admin\r\n", Some("admin")),
            ("# system_info:\nusers:\n - default\ndefault_user:\n  name: wrong\n", None),
            ("system_info:\n  x:\n    default_user:\n      name: wrong\n", None),
            ("system_info:\n  default_user:\n    groups:\n      name: wrong\n", None),
            ("system_info:\n  default_user:\nname: wrong\n", None),
            ("system_info:\n  default_user:\n    name: |\n      wrong\n", None),
            ("\0\u{1}", None),
        ] {
            let found = value_at(yaml.as_bytes(), &DEFAULT_USER_NAME);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{yaml}");
        }
    }

    #[test]
    fn later_files_win_and_other_names_do_not_count() {
        let mut tree = MemoryTree::new();
        let yaml = |name: &str| format!("system_info:\n  default_user:\n    name: {name}\n");
        tree.file("/etc/cloud/cloud.cfg", 0, 0o644, yaml("cloud-user").as_bytes())
            .file("/etc/cloud/cloud.cfg.d/00-rhel.cfg", 0, 0o644, yaml("ec2-user").as_bytes())
            .file("/etc/cloud/cloud.cfg.d/05_logging.cfg", 0, 0o644, b"output: x\n")
            .file("/etc/cloud/cloud.cfg.d/99-x.cfg.bak", 0, 0o644, yaml("no").as_bytes())
            .directory("/etc/cloud/cloud.cfg.d/98-x.cfg", 0, 0o755);
        let mut warnings = Vec::new();
        assert_eq!(default_user(&tree, &mut warnings).as_deref(), Some(b"ec2-user".as_slice()));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn sudo_users_are_names_only() {
        let mut tree = MemoryTree::new();
        let rules =
            b"# Created by cloud-init\n\n# User rules for admin\nadmin ALL=(ALL) NOPASSWD:ALL\n\
                      admin ALL=(ALL) ALL\n%wheel ALL=(ALL) ALL\nDefaults x\n";
        tree.file("/etc/sudoers.d/90-cloud-init-users", 0, 0o440, rules);
        assert_eq!(sudo_users(&tree, &mut Vec::new()), [b"admin".to_vec()]);
    }
}
