//! An NTFS volume mounted by ntfs-3g through FUSE: for tests that have root.

use super::tools;
use std::path::{Path, PathBuf};

/// A mount that ends with the value.
#[derive(Debug)]
pub(crate) struct Mount {
    place: PathBuf,
}

impl Mount {
    /// Mounts `image` at `place`, which is made if it is not there; `mode` is `ro` or `rw`.
    pub(crate) fn new(image: &Path, place: &Path, mode: &str) -> Self {
        std::fs::create_dir_all(place).unwrap();
        let options = format!("{mode},permissions,acl,streams_interface=xattr");
        let arguments = [image.to_str().unwrap(), place.to_str().unwrap(), "-o", &options];
        tools::succeed("ntfs-3g", &arguments);
        Self { place: place.to_owned() }
    }

    /// The root of the volume.
    pub(crate) fn root(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The program writes the last of it when the mount ends.
        let output = tools::run("umount", &[&self.place]);
        assert!(output.status.success() || std::thread::panicking(), "umount: {output:?}");
    }
}
