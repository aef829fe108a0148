//! Whether sshd takes a kind of key at all (LOGIN-75 to LOGIN-81).
//!
//! Crypto policies come in as ordinary settings: by an Include or as options of the command line (LOGIN-79).
//! Not handled: limits of the cryptographic library below sshd.

use super::daemon::version::{Presence, presence_in_program};
use super::daemon::{Fips, Release};
use super::finding::Finding;
use super::match_block::Effective;
use super::pattern::matches_list;
use super::sshd_config::Directive;
use super::{Guest, PublicKey, revoked};

/// Smallest key by FIPS 186, in bits.
const FIPS_RSA_BITS_MIN: u32 = 2048;

/// What speaks against one key under the values that count, whatever the key files say.
pub(super) fn key_findings(
    guest: &Guest<'_>,
    effective: &Effective<'_>,
    key: &PublicKey,
) -> Vec<Finding> {
    let mut findings = type_findings(guest, key);
    if let Some(directive) = stopping(effective, guest.config.daemon.release) {
        let message = "sshd stops at a list with a name that starts with !";
        let finding = Finding::block(("conf-syntax", "LOGIN-15"), &directive.place, message);
        findings.push(finding.fixed_by("repair or remove the line"));
    }
    findings.extend(accepted(guest, effective, key));
    findings.extend(size(effective, key));
    findings.extend(security_key(effective, key));
    findings.extend(fips(guest.config.daemon.fips, key));
    findings.extend(revoked::findings(guest.fs, effective, key));
    findings
}

/// The list of algorithms that stops sshd: from 7.9 only a list that starts with `-` may have names with `!`. It
/// counts when the list does, so in a Match block for a client only that connection ends. Measured with 9.2.
pub(super) fn stopping<'a>(effective: &Effective<'a>, release: Release) -> Option<&'a Directive> {
    let keyword = "pubkeyacceptedalgorithms";
    let is_bad = |directive: &&Directive| {
        let list = directive.arguments.first().map(Vec::as_slice).unwrap_or_default();
        !list.starts_with(b"-") && list.split(|&b| b == b',').any(|name| name.starts_with(b"!"))
    };
    let counting = [effective.at_start(keyword), effective.first(keyword)];
    counting.into_iter().flatten().find(is_bad).filter(|_| release.is_likely(7, 9))
}

/// The release that first knew a type of key (LOGIN-77).
fn first_release(key_type: &str) -> (u16, u16) {
    match key_type {
        "ssh-rsa" | "ssh-dss" => (5, 3),
        "ssh-ed25519" => (6, 5),
        "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com" => (8, 2),
        "ssh-mldsa44-ed25519@openssh.com" => (10, 5),
        _ => (5, 7),
    }
}

/// A type that the release does not know, or that was left out when it was built (LOGIN-77).
fn type_findings(guest: &Guest<'_>, key: &PublicKey) -> Vec<Finding> {
    let daemon = &guest.config.daemon;
    let (major, minor) = first_release(key.key_type());
    let id = ("key-type", "LOGIN-77");
    let subject = &daemon.program;
    let name = key.key_type();
    if daemon.release.at_least(major, minor) == Some(false) {
        let message = format!("sshd knows keys of type {name} from {major}.{minor}");
        return vec![Finding::block(id, subject, format!("{message}; this is {}", daemon.release))];
    }
    // Every supported distribution has 7.4 or later.
    if (major, minor) <= (7, 4) {
        return Vec::new();
    }
    let words = presence_in_program(guest.fs, subject, &[name]).ok().flatten();
    match words.as_deref() {
        Some([Presence::Absent]) => {
            vec![Finding::block(id, subject, format!("sshd does not know keys of type {name}"))]
        }
        Some([_]) => Vec::new(),
        _ => {
            let message = format!("whether sshd knows keys of type {name} is not known");
            vec![Finding::undecided(id, subject, message)]
        }
    }
}

