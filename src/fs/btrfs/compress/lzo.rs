//! LZO1X, as Btrfs frames it.
//!
//! Format of a stream: Linux documentation, "LZO stream format as understood by Linux's LZO decompressor", version 0.
//! Framing: btrfs documentation and observation. An extent is
//!
//! | offset | size | field    | valid when                                                     |
//! |-------:|-----:|----------|----------------------------------------------------------------|
//! |      0 |    4 | total    | bytes in use, with this field                                  |
//! |      4 |    4 | length   | of the first stream                                            |
//! |      8 |    n | stream   | gives one sector of content, or less at the end of the extent  |
//! |    8+n |      | ...      | more lengths and streams up to `total`                         |
//!
//! A length never crosses a sector of the extent: where less than 4 bytes are left in one, it stands at the start of
//! the next.
//!
//! A stream is a sequence of instructions. S is how many literals follow one, and `state` the S of the one before, or
//! 4 after a long run of literals:
//!
//! | first byte  | means                                                                              |
//! |-------------|------------------------------------------------------------------------------------|
//! | `0000LLLL`  | state 0: 3 + L literals, or 18 + L' if L is 0; state becomes 4                      |
//! | `0000DDSS`  | state 1 to 3: copy 2 from H * 4 + D + 1 back; state 4: copy 3 from there + 2048     |
//! | `0001HLLL`  | copy 2 + L, or 9 + L', from 16384 * (1 + H) + D back; 16384 back ends the stream    |
//! | `001LLLLL`  | copy 2 + L, or 33 + L', from D + 1 back                                             |
//! | `01LDDDSS`  | copy 3 + L from H * 8 + D + 1 back                                                  |
//! | `1LLDDDSS`  | copy 5 + L from H * 8 + D + 1 back                                                  |
//!
//! H is the next byte. Where no H stands in the table, D (14 bits) and S (2 bits) are the next two bytes. L' is a
//! number of any size in bytes before them: 255 for each zero, then one more byte. A stream may start with a byte
//! above 17: then that minus 17 is the number of literals that follow.

/// What is wrong with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LzoDefect {
    /// It ends inside an instruction, or without an end.
    Truncated,
    /// It gives more than it may.
    TooLong,
    /// It copies from before its start.
    Distance,
    /// Lengths of segments.
    Segment,
}

/// Unpacks the segments of an extent, up to `limit` bytes of content.
pub(super) fn unpack_segments(
    packed: &[u8],
    limit: usize,
    sector_bytes: usize,
) -> Result<Vec<u8>, LzoDefect> {
    let total = number(packed, 0)?;
    let packed = packed.get(..total).ok_or(LzoDefect::Segment)?;
    let mut content = Vec::new();
    let mut at = 4usize;
    while at < total && content.len() < limit {
        let in_sector = at.checked_rem(sector_bytes).ok_or(LzoDefect::Segment)?;
        let left = sector_bytes.saturating_sub(in_sector);
        if left < 4 {
            at = at.saturating_add(left);
            continue;
        }
        let len = number(packed, at)?;
        let start = at.saturating_add(4);
        let end = start.checked_add(len).ok_or(LzoDefect::Segment)?;
        let segment = packed.get(start..end).ok_or(LzoDefect::Segment)?;
        content.extend(unpack(segment, sector_bytes)?);
        at = end;
    }
    Ok(content)
}

fn number(bytes: &[u8], at: usize) -> Result<usize, LzoDefect> {
    let number = crate::bytes::field::le_u32(bytes, at).map_err(|_| LzoDefect::Segment)?;
    usize::try_from(number).map_err(|_| LzoDefect::Segment)
}

/// Unpacks one stream that gives at most `limit` bytes.
pub(super) fn unpack(stream: &[u8], limit: usize) -> Result<Vec<u8>, LzoDefect> {
    let mut unpacker = Unpacker { rest: stream, output: Vec::new(), limit };
    let mut state = unpacker.start()?;
    loop {
        match unpacker.step(state)? {
            Some(next) => state = next,
            None => return Ok(unpacker.output),
        }
    }
}

/// State after a long run of literals.
const LONG_RUN: u8 = 4;

struct Unpacker<'a> {
    rest: &'a [u8],
    output: Vec<u8>,
    limit: usize,
}

