//! 128-bit identifiers, in the two byte orders that disks use.

use std::fmt;

/// A UUID whose bytes stand in the order in which it is written (ext4, XFS, Btrfs, LUKS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A GUID as GPT stores it: the first three groups are little-endian (UEFI 2.10, appendix A).
    pub fn from_gpt_bytes(stored: [u8; 16]) -> Self {
        let mut bytes = stored;
        for group in [0..4, 4..6, 6..8] {
            if let Some(group) = bytes.get_mut(group) {
                group.reverse();
            }
        }
        Self(bytes)
    }

    /// True if no bit is set, which every format uses for "none".
    pub fn is_nil(self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpt_order_is_undone() {
        // The EFI system partition type, as UEFI prints it and as a disk stores it.
        let stored = [
            0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e,
            0xc9, 0x3b,
        ];
        let printed = Uuid::from_gpt_bytes(stored).to_string();
        assert_eq!(printed, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    }
}
