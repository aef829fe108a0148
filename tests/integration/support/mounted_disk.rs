//! Disks with a system whose directories are spread over several volumes.

use super::image::{ImageBuilder, Nodes};
use super::scratch::Scratch;
use super::{root, sparse, tools, xfs_build};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const MIB: u64 = 1024 * 1024;
/// UUID of the root file system.
pub(crate) const ROOT_UUID: &str = "8f2c1d5e-3a4b-4c6d-9e7f-0000000000aa";
/// UUID of the file system with the homes.
pub(crate) const HOME_UUID: &str = "8f2c1d5e-3a4b-4c6d-9e7f-0000000000bb";
/// UUID of the file system of /var.
pub(crate) const VAR_UUID: &str = "8f2c1d5e-3a4b-4c6d-9e7f-0000000000cc";
/// UUID of the partition with the homes.
pub(crate) const HOME_PART_UUID: &str = "6f0c7d1e-1111-4222-8333-0000000000bb";

/// A root with this fstab and with no home in it but an empty mount point of an odd owner.
pub(crate) fn root_nodes(fstab: &str) -> Nodes {
    let mut nodes = root::bare();
    nodes.0.retain(|path, _| !path.starts_with("/home/"));
    nodes.directory("/home", 0o700, 4711);
    nodes.file("/etc/fstab", fstab, 0o644, 0);
    nodes
}

/// The root file system.
pub(crate) fn root_volume(scratch: &Scratch, nodes: Nodes) -> PathBuf {
    let builder = ImageBuilder::new("ext4", 16).arguments(&format!("-L root -U {ROOT_UUID}"));
    builder.nodes(nodes).build_in(scratch, "root.volume")
}

/// The home of admin with the old key, as it is below /home.
pub(crate) fn home_nodes() -> Nodes {
    let mut nodes = Nodes::default();
    for (path, node) in root::with_key().0 {
        if let Some(below) = path.strip_prefix("/home").filter(|below| !below.is_empty()) {
            nodes.0.insert(below.to_owned(), node);
        }
    }
    nodes
}

/// An XFS with the homes.
pub(crate) fn home_volume(scratch: &Scratch, nodes: &Nodes) -> PathBuf {
    let own = Scratch::new();
    let made = xfs_build::volume(&own, 32, &format!("-L home -m uuid={HOME_UUID}"), nodes);
    let path = scratch.join("home.volume");
    tools::copy_sparse(&made, &path);
    path
}

/// An ext4 for /var.
pub(crate) fn var_volume(scratch: &Scratch) -> PathBuf {
    let mut nodes = Nodes::default();
    nodes.directory("/lib", 0o755, 0);
    nodes.file("/lib/something", "of var\n", 0o644, 0);
    let builder = ImageBuilder::new("ext4", 8).arguments(&format!("-L var -U {VAR_UUID}"));
    builder.nodes(nodes).build_in(scratch, "var.volume")
}

/// Writes a partition table for partitions with these starts and sizes in bytes.
type Table = fn(&Path, &[(u64, u64)]);

/// A disk with a GPT and these volumes as its partitions, from 1.
#[derive(Debug)]
pub(crate) struct MountedDisk {
    pub(crate) path: PathBuf,
    /// Start and size of each partition in bytes.
    partitions: Vec<(u64, u64)>,
}

impl MountedDisk {
    /// Makes it as `name` in `scratch`.
    pub(crate) fn new(scratch: &Scratch, name: &str, volumes: &[&Path]) -> Self {
        Self::with_table(scratch, name, volumes, gpt)
    }

    /// As [`MountedDisk::new`], with an MBR of the signature 0x1a2b3c4d.
    pub(crate) fn with_mbr(scratch: &Scratch, name: &str, volumes: &[&Path]) -> Self {
        Self::with_table(scratch, name, volumes, mbr)
    }

    fn with_table(scratch: &Scratch, name: &str, volumes: &[&Path], table: Table) -> Self {
        let path = scratch.join(name);
        let mut partitions = Vec::new();
        let mut start = MIB;
        for volume in volumes {
            let size = std::fs::metadata(volume).unwrap().len();
            partitions.push((start, size));
            start += size;
        }
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(start + MIB).unwrap();
        table(&path, &partitions);
        let disk = Self { path, partitions };
        for (number, volume) in (1..).zip(volumes) {
            disk.put(number, &sparse::read(volume));
        }
        disk
    }

    /// Writes over the start of a partition.
    pub(crate) fn put(&self, number: usize, bytes: &[u8]) {
        let file = std::fs::File::options().write(true).open(&self.path).unwrap();
        let start = self.partitions[number - 1].0;
        for (index, block) in bytes.chunks(65_536).enumerate() {
            if block.iter().any(|&byte| byte != 0) {
                file.write_all_at(block, start + index as u64 * 65_536).unwrap();
            }
        }
    }

    /// Where a partition starts.
    pub(crate) fn start(&self, number: usize) -> u64 {
        self.partitions[number - 1].0
    }

    /// The bytes of a partition.
    pub(crate) fn bytes(&self, number: usize) -> Vec<u8> {
        let (start, size) = self.partitions[number - 1];
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        let file = std::fs::File::open(&self.path).unwrap();
        file.read_exact_at(&mut bytes, start).unwrap();
        bytes
    }

    /// A partition as a file of its own, for tools that take no offset.
    pub(crate) fn extract(&self, scratch: &Scratch, number: usize) -> PathBuf {
        let path = scratch.join("partition");
        sparse::write(&path, &self.bytes(number));
        path
    }
}

/// The UUID of a partition: 2 is the one with the homes.
fn part_uuid(number: usize) -> String {
    if number == 2 {
        return HOME_PART_UUID.to_owned();
    }
    format!("6f0c7d1e-1111-4222-8333-{number:012}")
}

fn gpt(disk: &Path, partitions: &[(u64, u64)]) {
    let mut arguments = vec!["--set-alignment=8".to_owned()];
    for (number, (start, size)) in (1..).zip(partitions) {
        let (first, last) = (start / 512, (start + size) / 512 - 1);
        arguments.push(format!("--new={number}:{first}:{last}"));
        arguments.push(format!("--change-name={number}:part {number}"));
        arguments.push(format!("--partition-guid={number}:{}", part_uuid(number)));
    }
    arguments.push(disk.to_str().unwrap().to_owned());
    tools::succeed("sgdisk", &arguments);
}

fn mbr(disk: &Path, partitions: &[(u64, u64)]) {
    use std::fmt::Write as _;
    let mut script = "label: dos\nlabel-id: 0x1a2b3c4d\n".to_owned();
    for (start, size) in partitions {
        writeln!(script, "start={}, size={}, type=83", start / 512, size / 512).unwrap();
    }
    let mut command = tools::command("sfdisk");
    command.arg("-q").arg(disk).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "sfdisk: {output:?}");
}
