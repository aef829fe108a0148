//! The labelling rules as they are on the volume: `file_contexts` and the files beside it
//! (selabel_file(5); LOGIN-87, LOGIN-88).

use crate::bytes::text::escape_limited;
use crate::error::{Context as _, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::lines;
use std::ops::Range;

/// Bound on one file of rules, in bytes; Fedora's has about 400 kB.
const RULES_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bound on the rules of all files; Fedora's policy has about 7,000.
const RULES_MAX: usize = 250_000;
/// Bound on a file of substitutions, in bytes.
const SUBS_BYTES_MAX: u64 = 1024 * 1024;
/// What libselinux reads of a line of substitutions at once, in bytes; longer ones fall apart.
const SUBS_LINE_BYTES_MAX: usize = 1000;
/// Bound on an expression or a context, in bytes, as in libselinux.
const WORD_BYTES_MAX: usize = 65_534;

/// One rule.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// The kind of node it is for; `None` for every kind.
    pub(super) kind: Option<NodeKind>,
    pattern: Range<usize>,
    context: Range<usize>,
}

/// The rules of a policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// The files, one after the other.
    text: Vec<u8>,
    specs: Vec<Spec>,
    /// `file_contexts.subs`, then `.subs_dist`: prefixes and what stands for them.
    subs: [Vec<(Vec<u8>, Vec<u8>)>; 2],
    /// Why the rules cannot be used, escaped: libselinux fails too, or may.
    defect: Option<String>,
}

impl Rules {
    /// Reads the rules below `directory`.
    ///
    /// # Errors
    /// As the file system.
    pub(super) fn read(fs: &dyn FileSystem, directory: &str) -> Result<Self> {
        let mut rules = Self::default();
        for suffix in ["", ".homedirs", ".local"] {
            let path = format!("{directory}/file_contexts{suffix}");
            match content(fs, &path, RULES_BYTES_MAX).context(|| path.clone())? {
                Content::Bytes(text) => rules.add(&path, &text),
                Content::Missing if suffix.is_empty() => rules.fail(&path, "is missing"),
                Content::Missing => {}
                Content::Unfit(reason) => rules.fail(&path, reason),
            }
        }
        for (index, suffix) in ["subs", "subs_dist"].into_iter().enumerate() {
            let path = format!("{directory}/file_contexts.{suffix}");
            match content(fs, &path, SUBS_BYTES_MAX).context(|| path.clone())? {
                Content::Bytes(text) => rules.add_substitutions(index, &path, &text),
                Content::Missing => {}
                Content::Unfit(reason) => rules.fail(&path, reason),
            }
        }
        Ok(rules)
    }

    /// Why the rules cannot be used.
    pub(super) fn defect(&self) -> Option<&str> {
        self.defect.as_deref()
    }

    /// The rules in input order.
    pub(super) fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// The expression of a rule.
    pub(super) fn pattern(&self, spec: &Spec) -> &[u8] {
        self.text.get(spec.pattern.clone()).unwrap_or_default()
    }

    /// The context of a rule.
    pub(super) fn context(&self, spec: &Spec) -> &[u8] {
        self.text.get(spec.context.clone()).unwrap_or_default()
    }

    /// True if a rule gives a label of this type, so that the policy knows it.
    pub(super) fn know_type(&self, name: &str) -> bool {
        let field = format!(":{name}:");
        self.specs.iter().any(|spec| {
            let context = self.context(spec);
            context.windows(field.len()).any(|part| part == field.as_bytes())
        })
    }

    /// `path` after both files of substitutions: in each the last line that fits, once (LOGIN-88); in version
    /// 3.8 the first one. As in libselinux the result is not cleaned again, so that it may have `//` in it.
    pub(super) fn substituted(&self, path: &[u8], takes_first: bool) -> Vec<u8> {
        let mut path = path.to_vec();
        for subs in &self.subs {
            let replacement = |(from, to): &(Vec<u8>, Vec<u8>)| {
                let rest = path.strip_prefix(from.as_slice())?;
                let is_component = rest.is_empty() || rest.starts_with(b"/");
                let rest = rest.strip_prefix(b"/").filter(|_| to == b"/").unwrap_or(rest);
                is_component.then(|| [to.as_slice(), rest].concat())
            };
            let replaced = if takes_first {
                subs.iter().find_map(replacement)
            } else {
                subs.iter().rev().find_map(replacement)
            };
            path = replaced.unwrap_or(path);
        }
        path
    }

