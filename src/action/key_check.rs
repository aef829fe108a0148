//! `key check`: what sshd on a volume says to a user's keys. Changes nothing.

use super::fix_login::Repairs;
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NodeKind, Timestamp};
use crate::guest::linux::{System, User, detect};
use crate::guest::select::{self, UserChoice};
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::public_key::{Shape, fingerprint};
use crate::login::{Finding, Guest, KeyCheck, PublicKey, Verdict, absent_user, dedup};
use std::collections::BTreeSet;

/// Bound on the keys of a user that are judged when none is named.
const KEYS_MAX: usize = 256;

/// What is asked.
#[derive(Debug, Clone)]
pub struct KeyCheckRequest {
    /// Who wants to log in; `None` for the one default user.
    pub user: Option<Vec<u8>>,
    /// The keys; without any, every key in the user's files is judged.
    pub keys: Vec<PublicKey>,
    /// Today (LOGIN-4).
    pub now: Timestamp,
}

/// One key and the answer to it.
#[derive(Debug, Clone)]
pub struct JudgedKey {
    /// `SHA256:...`.
    pub fingerprint: String,
    /// Type and size.
    pub shape: Shape,
    /// Comment, unescaped.
    pub comment: Vec<u8>,
    /// Where it stands, if it was found in a file: real path and line.
    pub place: Option<(GuestPath, u64)>,
    /// The answer.
    pub check: KeyCheck,
}

/// The answers for one user.
#[derive(Debug, Clone)]
pub struct UserCheck {
    /// The user, unescaped.
    pub user: Vec<u8>,
    /// The answer to all keys that were named; without any, whether some key lets the user in.
    pub verdict: Verdict,
    /// What holds for every key, and for no key in particular.
    pub findings: Vec<Finding>,
    /// The keys in the order in which they were named or found. Their findings are their own.
    pub keys: Vec<JudgedKey>,
}

/// Judges the keys of a request.
///
/// # Errors
/// * `NotFound`, `Ambiguous` - no Linux system, or not one default user;
/// * `Limit` - more than [`KEYS_MAX`] keys in the files, and none named;
/// * otherwise as the file system.
pub fn check(fs: &dyn FileSystem, request: &KeyCheckRequest) -> Result<UserCheck> {
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    let Some(user) = user(fs, &system, &guest, request)? else {
        let name = request.user.clone().unwrap_or_default();
        let finding = absent_user::finding(fs, &system.accounts, &name);
        let (verdict, findings) = (Verdict::of(std::slice::from_ref(&finding)), vec![finding]);
        return Ok(UserCheck { user: name, verdict, findings, keys: Vec::new() });
    };
    let keys = if request.keys.is_empty() {
        keys_in_files(&guest, user)?
    } else {
        request.keys.iter().map(|key| named_key(&guest, user, key)).collect::<Result<_>>()?
    };
    if keys.is_empty() {
        return without_keys(&guest, user);
    }
    let verdicts = keys.iter().map(|key| key.check.verdict);
    let verdict = if request.keys.is_empty() { best(verdicts) } else { worst(verdicts) };
    let (mut findings, mut keys) = apart(keys);
    Repairs::offers(&guest, user, &mut findings)?;
    for key in &mut keys {
        Repairs::offers(&guest, user, &mut key.check.findings)?;
    }
    Ok(UserCheck { user: user.name.clone(), verdict, findings, keys })
}

/// The user who is meant; `None` if the one who is named is not in passwd.
fn user<'a>(
    fs: &dyn FileSystem,
    system: &'a System,
    guest: &Guest<'_>,
    request: &KeyCheckRequest,
) -> Result<Option<&'a User>> {
    match &request.user {
        Some(name) => Ok(system.accounts.find(name)),
        None => Ok(select::users(fs, system, &UserChoice::Default, guest)?.into_iter().next()),
    }
}

fn named_key(guest: &Guest<'_>, user: &User, key: &PublicKey) -> Result<JudgedKey> {
    let check = guest.check_key(user, key)?;
    Ok(JudgedKey {
        fingerprint: key.fingerprint(),
        shape: Shape { key_type: key.key_type(), bits: key.bits() },
        comment: key.comment().into(),
        place: check.deciding_line.clone(),
        check,
    })
}

/// Every key in the files that sshd would read for the user, each once, whatever the client.
fn keys_in_files(guest: &Guest<'_>, user: &User) -> Result<Vec<JudgedKey>> {
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for file in guest.every_key_file(user)? {
        // What cannot be read holds no key for us; the answer to a named key says more.
        let Ok(Some(found)) = find(guest.fs, &file.path) else { continue };
        if guest.fs.metadata(found.node)?.kind != NodeKind::File {
            continue;
        }
        let Ok(content) = guest.fs.read(found.node, FILE_BYTES_MAX) else { continue };
        for line in key_lines(&content).filter(|line| !is_authority(line)) {
            if !seen.insert(line.blob.clone()) {
                continue;
            }
            if keys.len() >= KEYS_MAX {
                let what = "number of keys of one user, unless one is named with --key";
                let limit = len_u64(KEYS_MAX);
                return Err(Error::limit(what, limit, limit.saturating_add(1)));
            }
            let place = (found.real_path.clone(), line.number);
            keys.push(found_key(guest, user, &line, place)?);
        }
    }
    Ok(keys)
}

fn is_authority(line: &KeyLine<'_>) -> bool {
    line.parsed_options().is_ok_and(|options| options.is_cert_authority)
}

