//! Regular expressions of the rules: written for PCRE, matched with the `regex` crate.
//!
//! Only what means the same in both is translated; anything else is [`Foreign`], which is not the same as
//! "does not match". Not handled, hence foreign: look-around, back-references, possessive and atomic groups,
//! options, verbs, `\b` and other assertions, `\x` and octal codes, and what PCRE refuses.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write as _;

/// Bound on the length of an expression, in bytes; those of real policies have less than 200.
const PATTERN_BYTES_MAX: usize = 4096;
/// Bound on groups within groups.
const DEPTH_MAX: usize = 32;
/// Bound on the numbers of a counted repetition.
const REPEAT_MAX: u32 = 1000;
/// Bound on the size of one compiled expression, in bytes.
const COMPILED_BYTES_MAX: usize = 128 * 1024;

/// An expression that is not understood, or that PCRE may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign;

/// Compiles an expression as libselinux does: with `^` before and `$` after it, and no group around it, so
/// that in `a|b` the first is bound to the start only and the second to the end only.
///
/// A path with control characters must not be asked: `$` also matches before a last line feed.
pub(super) fn compile(translated: &str) -> Result<Regex, Foreign> {
    let mut builder = RegexBuilder::new(translated);
    builder.unicode(false).dot_matches_new_line(true).size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|_| Foreign)
}

/// The same expression for the `regex` crate, anchored.
pub(super) fn translate(pattern: &[u8]) -> Result<String, Foreign> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Foreign);
    }
    let mut translator =
        Translator { rest: pattern, out: "\\A".to_owned(), can_repeat: false, depth: 0 };
    while let Some(byte) = translator.next() {
        translator.item(byte)?;
    }
    if translator.depth != 0 {
        return Err(Foreign);
    }
    translator.out.push_str("\\z");
    Ok(translator.out)
}

