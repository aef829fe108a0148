//! Identifiers of LVM: 32 characters, written in groups.

use std::fmt;

/// Characters of an identifier.
const LEN: usize = 32;

/// Lengths of the groups in which an identifier is written.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

/// The identifier of a physical volume, a volume group or a logical volume: 32 letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LvmUuid([u8; LEN]);

impl LvmUuid {
    /// Takes the 32 bytes of a label; `None` if one of them is no letter or digit (LVM also allows `!` and `#`).
    pub fn from_label(bytes: [u8; LEN]) -> Option<Self> {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#');
        bytes.iter().all(is_allowed).then_some(Self(bytes))
    }

    /// Takes the written form, with or without dashes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        // A longer text is no identifier, so no more of it is looked at.
        let plain = text.iter().copied().filter(|byte| *byte != b'-').take(LEN.saturating_add(1));
        let plain: Vec<u8> = plain.collect();
        Self::from_label(plain.try_into().ok()?)
    }
}

impl fmt::Display for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        for (index, group) in GROUPS.into_iter().enumerate() {
            let (head, tail) = rest.split_at_checked(group).unwrap_or((rest, &[]));
            rest = tail;
            if index > 0 {
                f.write_str("-")?;
            }
            for byte in head {
                write!(f, "{}", char::from(*byte))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_is_parsed_and_printed() {
        let text = "VmorkdF0cyU7NqFoBRNzhpaKkxHX1VlH";
        let written = "Vmorkd-F0cy-U7Nq-FoBR-Nzhp-aKkx-HX1VlH";
        let uuid = LvmUuid::parse(written.as_bytes()).unwrap();
        assert_eq!(LvmUuid::from_label(text.as_bytes().try_into().unwrap()), Some(uuid));
        assert_eq!(uuid.to_string(), written);
        assert_eq!(LvmUuid::parse(&text.as_bytes()[1..]), None);
        assert_eq!(LvmUuid::parse(&[b'a'; 1 << 20]), None);
        assert_eq!(LvmUuid::parse(b"Vmorkd\x1b-F0cy-U7Nq-FoBR-Nzhp-aKkx-HX1Vl"), None);
    }
}