fn found_key(
    guest: &Guest<'_>,
    user: &User,
    line: &KeyLine<'_>,
    place: (GuestPath, u64),
) -> Result<JudgedKey> {
    let check = match PublicKey::new(line.blob.clone(), "") {
        Ok(key) => guest.check_key(user, &key)?,
        Err(defect) => {
            let subject = format!("{}:{}", place.0, place.1);
            KeyCheck::of_useless_key(&subject, &defect.to_string())
        }
    };
    Ok(JudgedKey {
        fingerprint: fingerprint(&line.blob),
        shape: line.shape,
        comment: line.comment.to_vec(),
        place: Some(place),
        check,
    })
}

/// The answer for a user who has no key at all.
fn without_keys(guest: &Guest<'_>, user: &User) -> Result<UserCheck> {
    let mut findings = guest.user_login(user)?.findings;
    let message = "no key is in any file that sshd reads for this user";
    let finding = Finding::block(("key-line", "LOGIN-39"), user.display_name(), message);
    findings.push(finding.fixed_by("`regain key add` puts one there"));
    Repairs::offers(guest, user, &mut findings)?;
    findings.sort_by_key(|finding| (finding.severity, !finding.is_undecided));
    let verdict = Verdict::of(&findings);
    Ok(UserCheck { user: user.name.clone(), verdict, findings, keys: Vec::new() })
}

fn best(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Accepted => 0,
        Verdict::Unknown => 1,
        Verdict::Refused => 2,
    };
    verdicts.min_by_key(rank).unwrap_or(Verdict::Refused)
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Refused => 0,
        Verdict::Unknown => 1,
        Verdict::Accepted => 2,
    };
    verdicts.min_by_key(rank).unwrap_or(Verdict::Refused)
}

/// Takes what is said of every key out of the single keys, if there are several.
fn apart(mut keys: Vec<JudgedKey>) -> (Vec<Finding>, Vec<JudgedKey>) {
    let first = keys.first().map(|key| key.check.findings.clone()).unwrap_or_default();
    let is_common = |finding: &Finding| keys.iter().all(|key| key.check.findings.contains(finding));
    let mut common: Vec<Finding> = first.into_iter().filter(is_common).collect();
    dedup(&mut common);
    for key in &mut keys {
        key.check.findings.retain(|finding| !common.contains(finding));
    }
    (common, keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::login::testing::{FILE, KEY, NOW, OTHER, configure, debian};

    /// A DSA key that nobody has: four integers of one bit.
    const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAAABAQAAAAEBAAAAAQEAAAABAQ==";

    fn asked(tree: &MemoryTree, user: Option<&str>) -> UserCheck {
        let user = user.map(|name| name.as_bytes().to_vec());
        check(tree, &KeyCheckRequest { user, keys: Vec::new(), now: NOW }).unwrap()
    }

    #[test]
    fn every_key_in_the_files_is_judged_once() {
        let lines = [
            format!("{KEY} a"),
            format!("command=\"x\" {OTHER} b"),
            format!("{KEY} again"),
            DSA.to_owned(),
            format!("cert-authority {OTHER}"),
        ];
        let tree = debian(&lines.join("\n"));
        let found = asked(&tree, None);
        assert_eq!(
            (found.verdict, found.user.as_slice()),
            (Verdict::Accepted, b"admin".as_slice())
        );
        let keys: Vec<_> = found
            .keys
            .iter()
            .map(|key| (key.shape.key_type, key.place.as_ref().unwrap().1, key.check.verdict))
            .collect();
        let expected = [
            ("ssh-ed25519", 1, Verdict::Accepted),
            ("ssh-ed25519", 2, Verdict::Refused),
            ("ssh-dss", 4, Verdict::Refused),
        ];
        assert_eq!(keys, expected);
        // What holds for one key only is said of that key.
        assert!(!found.findings.iter().any(Finding::is_blocking));
        let of_second = &found.keys[1].check.findings;
        assert!(of_second.iter().any(|finding| finding.check == "key-shadowed"));
    }

    #[test]
    fn without_a_key_or_a_user_the_answer_is_no() {
        for (tree, user, check) in [
            (debian(""), "admin", "key-line"),
            (debian("# nothing\n"), "admin", "key-line"),
            (debian(KEY), "ghost", "user-exists"),
        ] {
            let found = asked(&tree, Some(user));
            assert_eq!((found.verdict, found.keys.len()), (Verdict::Refused, 0), "{user}");
            assert!(found.findings.iter().any(|f| f.is_blocking() && f.check == check), "{user}");
        }
    }

    #[test]
    fn reasons_name_the_option_that_repairs_them() {
        let mut tree = debian(KEY);
        configure(&mut tree, "AllowUsers x\nPubkeyAuthentication no");
        let found = asked(&tree, Some("admin"));
        assert_eq!(found.verdict, Verdict::Refused);
        let fix = |check: &str| {
            let finding = found.findings.iter().find(|finding| finding.check == check);
            finding.and_then(|finding| finding.fix.clone()).unwrap_or_default()
        };
        assert!(
            fix("conf-users").starts_with("`--fix-also conf-users`: AllowUsers admin is added in ")
        );
        assert!(
            fix("conf-pubkey").starts_with(
                "`--fix`: PubkeyAuthentication no becomes PubkeyAuthentication yes in "
            )
        );
        assert!(tree.content_at(FILE).is_some_and(|content| content == KEY.as_bytes()));
    }

    #[test]
    fn more_keys_than_anybody_has_are_a_limit() {
        let line = |number: usize| {
            let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
            blob.extend([0; 30]);
            blob.extend(u16::try_from(number).unwrap().to_be_bytes());
            let key = PublicKey::new(blob, "").unwrap();
            String::from_utf8(key.to_line(None)).unwrap()
        };
        let keys: String = (0..=KEYS_MAX).map(line).collect();
        let request = KeyCheckRequest { user: None, keys: Vec::new(), now: NOW };
        let error = check(&debian(&keys), &request).unwrap_err();
        assert_eq!(error.kind_name(), "limit");
    }
}