struct Translator<'a> {
    rest: &'a [u8],
    out: String,
    /// True if a repetition may follow.
    can_repeat: bool,
    depth: usize,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn take(&mut self, expected: u8) -> bool {
        let is_next = self.rest.first() == Some(&expected);
        if is_next {
            self.next();
        }
        is_next
    }

    fn item(&mut self, byte: u8) -> Result<(), Foreign> {
        let can_repeat = std::mem::replace(&mut self.can_repeat, true);
        match byte {
            b'\\' => self.escape()?,
            b'[' => self.class()?,
            b'(' => self.open()?,
            b')' => {
                self.depth = self.depth.checked_sub(1).ok_or(Foreign)?;
                self.out.push(')');
            }
            b'|' => {
                self.out.push('|');
                self.can_repeat = false;
            }
            b'.' => self.out.push('.'),
            b'^' | b'$' => {
                self.out.push_str(if byte == b'^' { "\\A" } else { "\\z" });
                self.can_repeat = false;
            }
            b'*' | b'+' | b'?' => {
                self.out.push(char::from(byte));
                self.repetition(can_repeat)?;
            }
            b'{' => {
                if let Some(count) = self.count()? {
                    self.out.push_str(&count);
                    self.repetition(can_repeat)?;
                } else {
                    self.literal(b'{');
                }
            }
            _ if byte.is_ascii() => self.literal(byte),
            _ => return Err(Foreign),
        }
        Ok(())
    }

    fn literal(&mut self, byte: u8) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\\x{byte:02x}");
    }

    fn open(&mut self) -> Result<(), Foreign> {
        if self.rest.starts_with(b"?:") {
            self.rest = self.rest.get(2..).unwrap_or_default();
        } else if matches!(self.rest.first(), Some(b'?' | b'*')) {
            return Err(Foreign);
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX {
            return Err(Foreign);
        }
        self.out.push_str("(?:");
        self.can_repeat = false;
        Ok(())
    }

    /// What follows a repetition: `?` makes it reluctant, which does not change what matches; `+` makes it
    /// possessive, which does.
    fn repetition(&mut self, can_repeat: bool) -> Result<(), Foreign> {
        self.take(b'?');
        self.can_repeat = false;
        if !can_repeat || self.rest.first() == Some(&b'+') {
            return Err(Foreign);
        }
        Ok(())
    }

    /// `N}`, `N,}` or `N,M}` after a brace, with the brace; `None` if the brace is a plain character.
    fn count(&mut self) -> Result<Option<String>, Foreign> {
        let Some(end) = self.rest.iter().position(|&byte| byte == b'}') else { return Ok(None) };
        let body = self.rest.get(..end).unwrap_or_default();
        let is_count = |byte: &u8| byte.is_ascii_digit() || *byte == b',';
        if body.is_empty() || !body.iter().all(is_count) {
            return Ok(None);
        }
        let text = std::str::from_utf8(body).map_err(|_| Foreign)?;
        // Newer versions of PCRE take `{,M}` for a repetition.
        let (low, high) = text.split_once(',').unwrap_or((text, text));
        let low: u32 = low.parse().map_err(|_| Foreign)?;
        let high: u32 = if high.is_empty() { low } else { high.parse().map_err(|_| Foreign)? };
        if high < low || high > REPEAT_MAX {
            return Err(Foreign);
        }
        let count = format!("{{{text}}}");
        self.rest = self.rest.get(end..).and_then(|rest| rest.get(1..)).unwrap_or_default();
        Ok(Some(count))
    }

    fn escape(&mut self) -> Result<(), Foreign> {
        let byte = self.next().ok_or(Foreign)?;
        match plain(byte) {
            Some(byte) => self.literal(byte),
            None => self.out.push_str(&Set::of_escape(byte)?.text()?),
        }
        Ok(())
    }

    fn class(&mut self) -> Result<(), Foreign> {
        let is_negated = self.take(b'^');
        let mut set = Set::default();
        let mut is_first = true;
        loop {
            let byte = self.next().ok_or(Foreign)?;
            if byte == b']' && !is_first {
                break;
            }
            is_first = false;
            let start = match self.class_item(byte, &mut set)? {
                Some(start) => start,
                // A set is no start of a range; what PCRE makes of `\d-x` depends on its version.
                None if self.rest.first() == Some(&b'-') && self.rest.get(1) != Some(&b']') => {
                    return Err(Foreign);
                }
                None => continue,
            };
            let is_range = self.rest.first() == Some(&b'-')
                && self.rest.get(1).is_some_and(|&byte| byte != b']');
            if !is_range {
                set.add(start, start);
                continue;
            }
            self.next();
            let end = self.next().ok_or(Foreign)?;
            let end = self.class_item(end, &mut set)?.ok_or(Foreign)?;
            if end < start {
                return Err(Foreign);
            }
            set.add(start, end);
        }
        if is_negated {
            set = set.complement();
        }
        self.out.push_str(&set.text()?);
        Ok(())
    }

    /// One member of a class: a byte, or a set that is added.
    fn class_item(&mut self, byte: u8, set: &mut Set) -> Result<Option<u8>, Foreign> {
        match byte {
            b'\\' => {
                let byte = self.next().ok_or(Foreign)?;
                if let Some(byte) = plain(byte) {
                    return Ok(Some(byte));
                }
                set.join(&Set::of_escape(byte)?);
                Ok(None)
            }
            b'[' if matches!(self.rest.first(), Some(b':' | b'.' | b'=')) => {
                let end = self.rest.windows(2).position(|pair| pair == b":]").ok_or(Foreign)?;
                let name = self.rest.get(1..end).ok_or(Foreign)?;
                set.join(&Set::of_name(name)?);
                self.rest = self.rest.get(end..).and_then(|rest| rest.get(2..)).ok_or(Foreign)?;
                Ok(None)
            }
            _ if byte.is_ascii() => Ok(Some(byte)),
            _ => Err(Foreign),
        }
    }
}

/// The byte that an escape stands for, if it is one.
fn plain(byte: u8) -> Option<u8> {
    match byte {
        b't' => Some(b'\t'),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b'f' => Some(0x0c),
        b'e' => Some(0x1b),
        b'a' => Some(0x07),
        _ if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Some(byte),
        _ => None,
    }
}

/// A set of bytes.
struct Set([bool; 256]);

impl Default for Set {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Set {
    fn of(is_member: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        for (slot, byte) in set.0.iter_mut().zip(0u8..=255) {
            *slot = is_member(byte);
        }
        set
    }

    /// The set of `\d` and its like.
    fn of_escape(byte: u8) -> Result<Self, Foreign> {
        let is_space = |byte: u8| matches!(byte, b' ' | 0x09..=0x0d);
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        Ok(match byte {
            b'd' => Self::of(|byte| byte.is_ascii_digit()),
            b'D' => Self::of(|byte| !byte.is_ascii_digit()),
            b's' => Self::of(is_space),
            b'S' => Self::of(|byte| !is_space(byte)),
            b'w' => Self::of(is_word),
            b'W' => Self::of(|byte| !is_word(byte)),
            _ => return Err(Foreign),
        })
    }

