//! Damaged images.
//!
//! `REGAIN_DAMAGE_ROUNDS=10000` tries more of them.

use super::Rng;
use crate::disk::Disk;
use crate::disk::medium::Medium;

/// Changes bytes of `image` at random, near one of `structures`, and reads what can be read: nothing panics.
/// Returns how many of the images could be opened, in percent. `REGAIN_DAMAGE_ROUNDS` asks for more than `rounds`.
pub(crate) fn survives_damage(
    image: &[u8],
    structures: &[std::ops::Range<usize>],
    rounds: usize,
    attempt: &dyn Fn(Vec<u8>) -> bool,
) -> usize {
    let wanted = std::env::var("REGAIN_DAMAGE_ROUNDS").ok();
    let rounds = wanted.map_or(rounds, |wanted| wanted.parse().unwrap());
    let mut rng = Rng::new(rounds as u64);
    let mut opened = 0;
    for _ in 0..rounds {
        let mut damaged = image.to_vec();
        for _ in 0..=rng.below(4) {
            let range = &structures[rng.below(structures.len() as u64) as usize];
            let at = range.start + rng.below(range.len() as u64) as usize;
            let values = [0, 1, 0x7f, 0x80, 0xff, rng.next() as u8];
            let value = values[rng.below(values.len() as u64) as usize];
            let len = 1 + rng.below(8) as usize;
            damaged.iter_mut().skip(at).take(len).for_each(|byte| *byte = value);
        }
        if rng.below(20) == 0 {
            damaged.truncate(rng.below(damaged.len() as u64) as usize);
        }
        opened += usize::from(attempt(damaged));
    }
    opened * 100 / rounds
}

/// Writes to a few places of a medium that may be damaged.
pub(crate) fn write_some(medium: &mut dyn Medium) {
    let len_bytes = medium.len_bytes();
    let start = 0..len_bytes.min(1 << 20);
    let _ = medium.can_write(std::slice::from_ref(&start));
    for at in [0, 4096 * 7, 4096 * 9, 4096 * 700] {
        let _ = medium.write_at(at, &[1; 1024]);
    }
    let _ = medium.sync();
}

/// Reads a few places of a disk that may be damaged.
pub(crate) fn read_some(disk: &dyn Disk) {
    let len_bytes = disk.len_bytes();
    let mut buffer = vec![0; 10_000];
    for part in 0..16 {
        let at = len_bytes / 16 * part;
        let len = buffer.len().min((len_bytes - at) as usize);
        let _ = disk.read_at(at, &mut buffer[..len]);
    }
}