impl Unpacker<'_> {
    /// The literals at the very start; gives the state after them.
    fn start(&mut self) -> Result<u8, LzoDefect> {
        let count = self.rest.first().copied().unwrap_or(0).saturating_sub(17);
        if count == 0 {
            return Ok(0);
        }
        self.byte()?;
        self.literals(count.into())?;
        Ok(count.min(LONG_RUN))
    }

    /// One instruction; the new state, or none at the end of the stream.
    fn step(&mut self, state: u8) -> Result<Option<u8>, LzoDefect> {
        let first = self.byte()?;
        let short = usize::from(first);
        match first {
            0..16 if state == 0 => {
                let len = self.length(short, 15)?.saturating_add(3);
                self.literals(len)?;
                return Ok(Some(LONG_RUN));
            }
            0..16 => {
                let (far, len) = if state == LONG_RUN { (2049, 3) } else { (1, 2) };
                let distance = (usize::from(self.byte()?) << 2) | (short >> 2);
                self.copy(distance.saturating_add(far), len)?;
            }
            16..32 => {
                let len = self.length(short & 7, 7)?.saturating_add(2);
                let (distance, literals) = self.pair()?;
                let high = if first & 8 == 0 { 0 } else { 1 << 14 };
                let distance = distance | high;
                if distance == 0 {
                    return Ok(None);
                }
                self.copy(distance.saturating_add(1 << 14), len)?;
                return self.after(literals);
            }
            32..64 => {
                let len = self.length(short & 31, 31)?.saturating_add(2);
                let (distance, literals) = self.pair()?;
                self.copy(distance.saturating_add(1), len)?;
                return self.after(literals);
            }
            64.. => {
                let len = (short >> 5).saturating_add(1);
                let distance = (usize::from(self.byte()?) << 3) | ((short >> 2) & 7);
                self.copy(distance.saturating_add(1), len)?;
            }
        }
        self.after(first & 3)
    }

    /// The literals after an instruction.
    fn after(&mut self, literals: u8) -> Result<Option<u8>, LzoDefect> {
        self.literals(literals.into())?;
        Ok(Some(literals))
    }

    /// The length that `short` stands for: itself, or if it is 0, `base` and the number that follows.
    fn length(&mut self, short: usize, base: usize) -> Result<usize, LzoDefect> {
        if short != 0 {
            return Ok(short);
        }
        let mut len = base;
        loop {
            match self.byte()? {
                0 => len = len.saturating_add(255),
                last => return Ok(len.saturating_add(last.into())),
            }
        }
    }

    /// Distance and number of literals in two bytes.
    fn pair(&mut self) -> Result<(usize, u8), LzoDefect> {
        let (low, high) = (self.byte()?, self.byte()?);
        Ok(((usize::from(high) << 6) | usize::from(low >> 2), low & 3))
    }

    fn byte(&mut self) -> Result<u8, LzoDefect> {
        let (&first, rest) = self.rest.split_first().ok_or(LzoDefect::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    fn literals(&mut self, count: usize) -> Result<(), LzoDefect> {
        let (literals, rest) = self.rest.split_at_checked(count).ok_or(LzoDefect::Truncated)?;
        self.check_room(count)?;
        self.output.extend(literals);
        self.rest = rest;
        Ok(())
    }

    fn copy(&mut self, distance: usize, len: usize) -> Result<(), LzoDefect> {
        self.check_room(len)?;
        let start = self.output.len().checked_sub(distance).ok_or(LzoDefect::Distance)?;
        for at in start..start.saturating_add(len) {
            // What is copied may be what this loop wrote.
            let byte = *self.output.get(at).ok_or(LzoDefect::Distance)?;
            self.output.push(byte);
        }
        Ok(())
    }

    fn check_room(&self, len: usize) -> Result<(), LzoDefect> {
        let room = self.limit.saturating_sub(self.output.len());
        if len > room { Err(LzoDefect::TooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: [u8; 3] = [17, 0, 0];

    #[test]
    fn literals_copies_and_the_end() {
        let stream = [[17 + 6].as_slice(), b"hello ", &[0x2f, 5 << 2, 0], &END].concat();
        assert_eq!(unpack(&stream, 100).unwrap(), b"hello hello hello hello");
        let short = [[3].as_slice(), b"abcdef", &[0b0101_0100, 0], &END].concat();
        // 64 + ...: copy 3 from 6 back.
        assert_eq!(unpack(&short, 100).unwrap(), b"abcdefabc");
        assert_eq!(unpack(&END, 0).unwrap(), b"");
    }

    #[test]
    fn long_numbers() {
        let mut stream = vec![0, 0, 1];
        stream.extend([b'x'; 15 + 255 + 1 + 3]);
        stream.extend(END);
        assert_eq!(unpack(&stream, 1000).unwrap(), [b'x'; 274]);
        let copy = [[18, b'y', 0x20, 0, 7, 0, 0].as_slice(), &END].concat();
        assert_eq!(unpack(&copy, 1000).unwrap(), [b'y'; 1 + 2 + 31 + 255 + 7]);
    }

    #[test]
    fn damage_is_named() {
        let stream = [[17 + 6].as_slice(), b"hello ", &[0x2f, 5 << 2, 0], &END].concat();
        for cut in 0..stream.len() {
            assert_eq!(unpack(&stream[..cut], 100), Err(LzoDefect::Truncated), "{cut}");
        }
        assert_eq!(unpack(&stream, 22), Err(LzoDefect::TooLong));
        assert_eq!(unpack(&[18, b'a', 0x2f, 4, 0], 100), Err(LzoDefect::Distance));
    }

    #[test]
    fn segments_do_not_cross_a_sector_with_their_length() {
        let segment = [[17 + 6].as_slice(), b"hello ", &END].concat();
        let mut packed = vec![0; 32];
        let len = u32::try_from(segment.len()).unwrap().to_le_bytes();
        packed[4..8].copy_from_slice(&len);
        packed[8..8 + segment.len()].copy_from_slice(&segment);
        // Sectors of 20 bytes: 2 are left in the first one.
        packed[20..24].copy_from_slice(&len);
        packed.truncate(24);
        packed.extend(&segment);
        let total = u32::try_from(packed.len()).unwrap();
        packed[..4].copy_from_slice(&total.to_le_bytes());
        assert_eq!(unpack_segments(&packed, 100, 20).unwrap(), b"hello hello ");
        assert_eq!(unpack_segments(&packed[..30], 100, 20), Err(LzoDefect::Segment));
        assert_eq!(unpack_segments(&[], 100, 20), Err(LzoDefect::Segment));
    }

    proptest::proptest! {
        #[test]
        fn junk_is_bounded(stream in proptest::collection::vec(0u8.., 0..300)) {
            if let Ok(output) = unpack(&stream, 4096) {
                assert!(output.len() <= 4096);
            }
            let _ = unpack_segments(&stream, 65536, 64);
        }
    }
}
