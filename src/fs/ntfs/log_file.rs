//! `$LogFile`: whether Windows has finished with its journal. Nothing of it is ever replayed.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", section "Metadata transaction journal (log file)";
//! linux-ntfs documentation, "$LogFile"; rules WIN-19 to WIN-21, WIN-31 and WIN-32. Two restart pages, the first at
//! the start, the second one page further on; the valid one with the higher LSN counts.

use super::fix_up::{self, FixUpDefect};
use crate::bytes::arith::{OutOfRange, to};
use crate::bytes::field::{self, Short, le_u16, le_u32, le_u64};
use std::fmt;

/// Bytes from the start of the log that hold both restart pages, whatever the page size.
pub(crate) const LOG_HEAD_BYTES: usize = 128 * 1024;
/// Largest page: the second restart page starts there at the latest.
const PAGE_BYTES_MAX: usize = 64 * 1024;
const PAGE_BYTES_MIN: usize = 512;
/// `RESTART_VOLUME_IS_CLEAN` of the restart area's flags.
const FLAG_CLEAN: u16 = 0x2;
/// No client in the list.
const NO_CLIENT: u16 = 0xffff;
/// What an empty log is filled with.
pub(crate) const EMPTY_BYTE: u8 = 0xff;
const EMPTY: [u8; 4096] = [EMPTY_BYTE; 4096];

/// What the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogState {
    /// Everything in it has been done (WIN-20).
    Clean,
    /// The restart pages were never written; clean if all of the log is empty (WIN-21).
    EmptyHead,
    /// Windows keeps changes elsewhere and will not look at the disk again (WIN-19).
    CachedMetadata,
    /// There are changes that Windows would replay, or nothing can be known (WIN-20, WIN-32).
    Unclean(Unclean),
}

/// Why a log is not clean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unclean {
    /// The volume was not dismounted.
    InUse,
    /// No restart page is valid.
    NoRestartPage,
    /// A version that is in no list of ours.
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// It begins empty, but does not go on so.
    NotEmpty,
    /// It cannot be read.
    Unreadable(String),
}

impl fmt::Display for Unclean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("$LogFile says that the volume was not dismounted"),
            Self::NoRestartPage => f.write_str("$LogFile has no valid restart page"),
            Self::Version { major, minor } => {
                write!(f, "$LogFile has version {major}.{minor}, which is not known")
            }
            Self::NotEmpty => f.write_str("$LogFile begins empty, but holds records further on"),
            Self::Unreadable(why) => write!(f, "$LogFile cannot be read: {why}"),
        }
    }
}

