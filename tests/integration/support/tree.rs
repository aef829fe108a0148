//! A whole file system as an outside reader sees it: every path with everything about it.
//!
//! Only `debugfs` reads here, never our own code. Field values stay the text that `debugfs` prints, because
//! they are only compared.

use super::{digest, oracle, scratch::Scratch, tools};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Depth of a tree at most; ours are far flatter.
const DEPTH_MAX: u32 = 40;

/// Everything about one path. Keys: `inode`, `type`, `mode`, `uid`, `gid`, `project`, `size`, `links`,
/// `flags`, `generation`, `atime`, `ctime`, `mtime`, `crtime`, `target` and `content` (SHA-256), and one
/// `xattr NAME` for each attribute.
pub(crate) type Fields = BTreeMap<String, String>;

/// The tree: absolute path to fields. The root is `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Fields>);

/// How one path differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Only in the second tree.
    Added,
    /// Only in the first tree.
    Removed,
    /// In both, with these fields not equal.
    Changed(BTreeSet<String>),
}

/// Reads the whole tree of the file system that starts `offset_bytes` into `image`.
pub(crate) fn read(image: &Path, offset_bytes: u64) -> Tree {
    let target = oracle::at(image, offset_bytes);
    let paths = list(&target);
    let numbers: BTreeSet<u64> = paths.values().copied().collect();
    let mut nodes = stat(&target, &numbers);
    add_contents(&target, &mut nodes);
    Tree(paths.into_iter().map(|(path, number)| (path, nodes[&number].clone())).collect())
}

/// What changed from `before` to `after`, path by path.
pub(crate) fn diff(before: &Tree, after: &Tree) -> BTreeMap<String, Difference> {
    let paths: BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
    let mut differences = BTreeMap::new();
    for path in paths {
        let difference = match (before.0.get(path), after.0.get(path)) {
            (None, _) => Difference::Added,
            (_, None) => Difference::Removed,
            (Some(old), Some(new)) => {
                let keys = old.keys().chain(new.keys());
                let changed: BTreeSet<String> =
                    keys.filter(|key| old.get(*key) != new.get(*key)).cloned().collect();
                if changed.is_empty() {
                    continue;
                }
                Difference::Changed(changed)
            }
        };
        differences.insert(path.clone(), difference);
    }
    differences
}

