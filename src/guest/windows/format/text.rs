//! Text files of Windows: which encoding, and which bytes stand behind which characters.
//!
//! Parsers work on a decoded `str`; a change is made in the bytes of the file, in its own encoding
//! (WIN-49, WIN-65, WIN-83). A file is UTF-16 or UTF-8 by its byte order mark, without one UTF-8 if
//! it is valid, else ANSI: one byte a character, those above ASCII opaque, since the code page is
//! not known. Not handled: UTF-16 without a mark (refused for its NULs), and code pages of two bytes
//! whose second byte looks like ASCII.

use super::ByteChange;
use crate::bytes::arith::len_u64;
use std::fmt;
use std::ops::Range;

/// Bound on a configuration file, in bytes: what a caller may read, and what is parsed.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Start of the private characters that stand for the bytes 0x80 to 0xFF of an ANSI file. They are
/// no white space and no line end in YAML, JSON and XML.
const OPAQUE_BASE: u32 = 0xf700;

const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF16_LE_MARK: &[u8] = &[0xff, 0xfe];
const UTF16_BE_MARK: &[u8] = &[0xfe, 0xff];

/// How a file stores text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, or ASCII, without a mark.
    Utf8,
    /// UTF-8 after its mark EF BB BF.
    Utf8Mark,
    /// UTF-16, little-endian, after its mark FF FE.
    Utf16Le,
    /// UTF-16, big-endian, after its mark FE FF.
    Utf16Be,
    /// An unknown code page of one byte a character.
    Ansi,
}

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextDefect {
    /// Larger than [`CONFIG_BYTES_MAX`].
    #[error("{actual_bytes} bytes are more than the limit of {CONFIG_BYTES_MAX}")]
    TooLarge {
        /// The size in bytes.
        actual_bytes: u64,
    },
    /// A NUL: the file is damaged, or it is UTF-16 without a byte order mark.
    #[error("a NUL character at {offset_bytes:#x}")]
    Nul {
        /// Where, in bytes.
        offset_bytes: u64,
    },
    /// UTF-16 with half a unit at its end.
    #[error("UTF-16 text with an odd number of bytes")]
    OddLength,
    /// UTF-8 by its mark, but not by its bytes, or a lone surrogate in UTF-16.
    #[error("not valid {encoding} at {offset_bytes:#x}")]
    Invalid {
        /// What its mark says.
        encoding: Encoding,
        /// Where, in bytes.
        offset_bytes: u64,
    },
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Utf8Mark => "UTF-8 with a byte order mark",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Ansi => "ANSI",
        })
    }
}

impl Encoding {
    /// The byte order mark that the encoding is known by.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf8 | Self::Ansi => &[],
            Self::Utf8Mark => UTF8_MARK,
            Self::Utf16Le => UTF16_LE_MARK,
            Self::Utf16Be => UTF16_BE_MARK,
        }
    }

    /// The encoding and what follows its mark. `Utf8` may still turn out to be `Ansi`.
    fn by_mark(bytes: &[u8]) -> (Self, &[u8]) {
        let marked = [Self::Utf8Mark, Self::Utf16Le, Self::Utf16Be];
        let found = marked
            .into_iter()
            .find_map(|encoding| Some((encoding, bytes.strip_prefix(encoding.mark())?)));
        found.unwrap_or((Self::Utf8, bytes))
    }

    /// Length of `text` in units of the encoding: bytes, or pairs of them in UTF-16. An ASCII
    /// character has one.
    pub fn unit_count(self, text: &str) -> usize {
        match self {
            Self::Utf8 | Self::Utf8Mark => text.len(),
            Self::Utf16Le | Self::Utf16Be => text.encode_utf16().count(),
            Self::Ansi => text.chars().count(),
        }
    }

    /// `text`, without a mark; `None` if the encoding cannot hold it.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 | Self::Utf8Mark => Some(text.as_bytes().to_vec()),
            Self::Utf16Le => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            Self::Utf16Be => Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            Self::Ansi => text.chars().map(ansi_byte).collect(),
        }
    }
}

