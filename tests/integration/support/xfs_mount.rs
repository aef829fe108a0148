//! Mounts of XFS volumes by the kernel, for the tests that need root and loop devices.

use super::tools;
use std::path::{Path, PathBuf};

/// How often a mount is tried: other programs of the host take loop devices, too.
const ATTEMPTS: usize = 20;

/// A mounted volume, unmounted on drop.
#[derive(Debug)]
pub(crate) struct Mount {
    place: PathBuf,
    log_device: Option<String>,
}

impl Mount {
    /// Mounts `image`, with its log in the file `log` if it is not in the image.
    ///
    /// # Panics
    /// Without root, or if the kernel refuses.
    pub(crate) fn new(image: &Path, log: Option<&Path>, place: &Path, options: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root and loop devices");
        std::fs::create_dir_all(place).unwrap();
        let mut options = format!("loop,nouuid,{options}");
        let log_device = log.map(|log| {
            let device = tools::succeed("losetup", &["-f", "--show", log.to_str().unwrap()]);
            device.trim().to_owned()
        });
        if let Some(device) = &log_device {
            options = format!("{options},logdev={device}");
        }
        let (image, target) = (image.to_str().unwrap(), place.to_str().unwrap());
        let arguments = ["-t", "xfs", "-o", &options, image, target];
        let mounted = Self { place: place.to_owned(), log_device };
        for _ in 1..ATTEMPTS {
            if tools::run("mount", &arguments).status.success() {
                return mounted;
            }
        }
        tools::succeed("mount", &arguments);
        mounted
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
        if let Some(device) = &self.log_device {
            tools::run("losetup", &["-d", device]);
        }
    }
}