/// Runs `commands` in one read-only `debugfs` and returns what each of them printed.
pub(crate) fn debugfs(target: &str, commands: &[String]) -> Vec<String> {
    if commands.is_empty() {
        return Vec::new();
    }
    let scratch = Scratch::new();
    let script = scratch.join("script");
    std::fs::write(&script, commands.join("\n") + "\n").unwrap();
    let text = tools::run("debugfs", &["-f", script.to_str().unwrap(), target]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    // Each command is printed behind the prompt before its output.
    let mut answers = Vec::new();
    let mut rest = text.as_str();
    for (index, command) in commands.iter().enumerate() {
        let prompt = format!("debugfs: {command}\n");
        let start =
            rest.find(&prompt).unwrap_or_else(|| panic!("{target}: no answer to {command}"));
        let after = &rest[start + prompt.len()..];
        let end = commands
            .get(index + 1)
            .and_then(|next| after.find(&format!("debugfs: {next}\n")))
            .unwrap_or(after.len());
        answers.push(after[..end].to_owned());
        rest = &after[end..];
    }
    answers
}

/// Every path with its inode number, directory by directory, level by level.
fn list(target: &str) -> BTreeMap<String, u64> {
    let mut paths = BTreeMap::from([("/".to_owned(), 2)]);
    let mut level = vec![(String::new(), 2u64)];
    for _ in 0..DEPTH_MAX {
        if level.is_empty() {
            return paths;
        }
        let commands: Vec<String> =
            level.iter().map(|(_, number)| format!("ls -p <{number}>")).collect();
        let answers = debugfs(target, &commands);
        let mut below = Vec::new();
        for ((parent, _), answer) in level.iter().zip(answers) {
            for (name, number, is_directory) in answer.lines().filter_map(entry) {
                let path = format!("{parent}/{name}");
                let is_new = paths.insert(path.clone(), number).is_none();
                assert!(is_new, "{target}: {path} is there twice");
                if is_directory {
                    below.push((path, number));
                }
            }
        }
        level = below;
    }
    panic!("{target}: deeper than {DEPTH_MAX} directories");
}

/// `/13/040755/0/0/name/size/` as name, inode number, "is a directory".
fn entry(line: &str) -> Option<(String, u64, bool)> {
    let parts: Vec<&str> = line.split('/').collect();
    let [_, number, mode, _, _, name, ..] = parts.as_slice() else {
        return None;
    };
    // Unused entries are printed too, with inode 0.
    let is_used = *number != "0" && !matches!(*name, "." | "..");
    is_used.then(|| ((*name).to_owned(), number.parse().unwrap(), mode.starts_with("04")))
}

fn stat(target: &str, numbers: &BTreeSet<u64>) -> BTreeMap<u64, Fields> {
    let commands: Vec<String> = numbers.iter().map(|number| format!("stat <{number}>")).collect();
    let answers = debugfs(target, &commands);
    numbers.iter().copied().zip(answers.iter().map(|text| fields(text))).collect()
}

/// The fields in the answer of `debugfs` to `stat`.
fn fields(text: &str) -> Fields {
    let names = [
        ("Inode:", "inode"),
        ("Type:", "type"),
        ("Mode:", "mode"),
        ("Flags:", "flags"),
        ("Generation:", "generation"),
        ("User:", "uid"),
        ("Group:", "gid"),
        ("Project:", "project"),
        ("Size:", "size"),
        ("Links:", "links"),
        ("ctime:", "ctime"),
        ("atime:", "atime"),
        ("mtime:", "mtime"),
        ("crtime:", "crtime"),
    ];
    let mut found = Fields::new();
    let mut is_in_xattrs = false;
    for line in text.lines() {
        if is_in_xattrs && line.starts_with("  ") {
            let (name, value) = line.trim().split_once(" (").unwrap_or((line.trim(), ""));
            // The content of an inline file is compared as content.
            if name != "system.data" {
                found.insert(format!("xattr {name}"), value.to_owned());
            }
            continue;
        }
        is_in_xattrs = line.starts_with("Extended attributes:");
        if let Some(link) = line.strip_prefix("Fast link dest: ") {
            found.insert("target".to_owned(), link.to_owned());
        }
        if line.starts_with("EXTENTS:") || line.starts_with("BLOCKS:") {
            break;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            if let Some((_, name)) = names.iter().find(|(label, _)| *label == pair[0]) {
                found.entry((*name).to_owned()).or_insert_with(|| pair[1].to_owned());
            }
        }
    }
    found
}

/// Adds the digest of the content of regular files and of links that are not stored in the inode.
fn add_contents(target: &str, nodes: &mut BTreeMap<u64, Fields>) {
    let scratch = Scratch::new();
    let mut script = String::new();
    let mut dumped = Vec::new();
    for (number, fields) in nodes.iter() {
        let kind = fields["type"].as_str();
        if kind == "regular" || (kind == "symlink" && !fields.contains_key("target")) {
            let out = scratch.join(&number.to_string());
            writeln!(script, "dump <{number}> {}", out.to_str().unwrap()).unwrap();
            dumped.push((*number, fields["size"].parse::<u64>().unwrap(), out));
        }
    }
    let commands = scratch.join("commands");
    std::fs::write(&commands, script).unwrap();
    tools::succeed("debugfs", &["-f", commands.to_str().unwrap(), target]);
    for (number, size_bytes, out) in dumped {
        // Of a file inside its inode, debugfs 1.47 shows the whole room, which is larger than the file.
        let file = std::fs::File::options().write(true).open(&out).unwrap();
        if file.metadata().unwrap().len() > size_bytes {
            file.set_len(size_bytes).unwrap();
        }
        let content = digest::of_file(&out);
        nodes.get_mut(&number).unwrap().insert("content".to_owned(), content);
    }
}