/// The signature algorithms of a type of key, as a release names them (LOGIN-75).
fn signatures(key_type: &'static str, release: Release) -> Vec<&'static str> {
    match key_type {
        // Before 7.8 the list names types of keys.
        "ssh-rsa" if !release.is_likely(7, 8) => vec!["ssh-rsa"],
        "ssh-rsa" => vec!["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
        other => vec![other],
    }
}

/// PubkeyAcceptedAlgorithms (LOGIN-78).
fn accepted(guest: &Guest<'_>, effective: &Effective<'_>, key: &PublicKey) -> Option<Finding> {
    let release = guest.config.daemon.release;
    let directive = effective.first("pubkeyacceptedalgorithms");
    let list = directive.and_then(|directive| directive.arguments.first()).map(Vec::as_slice);
    let all = signatures(key.key_type(), release);
    let usable: Vec<&str> = all.into_iter().filter(|name| accepts(list, name, release)).collect();
    let subject =
        directive.map_or_else(|| guest.config.daemon.program.to_string(), |d| d.place.to_string());
    if usable.is_empty() {
        let message = format!("sshd accepts no signature of keys of type {}", key.key_type());
        let finding = Finding::block(("key-type", "LOGIN-78"), subject, message);
        return Some(finding.fixed_by("use a key of another type"));
    }
    let message = doubt(&usable, release)?;
    Some(Finding::undecided(("key-type", "LOGIN-75"), subject, message))
}

/// Why a client may make only signatures that sshd does not take, although it takes some of the key.
fn doubt(usable: &[&str], release: Release) -> Option<&'static str> {
    let takes = |name: &str| usable.contains(&name);
    if usable == ["ssh-rsa"] && !has_sha2(release) {
        return Some(
            "RSA keys are accepted with SHA-1 signatures only, which current clients do not make \
             unless told to",
        );
    }
    // Measured: sshd 9.2 tells clients of both forms all the same, and a client tries only the first.
    (takes("rsa-sha2-256") && !takes("rsa-sha2-512")).then_some(
        "RSA keys are accepted with SHA-256 signatures only; most clients sign with SHA-512",
    )
}

/// True if `ssh-rsa` alone stands for signatures with SHA-2 as well: from 7.2 to 7.7.
fn has_sha2(release: Release) -> bool {
    release.is_likely(7, 2) && !release.is_likely(7, 8)
}

/// True if a list lets a signature algorithm pass; without a list the built-in one counts.
pub(super) fn accepts(list: Option<&[u8]>, name: &str, release: Release) -> bool {
    let is_default = is_default(name, release);
    let hits = |patterns: &[u8]| matches_list(patterns, name.as_bytes()) == Some(true);
    let any = |patterns: &[u8]| patterns.split(|&byte| byte == b',').any(hits);
    match list {
        None | Some([]) => is_default,
        Some([b'+' | b'^', more @ ..]) => is_default || any(more),
        Some([b'-', less @ ..]) => is_default && !hits(less),
        Some(all) => any(all),
    }
}

/// The built-in list of a release, without certificates.
fn is_default(name: &str, release: Release) -> bool {
    match name {
        // SHA-1 went with 8.8.
        "ssh-rsa" => !release.is_likely(8, 8),
        "ssh-dss" => !release.is_likely(7, 0),
        "rsa-sha2-512" | "rsa-sha2-256" => release.is_likely(7, 2),
        "ssh-mldsa44-ed25519@openssh.com" => false,
        _ => {
            let (major, minor) = first_release(name);
            release.is_likely(major, minor)
        }
    }
}

/// RequiredRSASize (LOGIN-76).
fn size(effective: &Effective<'_>, key: &PublicKey) -> Option<Finding> {
    let directive = effective.first("requiredrsasize")?;
    let value = directive.arguments.first()?;
    let required: u32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let bits = key.bits().filter(|&bits| key.key_type() == "ssh-rsa" && bits < required)?;
    let message = format!("RequiredRSASize {required} refuses this key with {bits} bits");
    let finding = Finding::block(("key-type", "LOGIN-76"), &directive.place, message);
    Some(finding.fixed_by("use a larger key, or one of another type"))
}

/// PubkeyAuthOptions: what a security key must prove (LOGIN-81).
fn security_key(effective: &Effective<'_>, key: &PublicKey) -> Option<Finding> {
    if !key.key_type().starts_with("sk-") {
        return None;
    }
    let directive = effective.first("pubkeyauthoptions")?;
    let needs_proof =
        directive.arguments.iter().any(|o| o.eq_ignore_ascii_case(b"verify-required"));
    needs_proof.then(|| {
        let message = "verify-required: the security key must ask for a PIN or the like";
        Finding::undecided(("key-type", "LOGIN-81"), &directive.place, message)
    })
}

/// What FIPS leaves out (LOGIN-80).
fn fips(fips: Fips, key: &PublicKey) -> Option<Finding> {
    let is_left_out = key.key_type().contains("ed25519")
        || (key.key_type() == "ssh-rsa" && key.bits().is_some_and(|bits| bits < FIPS_RSA_BITS_MIN));
    let id = ("key-type", "LOGIN-80");
    let name = key.key_type();
    match fips {
        Fips::Off => None,
        _ if !is_left_out => None,
        Fips::On(source) => {
            let message = format!("FIPS is on: sshd does not take this key of type {name}");
            Some(Finding::block(id, source, message).fixed_by("use an ECDSA key"))
        }
        Fips::Perhaps(source) => {
            let message = format!("if FIPS is on, sshd does not take this key of type {name}");
            Some(Finding::undecided(id, source, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::daemon::Version;

    fn known(major: u16, minor: u16) -> Release {
        Release::Known(Version::new(major, minor))
    }

    #[test]
    fn lists_are_read_as_sshd_reads_them_login_78() {
        for (list, name, version, expected) in [
            (None, "ssh-ed25519", (9, 2), true),
            (None, "ssh-rsa", (8, 7), true),
            (None, "ssh-rsa", (8, 8), false),
            (None, "rsa-sha2-512", (8, 8), true),
            (None, "sk-ssh-ed25519@openssh.com", (8, 0), false),
            (None, "ssh-mldsa44-ed25519@openssh.com", (10, 5), false),
            (Some("+ssh-rsa"), "ssh-rsa", (9, 2), true),
            (Some("+ssh-rsa"), "ssh-ed25519", (9, 2), true),
            (Some("^ssh-mldsa*"), "ssh-mldsa44-ed25519@openssh.com", (10, 5), true),
            (Some("-ssh-ed25519*"), "ssh-ed25519", (9, 2), false),
            (Some("-ssh-ed25519*"), "rsa-sha2-256", (9, 2), true),
            (Some("-rsa*,ssh-*"), "ssh-ed25519", (9, 2), false),
            (Some("ssh-ed25519"), "rsa-sha2-256", (9, 2), false),
            (Some("ecdsa-*,rsa-sha2-???"), "rsa-sha2-256", (9, 2), true),
            (Some("ecdsa-*"), "ecdsa-sha2-nistp384", (9, 2), true),
        ] {
            let release = known(version.0, version.1);
            let found = accepts(list.map(str::as_bytes), name, release);
            assert_eq!(found, expected, "{list:?} {name} {version:?}");
        }
    }

    #[test]
    fn rsa_keys_have_other_names_for_other_releases_login_75() {
        for (list, version, any, is_sure) in [
            (None, (9, 2), true, true),
            (None, (7, 4), true, true),
            (None, (5, 3), true, false),
            (Some("ssh-rsa"), (9, 2), true, false),
            (Some("ssh-rsa"), (7, 4), true, true),
            (Some("rsa-sha2-512"), (7, 4), false, true),
            (Some("rsa-sha2-512"), (7, 8), true, true),
            (Some("rsa-sha2-256"), (9, 2), true, false),
        ] {
            let release = known(version.0, version.1);
            let list = list.map(str::as_bytes);
            let mut usable = signatures("ssh-rsa", release);
            usable.retain(|name| accepts(list, name, release));
            assert_eq!(!usable.is_empty(), any, "{list:?} {version:?}");
            assert_eq!(doubt(&usable, release).is_none(), is_sure, "{list:?} {version:?}");
        }
    }
}