    fn fail(&mut self, place: &str, reason: impl AsRef<str>) {
        let place = escape_limited(place.as_bytes(), 256);
        self.defect.get_or_insert_with(|| format!("{place} {}", reason.as_ref()));
    }

    fn add(&mut self, path: &str, text: &[u8]) {
        let base = self.text.len();
        self.text.extend_from_slice(text);
        let mut start = 0usize;
        for (number, line) in (1usize..).zip(lines(text)) {
            match parse(line) {
                _ if self.specs.len() >= RULES_MAX => {
                    self.fail(path, format!("has more than {RULES_MAX} rules"));
                    return;
                }
                Ok(Some(spec)) => {
                    let shift = base.saturating_add(start);
                    self.specs.push(spec.shifted(shift));
                }
                Ok(None) => {}
                Err(reason) => self.fail(&format!("{path}:{number}"), reason),
            }
            start = start.saturating_add(line.len()).saturating_add(1);
        }
    }

    fn add_substitutions(&mut self, index: usize, path: &str, text: &[u8]) {
        for (number, line) in (1usize..).zip(lines(text)) {
            if line.len() > SUBS_LINE_BYTES_MAX || line.contains(&0) {
                self.fail(&format!("{path}:{number}"), "is too long or not a line of text");
                return;
            }
            let mut words = words(line).filter_map(|word| line.get(word));
            let from = words.next().filter(|word| !word.starts_with(b"#"));
            if let (Some(from), Some(to)) = (from, words.next())
                && let Some(subs) = self.subs.get_mut(index)
            {
                subs.push((from.to_vec(), to.to_vec()));
            }
        }
    }
}

impl Spec {
    fn shifted(mut self, by: usize) -> Self {
        for range in [&mut self.pattern, &mut self.context] {
            *range = range.start.saturating_add(by)..range.end.saturating_add(by);
        }
        self
    }
}

/// What became of reading a file.
enum Content {
    Bytes(Vec<u8>),
    Missing,
    Unfit(&'static str),
}

fn content(fs: &dyn FileSystem, path: &str, limit_bytes: u64) -> Result<Content> {
    let Some(found) = find(fs, &GuestPath::new(path))? else { return Ok(Content::Missing) };
    let metadata = fs.metadata(found.node)?;
    if metadata.kind != NodeKind::File {
        return Ok(Content::Unfit("is not a regular file"));
    }
    if metadata.size_bytes > limit_bytes {
        return Ok(Content::Unfit("is larger than any real one"));
    }
    fs.read(found.node, limit_bytes).map(Content::Bytes)
}

/// White space as in C, which knows one character more than Rust.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

/// The words of a line, as ranges.
fn words(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at.saturating_add(rest.iter().position(|&byte| !is_space(byte))?);
        let rest = line.get(start..)?;
        let len = rest.iter().position(|&byte| is_space(byte)).unwrap_or(rest.len());
        at = start.saturating_add(len);
        Some(start..at)
    })
}

/// One line of rules; `None` for a comment. An error is one for libselinux too, which then uses no rule.
fn parse(line: &[u8]) -> Result<Option<Spec>, &'static str> {
    let mut ranges = words(line);
    let Some(pattern) = ranges.next() else { return Ok(None) };
    let word = |range: &Range<usize>| line.get(range.clone()).unwrap_or_default();
    if word(&pattern).starts_with(b"#") {
        return Ok(None);
    }
    let second = ranges.next().ok_or("has a rule without a context")?;
    let (kind, context) = match ranges.next() {
        None => (None, second),
        Some(context) => (Some(kind_of(word(&second))?), context),
    };
    let used = line.get(pattern.start..context.end).unwrap_or_default();
    if !used.is_ascii() || used.contains(&0) {
        return Err("has a rule that is not ASCII text");
    }
    if pattern.len() > WORD_BYTES_MAX || context.len() > WORD_BYTES_MAX {
        return Err("has a rule that is too long");
    }
    Ok(Some(Spec { kind, pattern, context }))
}

fn kind_of(word: &[u8]) -> Result<NodeKind, &'static str> {
    Ok(match word {
        b"--" => NodeKind::File,
        b"-d" => NodeKind::Directory,
        b"-l" => NodeKind::Symlink,
        b"-b" => NodeKind::BlockDevice,
        b"-c" => NodeKind::CharDevice,
        b"-p" => NodeKind::Fifo,
        b"-s" => NodeKind::Socket,
        _ => return Err("has a rule for an unknown type of file"),
    })
}