/// Why a restart page does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum PageDefect {
    #[error("no restart page")]
    Signature,
    #[error("page of {0} bytes")]
    PageSize(u32),
    #[error("restart area at {0:#x}")]
    Area(u16),
    #[error(transparent)]
    FixUp(#[from] FixUpDefect),
    #[error(transparent)]
    Short(#[from] Short),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

/// A restart page and its restart area, little-endian (WIN-31).
///
/// | offset | size | field | here | valid when |
/// |-------:|-----:|-------|------|------------|
/// | 0x00 | 4 | signature | (checked) | `RSTR`, or `CHKD` after chkdsk |
/// | 0x04 | 4 | update sequence array | (checked) | |
/// | 0x10 | 4 | system page size | page_bytes | power of two, 512 bytes to 64 KiB |
/// | 0x18 | 2 | offset of the restart area | (below) | inside the page |
/// | 0x1a | 2 | minor version | minor | 0 or 1 |
/// | 0x1c | 2 | major version | major | 1; 2 for cached metadata |
/// | area + 0x00 | 8 | current LSN | lsn | |
/// | area + 0x0c | 2 | first client in use | client_in_use | 0xffff for none |
/// | area + 0x0e | 2 | flags | flags | |
#[derive(Debug, Clone, PartialEq, Eq)]
struct RestartPage {
    page_bytes: usize,
    major: u16,
    minor: u16,
    lsn: u64,
    client_in_use: u16,
    flags: u16,
}

impl RestartPage {
    /// Parses the page at the start of `bytes`, which may go on behind it.
    fn parse(bytes: &[u8]) -> Result<Self, PageDefect> {
        if !matches!(&field::array(bytes, 0)?, b"RSTR" | b"CHKD") {
            return Err(PageDefect::Signature);
        }
        let stored_size = le_u32(bytes, 0x10)?;
        let page_bytes: usize = to(stored_size)?;
        if !page_bytes.is_power_of_two() || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes)
        {
            return Err(PageDefect::PageSize(stored_size));
        }
        let mut page = field::slice(bytes, 0, page_bytes)?.to_vec();
        fix_up::remove(&mut page)?;
        let area_at = le_u16(&page, 0x18)?;
        if area_at < 0x1e || !area_at.is_multiple_of(8) {
            return Err(PageDefect::Area(area_at));
        }
        let area = page.get(usize::from(area_at)..).ok_or(PageDefect::Area(area_at))?;
        Ok(Self {
            page_bytes,
            major: le_u16(&page, 0x1c)?,
            minor: le_u16(&page, 0x1a)?,
            lsn: le_u64(area, 0)?,
            client_in_use: le_u16(area, 0x0c)?,
            flags: le_u16(area, 0x0e)?,
        })
    }

    fn state(&self) -> LogState {
        match (self.major, self.minor) {
            (2, _) => LogState::CachedMetadata,
            (1, 0 | 1) if self.client_in_use == NO_CLIENT || self.flags & FLAG_CLEAN != 0 => {
                LogState::Clean
            }
            (1, 0 | 1) => LogState::Unclean(Unclean::InUse),
            (major, minor) => LogState::Unclean(Unclean::Version { major, minor }),
        }
    }
}

/// What the first [`LOG_HEAD_BYTES`] of the log, or as many as it has, say.
pub(crate) fn examine(head: &[u8]) -> LogState {
    if !head.is_empty() && is_empty(head) {
        return LogState::EmptyHead;
    }
    let first = RestartPage::parse(head).ok();
    let second = match &first {
        Some(page) => page_at(head, page.page_bytes),
        // The size of a page is not known then.
        None => sizes().find_map(|size| page_at(head, size).filter(|page| page.page_bytes == size)),
    };
    let latest = first.into_iter().chain(second).max_by_key(|page| page.lsn);
    latest.map_or(LogState::Unclean(Unclean::NoRestartPage), |page| page.state())
}

/// True if `bytes` are those of an empty log.
pub(crate) fn is_empty(bytes: &[u8]) -> bool {
    // By blocks: the log of a real volume has 64 MiB.
    bytes.chunks(EMPTY.len()).all(|chunk| EMPTY.starts_with(chunk))
}

fn page_at(head: &[u8], at: usize) -> Option<RestartPage> {
    RestartPage::parse(head.get(at..)?).ok()
}

/// All sizes that a page can have.
fn sizes() -> impl Iterator<Item = usize> {
    (PAGE_BYTES_MIN.ilog2()..=PAGE_BYTES_MAX.ilog2()).filter_map(|log| 1usize.checked_shl(log))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::field::{put, put_le_u16, put_le_u32, put_le_u64};

    struct Page {
        signature: [u8; 4],
        size: usize,
        version: (u16, u16),
        lsn: u64,
        client: u16,
        flags: u16,
    }

    const CLEAN: Page = Page {
        signature: *b"RSTR",
        size: 4096,
        version: (1, 1),
        lsn: 100,
        client: NO_CLIENT,
        flags: 0,
    };

    fn encode(page: &Page) -> Vec<u8> {
        let mut bytes = vec![0; page.size];
        put(&mut bytes, 0, &page.signature).unwrap();
        put_le_u16(&mut bytes, 4, 0x1e).unwrap();
        put_le_u16(&mut bytes, 6, u16::try_from(page.size / 512 + 1).unwrap()).unwrap();
        put_le_u32(&mut bytes, 0x10, u32::try_from(page.size).unwrap()).unwrap();
        put_le_u16(&mut bytes, 0x18, 0x1a0).unwrap();
        put_le_u16(&mut bytes, 0x1a, page.version.1).unwrap();
        put_le_u16(&mut bytes, 0x1c, page.version.0).unwrap();
        put_le_u64(&mut bytes, 0x1a0, page.lsn).unwrap();
        put_le_u16(&mut bytes, 0x1ac, page.client).unwrap();
        put_le_u16(&mut bytes, 0x1ae, page.flags).unwrap();
        fix_up::stamp(&mut bytes).unwrap();
        bytes
    }

    fn log(first: &Page, second: &Page) -> Vec<u8> {
        let mut bytes = [encode(first), encode(second)].concat();
        bytes.resize(LOG_HEAD_BYTES, 0);
        bytes
    }

    const IN_USE: LogState = LogState::Unclean(Unclean::InUse);

    /// WIN-19, WIN-20, WIN-31.
    #[test]
    fn the_restart_area_decides() {
        for (version, client, flags, expected) in [
            ((1, 1), NO_CLIENT, 0, LogState::Clean),
            ((1, 1), 0, FLAG_CLEAN, LogState::Clean),
            ((1, 1), 0, 0, IN_USE),
            ((1, 0), NO_CLIENT, 0, LogState::Clean),
            ((1, 0), 0, 0x1, IN_USE),
            ((2, 0), NO_CLIENT, FLAG_CLEAN, LogState::CachedMetadata),
            (
                (0, 0),
                NO_CLIENT,
                FLAG_CLEAN,
                LogState::Unclean(Unclean::Version { major: 0, minor: 0 }),
            ),
            ((1, 2), NO_CLIENT, 0, LogState::Unclean(Unclean::Version { major: 1, minor: 2 })),
        ] {
            let page = Page { version, client, flags, ..CLEAN };
            assert_eq!(examine(&log(&page, &page)), expected, "{version:?} {client} {flags}");
            let checked = Page { signature: *b"CHKD", ..page };
            assert_eq!(examine(&log(&checked, &checked)), expected);
        }
    }

    /// WIN-32: the valid page with the higher LSN.
    #[test]
    fn the_latest_valid_page_counts() {
        let dirty = Page { client: 0, lsn: 101, ..CLEAN };
        assert_eq!(examine(&log(&CLEAN, &dirty)), IN_USE);
        assert_eq!(examine(&log(&dirty, &CLEAN)), IN_USE);
        assert_eq!(examine(&log(&dirty, &Page { lsn: 102, ..CLEAN })), LogState::Clean);

        let mut torn = log(&dirty, &CLEAN);
        torn[510] ^= 1;
        assert_eq!(examine(&torn), LogState::Clean, "the first page is torn");
        torn[4096 + 1022] ^= 1;
        let nothing = LogState::Unclean(Unclean::NoRestartPage);
        assert_eq!(examine(&torn), nothing);
        assert_eq!(examine(&[]), nothing);
        assert_eq!(examine(&[0; 8192]), nothing);
    }

    #[test]
    fn pages_of_every_size_are_found() {
        for size in sizes() {
            let page = Page { size: size.max(1024), ..CLEAN };
            let mut bytes = log(&page, &Page { client: 0, lsn: 101, ..page });
            assert_eq!(examine(&bytes), IN_USE, "{size}");
            bytes[0] = 0;
            assert_eq!(examine(&bytes), IN_USE, "{size}: only the second page");
        }
        let mut bytes = log(&CLEAN, &CLEAN);
        for value in [0u32, 4095, 128 * 1024] {
            put_le_u32(&mut bytes, 0x10, value).unwrap();
            assert!(RestartPage::parse(&bytes).is_err(), "{value}");
        }
    }

    /// WIN-21.
    #[test]
    fn an_empty_log_is_told_from_an_almost_empty_one() {
        let mut bytes = vec![EMPTY_BYTE; LOG_HEAD_BYTES];
        assert_eq!(examine(&bytes), LogState::EmptyHead);
        bytes[LOG_HEAD_BYTES - 1] = 0;
        assert_eq!(examine(&bytes), LogState::Unclean(Unclean::NoRestartPage));
    }
}
