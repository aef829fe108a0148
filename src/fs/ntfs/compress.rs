//! LZNT1: how NTFS compresses the clusters of a file.
//!
//! Format: Microsoft, [MS-XCA] "Xpress Compression Algorithm", sections 2.5.1 and 2.5.2 (LZNT1 format); libyal
//! libfsntfs, "New Technologies File System (NTFS)", section "LZNT1 compression method". Reading only: nothing is
//! ever compressed here.
//!
//! A unit is a sequence of chunks, each of which stands for 4096 bytes (the last may be shorter), with a header of
//! 16 bits, little-endian:
//!
//! | bits | meaning | valid when |
//! |-----:|---------|------------|
//! | 0..12 | bytes of the chunk behind the header, less 1 | |
//! | 12..15 | signature | 3 |
//! | 15 | the chunk is compressed | |
//!
//! A header of 0 ends the unit. A compressed chunk is groups of a byte of flags, lowest bit first, and eight
//! elements: a byte as it is (0), or 16 bits (1) of which the high ones are how far back to copy from, less 1, and
//! the low ones how many bytes, less 3. The further the chunk has come, the more bits are in the first part.

use crate::bytes::field::{self, Short, le_u16, u8_at};

/// Bytes that a chunk stands for.
const CHUNK_BYTES: usize = 4096;
const CHUNK_SIGNATURE: u16 = 3;

/// What can be wrong with compressed data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompressDefect {
    #[error("chunk header is {0:#06x}")]
    Header(u16),
    #[error("a chunk stands for more than {CHUNK_BYTES} bytes")]
    ChunkTooLong,
    #[error("more chunks than the unit has bytes")]
    TooManyChunks,
    #[error("copies from {back} bytes back, with {have} bytes so far")]
    Back { back: usize, have: usize },
    #[error(transparent)]
    Short(#[from] Short),
}

/// The plain bytes of a unit of `unit_len` bytes; zeros where its chunks stand for fewer.
///
/// # Errors
/// [`CompressDefect`].
pub(crate) fn decompress(stored: &[u8], unit_len: usize) -> Result<Vec<u8>, CompressDefect> {
    let mut plain = Vec::with_capacity(unit_len);
    let mut at = 0usize;
    // Every chunk takes at least two bytes of `stored`.
    while at.saturating_add(2) <= stored.len() {
        let header = le_u16(stored, at)?;
        if header == 0 {
            break;
        }
        if (header >> 12) & 7 != CHUNK_SIGNATURE {
            return Err(CompressDefect::Header(header));
        }
        if plain.len() >= unit_len {
            return Err(CompressDefect::TooManyChunks);
        }
        // Chunks before this one stand for whole 4096 bytes.
        let start = plain.len().next_multiple_of(CHUNK_BYTES);
        plain.resize(start, 0);
        let len = usize::from(header & 0xfff).saturating_add(1);
        let body = field::slice(stored, at.saturating_add(2), len)?;
        if header & 0x8000 == 0 {
            plain.extend_from_slice(body);
        } else {
            expand(body, &mut plain, start)?;
        }
        at = at.saturating_add(2).saturating_add(len);
    }
    if plain.len() > unit_len {
        return Err(CompressDefect::TooManyChunks);
    }
    plain.resize(unit_len, 0);
    Ok(plain)
}

/// Appends what a compressed chunk stands for; it starts at `start` of `plain`.
fn expand(body: &[u8], plain: &mut Vec<u8>, start: usize) -> Result<(), CompressDefect> {
    let mut at = 0usize;
    // Every group takes at least one byte of `body`.
    while at < body.len() {
        let flags = u8_at(body, at)?;
        at = at.saturating_add(1);
        for bit in 0..8 {
            if at >= body.len() {
                break;
            }
            if (flags >> bit) & 1 == 0 {
                plain.push(u8_at(body, at)?);
                at = at.saturating_add(1);
            } else {
                copy(le_u16(body, at)?, plain, start)?;
                at = at.saturating_add(2);
            }
            if plain.len().saturating_sub(start) > CHUNK_BYTES {
                return Err(CompressDefect::ChunkTooLong);
            }
        }
    }
    Ok(())
}

fn copy(element: u16, plain: &mut Vec<u8>, start: usize) -> Result<(), CompressDefect> {
    let have = plain.len().saturating_sub(start);
    let back_bits = back_bits(have);
    let back = usize::from(element >> 16u32.saturating_sub(back_bits)).saturating_add(1);
    let len = usize::from(element & (0xffff >> back_bits)).saturating_add(3);
    if back > have {
        return Err(CompressDefect::Back { back, have });
    }
    if have.saturating_add(len) > CHUNK_BYTES {
        return Err(CompressDefect::ChunkTooLong);
    }
    // At most CHUNK_BYTES; source and target may overlap.
    for _ in 0..len {
        let from = plain.len().saturating_sub(back);
        plain.push(u8_at(plain, from)?);
    }
    Ok(())
}

