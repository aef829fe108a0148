//! Disks as files, for the tests that ask outside programs what they think.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::Disk;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are looked at at once; as many zeros stay a hole.
const CHUNK_BYTES: usize = 64 * 1024;

/// A directory that vanishes with the value, on tmpfs if there is one.
pub(crate) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("regain-unit-").tempdir_in(parent).unwrap()
}

/// Writes the content of `disk` to a new file at `path`; zeros become holes.
pub(crate) fn write_sparse(disk: &dyn Disk, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(disk.len_bytes()).unwrap();
    let (mut chunk, zeros) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut offset_bytes = 0;
    while offset_bytes < disk.len_bytes() {
        let len = CHUNK_BYTES.min((disk.len_bytes() - offset_bytes) as usize);
        disk.read_at(offset_bytes, &mut chunk[..len]).unwrap();
        if chunk[..len] != zeros[..len] {
            file.write_all_at(&chunk[..len], offset_bytes).unwrap();
        }
        offset_bytes += len as u64;
    }
}

/// The path of `program`, also where only administrators look. Programs that are started by their path are started
/// without a copy of the memory of this process, which is large while many tests run.
pub(crate) fn program(program: &str) -> PathBuf {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut directories = std::env::split_paths(&inherited).chain(system);
    let found = directories.find_map(|directory| {
        let path = directory.join(program);
        path.is_file().then_some(path)
    });
    found.unwrap_or_else(|| panic!("{program} is needed by this test"))
}

#[test]
fn holes_and_data_come_out_as_they_were() {
    use crate::disk::memory::MemoryDisk;
    let mut bytes = vec![0; 5 * CHUNK_BYTES + 512];
    bytes[CHUNK_BYTES + 7] = 1;
    bytes[5 * CHUNK_BYTES + 511] = 2;
    let directory = directory();
    let path = directory.path().join("disk.img");
    write_sparse(&MemoryDisk::new(bytes.clone()), &path);
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}
