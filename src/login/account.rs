//! What sshd asks about the account and its settings before and after the key (LOGIN-57 to
//! LOGIN-64, and the
//! basics of LOGIN-65 to LOGIN-72).
//!
//! Not handled: PAM modules other than the effects of pam_unix and pam_nologin that every stack
//! has.

use super::finding::Finding;
use super::match_block::Effective;
use super::pattern::matches;
use super::{Guest, PublicKey, Severity};
use crate::bytes::text::escape_limited;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::accounts::PasswordField;
use crate::guest::linux::text::exists;

const DAY_SECONDS: i64 = 86_400;

/// Findings that come from the configuration that counts for a user.
pub(super) fn setting_findings(
    guest: &Guest<'_>,
    user: &User,
    effective: &Effective<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |keyword: &str, id, severity, message: &str, fix: Option<&str>| {
        let subject = effective.first(keyword).map_or_else(String::new, |d| d.place.to_string());
        let finding = Finding::new(id, severity, subject, message);
        findings.push(match fix {
            Some(fix) => finding.fixed_by(fix),
            None => finding,
        });
    };
    if !effective.flag("pubkeyauthentication", true) {
        let message = "PubkeyAuthentication no: sshd refuses every key";
        let id = ("conf-pubkey", "LOGIN-17");
        add("pubkeyauthentication", id, Severity::Block, message, Some("set it to yes"));
    }
    let methods = effective.list("authenticationmethods");
    let is_enough = |list: &[u8]| matches!(list, b"publickey" | b"any");
    if !methods.is_empty() && !methods.iter().any(|list| is_enough(list)) {
        let message = "AuthenticationMethods asks for more than a key";
        let id = ("conf-methods", "LOGIN-64");
        add("authenticationmethods", id, Severity::Block, message, None);
    }
    if let Some(b"yes") = effective.value("refuseconnection").as_deref() {
        let message = "RefuseConnection yes: sshd drops the connection";
        add("refuseconnection", ("conf-users", "LOGIN-22"), Severity::Block, message, None);
    }
    for keyword in ["forcecommand", "chrootdirectory"] {
        if effective.value(keyword).is_some_and(|value| value != b"none") {
            let message = format!("{keyword} is set: the key opens no normal shell");
            add(keyword, ("conf-force", "LOGIN-22"), Severity::Warn, &message, None);
        }
    }
    if !effective.flag("permittty", true) {
        let message = "PermitTTY no: the key opens no terminal";
        add("permittty", ("conf-force", "LOGIN-22"), Severity::Warn, message, None);
    }
    if effective.value("authorizedkeyscommand").is_some_and(|value| value != b"none") {
        let message = "AuthorizedKeysCommand is set: it may add keys, which are not seen here";
        add("authorizedkeyscommand", ("writers", "LOGIN-35"), Severity::Info, message, None);
    }
    if effective.value("pubkeyacceptedalgorithms").is_some() {
        let message =
            "PubkeyAcceptedAlgorithms is set; whether it allows the key is not decided here";
        add("pubkeyacceptedalgorithms", ("key-type", "LOGIN-78"), Severity::Warn, message, None);
    }
    findings.extend(revoked(guest.fs, effective));
    findings.extend(lists(guest, user, effective));
    findings.extend(root(user, effective));
    findings
}

/// Findings about one key under the settings that count: RequiredRSASize (LOGIN-76).
pub(super) fn key_findings(effective: &Effective<'_>, key: &PublicKey) -> Option<Finding> {
    let directive = effective.first("requiredrsasize")?;
    let value = directive.arguments.first()?;
    let required: u32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let bits = key.bits().filter(|&bits| key.key_type() == "ssh-rsa" && bits < required)?;
    let message = format!("RequiredRSASize {required} refuses this key with {bits} bits");
    Some(Finding::block(("key-type", "LOGIN-76"), &directive.place, message))
}

/// Homes whose content sshd cannot see before a login (LOGIN-T4), and other writers of key files
/// (LOGIN-102, LOGIN-103).
pub(super) fn home_findings(fs: &dyn FileSystem, user: &User) -> Vec<Finding> {
    let Some(home) = &user.home else { return Vec::new() };
    let is_there = |path: GuestPath| matches!(find(fs, &path), Ok(Some(_)));
    let mut findings = Vec::new();
    let shared = GuestPath::new("/home/.ecryptfs").join(&user.name);
    if is_there(home.join(".ecryptfs")) || is_there(shared) {
        let message = "the home is encrypted with ecryptfs: sshd cannot read keys in it";
        let finding = Finding::block(("home-crypt", "LOGIN-T4"), home, message);
        findings.push(finding.fixed_by("use an AuthorizedKeysFile outside the home"));
    }
    let fragments = home.join(".ssh/authorized_keys.d");
    if is_there(fragments.clone()) {
        let message = "authorized_keys may be made anew from this directory; put the key there too";
        findings.push(Finding::warn(("writers", "LOGIN-102"), fragments, message));
    }
    findings
}

