//! Logs as another program may have left them, and damaged ones.

use super::super::testing::{Made, MemoryFiles};
use super::tests::{MIB_LEN, OPTIONS, current, open_bytes, region, sum};
use super::*;

const GUID: [u8; 16] = [0x33; 16];

/// An image whose log is open, with its entries still to be put there.
struct Logged {
    image: Vec<u8>,
    log: usize,
    bat: usize,
}

impl Logged {
    fn new() -> Self {
        let made = Made::from_disk(&[0x5a; 2 * MIB_LEN], "vhdx", OPTIONS[0]);
        let mut image = made.bytes();
        let at = current(&image);
        image[at + 48..at + 64].copy_from_slice(&GUID);
        sum(&mut image, at, 4096);
        let log = u64::from_le_bytes(image[at + 72..at + 80].try_into().unwrap()) as usize;
        let bat = region(&image, [0x66, 0x77, 0xc2, 0x2d]);
        Self { image, log, bat }
    }

    /// An entry with the number `number`, the only one of its sequence, for `place` in the log. It says that block 0 is
    /// where block `block` is, or nowhere.
    fn entry(&self, number: u64, place: usize, block: Option<usize>) -> Vec<u8> {
        let mut page = self.image[self.bat..self.bat + 4096].to_vec();
        match block {
            Some(block) => page.copy_within(block * 8..block * 8 + 8, 0),
            None => page[..8].fill(0),
        }
        let len = self.image.len() as u64;
        let mut entry = log::entry(&GUID, &[(self.bat as u64, page)], len).unwrap();
        entry[12..16].copy_from_slice(&(place as u32).to_le_bytes());
        for at in [16, 88] {
            entry[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        entry[8188..8192].copy_from_slice(&(number as u32).to_le_bytes());
        sum(&mut entry, 0, 8192);
        entry
    }

    /// Puts `entry` at `place` of the log, over its end if need be.
    fn put(&mut self, place: usize, entry: &[u8]) {
        for (index, byte) in entry.iter().enumerate() {
            self.image[self.log + (place + index) % MIB_LEN] = *byte;
        }
    }

    fn first_byte(&self) -> u8 {
        open_bytes(self.image.clone()).unwrap().read_vec(0, 1).unwrap()[0]
    }

    fn error(&self) -> String {
        open(&mut MemoryFiles::one(self.image.clone())).unwrap_err().to_string()
    }
}

#[test]
fn the_newest_sequence_is_replayed_wherever_it_is() {
    for places in [[0, 8192], [8192, 0], [40_960, MIB_LEN - 4096]] {
        let mut logged = Logged::new();
        let [old, new] = places;
        let entry = logged.entry(4, old, Some(1));
        logged.put(old, &entry);
        assert_eq!(logged.first_byte(), 0x5a);
        let entry = logged.entry(7, new, None);
        logged.put(new, &entry);
        assert_eq!(logged.first_byte(), 0, "{places:?}");
    }
}

#[test]
fn entries_that_cannot_be_are_damage() {
    let change = |changes: &dyn Fn(&mut [u8])| {
        let mut logged = Logged::new();
        let mut entry = logged.entry(1, 0, Some(1));
        changes(&mut entry);
        sum(&mut entry, 0, 8192);
        logged.put(0, &entry);
        logged.error()
    };
    let put = |at: usize, value: u64| {
        change(&move |entry| entry[at..at + 8].copy_from_slice(&value.to_le_bytes()))
    };
    // The file was longer; the header or what is behind the end is changed; another number.
    assert!(put(48, 1 << 40).contains("when the log was written"));
    for place in [65_536, 4097 << 20, (4 << 20) + 512] {
        assert!(put(80, place).contains("a change of 4096 bytes"), "{place:#x}");
    }
    assert!(put(88, 2).contains("of another entry"));
    assert!(change(&|entry| entry[4096] = 0).contains("of another entry"));
    assert!(change(&|entry| entry[8188] = 9).contains("of another entry"));
    assert!(change(&|entry| entry[64] = 0).contains("of another entry"));
    assert!(change(&|entry| entry[32] = 0).contains("no sequence"));
    assert!(change(&|entry| entry[12] = 1).contains("no sequence"));
}

#[test]
fn logs_are_bounded() {
    let mut logged = Logged::new();
    let count = 4097usize;
    let mut entry = logged.entry(1, 0, None)[..64].to_vec();
    for _ in 0..count {
        let mut descriptor = vec![0; 32];
        descriptor[..4].copy_from_slice(b"zero");
        descriptor[8..16].copy_from_slice(&4096u64.to_le_bytes());
        descriptor[16..24].copy_from_slice(&(logged.bat as u64).to_le_bytes());
        descriptor[24..32].copy_from_slice(&1u64.to_le_bytes());
        entry.extend(descriptor);
    }
    entry.resize(entry.len().next_multiple_of(4096), 0);
    let len = entry.len();
    entry[8..12].copy_from_slice(&(len as u32).to_le_bytes());
    for (count, is_fine) in [(count, false), (count - 1, true)] {
        entry[24..28].copy_from_slice(&(count as u32).to_le_bytes());
        sum(&mut entry, 0, len);
        logged.put(0, &entry);
        let opened = open_bytes(logged.image.clone());
        assert_eq!(opened.is_ok(), is_fine, "{count}");
        if let Ok(disk) = opened {
            assert_eq!(disk.read_vec(0, 1).unwrap(), [0], "the table is zeros");
        }
    }
    let at = current(&logged.image);
    logged.image[at + 68..at + 72].copy_from_slice(&(5u32 << 20).to_le_bytes());
    sum(&mut logged.image, at, 4096);
    assert!(logged.error().contains("log of the VHDX in bytes"), "{}", logged.error());
}
