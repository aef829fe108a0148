//! Multi-mount protection: is somebody using the file system right now?
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Multiple Mount
//! Protection", table `mmp_struct`. Only looked at, never written: a mount would wait and look
//! whether the sequence number changes; an edit of a detached disk refuses at once.

use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{Short, le_u32, slice};
use crate::bytes::text::escape;
use crate::error::{Corrupt, Refusal, Result};

const MMP_MAGIC: u32 = 0x004d_4d50;
/// Nobody uses the file system. (`EXT4_MMP_SEQ_CLEAN`)
const SEQUENCE_CLEAN: u32 = 0xff4d_4d50;
/// A checker uses it. (`EXT4_MMP_SEQ_FSCK`)
const SEQUENCE_FSCK: u32 = 0xe24d_4d50;
/// Offset of the checksum, and so the length of what it covers.
const CHECKSUM_OFFSET: usize = 0x3fc;

/// What is wrong with an MMP block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MmpDefect {
    /// The magic number is missing.
    #[error("magic {0:#010x}")]
    Magic(u32),
    /// The checksum is wrong.
    #[error("checksum {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// The block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

/// Who uses a file system, from its MMP block. 1024 bytes, little-endian.
///
/// | offset | size | spec         | here      | valid when                           |
/// |-------:|-----:|--------------|-----------|--------------------------------------|
/// |    0x0 |    4 | mmp_magic    | (checked) | equals `MMP_MAGIC`                   |
/// |    0x4 |    4 | mmp_seq      | sequence  | any                                  |
/// |   0x10 |   64 | mmp_nodename | node      | up to the first NUL                  |
/// |   0x50 |   32 | mmp_bdevname | device    | up to the first NUL                  |
/// |  0x3FC |    4 | mmp_checksum | (checked) | CRC-32C of seed and the bytes before |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mmp {
    sequence: u32,
    node: Vec<u8>,
    device: Vec<u8>,
}

impl Mmp {
    /// Parses the block at `s_mmp_block`. `checksum_seed` is that of the file system (its UUID, or
    /// `s_checksum_seed`); `None` without metadata_csum.
    ///
    /// # Errors
    /// The defect.
    pub fn parse(block: &[u8], checksum_seed: Option<u32>) -> Result<Self, MmpDefect> {
        let magic = le_u32(block, 0)?;
        if magic != MMP_MAGIC {
            return Err(MmpDefect::Magic(magic));
        }
        if let Some(seed) = checksum_seed {
            let stored = le_u32(block, CHECKSUM_OFFSET)?;
            let computed = crc32c_raw(seed, slice(block, 0, CHECKSUM_OFFSET)?);
            if !agrees(stored, computed) {
                return Err(MmpDefect::Checksum { stored, computed });
            }
        }
        let until_nul = |bytes: &[u8]| bytes.split(|&byte| byte == 0).next().map(<[u8]>::to_vec);
        Ok(Self {
            sequence: le_u32(block, 4)?,
            node: until_nul(slice(block, 0x10, 64)?).unwrap_or_default(),
            device: until_nul(slice(block, 0x50, 32)?).unwrap_or_default(),
        })
    }

    /// Refuses unless nobody uses the file system.
    ///
    /// # Errors
    /// [`Refusal::InUse`] with the node and device that were written down last.
    pub fn check_unused(&self) -> Result<(), Refusal> {
        if self.sequence == SEQUENCE_CLEAN {
            return Ok(());
        }
        let by = if self.sequence == SEQUENCE_FSCK { "a checker on " } else { "" };
        let (node, device) = (escape(&self.node), escape(&self.device));
        let holder = format!("{by}host \"{node}\", device \"{device}\"");
        let what = "the file system (multi-mount protection)".to_owned();
        Err(Refusal::InUse { what, holder: Some(holder) })
    }
}

/// Parses the MMP block that starts at byte `offset_bytes` and refuses unless nobody uses the file
/// system.
///
/// # Errors
/// `Corrupt` - the block is damaged; `Refused` ([`Refusal::InUse`]).
pub fn check(block: &[u8], offset_bytes: u64, checksum_seed: Option<u32>) -> Result<()> {
    let mmp = Mmp::parse(block, checksum_seed)
        .map_err(|defect| Corrupt::new("MMP block", defect).at(offset_bytes))?;
    Ok(mmp.check_unused()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ext::testing::{Image, run};

    fn block(sequence: u32) -> Vec<u8> {
        let mut block = vec![0; 4096];
        block[..4].copy_from_slice(&MMP_MAGIC.to_le_bytes());
        block[4..8].copy_from_slice(&sequence.to_le_bytes());
        block[0x10..0x16].copy_from_slice(b"no\x1bde\0");
        block[0x50..0x54].copy_from_slice(b"sda1");
        let checksum = crc32c_raw(7, &block[..0x3fc]);
        block[0x3fc..0x400].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    #[test]
    fn only_the_clean_sequence_passes() {
        check(&block(SEQUENCE_CLEAN), 0, Some(7)).unwrap();
        for (sequence, expected) in [
            (5, "by host \"no\\x1bde\", device \"sda1\""),
            (SEQUENCE_FSCK, "by a checker on host \"no\\x1bde\", device \"sda1\""),
        ] {
            let error = check(&block(sequence), 0, Some(7)).unwrap_err();
            assert_eq!(error.kind_name(), "refused");
            assert!(error.to_string().ends_with(expected), "{error}");
        }
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(Mmp::parse(&[0; 1024], None), Err(MmpDefect::Magic(0)));
        let clean = block(SEQUENCE_CLEAN);
        assert!(matches!(Mmp::parse(&clean, Some(8)), Err(MmpDefect::Checksum { .. })));
        assert!(Mmp::parse(&clean, None).is_ok());
        assert!(matches!(Mmp::parse(&clean[..80], None), Err(MmpDefect::Short(_))));
    }

    #[test]
    fn the_block_of_mke2fs_is_clean() {
        for (features, has_checksum) in [("mmp", true), ("mmp,^metadata_csum", false)] {
            let image = Image::make(4096, &["-t", "ext4", "-O", features]);
            // Only looking, it does not wait for other users.
            let (_, text) = run("debugfs", &["-R", "dump_mmp", image.path.to_str().unwrap()]);
            let number = text.lines().find_map(|line| line.strip_prefix("block_number: "));
            let at = number.unwrap().parse::<usize>().unwrap() * 4096;
            let block = &image.bytes()[at..at + 4096];
            let seed = has_checksum.then(|| image.checksum_seed());
            check(block, at as u64, seed).unwrap();
        }
    }
}
