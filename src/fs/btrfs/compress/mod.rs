//! Compressed extents: one stream of zlib or Zstandard, or LZO in segments.
//!
//! Format: btrfs documentation, "Compression"; RFC 1950, RFC 8878, and for LZO the module [`lzo`]. An extent is
//! compressed as a whole, in at most 128 KiB of content, and what follows its stream up to the next sector is zeros.

mod lzo;

use super::item::Compression;
use crate::bytes::arith::len_u64;
use crate::error::{Corrupt, Error, Result};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::io::Read as _;

/// Bound on the content of a compressed extent, in bytes.
pub(crate) const CONTENT_BYTES_MAX: u64 = 128 * 1024;

/// Bound on the window that a Zstandard frame may ask for, in bytes.
const WINDOW_BYTES_MAX: u64 = 1024 * 1024;

/// Why a compressed extent cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackDefect {
    /// The stream makes no sense.
    #[error("{method} stream is damaged: {detail}")]
    Stream {
        /// The method.
        method: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The content is larger than it may be.
    #[error("compressed extent says it holds {0} bytes, more than 131072")]
    TooLarge(u64),
}

/// Unpacks an extent whose content has `content_bytes`. A stream that gives less is followed by zeros, as the last
/// extent of a file may be; what it gives beyond is dropped.
///
/// # Errors
/// * `Corrupt` - [`PackDefect`].
/// * `Unsupported` - an unknown method.
pub(crate) fn unpack(
    method: Compression,
    packed: &[u8],
    content_bytes: u64,
    sector_bytes: usize,
) -> Result<Vec<u8>> {
    if content_bytes > CONTENT_BYTES_MAX {
        return Err(corrupt(PackDefect::TooLarge(content_bytes)));
    }
    let limit = crate::bytes::arith::to(content_bytes)?;
    let mut content = match method {
        Compression::None => packed.get(..limit).unwrap_or(packed).to_vec(),
        Compression::Zlib => zlib(packed, limit)?,
        Compression::Lzo => lzo::unpack_segments(packed, limit, sector_bytes)
            .map_err(|defect| stream("LZO", defect))?,
        Compression::Zstd => zstd(packed, limit)?,
        Compression::Unknown(number) => {
            return Err(Error::unsupported(format!("compression method {number}")));
        }
    };
    content.resize(limit, 0);
    Ok(content)
}

fn zlib(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    // One byte more than fits, so that the end of the stream, with its checksum, is seen.
    match decompress_to_vec_zlib_with_limit(packed, limit.saturating_add(1)) {
        Ok(content) => Ok(content),
        Err(error) if error.output.len() > limit => Ok(error.output),
        Err(error) => Err(stream("zlib", error.status)),
    }
}

fn zstd(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES_MAX);
    let decoder = StreamingDecoder::new_with_decoder(packed, decoder);
    let decoder = decoder.map_err(|error| stream("Zstandard", error))?;
    let mut content = Vec::new();
    let read = decoder.take(len_u64(limit)).read_to_end(&mut content);
    read.map_err(|error| stream("Zstandard", error))?;
    Ok(content)
}

fn stream(method: &'static str, detail: impl std::fmt::Debug) -> Error {
    corrupt(PackDefect::Stream { method, detail: format!("{detail:?}") })
}

fn corrupt(defect: PackDefect) -> Error {
    Corrupt::new("compressed extent", defect).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 4096;

    /// 300 times `a`, and the zeros of its sector.
    fn zlib_of_a() -> Vec<u8> {
        let mut packed = miniz_oxide::deflate::compress_to_vec_zlib(&[b'a'; 300], 6);
        packed.resize(SECTOR, 0);
        packed
    }

    #[test]
    fn zlib_is_bounded_padded_and_cut() {
        let packed = zlib_of_a();
        assert_eq!(unpack(Compression::Zlib, &packed, 300, SECTOR).unwrap(), [b'a'; 300]);
        assert_eq!(unpack(Compression::Zlib, &packed, 100, SECTOR).unwrap(), [b'a'; 100]);
        let padded = unpack(Compression::Zlib, &packed, 302, SECTOR).unwrap();
        assert_eq!((&padded[..300], &padded[300..]), ([b'a'; 300].as_slice(), [0, 0].as_slice()));
        for cut in [0, 1, 5] {
            assert!(unpack(Compression::Zlib, &packed[..cut], 300, SECTOR).is_err(), "{cut}");
        }
    }

    #[test]
    fn zstd_is_bounded() {
        let packed = ruzstd::encoding::compress_to_vec(
            [b'a'; 300].as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let mut on_disk = packed.clone();
        on_disk.resize(SECTOR, 0);
        assert_eq!(unpack(Compression::Zstd, &on_disk, 300, SECTOR).unwrap(), [b'a'; 300]);
        assert_eq!(unpack(Compression::Zstd, &on_disk, 7, SECTOR).unwrap(), [b'a'; 7]);
        assert!(unpack(Compression::Zstd, &packed[..packed.len() / 2], 300, SECTOR).is_err());
        assert!(unpack(Compression::Zstd, b"junk", 300, SECTOR).is_err());
    }

    #[test]
    fn what_is_too_large_or_unknown_is_named() {
        let error = unpack(Compression::Zlib, &[], CONTENT_BYTES_MAX + 1, SECTOR).unwrap_err();
        assert_eq!(
            error.to_string(),
            "compressed extent: compressed extent says it holds 131073 bytes, more than 131072"
        );
        let error = unpack(Compression::Unknown(9), &[], 1, SECTOR).unwrap_err();
        assert_eq!(error.to_string(), "compression method 9");
    }
}
