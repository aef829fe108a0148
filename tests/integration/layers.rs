//! Keeps the picture in the crate documentation true: nobody looks up or sideways.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every top-level module and the modules that it may name in `use crate::...` or `crate::...`.
///
/// `bytes` and `error` are one layer: errors carry numbers, and numbers become errors.
const MAY_USE: &[(&str, &[&str])] = &[
    ("bytes", &["error"]),
    ("error", &["bytes"]),
    ("disk", &["bytes", "error"]),
    ("image", &["bytes", "error", "disk"]),
    ("volume", &["bytes", "error", "disk"]),
    ("fs", &["bytes", "error", "disk", "image", "volume"]),
    ("patch", &["bytes", "error", "disk", "image"]),
    ("hive", &["bytes", "error"]),
    ("guest", &["bytes", "error", "hive", "fs"]),
    ("login", &["bytes", "error", "fs", "guest"]),
    ("action", &["bytes", "error", "hive", "fs", "guest", "login"]),
    ("report", &["bytes", "error"]),
    (
        "session",
        &[
            "bytes", "error", "disk", "image", "volume", "fs", "patch", "hive", "guest", "login",
            "action",
        ],
    ),
    (
        "cli",
        &[
            "bytes", "error", "disk", "image", "volume", "fs", "patch", "hive", "guest", "login",
            "action", "session", "report",
        ],
    ),
];

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every source file of the crate but those that hold only tests, with its path below `src`.
fn product_files() -> Vec<(PathBuf, String)> {
    let source_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&source_root, &mut files);
    files.retain(|file| {
        let is_tests =
            |name: &str| name == "tests" || name == "testing" || name.ends_with("_tests");
        let below = file.strip_prefix(&source_root).unwrap().with_extension("");
        !below.components().any(|part| is_tests(part.as_os_str().to_str().unwrap()))
    });
    let inside = |file: &Path| file.strip_prefix(&source_root).unwrap().to_owned();
    files.iter().map(|file| (inside(file), fs::read_to_string(file).unwrap())).collect()
}

/// The top-level modules that `source` names behind `crate::`, tests left out.
fn used_modules(source: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (index, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("mod tests {") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for rest in line.split("crate::").skip(1) {
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                used.push((index + 1, name));
            }
        }
        assert!(!line.contains("use crate::{"), "line {}: one `use` a module", index + 1);
    }
    used
}

#[test]
fn nobody_looks_up_or_sideways() {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, source) in product_files() {
        let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        let allowed = table.get(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for (line, used) in used_modules(&source) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}:{line} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn one_place_opens_a_target_for_writing() {
    let files = product_files().into_iter();
    let mut places: Vec<PathBuf> = files
        .filter(|(_, source)| source.contains("clippy::disallowed_methods"))
        .map(|(file, _)| file)
        .collect();
    places.sort();
    assert_eq!(places, [Path::new("image/writable/mod.rs")]);
}
