//! The one place that opens a target for writing.
//!
//! A target is held exclusively: a block device with `O_EXCL`, which the kernel refuses for anything mounted or
//! claimed (a plain open for writing succeeds there); any target with flock(2) and with the open file
//! description locks that qemu takes, so that no machine starts from the disk while it is written.
//!
//! qemu marks the permissions it uses with shared locks on the bytes from 100 and those that it denies to others
//! from 200, and then looks for conflicting locks. We do the same with all four permissions (read, write, write
//! unchanged, resize). Observed with qemu-io and qemu-img; locks on any other byte count as use, too.

use super::in_use::{self, file_lock, foreign_lock, in_use, lock_holder, loop_device};
use super::{Image, ImageIdentity, ImageKind, check_type, measure, shown};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::check_range;
use crate::disk::medium::Medium;
use crate::error::{Context as _, Error, Refusal, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, PosixFadviseAdvice, fcntl, posix_fadvise};
use nix::libc;
use std::cell::Cell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Duration;

/// First byte of the locks for used permissions, and of those for denied ones.
const QEMU_LOCK_STARTS: [i64; 2] = [100, 200];

/// Number of permissions.
const QEMU_LOCK_COUNT: i64 = 4;

/// How often, and how far apart, the lock of a block device is asked for: for one second.
const DEVICE_LOCK_ATTEMPTS: u32 = 20;
const DEVICE_LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Alignment of direct reads in bytes: no device has larger logical sectors.
const DIRECT_ALIGNMENT_BYTES: u64 = 4096;

/// Bound on the buffer of one direct read in bytes.
const DIRECT_READ_BYTES_MAX: u64 = 1024 * 1024;

/// A target that is open for writing and held exclusively until it is dropped.
#[derive(Debug)]
pub struct WritableImage {
    file: File,
    len_bytes: u64,
    /// A second handle that reads past the cache, from the first [`Medium::drop_cache`] on, where that works.
    direct: Option<File>,
    /// True if the cache is to be dropped before it is read again.
    is_cache_stale: Cell<bool>,
}

/// Opens the target of `image` for writing and takes hold of it.
///
/// # Errors
/// * `Refused` - it is in use or read-only.
/// * `Mismatch` - the path leads to another object than when `image` was opened, or its size changed.
/// * `Io`.
pub fn open(image: &Image) -> Result<WritableImage> {
    if let Some(refusal) = in_use::read_only(image)? {
        return Err(refusal.into());
    }
    if image.kind == ImageKind::File
        && let Some(device) = loop_device(image.identity)
    {
        return Err(in_use(&image.path, Some(device)).into());
    }
    let mut file = open_exclusively(image)?;
    check_unchanged(image, &mut file)?;
    hold(image, &file)?;
    // Once more: it may have been set up between the first look and the locks, which it does not respect.
    if image.kind == ImageKind::File
        && let Some(device) = loop_device(image.identity)
    {
        return Err(in_use(&image.path, Some(device)).into());
    }
    let len_bytes = crate::disk::Disk::len_bytes(&*image.disk);
    Ok(WritableImage { file, len_bytes, direct: None, is_cache_stale: Cell::new(false) })
}

fn open_exclusively(image: &Image) -> Result<File> {
    let exclusive = if image.kind == ImageKind::BlockDevice { libc::O_EXCL } else { 0 };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(exclusive | libc::O_NONBLOCK | libc::O_NOCTTY);
    #[expect(clippy::disallowed_methods, reason = "this is the one place that opens a target")]
    options.write(true);
    let error = match options.open(&image.path) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let holder = in_use::device_holder(image.identity.device_number)
                .or_else(|| lock_holder(image.disk.file(), image.identity));
            Err(in_use(&image.path, holder).into())
        }
        Some(libc::ETXTBSY) => {
            Err(in_use(&image.path, lock_holder(image.disk.file(), image.identity)).into())
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            Err(Refusal::ReadOnly { what: shown(&image.path) }.into())
        }
        _ => Err(error).context(|| shown(&image.path)),
    }
}

/// Makes sure that `file` is what was read before.
fn check_unchanged(image: &Image, file: &mut File) -> Result<()> {
    let metadata = file.metadata()?;
    let kind = check_type(metadata.file_type()).ok();
    if kind != Some(image.kind) || ImageIdentity::of(&metadata) != image.identity {
        let path = shown(&image.path);
        return Err(Error::mismatch(format!("{path} was replaced since it was read")));
    }
    let (len_bytes, _) = measure(file, image.kind)?;
    let known = crate::disk::Disk::len_bytes(&*image.disk);
    if len_bytes != known {
        let path = shown(&image.path);
        return Err(Error::mismatch(format!(
            "{path} had {known} bytes when it was read and has {len_bytes} now"
        )));
    }
    Ok(())
}

