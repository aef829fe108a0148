//! Who uses a target, found without opening it for writing (VOL-31).
//!
//! | what                      | how it shows                                                               |
//! |---------------------------|----------------------------------------------------------------------------|
//! | read-only target          | access(2); `ro` of the device in sysfs                                     |
//! | mounts, also of partitions| /proc/self/mountinfo, compared by device number                            |
//! | swap space                | /proc/swaps, compared by device number                                     |
//! | LVM, md, dm-crypt         | `holders` of the device in sysfs                                           |
//! | any other kernel user     | `O_EXCL` on the device gives EBUSY, also for mounts in another namespace   |
//! | loop devices of a file    | `loop/backing_file` in sysfs, compared by device and inode                 |
//! | qemu and others           | locks of byte ranges, asked for with F_OFD_GETLK (fcntl(2)), and flock(2)  |
//!
//! An open description lock does not tell its process; then whoever has the file open is named, as far as /proc
//! may be read. What these sources do not show (a process that takes no lock, a machine that shares the
//! storage) cannot be known.

use super::host_file::{HostFile, Role};
use super::{Image, ImageIdentity, ImageKind, shown};
use crate::bytes::text::escape;
use crate::error::{Context as _, Refusal, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::AccessFlags;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bound on the devices that are stacked on each other: partition, RAID, encryption, volume group, and some more.
const STACK_DEPTH_MAX: u32 = 8;

/// Bound on the processes that a message names.
const NAMED_PROCESSES_MAX: usize = 4;

/// The bytes that qemu locks for the permissions to write and to resize, as long as it uses them.
const QEMU_WRITE_PERMISSIONS: [i64; 2] = [101, 103];

/// How thoroughly a target is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// For everything. No system call asks for the flock(2) of others without taking it: they are read from
    /// /proc/locks, before whose first line the kernel waits until no processor is in the middle of locking. That
    /// takes longer than all the rest of an edit.
    Thorough,
    /// For everything but flock(2) on files: just before [`super::writable::open`], which takes that lock and gives the
    /// same refusal where it cannot be had.
    BeforeOpen,
}

