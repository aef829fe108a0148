//! Which rule counts for a path (LOGIN-89).
//!
//! libselinux does it in ways that differ for unusual rules: up to 3.7 with one array, since 3.8 with a tree of
//! directories, and in 3.8 with another order of substitutions. Which one the guest has is not asked: all are
//! followed, and if they differ the label is not known. Only rules whose fixed directories are those of the
//! path are looked at, and of these only the ones are compiled whose fixed start is that of the path, from the
//! last rule on.

use super::pattern::{compile, translate};
use super::rules::{Rules, Spec};
use crate::bytes::text::escape_limited;
use crate::fs::NodeKind;
use std::cell::Cell;

/// Bound on the rules that are compiled for one path; real policies need less than 30.
const COMPILED_MAX: usize = 512;
/// Directories that the tree has below each other.
const TREE_DEPTH_MAX: usize = 3;

/// What the rules say of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This context.
    Label(Vec<u8>),
    /// `<<none>>`: write no attribute (LOGIN-90).
    LeaveAlone,
    /// Nothing fits.
    NoRule,
    /// It cannot be told, and why, escaped.
    Unknown(String),
}

/// Looks up a clean absolute path.
pub(super) fn look_up(rules: &Rules, path: &[u8], kind: NodeKind) -> Lookup {
    if let Some(defect) = rules.defect() {
        return Lookup::Unknown(defect.to_owned());
    }
    if path.iter().any(|&byte| byte < b' ') {
        return Lookup::Unknown("a path with control characters has no sure rule".to_owned());
    }
    let by_last = rules.substituted(path, false);
    let search = Search::new(rules, &by_last, kind);
    let mut answers = vec![search.in_array(), search.in_tree()];
    let by_first = rules.substituted(path, true);
    if by_first != by_last {
        answers.push(Search::new(rules, &by_first, kind).in_tree());
    }
    let first = answers.first().cloned().unwrap_or(Lookup::NoRule);
    if let Some(unknown) = answers.iter().find(|it| matches!(it, Lookup::Unknown(_))) {
        unknown.clone()
    } else if answers.iter().all(|answer| *answer == first) {
        first
    } else {
        Lookup::Unknown("versions of libselinux choose different rules".to_owned())
    }
}

/// A rule that may count.
struct Candidate<'a> {
    pattern: &'a [u8],
    context: &'a [u8],
    is_in_array: bool,
    /// In the array, literals come after everything else.
    is_array_literal: bool,
    /// Depth of the directory that the tree has it in, if the path leads there.
    tree_depth: Option<usize>,
    is_tree_literal: bool,
    /// Whether it matches, once that is known.
    matches: Cell<Option<Result<bool, ()>>>,
}

struct Search<'a> {
    path: &'a [u8],
    /// In input order.
    candidates: Vec<Candidate<'a>>,
    compiled: Cell<usize>,
}

impl<'a> Search<'a> {
    fn new(rules: &'a Rules, path: &'a [u8], kind: NodeKind) -> Self {
        let directories = directories(path);
        let fits = |spec: &&Spec| spec.kind.is_none_or(|wanted| wanted == kind);
        let specs = rules.specs().iter().filter(fits);
        let candidate = |spec| {
            let pattern = rules.pattern(spec);
            let is_in_array = array_stem(pattern).is_none_or(|stem| file_stem(path) == Some(stem));
            let tree_depth = tree_depth(pattern, &directories);
            (is_in_array || tree_depth.is_some()).then(|| Candidate {
                pattern,
                context: rules.context(spec),
                is_in_array,
                is_array_literal: is_literal(pattern, ARRAY_META, |_| true),
                tree_depth,
                is_tree_literal: is_tree_literal(pattern),
                matches: Cell::new(None),
            })
        };
        Self { path, candidates: specs.filter_map(candidate).collect(), compiled: Cell::new(0) }
    }

