//! `sshd_config` as sshd reads it: tokens, includes, Match blocks, and which value counts
//! (sshd_config(5);
//! LOGIN-10 to LOGIN-25).
//!
//! Bounds: [`DEPTH_MAX`], [`LINES_MAX`], [`FILES_MAX`], [`BYTES_MAX`], [`INCLUDES_MAX`]. Not handled: options on the daemon's
//! command line
//! (LOGIN-11), values of keywords that do not decide a login with a key.

use super::daemon::Daemon;
use super::keyword::{self, Defect};
use super::pattern;
use super::{Finding, match_block::Criterion};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape_limited;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find, read_file};
use crate::guest::linux::text::{TEXT_BYTES_MAX, lines};
use std::collections::BTreeMap;
use std::fmt;

/// Depth of includes that sshd allows (LOGIN-20).
const DEPTH_MAX: usize = 16;
/// Bound on the directives of all files together.
const LINES_MAX: usize = 50_000;
/// Bound on the files that are read, each time counted.
const FILES_MAX: usize = 512;
/// Bound on the bytes of all files together.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bound on the patterns of all Include lines, each time counted: each may read directories.
const INCLUDES_MAX: usize = 64;
/// Bound on the findings of each severity.
const FINDINGS_MAX: usize = 20;

const SYNTAX: (&str, &str) = ("conf-syntax", "LOGIN-15");

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: GuestPath,
    /// Line number from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}

/// One directive.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Keyword in lower case, aliases resolved (LOGIN-19).
    pub keyword: String,
    /// Arguments without their quotes.
    pub arguments: Vec<Vec<u8>>,
    /// Where it stands.
    pub place: Place,
    /// The Match block it belongs to.
    pub(super) block: Option<usize>,
}

impl Directive {
    /// True if it stands outside every Match block.
    pub fn is_global(&self) -> bool {
        self.block.is_none()
    }
}

/// A Match block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The block around it, when it stands in a file included from inside a block.
    pub(super) parent: Option<usize>,
    /// The conditions, all of which must hold.
    pub(super) criteria: Vec<Criterion>,
    pub(super) place: Place,
}

/// A configuration with all its includes.
#[derive(Debug, Clone, Default)]
pub struct SshdConfig {
    /// The program that reads it.
    pub daemon: Daemon,
    directives: Vec<Directive>,
    pub(super) blocks: Vec<Block>,
    /// Indexes of the directives of each keyword.
    by_keyword: BTreeMap<String, Vec<usize>>,
    /// Lines that stop the daemon, and files that could not be read.
    pub findings: Vec<Finding>,
}