/// Takes the locks, then looks for those of others, so that of two that do this at least one gives way.
fn hold(image: &Image, file: &File) -> Result<()> {
    let refused = || Error::from(in_use(&image.path, lock_holder(file, image.identity)));
    match lock_whole(file, image.kind) {
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

impl WritableImage {
    /// Reads past the cache of the host. `Ok(false)` if that does not work here; `buffer` is then undefined.
    ///
    /// The kernel writes back what is dirty there first, and asks the medium whatever the cache holds: nothing has to
    /// be dropped, and a cached image stays cached.
    fn read_direct(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<bool> {
        let Some(direct) = &self.direct else { return Ok(false) };
        let mut offset = offset_bytes;
        let mut rest = buffer;
        while !rest.is_empty() {
            let skip = arith::rem(offset, DIRECT_ALIGNMENT_BYTES)?;
            let start = arith::sub(offset, skip)?;
            let room: usize = arith::to(arith::sub(DIRECT_READ_BYTES_MAX, skip)?)?;
            let len = rest.len().min(room);
            let wanted = arith::add(skip, len_u64(len))?;
            let Some(bytes) = read_aligned(direct, start, wanted)? else { return Ok(false) };
            let (head, tail) = rest.split_at_mut(len);
            head.copy_from_slice(field::slice(&bytes, arith::to(skip)?, len)?);
            offset = arith::add(offset, len_u64(len))?;
            rest = tail;
        }
        Ok(true)
    }
}

/// `wanted_bytes` from the aligned `start_bytes`, `None` if the host refuses a direct read.
fn read_aligned(file: &File, start_bytes: u64, wanted_bytes: u64) -> Result<Option<Vec<u8>>> {
    let alignment: usize = arith::to(DIRECT_ALIGNMENT_BYTES)?;
    let len: usize = arith::to(arith::round_up(wanted_bytes, DIRECT_ALIGNMENT_BYTES)?)?;
    // The buffer of a direct read must be aligned, too: allocate more, and start where it is.
    let mut bytes = vec![0; len.saturating_add(alignment)];
    let from = bytes.as_ptr().align_offset(alignment);
    let wanted: usize = arith::to(wanted_bytes)?;
    let mut done: usize = 0;
    while done < wanted {
        let rest =
            field::slice_mut(&mut bytes, from.saturating_add(done), len.saturating_sub(done))?;
        match file.read_at(rest, arith::add(start_bytes, len_u64(done))?) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(field::slice(&bytes, from, wanted)?.to_vec()))
}

impl Medium for WritableImage {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        if self.read_direct(offset_bytes, buffer)? {
            return Ok(());
        }
        if self.is_cache_stale.get() {
            // Only clean pages can be dropped, and those of large units only with all of the unit.
            self.file.sync_data()?;
            drop_pages(&self.file)?;
            self.is_cache_stale.set(false);
        }
        self.file.read_exact_at(buffer, offset_bytes)?;
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, bytes.len())?;
        self.file.write_all_at(bytes, offset_bytes)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        // fdatasync(2) includes what is needed to find the data: where the blocks are that a write into a hole of
        // a sparse file has got. It leaves out the times, which would need a commit of their own.
        self.file.sync_data()?;
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.is_cache_stale.set(true);
        if self.direct.is_none() {
            // Through /proc, because the path could lead elsewhere by now. Not every file system can do it.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = libc::O_DIRECT | libc::O_NONBLOCK;
            self.direct = OpenOptions::new().read(true).custom_flags(flags).open(path).ok();
        }
        Ok(())
    }
}

/// Asks the host to forget the clean pages of `file`.
pub(super) fn drop_pages(file: &File) -> Result<()> {
    match posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS | Errno::ESPIPE) => Ok(()),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the host refuses direct reads, the cache is written back and dropped first, once.
    #[test]
    fn without_direct_reads_the_cache_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        File::create_new(&path).unwrap().write_all_at(&[1; 8192], 0).unwrap();
        let image = crate::image::open(&path, None).unwrap();
        let mut target = open(&image).unwrap();
        target.write_at(512, &[7; 512]).unwrap();
        target.drop_cache().unwrap();
        target.direct = None;
        assert!(target.is_cache_stale.get());
        let mut buffer = [0; 1024];
        for _ in 0..2 {
            target.read_at(256, &mut buffer).unwrap();
            assert_eq!((buffer[255], buffer[256], buffer[767], buffer[768]), (1, 7, 7, 1));
            assert!(!target.is_cache_stale.get());
        }
        target.write_at(512, &[8; 512]).unwrap();
        target.drop_cache().unwrap();
        target.read_at(512, &mut buffer).unwrap();
        assert_eq!((buffer[0], buffer[512]), (8, 1));
    }
}
