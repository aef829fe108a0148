//! Mounts of XFS volumes by the kernel, for the tests that need root and loop devices.

use super::{mount, tools};
use std::path::{Path, PathBuf};

/// A mounted volume, unmounted on drop. The fields go in this order.
#[derive(Debug)]
pub(crate) struct Mount {
    mount: mount::Mount,
    _log: Option<LogDevice>,
}

impl Mount {
    /// Mounts `image`, with its log in the file `log` if it is not in the image.
    ///
    /// # Panics
    /// Without root, or if the kernel refuses.
    pub(crate) fn new(image: &Path, log: Option<&Path>, place: &Path, options: &str) -> Self {
        let mut options = format!("nouuid,{options}");
        let log = log.map(LogDevice::new);
        if let Some(LogDevice(device)) = &log {
            options = format!("{options},logdev={device}");
        }
        Self { mount: mount::Mount::of_image("xfs", image, place, &options), _log: log }
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        self.mount.root()
    }

    /// A path in it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.mount.path(path)
    }
}

/// A loop device with an external log, given back on drop.
#[derive(Debug)]
struct LogDevice(String);

impl LogDevice {
    fn new(log: &Path) -> Self {
        let device = tools::succeed("losetup", &["-f", "--show", log.to_str().unwrap()]);
        Self(device.trim().to_owned())
    }
}

impl Drop for LogDevice {
    fn drop(&mut self) {
        tools::run("losetup", &["-d", &self.0]);
    }
}