    /// The set of `[:digit:]` and its like.
    fn of_name(name: &[u8]) -> Result<Self, Foreign> {
        let is_member: fn(u8) -> bool = match name {
            b"alnum" => |byte| byte.is_ascii_alphanumeric(),
            b"alpha" => |byte| byte.is_ascii_alphabetic(),
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"digit" => |byte| byte.is_ascii_digit(),
            b"lower" => |byte| byte.is_ascii_lowercase(),
            b"punct" => |byte| byte.is_ascii_punctuation(),
            b"space" => |byte| matches!(byte, b' ' | 0x09..=0x0d),
            b"upper" => |byte| byte.is_ascii_uppercase(),
            b"word" => |byte| byte.is_ascii_alphanumeric() || byte == b'_',
            b"xdigit" => |byte| byte.is_ascii_hexdigit(),
            _ => return Err(Foreign),
        };
        Ok(Self::of(is_member))
    }

    fn add(&mut self, start: u8, end: u8) {
        for (slot, byte) in self.0.iter_mut().zip(0u8..=255) {
            *slot |= (start..=end).contains(&byte);
        }
    }

    fn join(&mut self, other: &Self) {
        for (slot, is_member) in self.0.iter_mut().zip(other.0) {
            *slot |= is_member;
        }
    }

    fn complement(mut self) -> Self {
        for slot in &mut self.0 {
            *slot = !*slot;
        }
        self
    }

    /// The set as a class of the `regex` crate.
    fn text(&self) -> Result<String, Foreign> {
        let mut text = "[".to_owned();
        let mut start = None;
        let members = self.0.iter().copied().chain(std::iter::once(false));
        for (is_member, byte) in members.zip(0u32..) {
            match (is_member, start) {
                (true, None) => start = Some(byte),
                (false, Some(first)) => {
                    let last = byte.saturating_sub(1);
                    let _ = write!(text, "\\x{first:02x}-\\x{last:02x}");
                    start = None;
                }
                _ => {}
            }
        }
        text.push(']');
        // An empty class is none.
        if text.len() > 2 { Ok(text) } else { Err(Foreign) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_in_pcre_is_translated_login_87() {
        for (pattern, path, expected) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a|/b", "/ax", true),
            ("/a|/b", "x/b", true),
            ("(/a|/b)", "x/b", false),
            ("/a.c", "/a/c", true),
            ("/a\\.c", "/abc", false),
            ("/[^/]+/x", "/a/x", true),
            ("/[^/]+/x", "/a/b/x", false),
            ("/[]a]", "/]", true),
            ("/[^]a]", "/]", false),
            ("/[a\\]-]", "/-", true),
            ("/[0-9a-f]{2,3}", "/0af", true),
            ("/[0-9a-f]{2,3}", "/0", false),
            ("/[[:digit:]x]+", "/12x", true),
            ("/\\d\\w", "/1_", true),
            ("/[\\d.]", "/.", true),
            ("/a{b", "/a{b", true),
            ("/a{}", "/a{}", true),
            ("/a*?b", "/aab", true),
            ("/(?:a|b)?c", "/c", true),
            ("/(a|)c", "/c", true),
            ("/x]}", "/x]}", true),
            ("/[&&~]", "/&", true),
            ("/[a[]", "/[", true),
            ("^/a$", "/a", true),
            ("/a\\_b", "/a_b", true),
        ] {
            let regex = compile(&translate(pattern.as_bytes()).unwrap()).unwrap();
            assert_eq!(regex.is_match(path.as_bytes()), expected, "{pattern} {path}");
        }
        let regex = compile(&translate(b"/.[^a]").unwrap()).unwrap();
        assert!(regex.is_match(b"/\xff\xfe"));
    }

    #[test]
    fn what_does_not_is_foreign_login_87() {
        for pattern in [
            "/a++",
            "/a*+",
            "/a?+",
            "/a{2}+",
            "/(?=a)",
            "/(?!a)",
            "/(?i)a",
            "/(?>a)",
            "/(*F)",
            "/(a)\\1",
            "/a\\b",
            "/\\x41",
            "/a**",
            "/(*a)",
            "*a",
            "/a|*",
            "/(a",
            "/a)",
            "/[a",
            "/[]",
            "/a\\",
            "/[b-a]",
            "/[\\d-z]",
            "/[[:none:]]",
            "/[[.a.]]",
            "/a{,3}",
            "/a{3,2}",
            "/a{2000}",
            "/^*",
            "/\\Qa\\E",
            "/\\p",
            "/[\\s\\S]{9}[^\\d\\D]",
            "/\u{e9}",
        ] {
            assert_eq!(translate(pattern.as_bytes()), Err(Foreign), "{pattern}");
        }
        let deep = "(".repeat(100) + &")".repeat(100);
        assert_eq!(translate(deep.as_bytes()), Err(Foreign));
        assert_eq!(translate(&[b'a'; 5000]), Err(Foreign));
        let large = translate(b"((.{500}){500}){500}").unwrap();
        assert_eq!(compile(&large).err(), Some(Foreign));
    }
}
