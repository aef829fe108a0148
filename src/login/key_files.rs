//! Where sshd looks for the keys of a user: AuthorizedKeysFile (LOGIN-29 to LOGIN-36).

use super::finding::Finding;
use super::match_block::Effective;
use super::pattern::{expand, is_glob};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape_limited;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::fs::path::GuestPath;
use crate::guest::linux::User;
use std::collections::BTreeSet;

/// Bound on the patterns of one line, as in sshd.
const PATTERNS_MAX: usize = 256;

/// Bound on the files of one user.
const FILES_MAX: usize = 512;

/// sshd's default.
const DEFAULT: [&[u8]; 2] = [b".ssh/authorized_keys", b".ssh/authorized_keys2"];

/// One file that sshd would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its path, links not resolved.
    pub path: GuestPath,
    /// True if it holds the keys of every user (LOGIN-36).
    pub is_shared: bool,
}

/// The files of a user in the order in which sshd reads them, and what is wrong with the setting.
///
/// # Errors
/// As the file system.
pub fn of_user(
    fs: &dyn FileSystem,
    effective: &Effective<'_>,
    user: &User,
) -> Result<(Vec<KeyFile>, Vec<Finding>)> {
    let directive = effective.first("authorizedkeysfile");
    let subject = directive.map_or_else(|| "sshd's default".to_owned(), |d| d.place.to_string());
    let patterns: Vec<&[u8]> = match directive {
        Some(found) => found.arguments.iter().map(Vec::as_slice).take(PATTERNS_MAX).collect(),
        None => DEFAULT.to_vec(),
    };
    let mut findings = Vec::new();
    let is_none = |pattern: &&[u8]| pattern.eq_ignore_ascii_case(b"none");
    if patterns.iter().any(&is_none) && !patterns.iter().all(&is_none) {
        // Measured: OpenSSH 9.2 skips the word.
        let message = "none does not stand alone; newer releases of sshd may stop at that";
        findings.push(Finding::warn(("conf-keyfile", "LOGIN-32"), &subject, message));
    }
    if patterns.iter().all(&is_none) {
        let message = "AuthorizedKeysFile none: sshd reads no key file";
        findings.push(Finding::block(("conf-keyfile", "LOGIN-32"), &subject, message));
        return Ok((Vec::new(), findings));
    }
    let mut files: Vec<KeyFile> = Vec::new();
    for pattern in patterns.into_iter().filter(|pattern| !is_none(pattern)) {
        match expand_tokens(pattern, user) {
            Ok(file) if is_glob(file.path.as_bytes()) => {
                let knows = effective.release().at_least(10, 0);
                if knows.is_none() {
                    let message = format!(
                        "{} is a pattern, which sshd knows from 10.0; this is {}",
                        file.path,
                        effective.release()
                    );
                    let id = ("conf-keyfile", "LOGIN-31");
                    findings.push(Finding::undecided(id, &subject, message));
                }
                if knows == Some(false) {
                    files.push(file);
                } else {
                    let matches = expand(fs, &file.path)?.into_iter();
                    files.extend(matches.map(|path| KeyFile { path, is_shared: file.is_shared }));
                }
            }
            Ok(file) => files.push(file),
            Err(reason) => {
                let pattern = escape_limited(pattern, 256);
                let message = format!("AuthorizedKeysFile {pattern}: {reason}");
                findings.push(Finding::block(("conf-keyfile", "LOGIN-29"), &subject, message));
            }
        }
        if pattern.starts_with(b"~/") {
            let message = "a leading ~/ means root's home for every user";
            findings.push(Finding::warn(("conf-keyfile", "LOGIN-30"), &subject, message));
        } else if pattern.starts_with(b"~") {
            let message = "the home of another user is not looked up here";
            findings.push(Finding::undecided(("conf-keyfile", "LOGIN-30"), &subject, message));
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.path.clone()));
    if files.len() > FILES_MAX {
        let what = "number of key files of one user";
        return Err(Error::limit(what, len_u64(FILES_MAX), len_u64(files.len())));
    }
    Ok((files, findings))
}