/// Says why a write to `image` would be refused, `None` if nothing stands in the way now.
///
/// Takes nothing and changes nothing, but for claiming a block device for the time of one system call.
///
/// # Errors
/// `Io` if the target cannot be examined.
pub fn in_use_report(image: &Image, look: Look) -> Result<Option<Refusal>> {
    if let Some(refusal) = &image.not_writable {
        return Ok(Some(refusal.clone()));
    }
    for file in image.files() {
        let refusal = match file.role {
            Role::Written => written_file_report(file, look)?,
            Role::OnlyRead => writer_of(file)?,
        };
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

fn written_file_report(file: &HostFile, look: Look) -> Result<Option<Refusal>> {
    if let Some(refusal) = read_only(file)? {
        return Ok(Some(refusal));
    }
    let holder = match file.kind {
        ImageKind::File => loop_device(file.identity),
        ImageKind::BlockDevice => device_holder(file.identity.device_number),
    };
    if holder.is_some() {
        return Ok(Some(in_use(&file.path, holder)));
    }
    let is_taken = match file.kind {
        // udev takes flock(2) for a moment; a writer of ours would show as a claim, too.
        ImageKind::BlockDevice => is_claimed(&file.path)?,
        ImageKind::File => look == Look::Thorough && flock_holder(file.identity).is_some(),
    };
    let is_taken = is_taken || foreign_lock(file.disk.file())?.is_some();
    Ok(is_taken.then(|| in_use(&file.path, lock_holder(file.disk.file(), file.identity))))
}

/// The refusal of a file that is only read, but that a machine may be writing.
pub(super) fn writer_of(file: &HostFile) -> Result<Option<Refusal>> {
    for permission in QEMU_WRITE_PERMISSIONS {
        let lock = file_lock(libc::F_WRLCK, permission, 1);
        if lock_against(file.disk.file(), lock)?.is_some() {
            let holder = lock_holder(file.disk.file(), file.identity);
            return Ok(Some(in_use(&file.path, holder)));
        }
    }
    Ok(None)
}

/// True if the host keeps what is at `path` on `image` itself: as one of its files, or in a file system that is
/// mounted from it, as far as that can be known. `path` need not exist; its directory counts.
///
/// # Errors
/// `Io` if the directory cannot be examined.
pub fn is_kept_on(image: &Image, path: &Path) -> Result<bool> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let device = fs::metadata(directory).context(|| shown(directory))?.dev();
    if image.files().any(|file| is_object(path, file.identity)) {
        return Ok(true);
    }
    let mut devices = BTreeSet::new();
    for file in image.files() {
        let disks = match file.kind {
            ImageKind::BlockDevice => vec![file.identity.device_number],
            ImageKind::File => {
                loop_devices(file.identity).filter_map(|(_, number)| number).collect()
            }
        };
        for disk in disks {
            devices.extend(with_stacked(disk, STACK_DEPTH_MAX));
        }
    }
    if devices.is_empty() {
        return Ok(false);
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_below = |line: &str| {
        let number = line.split(' ').nth(2).and_then(parse_device);
        number == Some(device) && mount_of(line, &devices).is_some()
    };
    Ok(devices.contains(&device) || mountinfo.lines().any(is_below))
}

/// A device, its partitions, and what the kernel has stacked on any of them, `depth` levels high.
fn with_stacked(device: u64, depth: u32) -> BTreeSet<u64> {
    let mut devices = BTreeSet::from([device]);
    let Some(depth) = depth.checked_sub(1) else { return devices };
    let sysfs = sysfs_device(device);
    let partitions = entries(&sysfs).into_iter().filter(|path| path.join("partition").exists());
    for directory in partitions.chain(entries(sysfs.join("holders"))) {
        if let Some(number) = device_text(&directory.join("dev")) {
            devices.extend(with_stacked(number, depth));
        }
    }
    devices
}

/// The refusal of a target that somebody else uses.
pub(super) fn in_use(path: &Path, holder: Option<String>) -> Refusal {
    Refusal::InUse { what: shown(path), holder }
}

/// The refusal of a target that cannot be written, if that shows without trying.
pub(super) fn read_only(file: &HostFile) -> Result<Option<Refusal>> {
    let is_device_read_only = file.kind == ImageKind::BlockDevice
        && sysfs_text(&sysfs_device(file.identity.device_number), "ro").as_deref() == Some("1");
    let refusal = Refusal::ReadOnly { what: shown(&file.path) };
    if is_device_read_only {
        return Ok(Some(refusal));
    }
    match nix::unistd::access(&file.path, AccessFlags::W_OK) {
        Ok(()) => Ok(None),
        Err(Errno::ETXTBSY) => Ok(Some(in_use(&file.path, Some("a running program".into())))),
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => Ok(Some(refusal)),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

/// A lock that another open file description or process holds on `file`.
///
/// The whole file is asked about, which includes the bytes from 100 and from 200 that qemu locks.
pub(super) fn foreign_lock(file: &File) -> Result<Option<ForeignLock>> {
    // A write lock conflicts with every other lock.
    lock_against(file, file_lock(libc::F_WRLCK, 0, 0))
}

/// The lock of somebody else that keeps `file` from getting `lock`.
fn lock_against(file: &File, mut lock: libc::flock) -> Result<Option<ForeignLock>> {
    match fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) if i32::from(lock.l_type) == libc::F_UNLCK => Ok(None),
        Ok(_) => Ok(Some(ForeignLock { process: u32::try_from(lock.l_pid).ok() })),
        // A file system without locks: nobody can hold one.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(None),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

/// A lock of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForeignLock {
    /// The holder of a lock that belongs to a process; unknown for open file description locks.
    pub(super) process: Option<u32>,
}

/// The lock description of `len` bytes from `start`; `len` 0 is to the end and beyond.
pub(super) fn file_lock(kind: i32, start: i64, len: i64) -> libc::flock {
    // The constants are all below 128.
    let narrow = |value: i32| i16::try_from(value).unwrap_or_default();
    libc::flock {
        l_type: narrow(kind),
        l_whence: narrow(libc::SEEK_SET),
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// Names who holds a lock on `file`, as far as that can be known.
pub(super) fn lock_holder(file: &File, identity: ImageIdentity) -> Option<String> {
    let process = foreign_lock(file).ok().flatten().and_then(|lock| lock.process);
    let process = process.filter(|&id| id != 0).or_else(|| flock_holder(identity));
    if let Some(process) = process.filter(|&id| id != std::process::id()) {
        return Some(process_name(process));
    }
    let processes = open_in(identity);
    let named: Vec<String> =
        processes.iter().take(NAMED_PROCESSES_MAX).map(|&process| process_name(process)).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// The process with a flock(2) on the object, from /proc/locks.
///
/// proc_locks(5): `1: FLOCK  ADVISORY  WRITE 11413 fe:00:10018878 0 EOF`, the device in hexadecimal.
pub(super) fn flock_holder(identity: ImageIdentity) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| parse_flock_line(line, identity.device, identity.inode))
}

fn parse_flock_line(line: &str, device: u64, inode: u64) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1).filter(|word| *word != "->");
    if words.next()? != "FLOCK" {
        return None;
    }
    let mut words = words.skip(2);
    let process: u32 = words.next()?.parse().ok()?;
    let mut numbers = words.next()?.split(':');
    let major = u64::from_str_radix(numbers.next()?, 16).ok()?;
    let minor = u64::from_str_radix(numbers.next()?, 16).ok()?;
    let is_same = (major, minor) == major_minor(device) && numbers.next()?.parse() == Ok(inode);
    is_same.then_some(process)
}

fn major_minor(device: u64) -> (u64, u64) {
    (libc::major(device).into(), libc::minor(device).into())
}

/// The processes, but for ours, that have the object open, in ascending order.
fn open_in(identity: ImageIdentity) -> BTreeSet<u32> {
    let own = std::process::id();
    let processes = entries("/proc").into_iter().filter_map(|path| {
        let id: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let is_user = id != own
            && entries(path.join("fd")).iter().any(|descriptor| is_object(descriptor, identity));
        is_user.then_some(id)
    });
    processes.collect()
}

/// True if `path` leads to the object. A device is the same through every node.
fn is_object(path: &Path, identity: ImageIdentity) -> bool {
    fs::metadata(path).is_ok_and(|metadata| {
        let is_same = metadata.dev() == identity.device && metadata.ino() == identity.inode;
        let is_block_device = metadata.file_type().is_block_device();
        is_same || (is_block_device && metadata.rdev() == identity.device_number)
    })
}

fn process_name(id: u32) -> String {
    match fs::read(format!("/proc/{id}/comm")) {
        Ok(name) => format!("{} (pid {id})", escape(name.trim_ascii_end())),
        Err(_) => format!("pid {id}"),
    }
}

/// The paths in a directory of /proc or /sys; empty if it is not there or must not be read.
fn entries(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The loop device whose backing file the object is, as in "/dev/loop3".
pub(super) fn loop_device(identity: ImageIdentity) -> Option<String> {
    loop_devices(identity).next().map(|(name, number)| {
        let mounted = number.and_then(device_holder);
        let device = format!("/dev/{}", escape(&name));
        mounted.map_or_else(|| device.clone(), |holder| format!("{device}, {holder}"))
    })
}

/// Name and number of every loop device whose backing file the object is.
fn loop_devices(identity: ImageIdentity) -> impl Iterator<Item = (Vec<u8>, Option<u64>)> {
    // Named by the kernel; no other device has a backing file.
    let is_loop = |device: &PathBuf| {
        device.file_name().is_some_and(|name| name.as_bytes().starts_with(b"loop"))
    };
    entries("/sys/block").into_iter().filter(is_loop).filter_map(move |device| {
        let backing_file = fs::read(device.join("loop/backing_file")).ok()?;
        let path = Path::new(std::ffi::OsStr::from_bytes(backing_file.trim_ascii_end()));
        let name = device.file_name()?.as_bytes().to_vec();
        is_object(path, identity).then(|| (name, device_text(&device.join("dev"))))
    })
}

/// True if the kernel refuses an exclusive claim of the device.
fn is_claimed(path: &Path) -> Result<bool> {
    let flags = libc::O_EXCL | libc::O_NONBLOCK | libc::O_NOCTTY;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What uses a block device or one of its partitions: a mount, swapping, or another device on top of it.
pub(super) fn device_holder(device_number: u64) -> Option<String> {
    let sysfs = sysfs_device(device_number);
    let mut devices = BTreeSet::from([device_number]);
    let mut directories = vec![sysfs.clone()];
    for partition in entries(&sysfs) {
        if partition.join("partition").exists() {
            devices.extend(device_text(&partition.join("dev")));
            directories.push(partition);
        }
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(place) = mountinfo.lines().find_map(|line| mount_of(line, &devices)) {
        return Some(format!("the mount at {}", escape(&place)));
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    for name in swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
        if is_one_of(Path::new(name), &devices) {
            return Some(format!("swapping on {}", escape(name.as_bytes())));
        }
    }
    let holder = directories.iter().flat_map(|path| entries(path.join("holders"))).next()?;
    Some(escape(holder.file_name()?.as_bytes()))
}

/// The mount point of a line of mountinfo (proc_pid_mountinfo(5)) if its device is one of `devices`.
///
/// Fields: mount ID, parent ID, major:minor, root, mount point, options, optional fields, `-`, type, source. File
/// systems with several devices have a number of their own; then the source is compared.
fn mount_of(line: &str, devices: &BTreeSet<u64>) -> Option<Vec<u8>> {
    let mut fields = line.split(' ').skip(2);
    let device = parse_device(fields.next()?)?;
    let place = fields.nth(1)?;
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    let is_used = devices.contains(&device) || {
        let source = unescape_octal(source);
        is_one_of(Path::new(std::ffi::OsStr::from_bytes(&source)), devices)
    };
    is_used.then(|| unescape_octal(place))
}

/// Undoes `\040` and the like.
fn unescape_octal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

fn is_one_of(path: &Path, devices: &BTreeSet<u64>) -> bool {
    path.is_absolute()
        && fs::metadata(path).is_ok_and(|metadata| {
            metadata.file_type().is_block_device() && devices.contains(&metadata.rdev())
        })
}

fn sysfs_device(device_number: u64) -> PathBuf {
    let (major, minor) = major_minor(device_number);
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

fn sysfs_text(directory: &Path, name: &str) -> Option<String> {
    Some(fs::read_to_string(directory.join(name)).ok()?.trim().to_owned())
}

fn device_text(path: &Path) -> Option<u64> {
    parse_device(fs::read_to_string(path).ok()?.trim())
}

fn parse_device(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flock_lines_are_matched_by_device_and_inode() {
        let device = libc::makedev(0xfe, 0);
        let line = "1: FLOCK  ADVISORY  WRITE 11413 fe:00:10018878 0 EOF";
        assert_eq!(parse_flock_line(line, device, 10_018_878), Some(11413));
        assert_eq!(parse_flock_line(line, device, 10_018_879), None);
        let other = "2: OFDLCK ADVISORY  READ -1 fe:00:10018878 100 101";
        assert_eq!(parse_flock_line(other, device, 10_018_878), None);
        assert_eq!(parse_flock_line("", device, 1), None);
    }

    #[test]
    fn mounts_are_matched_by_number_and_names_are_unescaped() {
        let devices = BTreeSet::from([libc::makedev(8, 17)]);
        let line = "36 35 8:17 / /mnt/old\\040root rw,noatime shared:1 - ext4 /dev/sdb1 rw";
        assert_eq!(mount_of(line, &devices), Some(b"/mnt/old root".to_vec()));
        assert_eq!(mount_of(line, &BTreeSet::from([libc::makedev(8, 18)])), None);
        assert_eq!(mount_of("36 35 8:17", &devices), None);
    }
}
