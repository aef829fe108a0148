//! A host file that is open for writing: positioned writes, and reads past the cache of the host.

use super::locks;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::check_range;
use crate::disk::medium::{HostMedium, Medium};
use crate::error::Result;
use crate::image::ImageKind;
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

/// Alignment of direct reads in bytes: no device has larger logical sectors.
const DIRECT_ALIGNMENT_BYTES: u64 = 4096;

/// Bound on the buffer of one direct read in bytes.
const DIRECT_READ_BYTES_MAX: u64 = 1024 * 1024;

/// A host file that is open for writing. Its locks last until it is dropped, and no longer.
#[derive(Debug)]
pub struct HeldFile {
    file: File,
    len_bytes: u64,
    is_device: bool,
    /// A second handle that reads past the cache, from the first [`Medium::drop_cache`] on, where that works.
    direct: Option<File>,
    /// True if the cache is to be dropped before it is read again.
    is_cache_stale: Cell<bool>,
}

impl HeldFile {
    /// Takes over `file` of `len_bytes`, with the locks that are or will be held through it.
    pub(super) fn new(file: File, len_bytes: u64, kind: ImageKind) -> Self {
        let is_device = kind == ImageKind::BlockDevice;
        Self { file, len_bytes, is_device, direct: None, is_cache_stale: Cell::new(false) }
    }

    /// The handle that holds the locks.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

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

impl Drop for HeldFile {
    fn drop(&mut self) {
        locks::release(&self.file);
    }
}

impl Medium for HeldFile {
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

    /// Nothing has to be made for what lies inside the length.
    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
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

impl HostMedium for HeldFile {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.file.set_len(len_bytes)?;
        self.len_bytes = len_bytes;
        Ok(())
    }

    fn can_grow(&self) -> bool {
        !self.is_device
    }
}

/// Asks the host to forget the clean pages of `file`.
pub(in crate::image) fn drop_pages(file: &File) -> Result<()> {
    match posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS | Errno::ESPIPE) => Ok(()),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that is between fork(2) and execve(2) shares the open file: here a second handle stands for it.
    #[test]
    fn a_dropped_target_is_free_although_a_child_has_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        File::create_new(&path).unwrap().set_len(8192).unwrap();
        let image = crate::image::open(&path, None).unwrap();
        let target = hold(&image).unwrap();
        let inherited = target.file.try_clone().unwrap();
        assert_eq!(hold(&image).unwrap_err().kind_name(), "refused");
        drop(target);
        hold(&image).unwrap();
        drop(inherited);
    }

    fn hold(image: &crate::image::Image) -> Result<HeldFile> {
        crate::image::writable::hold_written(&image.file)
    }

    /// Where the host refuses direct reads, the cache is written back and dropped first, once.
    #[test]
    fn without_direct_reads_the_cache_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        File::create_new(&path).unwrap().write_all_at(&[1; 8192], 0).unwrap();
        let image = crate::image::open(&path, None).unwrap();
        let mut target = hold(&image).unwrap();
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
