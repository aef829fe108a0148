//! The locks on the files of a target that is written.
//!
//! qemu marks the permissions it uses with shared locks on the bytes from 100 and those that it denies to others
//! from 200, and then looks for conflicting locks. We do the same with all four permissions (read, write, write
//! unchanged, resize). Observed with qemu-io and qemu-img; locks on any other byte count as use, too.
//!
//! Both flock(2) and open file description locks belong to the open file, which a child process shares from its
//! fork(2) until its execve(2). So they are given back and not left to the end of the last handle: a target is free
//! as soon as it is dropped, whatever another thread starts at that moment.

use super::super::ImageKind;
use super::super::host_file::HostFile;
use super::super::in_use::{self, file_lock, foreign_lock, in_use, lock_holder};
use crate::disk::Disk;
use crate::disk::file::FileDisk;
use crate::error::{Error, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// First byte of the locks for used permissions, and of those for denied ones.
const QEMU_LOCK_STARTS: [i64; 2] = [100, 200];

/// Number of permissions.
const QEMU_LOCK_COUNT: i64 = 4;

/// What qemu locks of a file that it reads and that must not change: reading is used, writing and resizing are denied.
const QEMU_READ_LOCKS: [i64; 3] = [100, 201, 203];

/// How often, and how far apart, the lock of a block device is asked for: for one second.
const DEVICE_LOCK_ATTEMPTS: u32 = 20;
const DEVICE_LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Takes the locks, then looks for those of others, so that of two that do this at least one gives way.
pub(super) fn hold(host: &HostFile, file: &File) -> Result<()> {
    let refused = || Error::from(in_use(&host.path, lock_holder(file, host.identity)));
    match lock_whole(file, host.kind) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(refused()),
        Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    for start in QEMU_LOCK_STARTS {
        let lock = file_lock(libc::F_RDLCK, start, QEMU_LOCK_COUNT);
        match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map_err(io::Error::from) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(refused()),
            Err(error) if has_no_locks(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if foreign_lock(file)?.is_some() { Err(refused()) } else { Ok(()) }
}

/// Takes the flock(2) lock, with patience where udev takes it for a moment, too: on a block device that was just
/// closed by somebody.
fn lock_whole(file: &File, kind: ImageKind) -> Result<(), TryLockError> {
    let attempts = if kind == ImageKind::BlockDevice { DEVICE_LOCK_ATTEMPTS } else { 1 };
    for _ in 1..attempts {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(DEVICE_LOCK_PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

/// True if the file system of the host knows no locks: then nobody else can hold one, either.
fn has_no_locks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS))
}

/// Gives back every lock that is held through `file`.
pub(super) fn release(file: &File) {
    // Nothing can be done where that fails; the kernel does it with the last handle.
    let _ = file.unlock();
    let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&file_lock(libc::F_UNLCK, 0, 0)));
}

/// A file that is only read and held until it is dropped: nobody may write it meanwhile, as far as locks can say that.
#[derive(Debug)]
pub(super) struct ReadHeld(Arc<FileDisk>);

impl ReadHeld {
    /// Takes hold of `host`. The handle that reads is the one that holds the locks.
    ///
    /// # Errors
    /// * `Refused` - it is being written.
    /// * `Io`.
    pub(super) fn new(host: &HostFile) -> Result<Self> {
        let held = Self(host.disk.clone());
        for start in QEMU_READ_LOCKS {
            let lock = file_lock(libc::F_RDLCK, start, 1);
            match fcntl(held.0.file(), FcntlArg::F_OFD_SETLK(&lock)).map_err(io::Error::from) {
                Ok(_) => {}
                Err(error) if has_no_locks(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(
                        in_use(&host.path, lock_holder(held.0.file(), host.identity)).into()
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        match in_use::writer_of(host)? {
            Some(refusal) => Err(refusal.into()),
            None => Ok(held),
        }
    }
}

impl Drop for ReadHeld {
    fn drop(&mut self) {
        release(self.0.file());
    }
}

impl Disk for ReadHeld {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        self.0.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset_bytes, buffer)
    }
}
