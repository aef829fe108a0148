//! Real volumes for the tests of these modules: made by mkntfs, filled through ntfs-3g.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::Ntfs;
use crate::disk::Disk;
use crate::disk::file::FileDisk;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// The time of the edit.
pub(crate) const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };

/// A file with a volume, in a directory of its own on tmpfs if there is one.
#[derive(Debug)]
pub(crate) struct Image {
    directory: tempfile::TempDir,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Runs a program that must succeed, and gives what it printed.
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (package ntfs-3g): {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

impl Image {
    /// A volume of `mib`, with the options of mkntfs in `options`.
    pub(crate) fn make(mib: u64, options: &[&str]) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new().prefix("regain-unit-").tempdir_in(parent).unwrap();
        let path = directory.path().join("disk.img");
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let image = Self { directory, path };
        let arguments = [&["-q", "-F", "-f"], options, &[image.text()]].concat();
        succeed("mkntfs", &arguments);
        image
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// Mounts the volume with ntfs-3g while `work` runs on its root directory.
    pub(crate) fn mounted<T>(&self, options: &str, work: impl FnOnce(&Path) -> T) -> T {
        let mount = self.directory.path().join("mount");
        std::fs::create_dir_all(&mount).unwrap();
        let outside = std::fs::metadata(&mount).unwrap().dev();
        let options = format!("no_detach,{options}");
        let mut server = Command::new("ntfs-3g");
        server.args(["-o", &options, self.text()]).arg(&mount);
        let server = server.stderr(Stdio::null()).spawn();
        let server = server.unwrap_or_else(|error| panic!("ntfs-3g (package ntfs-3g): {error}"));
        let mut mounted = Mounted { server, mount: &mount };
        while std::fs::metadata(&mount).unwrap().dev() == outside {
            let ended = mounted.server.try_wait().unwrap();
            assert!(ended.is_none(), "ntfs-3g -o {options}: {ended:?}");
            std::thread::yield_now();
        }
        let result = work(&mount);
        drop(mounted);
        result
    }

    /// An empty overlay on the volume.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        let file = File::open(&self.path).unwrap();
        let len_bytes = file.metadata().unwrap().len();
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(file, len_bytes, 512));
        Arc::new(Overlay::new(disk))
    }

    /// The volume, opened for reading.
    pub(crate) fn open(&self) -> Ntfs {
        Ntfs::open(self.overlay(), CLOCK).unwrap()
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

/// A running ntfs-3g.
struct Mounted<'a> {
    server: Child,
    mount: &'a Path,
}

impl Drop for Mounted<'_> {
    /// Ends the mount, also when a test fails in it. Everything is on the disk when the program has ended.
    fn drop(&mut self) {
        // Whoever looks at new mounts may keep it busy for a moment.
        for _ in 0..1000 {
            let output = Command::new("umount").arg(self.mount).output();
            if output.is_ok_and(|output| output.status.success()) {
                let _ = self.server.wait();
                return;
            }
        }
        let _ = self.server.kill();
    }
}
