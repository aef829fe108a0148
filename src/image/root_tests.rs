//! Block devices: loop devices on images, mounted and not.
//!
//! These need root and /dev/loop-control and are therefore ignored by default. Run them with
//! `cargo test -- --include-ignored root_only_`; the test command does so when `REGAIN_ROOT_TESTS=1` is set. Run
//! without what they need, they fail. Packages: mount, util-linux, e2fsprogs, gdisk.

use super::*;
use crate::disk::medium::Medium as _;
use crate::error::{ErrorKind, Refusal};
use crate::image::in_use::{Look, in_use_report};
use std::fs::File;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;

/// How often a free loop device is asked for; other programs of the host take some, too.
const LOOP_ATTEMPTS: usize = 20;

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    let output = command.args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

#[track_caller]
fn must(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image of 16 MiB.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let can_run = nix::unistd::geteuid().is_root() && Path::new("/dev/loop-control").exists();
        assert!(can_run, "this test needs root and loop devices (REGAIN_ROOT_TESTS=1)");
        let directory = TempDir::new().unwrap();
        let image = Self(directory);
        File::create_new(image.path()).unwrap().set_len(16 * MIB).unwrap();
        image
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("disk.img")
    }
}

/// A loop device, detached on drop.
struct Loop(String);

impl Loop {
    fn attach(image: &Scratch, options: &[&str]) -> Self {
        let path = image.path();
        let arguments = [options, &["-f", "--show", path.to_str().unwrap()]].concat();
        for _ in 0..LOOP_ATTEMPTS {
            let output = run("losetup", &arguments);
            if output.status.success() {
                return Self(String::from_utf8(output.stdout).unwrap().trim().to_owned());
            }
        }
        must("losetup", &arguments);
        panic!("no free loop device");
    }

    fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("partx", &["-d", &self.0]);
        run("losetup", &["-d", &self.0]);
    }
}

/// A mount, undone on drop.
struct Mount(TempDir);

impl Mount {
    fn new(device: &str, options: &str) -> Self {
        let place = TempDir::with_prefix("a place ").unwrap();
        must("mount", &["-o", options, device, place.path().to_str().unwrap()]);
        Self(place)
    }

    fn shown(&self) -> String {
        format!("the mount at {}", shown(self.0.path()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.0.path().to_str().unwrap()]);
    }
}

/// The one refusal that the report foretells and the open gives.
#[track_caller]
fn refused(path: &Path) -> Refusal {
    let image = open(path, None).unwrap();
    let report = in_use_report(&image, Look::Thorough).unwrap();
    let error = writable::open(&image).unwrap_err();
    let ErrorKind::Refused(refusal) = error.kind() else { panic!("not a refusal: {error}") };
    assert_eq!(report.as_ref(), Some(refusal));
    refusal.clone()
}

fn in_use_by(path: &Path, holder: impl Into<String>) -> Refusal {
    Refusal::InUse { what: shown(path), holder: Some(holder.into()) }
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_a_block_device_is_measured_and_written() {
    let scratch = Scratch::new();
    for sector_size_bytes in [512, 4096] {
        let device = Loop::attach(&scratch, &["-b", &sector_size_bytes.to_string()]);
        let image = open(device.path(), None).unwrap();
        assert_eq!(image.file.kind, ImageKind::BlockDevice);
        assert_eq!(image.disk.len_bytes(), 16 * MIB);
        assert_eq!(image.disk.sector_size_bytes(), sector_size_bytes);
        assert_eq!(in_use_report(&image, Look::Thorough).unwrap(), None);
        let mut target = writable::open(&image).unwrap();
        let second = writable::open(&image).unwrap_err();
        assert!(matches!(second.kind(), ErrorKind::Refused(Refusal::InUse { .. })), "{second}");
        target.write_at(512, &[7; 512]).unwrap();
        target.sync().unwrap();
        target.drop_cache().unwrap();
        let mut buffer = [0; 1024];
        target.read_at(0, &mut buffer).unwrap();
        assert_eq!((buffer[511], buffer[512], buffer[1023]), (0, 7, 7));
        target.write_at(512, &[0; 512]).unwrap();
        target.sync().unwrap();
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_a_read_only_device_is_refused() {
    let scratch = Scratch::new();
    let device = Loop::attach(&scratch, &["-r"]);
    assert_eq!(refused(device.path()), Refusal::ReadOnly { what: device.0.clone() });
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_an_image_behind_a_loop_device_is_refused() {
    let scratch = Scratch::new();
    must("mke2fs", &["-q", "-t", "ext4", scratch.path().to_str().unwrap()]);
    let device = Loop::attach(&scratch, &[]);
    assert_eq!(refused(&scratch.path()), in_use_by(&scratch.path(), &device.0));
    let mount = Mount::new(&device.0, "ro,noload");
    let holder = format!("{}, {}", device.0, mount.shown());
    assert_eq!(refused(&scratch.path()), in_use_by(&scratch.path(), holder));
    drop((mount, device));
    writable::open(&open(&scratch.path(), None).unwrap()).unwrap();
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_a_mounted_device_is_refused() {
    let scratch = Scratch::new();
    must("mke2fs", &["-q", "-t", "ext4", scratch.path().to_str().unwrap()]);
    let device = Loop::attach(&scratch, &[]);
    for options in ["rw", "ro"] {
        let mount = Mount::new(&device.0, options);
        assert_eq!(refused(device.path()), in_use_by(device.path(), mount.shown()), "{options}");
    }
    writable::open(&open(device.path(), None).unwrap()).unwrap();
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_a_disk_with_a_mounted_partition_is_refused() {
    let scratch = Scratch::new();
    must("sgdisk", &["-n1:2048:+8M", scratch.path().to_str().unwrap()]);
    let device = Loop::attach(&scratch, &[]);
    // Not every kernel reads partition tables by itself.
    must("partx", &["-u", &device.0]);
    let partition = format!("{}p1", device.0);
    must("mke2fs", &["-q", "-t", "ext4", &partition]);
    let image = open(Path::new(&partition), None).unwrap();
    assert_eq!((image.file.kind, image.disk.len_bytes()), (ImageKind::BlockDevice, 8 * MIB));
    drop(image);
    let mount = Mount::new(&partition, "rw");
    assert_eq!(refused(device.path()), in_use_by(device.path(), mount.shown()));
    assert_eq!(refused(Path::new(&partition)), in_use_by(Path::new(&partition), mount.shown()));
}