    /// Up to version 3.7: the literals from the last to the first, then all others so.
    fn in_array(&self) -> Lookup {
        for is_literal in [true, false] {
            let candidates = self.candidates.iter().rev().filter(|candidate| candidate.is_in_array);
            for candidate in candidates.filter(|it| it.is_array_literal == is_literal) {
                match self.matches(candidate) {
                    Ok(true) => return candidate.result(),
                    Ok(false) => {}
                    Err(()) => return candidate.unknown(),
                }
            }
        }
        Lookup::NoRule
    }

    /// Since version 3.8: a literal; then from the deepest directory of the tree upwards
    /// the last rule of each, of which the last in input order counts. `<<none>>` ends the search at once.
    fn in_tree(&self) -> Lookup {
        if let Some(found) = self.literal_in_tree() {
            return found;
        }
        let mut best: Option<(usize, &Candidate<'_>)> = None;
        for depth in (0..=TREE_DEPTH_MAX).rev() {
            let here = |candidate: &Candidate<'_>| {
                candidate.tree_depth == Some(depth) && !candidate.is_tree_literal
            };
            for (order, candidate) in self.candidates.iter().enumerate().rev() {
                if best.is_some_and(|(best, _)| order < best) {
                    break;
                }
                if !here(candidate) {
                    continue;
                }
                match self.matches(candidate) {
                    Ok(true) if candidate.is_none() => return Lookup::LeaveAlone,
                    Ok(true) => {
                        best = Some((order, candidate));
                        break;
                    }
                    Ok(false) => {}
                    Err(()) => return candidate.unknown(),
                }
            }
        }
        best.map_or(Lookup::NoRule, |(_, candidate)| candidate.result())
    }

    fn literal_in_tree(&self) -> Option<Lookup> {
        let is_it = |it: &&Candidate<'_>| it.is_tree_literal && literal_is(it.pattern, self.path);
        let first = self.candidates.iter().find(is_it)?;
        let mut all = self.candidates.iter().filter(is_it);
        Some(if all.all(|other| other.context == first.context) {
            first.result()
        } else {
            // Their order is not that of the lines, and up to 3.8 not even that of the files.
            Lookup::Unknown("the rules give this very path several labels".to_owned())
        })
    }

    /// Whether a rule matches; an error if that cannot be told.
    fn matches(&self, candidate: &Candidate<'_>) -> Result<bool, ()> {
        if let Some(known) = candidate.matches.get() {
            return known;
        }
        let matches =
            if is_literal(candidate.pattern, TREE_META, |byte| !byte.is_ascii_alphanumeric()) {
                Ok(literal_is(candidate.pattern, self.path))
            } else {
                self.compiled_matches(candidate.pattern)
            };
        candidate.matches.set(Some(matches));
        matches
    }

    fn compiled_matches(&self, pattern: &[u8]) -> Result<bool, ()> {
        // An expression that PCRE refuses ends the search of libselinux, whether it would match or not.
        let translated = translate(pattern).map_err(|_| ())?;
        if !may_match(pattern, self.path) {
            return Ok(false);
        }
        let compiled = self.compiled.get().saturating_add(1);
        self.compiled.set(compiled);
        if compiled > COMPILED_MAX {
            return Err(());
        }
        let regex = compile(&translated).map_err(|_| ())?;
        Ok(regex.is_match(self.path))
    }
}

impl Candidate<'_> {
    fn is_none(&self) -> bool {
        self.context == b"<<none>>"
    }

    fn result(&self) -> Lookup {
        if self.is_none() { Lookup::LeaveAlone } else { Lookup::Label(self.context.to_vec()) }
    }

    fn unknown(&self) -> Lookup {
        let pattern = escape_limited(self.pattern, 80);
        Lookup::Unknown(format!("the rule {pattern} is not understood"))
    }
}

/// Characters that make a rule an expression up to version 3.7.
const ARRAY_META: &[u8] = b".^$?*+|[({";
/// Characters that do since version 3.8.
const TREE_META: &[u8] = b".^$?*+|[({])}";

