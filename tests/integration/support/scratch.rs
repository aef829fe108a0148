//! Directories for the images of one test, in memory where the host has room for that.

use std::path::{Path, PathBuf};

/// A directory that vanishes with the value.
#[derive(Debug)]
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new empty directory, on tmpfs if there is one.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let builder_dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::Builder::new().prefix("regain-test-").tempdir_in(builder_dir).unwrap())
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