/// A RevokedKeys file that cannot be read refuses every key (LOGIN-28).
fn revoked(fs: &dyn FileSystem, effective: &Effective<'_>) -> Option<Finding> {
    let directive = effective.first("revokedkeys")?;
    let path = directive.arguments.first().filter(|path| !path.eq_ignore_ascii_case(b"none"))?;
    let path = GuestPath::new(path);
    let id = ("revoked", "LOGIN-28");
    let metadata = find(fs, &path).ok().flatten().and_then(|found| fs.metadata(found.node).ok());
    Some(match metadata {
        Some(metadata) if metadata.kind == NodeKind::File => {
            let message =
                format!("RevokedKeys {path}: whether it lists the key is not decided here");
            Finding::warn(id, &directive.place, message)
        }
        _ => Finding::block(
            id,
            &directive.place,
            format!("RevokedKeys {path} cannot be read: sshd refuses every key"),
        ),
    })
}

/// How a list of user patterns takes a user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Yes,
    DependsOnClient,
    No,
}

/// DenyUsers, AllowUsers, DenyGroups, AllowGroups, in sshd's order (LOGIN-60 to LOGIN-62).
fn lists(guest: &Guest<'_>, user: &User, effective: &Effective<'_>) -> Option<Finding> {
    let listed = |keyword| user_listed(&effective.list(keyword), &user.name);
    let groups: Vec<&[u8]> =
        guest.system.accounts.groups_of(user).map(|group| group.name.as_slice()).collect();
    let in_group = |keyword| {
        let patterns = effective.list(keyword);
        groups.iter().any(|group| patterns.iter().any(|pattern| matches(pattern, group)))
    };
    let is_set = |keyword| !effective.list(keyword).is_empty();
    let name = user.display_name();
    let finding = |keyword: &str, severity, message: String| {
        let subject = effective.first(keyword).map_or_else(String::new, |d| d.place.to_string());
        Some(Finding::new(("conf-users", "LOGIN-60"), severity, subject, message))
    };
    match listed("denyusers") {
        Listed::Yes => {
            return finding("denyusers", Severity::Block, format!("DenyUsers names {name}"));
        }
        Listed::DependsOnClient => {
            let message = format!("DenyUsers names {name} from some hosts");
            return finding("denyusers", Severity::Warn, message);
        }
        Listed::No => {}
    }
    match listed("allowusers") {
        Listed::No if is_set("allowusers") => {
            let message = format!("AllowUsers does not name {name}");
            return finding("allowusers", Severity::Block, message);
        }
        Listed::DependsOnClient => {
            let message = format!("AllowUsers names {name} only from some hosts");
            return finding("allowusers", Severity::Warn, message);
        }
        _ => {}
    }
    if in_group("denygroups") {
        let message = format!("DenyGroups names a group of {name}");
        return finding("denygroups", Severity::Block, message);
    }
    if is_set("allowgroups") && !in_group("allowgroups") {
        let message = format!("AllowGroups names no group of {name}");
        return finding("allowgroups", Severity::Block, message);
    }
    if groups.is_empty() && is_set("denygroups") {
        let message = format!("{name} is in no known group, and a group list is set");
        return finding("denygroups", Severity::Block, message);
    }
    None
}

fn user_listed(patterns: &[&[u8]], name: &[u8]) -> Listed {
    let mut result = Listed::No;
    for pattern in patterns {
        let at = pattern.iter().rposition(|&byte| byte == b'@');
        let (user, host) = match at {
            Some(at) => (pattern.get(..at), pattern.get(at.saturating_add(1)..)),
            None => (Some(*pattern), None),
        };
        if !matches(user.unwrap_or_default(), name) {
            continue;
        }
        match host {
            None | Some(b"*") => return Listed::Yes,
            Some(_) => result = Listed::DependsOnClient,
        }
    }
    result
}

