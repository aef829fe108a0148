//! Mounts by the kernel, for the tests that need root and loop devices.

use super::tools;
use std::path::{Path, PathBuf};

/// How often a mount is tried: other programs of the host take loop devices, too.
const ATTEMPTS: usize = 20;

/// A mount that ends with the value.
#[derive(Debug)]
pub(crate) struct Mount {
    place: PathBuf,
}

impl Mount {
    /// Mounts at `place`, which is made if it is not there; `arguments` say what, and how.
    ///
    /// # Panics
    /// Without root, or if the kernel refuses.
    pub(crate) fn new(place: &Path, arguments: &[&str]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root and loop devices");
        std::fs::create_dir_all(place).unwrap();
        let arguments = [arguments, &[place.to_str().unwrap()]].concat();
        for _ in 1..ATTEMPTS {
            if tools::run("mount", &arguments).status.success() {
                return Self { place: place.to_owned() };
            }
        }
        tools::succeed("mount", &arguments);
        Self { place: place.to_owned() }
    }

    /// Mounts the file system in the file `image`.
    ///
    /// # Panics
    /// As [`Mount::new`].
    pub(crate) fn of_image(fs_type: &str, image: &Path, place: &Path, options: &str) -> Self {
        let options = format!("loop,{options}");
        Self::new(place, &["-t", fs_type, "-o", &options, image.to_str().unwrap()])
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.place
    }

    /// A path in it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.place.join(path.trim_start_matches('/'))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        tools::run("umount", &[self.place.to_str().unwrap()]);
    }
}