/// True if `pattern` has none of the characters `meta` outside of escapes, and only escapes that are `plain`.
fn is_literal(pattern: &[u8], meta: &[u8], plain: impl Fn(u8) -> bool) -> bool {
    let mut bytes = pattern.iter();
    while let Some(&byte) = bytes.next() {
        let is_plain = match byte {
            b'\\' => bytes.next().is_some_and(|&byte| plain(byte)),
            _ => !meta.contains(&byte),
        };
        if !is_plain {
            return false;
        }
    }
    true
}

fn is_tree_literal(pattern: &[u8]) -> bool {
    is_literal(pattern, TREE_META, is_tree_escape)
}

/// Escapes that do not make a rule an expression since version 3.8.
fn is_tree_escape(byte: u8) -> bool {
    TREE_META.contains(&byte) || matches!(byte, b'-' | b'_' | b',')
}

/// True if the literal `pattern` is `path` once its escapes are off.
fn literal_is(pattern: &[u8], path: &[u8]) -> bool {
    let mut pattern = pattern.iter();
    let plain = std::iter::from_fn(|| match pattern.next() {
        Some(b'\\') => pattern.next(),
        other => other,
    });
    plain.eq(path)
}

/// The first directory of a rule, by which the array is searched: only if it is free of expressions.
fn array_stem(pattern: &[u8]) -> Option<&[u8]> {
    let stem = file_stem(pattern)?;
    stem.iter().all(|byte| !ARRAY_META.contains(byte)).then_some(stem)
}

/// What comes before the second `/`.
fn file_stem(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().skip(1).position(|&byte| byte == b'/')?;
    path.get(..slash.saturating_add(1))
}

/// The directories that the tree is searched by.
fn directories(path: &[u8]) -> Vec<&[u8]> {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return Vec::new() };
    let above = path.get(..slash).unwrap_or_default();
    above.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect()
}

/// The depth of the directory in which the tree has a rule; `None` if the path does not lead through it.
fn tree_depth(pattern: &[u8], directories: &[&[u8]]) -> Option<usize> {
    let mut depth = 0usize;
    // The first byte is passed over, whatever it is; the last component is no directory.
    let mut rest = pattern.get(1..)?;
    while depth < TREE_DEPTH_MAX {
        let Some(slash) = rest.iter().position(|&byte| byte == b'/') else { break };
        let (name, after) = rest.split_at_checked(slash)?;
        rest = after.get(1..)?;
        if name.is_empty() {
            continue;
        }
        if !is_literal(name, TREE_META, is_tree_escape) {
            break;
        }
        let directory = directories.get(depth)?;
        if !literal_is(name, directory) {
            return None;
        }
        depth = depth.saturating_add(1);
    }
    Some(depth)
}

/// False if the characters before the first special one rule the path out.
fn may_match(pattern: &[u8], path: &[u8]) -> bool {
    // With an alternative somewhere, nothing is sure without a look at the parentheses.
    if pattern.contains(&b'|') && has_top_alternative(pattern) {
        return true;
    }
    let mut path = path.iter();
    let mut bytes = pattern.iter().peekable();
    while let Some(&byte) = bytes.next() {
        let expected = match byte {
            b'\\' => match bytes.next() {
                Some(&byte) if !byte.is_ascii_alphanumeric() => byte,
                _ => return true,
            },
            _ if TREE_META.contains(&byte) => return true,
            _ => byte,
        };
        // It may be missing or stand there more than once.
        if matches!(bytes.peek(), Some(b'?' | b'*' | b'+' | b'{')) {
            return true;
        }
        if path.next() != Some(&expected) {
            return false;
        }
    }
    true
}

/// True if a `|` stands outside of all parentheses, or may do so.
fn has_top_alternative(pattern: &[u8]) -> bool {
    let mut depth = 0i32;
    let mut is_escaped = false;
    for &byte in pattern {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            // Parentheses in a class do not count; so nothing is sure.
            b'[' => return true,
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth <= 0 => return true,
            _ => {}
        }
    }
    false
}
