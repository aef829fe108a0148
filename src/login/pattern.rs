//! Wildcard patterns: those of sshd (`*`, `?`; LOGIN-24, LOGIN-61) and those of glob(3) for file
//! names.
//!
//! Not handled: character classes like `[[:alpha:]]`, `{a,b}`, `~`.

use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, PATH_BYTES_MAX, Resolution, find, resolve};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::sorted_names;

/// Bound on the paths that one glob pattern yields. Leaving some out would be a wrong answer.
const PATHS_MAX: usize = 512;
/// Bound on the directories that one glob pattern reads.
const DIRECTORIES_MAX: usize = 32;

/// True if `text` matches `pattern` with `*` and `?`. Runs in time `pattern * text` at most.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, &|pattern, byte| match pattern {
        [b'?', ..] => Some(1),
        [wanted, ..] if *wanted == byte => Some(1),
        _ => None,
    })
}

/// One step of a match: how many pattern bytes stand for `byte`, if they do.
type Step<'a> = &'a dyn Fn(&[u8], u8) -> Option<usize>;

/// The usual two-pointer match: on a mismatch the last `*` takes one byte more.
fn matches_with(pattern: &[u8], text: &[u8], step: Step<'_>) -> bool {
    let (mut rest, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    while let Some((&byte, tail)) = text.split_first() {
        if let Some(after) = rest.strip_prefix(b"*") {
            retry = Some((after, text));
            rest = after;
        } else if let Some(used) = step(rest, byte) {
            rest = rest.get(used..).unwrap_or_default();
            text = tail;
        } else if let Some((after, from)) = retry {
            let shorter = from.get(1..).unwrap_or_default();
            retry = Some((after, shorter));
            rest = after;
            text = shorter;
        } else {
            return false;
        }
    }
    rest.iter().all(|&byte| byte == b'*')
}

/// Matches a comma list with `!` negation: `Some(false)` for a negated hit, `None` without any hit.
pub fn matches_list(list: &[u8], text: &[u8]) -> Option<bool> {
    let mut found = None;
    for pattern in list.split(|&byte| byte == b',') {
        match pattern.strip_prefix(b"!") {
            Some(negated) if matches(negated, text) => return Some(false),
            None if matches(pattern, text) => found = Some(true),
            _ => {}
        }
    }
    found
}

/// True if a path contains glob characters.
pub fn is_glob(path: &[u8]) -> bool {
    path.iter().any(|byte| b"*?[".contains(byte))
}

/// The paths that match a glob pattern, sorted; existing ones only. Several components may hold
/// wildcards.
///
/// # Errors
/// `Limit` above [`PATHS_MAX`] paths or [`DIRECTORIES_MAX`] directories; otherwise as the file
/// system. A component that cannot be walked yields nothing.
pub fn expand(fs: &dyn FileSystem, pattern: &GuestPath) -> Result<Vec<GuestPath>> {
    if pattern.as_bytes().len() > PATH_BYTES_MAX {
        return Ok(Vec::new());
    }
    let mut paths = vec![GuestPath::root()];
    let mut directories = 0usize;
    for part in pattern.as_bytes().split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        if !is_glob(part) {
            paths = paths.into_iter().map(|path| path.join(part)).collect();
            continue;
        }
        directories = directories.saturating_add(paths.len());
        check("directories that a pattern reads", DIRECTORIES_MAX, directories)?;
        let mut longer = Vec::new();
        for path in &paths {
            expand_part(fs, path, part, &mut longer)?;
        }
        paths = longer;
    }
    // glob(3) finds a link whatever it leads to.
    paths.retain(|path| matches!(resolve(fs, path, false), Ok(Resolution::Found(_))));
    paths.sort();
    Ok(paths)
}

fn check(what: &str, limit: usize, actual: usize) -> Result<()> {
    if actual > limit {
        return Err(Error::limit(format!("number of {what}"), len_u64(limit), len_u64(actual)));
    }
    Ok(())
}

