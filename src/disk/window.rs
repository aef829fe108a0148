//! A part of a disk as a disk of its own: a partition, or a file system inside it.

use super::{Disk, DiskEdit, check_range};
use crate::bytes::arith;
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// `len_bytes` of another disk from `start_bytes`.
#[derive(Debug, Clone)]
pub struct Window {
    disk: Arc<dyn DiskEdit>,
    start_bytes: u64,
    len_bytes: u64,
}

impl Window {
    /// Cuts a window out of `disk`.
    ///
    /// # Errors
    /// `Corrupt` if the window does not lie inside the disk.
    pub fn new(disk: Arc<dyn DiskEdit>, start_bytes: u64, len_bytes: u64) -> Result<Self> {
        let end = arith::add(start_bytes, len_bytes)?;
        check_range(disk.len_bytes(), end, 0)?;
        Ok(Self { disk, start_bytes, len_bytes })
    }

    /// Where the window starts on the disk below, in bytes.
    pub fn start_bytes(&self) -> u64 {
        self.start_bytes
    }

    /// The parts of `ranges` of the disk below that lie in the window, as it counts.
    pub fn inside(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let shifted = |at: u64| at.saturating_sub(self.start_bytes).min(self.len_bytes);
        let cut = ranges.iter().map(|range| shifted(range.start)..shifted(range.end));
        cut.filter(|range| !range.is_empty()).collect()
    }
}

impl Disk for Window {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        self.disk.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        self.disk.read_at(arith::add(self.start_bytes, offset_bytes)?, buffer)
    }
}

impl DiskEdit for Window {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, bytes.len())?;
        self.disk.write_at(arith::add(self.start_bytes, offset_bytes)?, bytes, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::disk::overlay::Overlay;

    #[test]
    fn a_window_shifts_and_never_leaks() {
        let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(vec![0; 4096]))));
        let window = Window::new(overlay.clone(), 1024, 1024).unwrap();
        window.write_at(3, b"abc", "test").unwrap();
        assert_eq!(overlay.read_vec(1027, 3).unwrap(), b"abc");
        assert!(window.read_vec(1023, 2).is_err());
        assert!(window.write_at(1022, b"abc", "test").is_err());
        assert_eq!(window.inside(&overlay.written()).first(), Some(&(0..512)));
        assert_eq!(
            window.inside(&[0..1024, 512..1100, 1500..3000, 2048..2100]),
            [0..76, 476..1024]
        );
        assert!(Window::new(overlay, 4000, 97).is_err());
    }
}