/// `PermitRootLogin no` (LOGIN-63).
fn root(user: &User, effective: &Effective<'_>) -> Option<Finding> {
    if user.uid != 0 {
        return None;
    }
    let directive = effective.first("permitrootlogin")?;
    // What `forced-commands-only` means depends on the line with the key.
    let is_no = effective.value("permitrootlogin")? == b"no";
    let message = is_no.then_some("PermitRootLogin no: sshd refuses root")?;
    let finding = Finding::block(("conf-root", "LOGIN-63"), &directive.place, message);
    Some(finding.fixed_by("set it to prohibit-password"))
}

/// Findings about the account itself.
pub(super) fn account_findings(guest: &Guest<'_>, user: &User, uses_pam: bool) -> Vec<Finding> {
    let mut findings = shell(guest.fs, user);
    findings.extend(shadow(guest, user, uses_pam));
    if user.uid != 0 && exists(guest.fs, "/etc/nologin") {
        let message = "it exists, so only root may log in";
        let finding = Finding::block(("nologin", "LOGIN-72"), "/etc/nologin", message);
        findings.push(finding.fixed_by("remove the file"));
    }
    if user.home.is_none() {
        let message = "the home directory in passwd is not an absolute path";
        findings.push(Finding::block(("home-missing", "VOL-40"), user.display_name(), message));
    }
    findings
}

/// The shell must be an executable file (LOGIN-59).
fn shell(fs: &dyn FileSystem, user: &User) -> Vec<Finding> {
    let path = GuestPath::new(user.effective_shell());
    let shown = escape_limited(user.effective_shell(), 256);
    let name = user.display_name();
    let found = find(fs, &path).ok().flatten().and_then(|found| fs.metadata(found.node).ok());
    let problem = match found {
        None => Some("does not exist"),
        Some(metadata) if metadata.kind != NodeKind::File => Some("is not a regular file"),
        Some(metadata) if metadata.mode & 0o111 == 0 => Some("is not executable"),
        Some(_) => None,
    };
    let mut findings = Vec::new();
    if let Some(problem) = problem {
        let message = format!("the login shell {shown} {problem}: sshd refuses the user");
        findings.push(Finding::block(("user-shell", "LOGIN-59"), &name, message));
    }
    if user.has_no_login_shell() {
        let message = format!("the login shell {shown} ends every login at once");
        findings.push(Finding::warn(("user-shell-nologin", "LOGIN-59"), &name, message));
    }
    findings
}

/// Locks and dates (LOGIN-58, LOGIN-67, LOGIN-68).
fn shadow(guest: &Guest<'_>, user: &User, uses_pam: bool) -> Option<Finding> {
    let name = user.display_name();
    let today = guest.now.seconds.div_euclid(DAY_SECONDS);
    let accounts = &guest.system.accounts;
    let line = accounts.shadow.as_ref().and_then(|shadow| shadow.get(&user.name)).copied();
    // sshd itself asks shadow whenever there is a line; PAM only if passwd says `x` (LOGIN-68).
    let line = line.filter(|_| !uses_pam || user.password == PasswordField::InShadow);
    let password = line.map_or(user.password, |line| line.password);
    if !uses_pam && password == PasswordField::Locked {
        let message = "the password is locked with ! and UsePAM is no: sshd refuses the user";
        let finding = Finding::block(("user-locked", "LOGIN-58"), &name, message);
        return Some(finding.fixed_by("replace the ! in /etc/shadow by *"));
    }
    let Some(line) = line else {
        let needs_line = uses_pam && user.password == PasswordField::InShadow;
        let message = "there is no line in /etc/shadow: PAM refuses the user";
        return needs_line.then(|| Finding::block(("shadow-missing", "LOGIN-68"), &name, message));
    };
    let expired = line.expire.filter(|&day| if uses_pam { today >= day } else { day < today });
    if let Some(day) = expired {
        let message = format!("the account expired on day {day} (today is day {today} since 1970)");
        let finding = Finding::block(("acct-expired", "LOGIN-67"), &name, message);
        return Some(finding.fixed_by("empty field 8 of the line in /etc/shadow"));
    }
    let changed = line.last_change.filter(|_| uses_pam)?;
    let is_due = |days: Option<i64>| {
        days.is_some_and(|days| changed <= today && today.saturating_sub(changed) >= days)
    };
    let inactive = line.max_age.zip(line.inactive).map(|(max, more)| max.saturating_add(more));
    if changed != 0 && is_due(inactive) {
        let message = "the password is too old and the grace time is over: PAM refuses the user";
        return Some(Finding::block(("passwd-inactive", "LOGIN-67"), &name, message));
    }
    if changed == 0 || is_due(line.max_age) {
        let message = "the password must be changed at login, which asks for the old one";
        return Some(Finding::warn(("passwd-age", "LOGIN-69"), &name, message));
    }
    None
}
