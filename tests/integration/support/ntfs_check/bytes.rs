//! Little-endian numbers out of bytes that may be too short.

/// `len` bytes from `at`.
pub(super) fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

/// 16 bits.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(slice(bytes, at, 2)?.try_into().ok()?))
}

/// 32 bits.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(slice(bytes, at, 4)?.try_into().ok()?))
}

/// 64 bits.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(slice(bytes, at, 8)?.try_into().ok()?))
}

/// UTF-16 of `len` units.
pub(super) fn utf16_at(bytes: &[u8], at: usize, len: usize) -> Option<Vec<u16>> {
    let bytes = slice(bytes, at, len.checked_mul(2)?)?;
    Some(bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect())
}

/// A bit of a bitmap, lowest first; bits behind its end are clear.
pub(super) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Sets `len` bits from `start`; the bitmap is long enough.
pub(super) fn set_bits(bitmap: &mut [u8], start: usize, len: usize) {
    let end = start + len;
    let (first, last) = (start.div_ceil(8), end / 8);
    let mut set = |bits: std::ops::Range<usize>| {
        for index in bits {
            bitmap[index / 8] |= 1 << (index % 8);
        }
    };
    if first >= last {
        set(start..end);
        return;
    }
    set(start..first * 8);
    set(last * 8..end);
    bitmap[first..last].fill(0xff);
}

/// The next multiple of eight.
pub(super) fn align8(len: usize) -> usize {
    len.div_ceil(8) * 8
}
