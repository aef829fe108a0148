//! What a patch changes, as plain data: for `regain show` and for the question before writing.
//!
//! Printing is the work of `cli`.

use super::{Description, Patch, Run};
use crate::bytes::arith::len_u64;

/// Bytes in one line of a difference.
const LINE_BYTES: usize = 16;

/// A patch, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown<'a> {
    /// What it is for.
    pub description: &'a Description,
    /// Bytes that really differ.
    pub bytes_changed: u64,
    /// Sectors that really differ.
    pub sectors_changed: u64,
    /// Each run, ascending.
    pub runs: Vec<ShownRun<'a>>,
}

/// One changed run, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRun<'a> {
    /// Start on the target.
    pub offset_bytes: u64,
    /// Length in bytes, changed or not.
    pub len_bytes: u64,
    /// The structures in it, safe for a terminal.
    pub labels: &'a [String],
    /// Bytes that really differ.
    pub bytes_changed: u64,
    /// The lines of 16 bytes in which something differs, as many as were asked for.
    pub lines: Vec<DiffLine>,
    /// Lines that differ too, but were not asked for.
    pub lines_omitted: u64,
}

/// Up to 16 bytes of the target on both sides of the patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// Start on the target, a multiple of 16.
    pub offset_bytes: u64,
    /// Before the edit.
    pub before: Dump,
    /// After the edit.
    pub after: Dump,
}

/// Bytes for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Two digits for each byte, separated by spaces.
    pub hex: String,
    /// Printable ASCII as it is, everything else as a dot.
    pub ascii: String,
}

/// Explains `patch`, with at most `lines_max` differing lines for each run.
pub fn show(patch: &Patch, lines_max: usize) -> Shown<'_> {
    Shown {
        description: patch.description(),
        bytes_changed: patch.bytes_changed(),
        sectors_changed: patch.sectors_changed(),
        runs: patch.runs().iter().map(|run| show_run(run, lines_max)).collect(),
    }
}

fn show_run(run: &Run, lines_max: usize) -> ShownRun<'_> {
    let mut lines = Vec::new();
    let mut lines_omitted = 0u64;
    let mut offset_bytes = run.offset_bytes;
    let pairs = run.before.chunks(LINE_BYTES).zip(run.after.chunks(LINE_BYTES));
    for (before, after) in pairs {
        if before != after && lines.len() < lines_max {
            lines.push(DiffLine { offset_bytes, before: dump(before), after: dump(after) });
        } else if before != after {
            lines_omitted = lines_omitted.saturating_add(1);
        }
        offset_bytes = offset_bytes.saturating_add(len_u64(after.len()));
    }
    ShownRun {
        offset_bytes: run.offset_bytes,
        len_bytes: run.len_bytes(),
        labels: &run.labels,
        bytes_changed: run.bytes_changed(),
        lines,
        lines_omitted,
    }
}

fn dump(bytes: &[u8]) -> Dump {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
    Dump { hex: hex.join(" "), ascii: bytes.iter().map(shown).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::tests::{change, description};

    #[test]
    fn shows_what_differs_and_no_more_than_asked_for() {
        let before = [b'a'; 512];
        let mut after = before;
        after[17] = 0x1b;
        after[40] = b'Z';
        after[511] = 0xff;
        let patch = Patch::new(description(2048), vec![change(512, &before, &after)]).unwrap();
        let shown = show(&patch, 2);
        assert_eq!((shown.bytes_changed, shown.sectors_changed), (3, 1));
        let run = &shown.runs[0];
        assert_eq!((run.offset_bytes, run.len_bytes, run.bytes_changed), (512, 512, 3));
        assert_eq!(run.labels, ["sector at 512"]);
        let offsets: Vec<_> = run.lines.iter().map(|line| line.offset_bytes).collect();
        assert_eq!((offsets, run.lines_omitted), (vec![528, 544], 1));
        assert_eq!(run.lines[0].after.ascii, "a.aaaaaaaaaaaaaa");
        assert_eq!(&run.lines[0].after.hex[..8], "61 1b 61");
        assert_eq!(show(&patch, 0).runs[0].lines_omitted, 3);
    }

    #[test]
    fn the_odd_end_of_a_target_is_a_short_line() {
        let patch = Patch::new(description(3), vec![change(0, b"abc", b"abd")]).unwrap();
        assert_eq!(show(&patch, 9).runs[0].lines[0].after.hex, "61 62 64");
    }
}