/// The byte of an ANSI file behind a decoded character.
fn ansi_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    if code < 0x80 {
        return u8::try_from(code).ok();
    }
    code.checked_sub(OPAQUE_BASE)
        .and_then(|byte| u8::try_from(byte).ok())
        .filter(|&byte| byte >= 0x80)
}

/// A decoded file that remembers its bytes.
///
/// `Debug` does not show the text, which can hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    encoding: Encoding,
    content: String,
    /// Start of each character and the end of the text, in bytes of `content` and of the file.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    text: u32,
    file: u32,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text of {} bytes, {}", self.content.len(), self.encoding)
    }
}

impl Text {
    /// Decodes a file.
    ///
    /// # Errors
    /// [`TextDefect`] if it is too large, damaged, or no text.
    pub fn decode(bytes: &[u8]) -> Result<Self, TextDefect> {
        let actual_bytes = len_u64(bytes.len());
        if actual_bytes > CONFIG_BYTES_MAX {
            return Err(TextDefect::TooLarge { actual_bytes });
        }
        let (encoding, body) = Encoding::by_mark(bytes);
        let mark_bytes = len_u64(encoding.mark().len());
        let (encoding, content) = match encoding {
            Encoding::Utf16Le => (encoding, utf16(body, encoding, u16::from_le_bytes)?),
            Encoding::Utf16Be => (encoding, utf16(body, encoding, u16::from_be_bytes)?),
            _ => match std::str::from_utf8(body) {
                Ok(content) => (encoding, content.to_owned()),
                Err(_) if encoding == Encoding::Utf8 => (Encoding::Ansi, ansi(body)),
                Err(error) => {
                    let offset_bytes = mark_bytes.saturating_add(len_u64(error.valid_up_to()));
                    return Err(TextDefect::Invalid { encoding, offset_bytes });
                }
            },
        };
        let places = places(encoding, &content).ok_or(TextDefect::TooLarge { actual_bytes })?;
        let text = Self { encoding, content, places };
        match text.content.find('\0').and_then(|at| text.file_offset(at)) {
            Some(offset_bytes) => Err(TextDefect::Nul { offset_bytes }),
            None => Ok(text),
        }
    }

    /// The file again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.encoding.encode(&self.content).unwrap_or_default();
        [self.encoding.mark(), &body].concat()
    }

    /// How the file stores its text.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The text, without a byte order mark.
    pub fn as_str(&self) -> &str {
        &self.content
    }

    /// The part of the text between two of its byte offsets; `None` outside or inside a character.
    pub fn get(&self, range: Range<usize>) -> Option<&str> {
        self.content.get(range)
    }

    /// Byte offset in [`Text::as_str`] of the character with this index. The index that equals the
    /// number of characters is the end.
    pub fn offset_of_character(&self, index: usize) -> Option<usize> {
        usize::try_from(self.places.get(index)?.text).ok()
    }

    /// Byte offset in the file of the character that starts at `text_offset` of [`Text::as_str`].
    pub fn file_offset(&self, text_offset: usize) -> Option<u64> {
        let text_offset = u32::try_from(text_offset).ok()?;
        let index = self.places.binary_search_by_key(&text_offset, |place| place.text).ok()?;
        self.places.get(index).map(|place| place.file.into())
    }

    /// The change of the file that puts `new` in the place of a range of the text.
    ///
    /// `None` if the range is not on characters, or if the encoding cannot hold `new`.
    pub fn change(&self, range: Range<usize>, new: &str) -> Option<ByteChange> {
        let offset_bytes = self.file_offset(range.start)?;
        let old = self.encoding.encode(self.get(range)?)?;
        Some(ByteChange { offset_bytes, old, new: self.encoding.encode(new)? })
    }

    /// Line of a byte offset of the text, from 1, as an editor counts.
    pub fn line(&self, text_offset: usize) -> usize {
        let before = self.content.bytes().take(text_offset);
        before.filter(|&byte| byte == b'\n').count().saturating_add(1)
    }
}

