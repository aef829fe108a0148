//! Feature words of a superblock: each bit understood for writing, for reading only, not at all, or unknown.

/// What regain can do with a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// Proven for writing.
    Write,
    /// Read only; editing is refused by name.
    Read,
    /// Not even reading.
    Neither,
}

/// A known bit: its mask, the name that the tools of the file system use, and what regain can do with it.
pub(crate) type Feature = (u32, &'static str, Support);

/// The names of the bits in `word` with this support.
pub(crate) fn named(word: u32, list: &[Feature], wanted: Support) -> Vec<String> {
    list.iter()
        .filter(|(bit, _, support)| word & bit != 0 && *support == wanted)
        .map(|(_, name, _)| (*name).to_owned())
        .collect()
}

/// The bits in `word` that are in no list, as in `incompat 0x40000000`.
pub(crate) fn unknown(word_name: &str, word: u32, list: &[Feature]) -> Vec<String> {
    let known = list.iter().fold(0, |all, (bit, _, _)| all | bit);
    (0..32)
        .map(|shift| 1u32.wrapping_shl(shift))
        .filter(|bit| word & !known & bit != 0)
        .map(|bit| format!("{word_name} {bit:#x}"))
        .collect()
}