fn expand_part(
    fs: &dyn FileSystem,
    path: &GuestPath,
    part: &[u8],
    longer: &mut Vec<GuestPath>,
) -> Result<()> {
    let Ok(Some(directory)) = find(fs, path) else { return Ok(()) };
    if fs.metadata(directory.node)?.kind != NodeKind::Directory {
        return Ok(());
    }
    for name in sorted_names(fs, directory.node)? {
        // A leading dot must be matched by a dot.
        let is_hidden = name.starts_with(b".") && !part.starts_with(b".");
        if !is_hidden && matches_with(part, &name, &glob_step) {
            longer.push(path.join(&name));
            check("paths of a pattern", PATHS_MAX, longer.len())?;
        }
    }
    Ok(())
}

fn glob_step(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', wanted, ..] => (*wanted == byte).then_some(2),
        [b'[', class @ ..] => class_step(class, byte),
        [wanted, ..] => (*wanted == byte).then_some(1),
        [] => None,
    }
}

/// `[a-z]`, `[!a]`; the `[` is taken already. A class without end is a plain `[`.
fn class_step(class: &[u8], byte: u8) -> Option<usize> {
    let is_negated = matches!(class.first(), Some(b'!' | b'^'));
    let members = if is_negated { class.get(1..)? } else { class };
    let first = members.first()?;
    let Some(end) = members.iter().skip(1).position(|&byte| byte == b']') else {
        return (byte == b'[').then_some(1);
    };
    let set = members.get(..=end).unwrap_or_else(|| std::slice::from_ref(first));
    let mut is_member = false;
    let mut rest = set;
    while let Some((&low, tail)) = rest.split_first() {
        if let [b'-', high, after @ ..] = tail {
            is_member |= (low..=*high).contains(&byte);
            rest = after;
        } else {
            is_member |= low == byte;
            rest = tail;
        }
    }
    // `[`, an optional negation, the members, `]`.
    let used = set.len().saturating_add(2).saturating_add(usize::from(is_negated));
    (is_member != is_negated).then_some(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn patterns_match_as_in_sshd() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "", true),
            ("", "a", false),
            ("A", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        let slow = [b"*a".repeat(500), b"b".to_vec()].concat();
        assert!(!matches(&slow, &[b'a'; 5000]));
    }

    #[test]
    fn a_negated_hit_fails_the_whole_list_login_24() {
        assert_eq!(matches_list(b"a*,!ab", b"ab"), Some(false));
        assert_eq!(matches_list(b"!ab,a*", b"ac"), Some(true));
        assert_eq!(matches_list(b"!ab", b"ac"), None);
    }

    #[test]
    fn globs_are_expanded_in_order() {
        let mut tree = MemoryTree::new();
        for name in ["20-b.conf", "10-a.conf", ".hidden.conf", "x.conf.bak", "[x.conf"] {
            tree.file(&format!("/etc/ssh/sshd_config.d/{name}"), 0, 0o644, b"");
        }
        let expanded = |pattern: &str| {
            let paths = expand(&tree, &GuestPath::new(pattern)).unwrap();
            paths.iter().map(|p| String::from_utf8_lossy(p.file_name()).into_owned()).collect()
        };
        let all: Vec<String> = expanded("/etc/*/sshd_config.d/*.conf");
        assert_eq!(all, ["10-a.conf", "20-b.conf", "[x.conf"]);
        let some: Vec<String> = expanded("/etc/ssh/sshd_config.d/[!2[]*.conf");
        assert_eq!(some, ["10-a.conf"]);
        let some: Vec<String> = expanded("/etc/ssh/sshd_config.d/[1-2]0-?.conf");
        assert_eq!(some, ["10-a.conf", "20-b.conf"]);
        assert!(expand(&tree, &GuestPath::new("/none/*")).unwrap().is_empty());
        for number in 0..=PATHS_MAX {
            tree.file(&format!("/many/{number}"), 0, 0o644, b"");
        }
        assert_eq!(expand(&tree, &GuestPath::new("/many/*")).unwrap_err().kind_name(), "limit");
        let wide = expand(&tree, &GuestPath::new("/many/[0-9]"));
        assert_eq!(wide.unwrap().len(), 10);
    }
}