fn utf16(body: &[u8], encoding: Encoding, unit: fn([u8; 2]) -> u16) -> Result<String, TextDefect> {
    let (units, rest) = body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TextDefect::OddLength);
    }
    let mut content = String::with_capacity(units.len());
    let mut offset_bytes = len_u64(encoding.mark().len());
    for character in char::decode_utf16(units.iter().map(|&bytes| unit(bytes))) {
        let character = character.map_err(|_| TextDefect::Invalid { encoding, offset_bytes })?;
        content.push(character);
        let units = len_u64(character.len_utf16());
        offset_bytes = offset_bytes.saturating_add(units.saturating_mul(2));
    }
    Ok(content)
}

fn ansi(body: &[u8]) -> String {
    let character = |&byte: &u8| match byte {
        0..0x80 => char::from(byte),
        _ => char::from_u32(OPAQUE_BASE.saturating_add(byte.into())).unwrap_or('\u{fffd}'),
    };
    body.iter().map(character).collect()
}

fn places(encoding: Encoding, content: &str) -> Option<Vec<Place>> {
    let mut places = Vec::with_capacity(content.len().checked_add(1)?);
    let mut place = Place { text: 0, file: u32::try_from(encoding.mark().len()).ok()? };
    for character in content.chars() {
        places.push(place);
        let in_file = match encoding {
            Encoding::Utf8 | Encoding::Utf8Mark => character.len_utf8(),
            Encoding::Utf16Le | Encoding::Utf16Be => character.len_utf16().checked_mul(2)?,
            Encoding::Ansi => 1,
        };
        place.text = place.text.checked_add(u32::try_from(character.len_utf8()).ok()?)?;
        place.file = place.file.checked_add(u32::try_from(in_file).ok()?)?;
    }
    places.push(place);
    Some(places)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::change::apply;
    use super::*;
    use proptest::prelude::*;

    pub(crate) const ENCODINGS: [Encoding; 5] =
        [Encoding::Utf8, Encoding::Utf8Mark, Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Ansi];

    /// `text` as a file; ANSI gets a non-ASCII byte for each U+F7xx in it.
    pub(crate) fn file(encoding: Encoding, text: &str) -> Vec<u8> {
        [encoding.mark(), &encoding.encode(text).unwrap()].concat()
    }

    #[test]
    fn encodings_are_told_apart() {
        for (bytes, encoding, text) in [
            (b"".as_slice(), Encoding::Utf8, ""),
            (b"a: b\r\n", Encoding::Utf8, "a: b\r\n"),
            (b"\xef\xbb\xbfa", Encoding::Utf8Mark, "a"),
            ("\u{eb}".as_bytes(), Encoding::Utf8, "\u{eb}"),
            (b"Zo\xeb", Encoding::Ansi, "Zo\u{f7eb}"),
            (b"\xff\xfea\0\x3d\xd8\x00\xde", Encoding::Utf16Le, "a\u{1f600}"),
            (b"\xfe\xff\0a", Encoding::Utf16Be, "a"),
            (b"\xff\xfe", Encoding::Utf16Le, ""),
        ] {
            let decoded = Text::decode(bytes).unwrap();
            assert_eq!((decoded.encoding(), decoded.as_str()), (encoding, text), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let invalid = |encoding, offset_bytes| TextDefect::Invalid { encoding, offset_bytes };
        let limit = usize::try_from(CONFIG_BYTES_MAX).unwrap();
        let too_large = TextDefect::TooLarge { actual_bytes: CONFIG_BYTES_MAX + 1 };
        for (bytes, defect) in [
            (b"a\0b".to_vec(), TextDefect::Nul { offset_bytes: 1 }),
            (b"a\0b\0".to_vec(), TextDefect::Nul { offset_bytes: 1 }),
            (b"\xe4\0".to_vec(), TextDefect::Nul { offset_bytes: 1 }),
            (b"\xff\xfea\0\0\0".to_vec(), TextDefect::Nul { offset_bytes: 4 }),
            // UTF-32 is UTF-16 with NULs.
            (b"\xff\xfe\0\0a\0\0\0".to_vec(), TextDefect::Nul { offset_bytes: 2 }),
            (b"\xff\xfea".to_vec(), TextDefect::OddLength),
            (b"\xff\xfea\0\x3d\xd8a\0".to_vec(), invalid(Encoding::Utf16Le, 4)),
            (b"\xfe\xff\xdc\0".to_vec(), invalid(Encoding::Utf16Be, 2)),
            (b"\xef\xbb\xbfa\xff".to_vec(), invalid(Encoding::Utf8Mark, 4)),
            (vec![b'a'; limit + 1], too_large),
        ] {
            assert_eq!(Text::decode(&bytes), Err(defect));
        }
        assert!(Text::decode(&vec![b'a'; limit]).is_ok());
    }

    #[test]
    fn the_encoding_of_a_change_is_that_of_the_file() {
        for (encoding, offset_bytes, new) in [
            (Encoding::Utf8, 2, b"xy".as_slice()),
            (Encoding::Utf8Mark, 5, b"xy"),
            (Encoding::Utf16Le, 6, b"x\0y\0"),
            (Encoding::Utf16Be, 6, b"\0x\0y"),
            (Encoding::Ansi, 2, b"xy"),
        ] {
            let text = if encoding == Encoding::Ansi { "\u{f7eb}-ab" } else { "a-ab" };
            let decoded = Text::decode(&file(encoding, text)).unwrap();
            let at = decoded.as_str().find("ab").unwrap();
            let change = decoded.change(at..at + 2, "xy").unwrap();
            assert_eq!((change.offset_bytes, change.new.as_slice()), (offset_bytes, new));
        }
        let ansi = Text::decode(b"\xeb").unwrap();
        assert_eq!(ansi.change(0..0, "\u{eb}"), None, "the code page is not known");
        assert_eq!(ansi.change(1..1, "x"), None, "inside a character");
        assert_eq!(ansi.change(0..9, "x"), None);
        assert_eq!(format!("{ansi:?}"), "Text of 3 bytes, ANSI");
    }

    #[test]
    fn lines_count_from_one() {
        let text = Text::decode(b"a\r\nb\nc").unwrap();
        assert_eq!([0, 3, 5, 99].map(|at| text.line(at)), [1, 2, 3, 3]);
    }

    proptest! {
        #[test]
        fn a_change_reaches_exactly_its_characters(
            choice in 0..ENCODINGS.len(),
            text in "[a-z\\r\\n\u{eb}\u{4e00}\u{1f600}]{0,40}",
            from in 0usize..40,
            count in 0usize..40,
            new in "[ -~]{0,9}",
        ) {
            let encoding = ENCODINGS[choice];
            let opaque = |c: char| if c.is_ascii() { c } else { '\u{f7ff}' };
            let text: String = match encoding {
                // A lone 0xFF is never valid UTF-8.
                Encoding::Ansi => "\u{f7ff}".chars().chain(text.chars().map(opaque)).collect(),
                _ => text,
            };
            let bytes = file(encoding, &text);
            let decoded = Text::decode(&bytes).unwrap();
            prop_assert_eq!((decoded.encoding(), decoded.as_str()), (encoding, text.as_str()));
            let length = text.chars().count();
            let from = from.min(length);
            let to = (from + count).min(length);
            let start = decoded.offset_of_character(from).unwrap();
            let end = decoded.offset_of_character(to).unwrap();
            let change = decoded.change(start..end, &new).unwrap();
            let expected = [&text[..start], &new, &text[end..]].concat();
            let changed = apply(&bytes, &[change]).unwrap();
            prop_assert_eq!(changed, file(encoding, &expected));
        }

        #[test]
        fn any_bytes_decode_to_themselves(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(text) = Text::decode(&bytes) {
                let change = text.change(0..text.as_str().len(), "").unwrap();
                prop_assert_eq!(apply(&bytes, &[change]).unwrap(), text.encoding().mark());
                prop_assert_eq!(text.to_bytes(), bytes);
            }
        }
    }
}