/// Replaces `%%`, `%h`, `%u`, `%U`; a result that is not absolute is below the home (LOGIN-29).
fn expand_tokens(pattern: &[u8], user: &User) -> Result<KeyFile, &'static str> {
    let home = user.home.as_ref().map(GuestPath::as_bytes);
    let needs_home = "the user has no absolute home directory";
    let mut path = Vec::new();
    let mut is_shared = true;
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        let token = bytes.next();
        is_shared &= token == Some(b'%');
        match token {
            Some(b'%') => path.push(b'%'),
            Some(b'h') => path.extend_from_slice(home.ok_or(needs_home)?),
            Some(b'u') => path.extend_from_slice(&user.name),
            Some(b'U') => path.extend_from_slice(user.uid.to_string().as_bytes()),
            _ => return Err("it has an unknown token, and sshd drops the connection"),
        }
    }
    if let Some(below_root) = path.strip_prefix(b"~/") {
        return Ok(KeyFile { path: GuestPath::new("/root").join(below_root), is_shared: true });
    }
    if path.starts_with(b"/") {
        return Ok(KeyFile { path: GuestPath::new(path), is_shared });
    }
    Ok(KeyFile { path: GuestPath::new(home.ok_or(needs_home)?).join(path), is_shared: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::guest::linux::accounts::Accounts;
    use crate::login::match_block::Subject;
    use crate::login::sshd_config::SshdConfig;

    fn files(line: &str) -> (Vec<(String, bool)>, Vec<&'static str>) {
        let mut tree = MemoryTree::new();
        tree.file("/etc/ssh/sshd_config", 0, 0o644, line.as_bytes())
            .file("/etc/passwd", 0, 0o644, b"ad:x:1000:1000::/home/ad:/bin/sh\n")
            .file("/home/ad/.ssh/keys.d/b", 0, 0o644, b"")
            .file("/home/ad/.ssh/keys.d/a", 0, 0o644, b"");
        let config = SshdConfig::read(&tree).unwrap();
        let accounts = Accounts::read(&tree).unwrap();
        let subject = Subject { name: b"ad".to_vec(), groups: Vec::new() };
        let effective = config.effective(&subject).remove(0);
        let user = accounts.find(b"ad").unwrap();
        let (files, findings) = of_user(&tree, &effective, user).unwrap();
        let files = files.into_iter().map(|f| (f.path.to_string(), f.is_shared)).collect();
        (files, findings.into_iter().map(|finding| finding.rule).collect())
    }

    #[test]
    fn tokens_and_places_login_29_to_36() {
        for (line, paths, rules) in [
            (
                "",
                vec![
                    ("/home/ad/.ssh/authorized_keys", false),
                    ("/home/ad/.ssh/authorized_keys2", false),
                ],
                vec![],
            ),
            (
                "AuthorizedKeysFile .ssh/authorized_keys",
                vec![("/home/ad/.ssh/authorized_keys", false)],
                vec![],
            ),
            (
                "AuthorizedKeysFile %h/k /k/%u /k/%U /k/100%%",
                vec![
                    ("/home/ad/k", false),
                    ("/k/ad", false),
                    ("/k/1000", false),
                    ("/k/100%", true),
                ],
                vec![],
            ),
            ("AuthorizedKeysFile /etc/keys /etc/keys", vec![("/etc/keys", true)], vec![]),
            ("AuthorizedKeysFile none", vec![], vec!["LOGIN-32"]),
            ("AuthorizedKeysFile none .ssh/k", vec![("/home/ad/.ssh/k", false)], vec!["LOGIN-32"]),
            ("AuthorizedKeysFile /k/%x", vec![], vec!["LOGIN-29"]),
            ("AuthorizedKeysFile ~/.ssh/k", vec![("/root/.ssh/k", true)], vec!["LOGIN-30"]),
            (
                "AuthorizedKeysFile .ssh/keys.d/*",
                vec![("/home/ad/.ssh/keys.d/a", false), ("/home/ad/.ssh/keys.d/b", false)],
                vec!["LOGIN-31"],
            ),
        ] {
            let expected =
                paths.into_iter().map(|(path, shared)| (path.to_owned(), shared)).collect();
            assert_eq!(files(line), (expected, rules), "{line}");
        }
    }
}
