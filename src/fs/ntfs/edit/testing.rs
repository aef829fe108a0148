//! Volumes of mkntfs for the tests of these modules, and the programs that judge an edit.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::Ntfs;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::{Change, Overlay};
use crate::fs::{FileEdit as _, FileSystem as _, NewNode, NodeId, Timestamp, Xattr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// 2024-06-01 00:00:00 UTC.
pub(super) const CLOCK: Timestamp = Timestamp { seconds: 1_717_200_000, nanoseconds: 0 };

/// A volume under test.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) overlay: Arc<Overlay>,
    pub(super) ntfs: Ntfs,
    /// Holds the images; vanishes with the value.
    directory: tempfile::TempDir,
}

/// Runs a program that must succeed, and gives what it printed.
pub(super) fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// A directory on tmpfs, if there is one.
fn scratch() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        tempfile::tempdir_in(shared).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A mount by ntfs-3g, undone on drop.
#[derive(Debug)]
pub(super) struct Mount(pub(super) PathBuf);

impl Mount {
    /// Mounts `image` with `options`.
    pub(super) fn new(image: &Path, options: &str) -> Self {
        let place = image.with_extension("mount");
        std::fs::create_dir_all(&place).unwrap();
        let (image, at) = (image.to_str().unwrap(), place.to_str().unwrap());
        succeed("ntfs-3g", &["-o", options, image, at]);
        Self(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let place = self.0.to_str().unwrap();
        // A program that looks at every new mount may hold it for a moment.
        for _ in 0..50 {
            let output = Command::new("umount").arg(place).output().unwrap();
            if output.status.success() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

impl Bench {
    /// A volume of `mib` MiB, made with `arguments` of mkntfs and populated by `populate`, which may mount it.
    pub(super) fn new(mib: u64, arguments: &[&str], populate: impl FnOnce(&Path)) -> Self {
        let directory = scratch();
        let image = directory.path().join("volume");
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let image_name = image.to_str().unwrap();
        let common = ["-F", "-q", "-T", "-f", "-L", "test"];
        succeed("mkntfs", &[&common[..], arguments, &[image_name]].concat());
        populate(&image);
        Self::open(std::fs::read(&image).unwrap(), directory)
    }

    fn open(bytes: Vec<u8>, directory: tempfile::TempDir) -> Self {
        let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))));
        let ntfs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
        Self { overlay, ntfs, directory }
    }

    /// The node of a path.
    pub(super) fn node(&self, path: &str) -> NodeId {
        path.split('/').filter(|name| !name.is_empty()).fold(self.ntfs.root(), |node, name| {
            let found = self.ntfs.lookup(node, name.as_bytes()).unwrap();
            found.unwrap_or_else(|| panic!("no {path}"))
        })
    }

    /// Creates a file in the root.
    pub(super) fn create(&mut self, name: &str, content: &[u8]) -> NodeId {
        let root = self.ntfs.root();
        self.ntfs.create_file(root, name.as_bytes(), &NewNode::default(), content).unwrap()
    }

    /// The whole content of a file.
    pub(super) fn read(&self, node: NodeId) -> Vec<u8> {
        self.ntfs.read(node, 1 << 30).unwrap()
    }

    /// What changed since the last call, which the volume below now has.
    pub(super) fn commit(self) -> (Self, Vec<Change>) {
        let changes = self.overlay.changes().unwrap();
        let bytes = self.bytes();
        let Self { directory, .. } = self;
        (Self::open(bytes, directory), changes)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        use crate::disk::Disk as _;
        let len = usize::try_from(self.overlay.len_bytes()).unwrap();
        self.overlay.read_vec(0, len).unwrap()
    }

    /// Writes the volume to a file.
    pub(super) fn image(&self) -> PathBuf {
        let image = self.directory.path().join("edited");
        std::fs::write(&image, self.bytes()).unwrap();
        image
    }

    /// The programs have nothing to say.
    pub(super) fn assert_clean(&self) -> PathBuf {
        let image = self.image();
        assert_clean(&image);
        image
    }
}

/// `ntfsfix -n`, `ntfsresize -i -f` (which counts all clusters) and `ntfsinfo` have nothing to say.
pub(super) fn assert_clean(image: &Path) {
    let name = image.to_str().unwrap();
    let said = succeed("ntfsfix", &["-n", name]);
    let is_fine = said.contains("completed successfully") && said.contains("was processed");
    assert!(is_fine && !said.contains("rror") && !said.contains("FAILED"), "{said}");
    let output = Command::new("ntfsresize").args(["-i", "-f", "-P", name]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // It refuses volumes that are too full or too small to be made smaller, after its check.
    let is_fine = said.contains("Accounting clusters") && said.contains("Space in use");
    let is_bad = ["orrupt", "mismatch", "inconsist", "eferenced", "ERROR: Couldn"];
    assert!(is_fine && !is_bad.iter().any(|word| said.contains(word)), "{said}");
    let said = succeed("ntfsinfo", &["-m", name]);
    assert!(!said.contains("ERROR"), "{said}");
}

/// Sectors that `changes` cover.
pub(super) fn sectors(changes: &[Change]) -> usize {
    changes.iter().map(|change| change.after.len() / 512).sum()
}

/// A new node with its own security descriptor.
pub(super) fn with_acl(descriptor: &[u8]) -> NewNode {
    let value = descriptor.to_vec();
    let xattrs = vec![Xattr { name: crate::fs::NTFS_ACL_NAME.to_vec(), value }];
    NewNode { xattrs, ..NewNode::default() }
}