impl SshdConfig {
    /// Reads the configuration of a guest (LOGIN-10). A guest without any has sshd's defaults.
    ///
    /// # Errors
    /// `Limit` if a bound is exceeded; otherwise as the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let config = Self { daemon: Daemon::read(fs)?, ..Self::default() };
        let mut reader = Reader { fs, config, files: 0, bytes: 0, includes: 0 };
        for path in ["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"] {
            let path = GuestPath::new(path);
            if find(fs, &path)?.is_some() {
                reader.file(&path, 0, None)?;
                return Ok(reader.config);
            }
        }
        let message = "there is no sshd_config; sshd's own defaults are assumed";
        let finding = Finding::warn(("conf-syntax", "LOGIN-10"), "/etc/ssh/sshd_config", message);
        reader.config.findings.push(finding);
        Ok(reader.config)
    }

    fn add(&mut self, directive: Directive) {
        let indexes = self.by_keyword.entry(directive.keyword.clone()).or_default();
        indexes.push(self.directives.len());
        self.directives.push(directive);
    }

    /// The directives of `keyword` (in lower case) in the order in which sshd reads them.
    pub(super) fn directives_of(&self, keyword: &str) -> impl Iterator<Item = &Directive> {
        let indexes = self.by_keyword.get(keyword).into_iter().flatten();
        indexes.filter_map(|&index| self.directives.get(index))
    }
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
    config: SshdConfig,
    files: usize,
    bytes: usize,
    includes: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &GuestPath, depth: usize, outer: Option<usize>) -> Result<()> {
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            let what = "number of included sshd configuration files";
            return Err(Error::limit(what, len_u64(FILES_MAX), len_u64(self.files)));
        }
        let content = match read_file(self.fs, path, TEXT_BYTES_MAX) {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => {
                self.fatal(path, &format!("sshd cannot read it: {}", error.kind()));
                return Ok(());
            }
        };
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > BYTES_MAX {
            let what = "size of the sshd configuration in bytes";
            return Err(Error::limit(what, len_u64(BYTES_MAX), len_u64(self.bytes)));
        }
        let mut block = outer;
        for (line, number) in lines(&content).zip(1u64..) {
            let place = Place { path: path.clone(), line: number };
            let (keyword, arguments) = match tokens(line) {
                Ok(None) => continue,
                Ok(Some(parts)) => parts,
                Err(reason) => {
                    self.fatal(&place, reason);
                    continue;
                }
            };
            match keyword.as_str() {
                _ if arguments.is_empty() => {
                    self.fatal(&place, &format!("{keyword} has no argument"));
                }
                "include" => self.include(&arguments, depth, block)?,
                "match" => block = Some(self.begin_block(&arguments, place, outer)?),
                _ => self.directive(Directive { keyword, arguments, place, block })?,
            }
        }
        Ok(())
    }

    fn directive(&mut self, mut directive: Directive) -> Result<()> {
        self.count_line()?;
        let is_global_only = keyword::is_global_only(&directive.keyword);
        if is_global_only && self.is_always_active(directive.block) {
            // Measured: at start-up a `Match all` counts as active, so these keywords still work
            // there.
            directive.block = None;
        }
        if directive.block.is_some() && is_global_only {
            let reason = format!("{} is not allowed in a Match block", directive.keyword);
            self.stops(("conf-syntax", "LOGIN-25"), &directive.place, &reason);
        }
        match keyword::defect(&directive.keyword, &directive.arguments) {
            Some(Defect::Fatal(reason)) => {
                let reason = format!("{}: {reason}", directive.keyword);
                self.stops(SYNTAX, &directive.place, &reason);
            }
            Some(Defect::Unknown) => {
                let message = format!("if sshd does not know {}, it stops", directive.keyword);
                let id = ("conf-syntax", "LOGIN-16");
                self.found(Finding::warn(id, &directive.place, message));
            }
            None => {}
        }
        self.config.add(directive);
        Ok(())
    }

    /// Counts a directive or a Match line against [`LINES_MAX`].
    fn count_line(&mut self) -> Result<()> {
        let count = self.config.directives.len().saturating_add(self.config.blocks.len());
        if count >= LINES_MAX {
            let actual = len_u64(count).saturating_add(1);
            return Err(Error::limit(
                "number of lines in the sshd configuration",
                len_u64(LINES_MAX),
                actual,
            ));
        }
        Ok(())
    }

    /// True if `block` and every block around it is `Match all`.
    fn is_always_active(&self, block: Option<usize>) -> bool {
        let mut next = block;
        for _ in 0..=DEPTH_MAX {
            let Some(block) = next.and_then(|index| self.config.blocks.get(index)) else { break };
            if block.criteria != [Criterion::Always] {
                return false;
            }
            next = block.parent;
        }
        true
    }

    fn include(&mut self, patterns: &[Vec<u8>], depth: usize, block: Option<usize>) -> Result<()> {
        for given in patterns {
            self.includes = self.includes.saturating_add(1);
            if self.includes > INCLUDES_MAX {
                let what = "number of includes in the sshd configuration";
                return Err(Error::limit(what, len_u64(INCLUDES_MAX), len_u64(self.includes)));
            }
            let path = if given.starts_with(b"/") {
                GuestPath::new(given)
            } else {
                GuestPath::new("/etc/ssh").join(given)
            };
            let paths = pattern::expand(self.fs, &path)?;
            if depth >= DEPTH_MAX && !paths.is_empty() {
                self.fatal(&path, "is included more than 16 files deep");
                continue;
            }
            for path in paths {
                self.file(&path, depth.saturating_add(1), block)?;
            }
        }
        Ok(())
    }

    fn begin_block(
        &mut self,
        arguments: &[Vec<u8>],
        place: Place,
        parent: Option<usize>,
    ) -> Result<usize> {
        self.count_line()?;
        let criteria = Criterion::parse_all(arguments).unwrap_or_else(|reason| {
            self.fatal(&place, &reason);
            vec![Criterion::Never]
        });
        self.config.blocks.push(Block { parent, criteria, place });
        Ok(self.config.blocks.len().saturating_sub(1))
    }

    fn fatal(&mut self, subject: impl fmt::Display, reason: &str) {
        self.stops(SYNTAX, subject, reason);
    }

    fn stops(
        &mut self,
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        reason: &str,
    ) {
        let message = format!("sshd does not start: {reason}");
        self.found(Finding::block(id, subject, message).fixed_by("repair or remove the line"));
    }

    /// Keeps a finding; a damaged file would fill the report, so warnings give way to what blocks.
    fn found(&mut self, finding: Finding) {
        let alike = |known: &&Finding| known.severity == finding.severity;
        if self.config.findings.iter().filter(alike).count() < FINDINGS_MAX {
            self.config.findings.push(finding);
        }
    }
}

/// Splits one line into keyword and arguments; `None` for an empty line or a comment (LOGIN-12 to
/// LOGIN-14).
#[expect(clippy::type_complexity, reason = "keyword and arguments, used in one place")]
fn tokens(line: &[u8]) -> Result<Option<(String, Vec<Vec<u8>>)>, &'static str> {
    // The text ends at a NUL, as in every C string.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | 0x0c);
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let end =
        line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at.saturating_add(1));
    let text = line.get(start..end).unwrap_or_default();
    if text.is_empty() || text.starts_with(b"#") {
        return Ok(None);
    }
    let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t' | b'=');
    let end = text.iter().position(is_separator).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(end);
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b"=").unwrap_or(rest);
    let keyword = keyword.strip_prefix(b"\"").unwrap_or(keyword);
    let keyword = keyword.strip_suffix(b"\"").unwrap_or(keyword);
    let keyword = escape_limited(&keyword.to_ascii_lowercase(), 64);
    Ok(Some((keyword::canonical(keyword), split_arguments(rest)?)))
}

