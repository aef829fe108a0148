//! No file under `tests/` may be forgotten: a module that nobody declares is never compiled.

use std::path::{Path, PathBuf};

#[test]
fn every_file_under_tests_is_used() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let integration = tests.join("integration");
    let mut forgotten = Vec::new();
    for file in files_below(&tests) {
        let is_script = file == tests.join("run");
        let is_root = file == integration.join("main.rs");
        if !is_script && !is_root && !is_declared(&file) {
            forgotten.push(file);
        }
    }
    assert!(forgotten.is_empty(), "not compiled: {forgotten:?}");
}

/// True if the parent of the module in `file` has a `mod` line for it.
fn is_declared(file: &Path) -> bool {
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let mut directory = file.parent().unwrap().to_owned();
    let mut name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    if name == "mod" {
        directory.file_name().unwrap().to_str().unwrap().clone_into(&mut name);
        directory.pop();
    }
    let parents = ["main.rs", "mod.rs"].map(|parent| directory.join(parent));
    let declared = |parent: &PathBuf| {
        let text = std::fs::read_to_string(parent).unwrap_or_default();
        text.lines().any(|line| line.trim_start_matches("pub(crate) ") == format!("mod {name};"))
    };
    is_rust && parents.iter().any(declared)
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
