//! The order of names: by the volume's own table of capital letters.

use super::volume::Found;
use std::cmp::Ordering;

/// The content of `$UpCase`.
#[derive(Debug)]
pub(super) struct UpCase(Vec<u8>);

impl UpCase {
    /// Takes the content of the file.
    pub(super) fn new(bytes: Vec<u8>) -> Found<Self> {
        if bytes.len() != 0x2_0000 {
            return Err(format!("$UpCase: {} bytes", bytes.len()));
        }
        let table = Self(bytes);
        let is_good = (0u16..128).all(|unit| {
            let is_small = (97..123).contains(&unit);
            table.upper(unit) == if is_small { unit - 32 } else { unit }
        });
        if is_good { Ok(table) } else { Err("$UpCase: ASCII is not right".to_owned()) }
    }

    fn upper(&self, unit: u16) -> u16 {
        let at = usize::from(unit) * 2;
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    /// Without case.
    pub(super) fn compare(&self, a: &[u16], b: &[u16]) -> Ordering {
        for (a, b) in a.iter().zip(b) {
            if a != b {
                let order = self.upper(*a).cmp(&self.upper(*b));
                if order.is_ne() {
                    return order;
                }
            }
        }
        a.len().cmp(&b.len())
    }

    /// Without case, and names that differ only in case by their units.
    pub(super) fn compare_full(&self, a: &[u16], b: &[u16]) -> Ordering {
        self.compare(a, b).then_with(|| a.cmp(b))
    }
}