/// Bits that say how far back to copy from: as many as are needed to reach the start of the chunk, 4 to 12.
fn back_bits(have: usize) -> u32 {
    let last = have.saturating_sub(1);
    let needed = usize::BITS.saturating_sub(last.leading_zeros());
    needed.clamp(4, 12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text of the example in libfsntfs, "LZNT1 compression method", as one chunk. The last element is
    /// another there, which contradicts the text: at byte 33 six bits say how far back, and it is 19 bytes.
    const EXAMPLE: [u8; 31] = [
        0x00, 0x23, 0x69, 0x6e, 0x63, 0x6c, 0x75, 0x64, 0x65, 0x00, 0x20, 0x3c, 0x6e, 0x74, 0x66,
        0x73, 0x2e, 0x68, 0x04, 0x3e, 0x0a, 0x07, 0x88, 0x73, 0x74, 0x64, 0x69, 0x6f, 0x01, 0x01,
        0x48,
    ];

    fn chunk(body: &[u8], is_compressed: bool) -> Vec<u8> {
        let flag = if is_compressed { 0xb000 } else { 0x3000 };
        let header = flag | u16::try_from(body.len() - 1).unwrap();
        [header.to_le_bytes().as_slice(), body].concat()
    }

    #[test]
    fn the_published_example_is_read() {
        let plain = decompress(&chunk(&EXAMPLE, true), 4096).unwrap();
        let expected = b"#include <ntfs.h>\n#include <stdio.h>\n";
        assert_eq!(&plain[..expected.len()], expected);
        assert!(plain[expected.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(plain.len(), 4096);
    }

    /// libfsntfs, "LZNT1 compression method", "Example": one space, then 4095 copies of it.
    #[test]
    fn copies_may_overlap() {
        let plain = decompress(&chunk(&[0x02, 0x20, 0xfc, 0x0f], true), 8192).unwrap();
        assert_eq!(plain[..4096], [0x20; 4096]);
        assert_eq!(plain[4096..], [0; 4096]);
    }

    #[test]
    fn chunks_follow_each_other() {
        let raw = vec![7; 4096];
        let bytes = [chunk(&EXAMPLE, true), chunk(&raw, false), vec![0, 0, 0xff, 0xff]].concat();
        let plain = decompress(&bytes, 16384).unwrap();
        assert_eq!((plain[0], plain[4095], plain[4096], plain[8191]), (b'#', 0, 7, 7));
        assert!(plain[8192..].iter().all(|byte| *byte == 0));
    }

    /// The width of the first part at the positions where it changes.
    #[test]
    fn bits_grow_with_the_position() {
        for (have, bits) in
            [(0, 4), (1, 4), (16, 4), (17, 5), (32, 5), (33, 6), (2048, 11), (2049, 12), (4096, 12)]
        {
            assert_eq!(back_bits(have), bits, "{have}");
        }
    }

    #[test]
    fn every_defect_is_named() {
        let too_long = chunk(&[0x02, 0x20, 0xfd, 0x0f], true);
        for (bytes, unit_len, expected) in [
            (vec![0x01, 0x40, 0], 4096, CompressDefect::Header(0x4001)),
            (chunk(&[0x01, 0, 0], true), 4096, CompressDefect::Back { back: 1, have: 0 }),
            (chunk(&[0x02, 0x20, 0, 0x10], true), 4096, CompressDefect::Back { back: 2, have: 1 }),
            (too_long, 4096, CompressDefect::ChunkTooLong),
            (
                [chunk(&[1; 4096], false), chunk(&[1; 2], false)].concat(),
                4096,
                CompressDefect::TooManyChunks,
            ),
            (chunk(&[1; 4096], false), 2048, CompressDefect::TooManyChunks),
            (
                vec![0xff, 0x3f, 1],
                4096,
                CompressDefect::Short(Short { needed: 4098, available: 3 }),
            ),
        ] {
            assert_eq!(decompress(&bytes, unit_len), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_more_than_a_unit(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut bytes = bytes;
            if bytes.len() > 2 {
                bytes[1] = 0xb0 | (bytes[1] & 1);
            }
            if let Ok(plain) = decompress(&bytes, 65536) {
                prop_assert_eq!(plain.len(), 65536);
            }
        }
    }
}