/// Splits arguments with sshd's quotes and escapes; an unquoted `#` at the start of one ends the
/// line.
fn split_arguments(text: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut arguments = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b' ' | b'\t') => arguments.extend(current.take()),
            (None, b'#') if current.is_none() => break,
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                current.get_or_insert_default();
            }
            (Some(open), _) if open == byte => quote = None,
            (_, b'\\') if escapes(bytes.peek(), quote.is_none()) => {
                current.get_or_insert_default().extend(bytes.next());
            }
            _ => current.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    arguments.extend(current);
    Ok(arguments)
}

fn escapes(next: Option<&u8>, is_unquoted: bool) -> bool {
    matches!(next, Some(b'"' | b'\'' | b'\\')) || (is_unquoted && next == Some(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn words(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
        let parts = tokens(line.as_bytes())?;
        Ok(parts.map(|(keyword, arguments)| {
            let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
            (keyword, arguments.into_iter().map(text).collect())
        }))
    }

    #[test]
    fn lines_are_split_as_sshd_does_login_12_to_14() {
        for (line, keyword, arguments) in [
            ("UsePAM yes\r", "usepam", vec!["yes"]),
            (" \tusepam = yes", "usepam", vec!["yes"]),
            ("UsePAM=yes", "usepam", vec!["yes"]),
            ("AllowUsers a b\tc # d e", "allowusers", vec!["a", "b", "c"]),
            ("AllowUsers a#b", "allowusers", vec!["a#b"]),
            ("X \"a b\" 'c d' e\\ f \"g\\\"h\"", "x", vec!["a b", "c d", "e f", "g\"h"]),
            ("X \"\"", "x", vec![""]),
            ("PubkeyAcceptedKeyTypes x", "pubkeyacceptedalgorithms", vec!["x"]),
        ] {
            let arguments = arguments.into_iter().map(str::to_owned).collect();
            assert_eq!(words(line), Ok(Some((keyword.to_owned(), arguments))), "{line}");
        }
        for line in ["", "  \t\r", "# x", "\t#x"] {
            assert_eq!(words(line), Ok(None));
        }
        assert!(words("X \"a").is_err());
    }

    #[test]
    fn includes_come_in_order_and_loops_end_login_20() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include sshd_config.d/*.conf\nPort 1\n")
            .file("/etc/ssh/sshd_config.d/2.conf", 0, 0o644, b"Port 3\n")
            .file("/etc/ssh/sshd_config.d/1.conf", 0, 0o644, b"Port 2\nMatch all\nPermitTTY no\n");
        let config = SshdConfig::read(&tree).unwrap();
        let seen: Vec<_> = config
            .directives
            .iter()
            .map(|d| (d.keyword.as_str(), d.arguments[0].clone(), d.block))
            .collect();
        assert_eq!(
            seen,
            [
                ("port", b"2".to_vec(), None),
                ("permittty", b"no".to_vec(), Some(0)),
                ("port", b"3".to_vec(), None),
                ("port", b"1".to_vec(), None),
            ]
        );
        tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include /etc/ssh/sshd_config\n");
        let config = SshdConfig::read(&tree).unwrap();
        assert_eq!(config.findings.len(), 1);
        assert_eq!(config.findings[0].rule, "LOGIN-15");
        let twice = b"Include /etc/ssh/sshd_config /etc/ssh/sshd_config\n";
        tree.file("/etc/ssh/sshd_config", 0, 0o644, twice);
        assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit");
        // Neither many includes of nothing nor many Match lines take long.
        for (line, count) in [("Include /x*\n", INCLUDES_MAX), ("Match all\n", LINES_MAX)] {
            let text = line.repeat(count + 1);
            tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
            assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit", "{line}");
        }
    }

    #[test]
    fn lines_that_stop_sshd_block_login_15_and_25() {
        for (text, rule) in [
            ("Port\n", "LOGIN-15"),
            ("Match User a\nUsePAM yes\n", "LOGIN-25"),
            ("StrictModes true\n", "LOGIN-15"),
            ("UsePAM perhaps\n", "LOGIN-15"),
            ("Match nonsense x\n", "LOGIN-15"),
            ("AllowUsers \"a\n", "LOGIN-15"),
        ] {
            let mut tree = MemoryTree::new();
            tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
            let findings = SshdConfig::read(&tree).unwrap().findings;
            assert_eq!(findings.len(), 1, "{text}");
            assert!(findings[0].is_blocking() && findings[0].rule == rule, "{text}");
        }
    }

    #[test]
    fn the_vendor_file_of_suse_is_found_login_10() {
        let mut tree = MemoryTree::new();
        assert_eq!(SshdConfig::read(&tree).unwrap().findings.len(), 1);
        tree.file("/usr/etc/ssh/sshd_config", 0, 0o644, b"Port 22\n");
        assert_eq!(SshdConfig::read(&tree).unwrap().directives.len(), 1);
    }
}
