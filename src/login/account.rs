//! What sshd asks about the account and its settings before and after the key (LOGIN-57 to LOGIN-65).
//!
//! With `UsePAM yes` the account stack decides about expiry and /etc/nologin ([`pam`]); without it sshd does.

mod gates;

use super::finding::Finding;
use super::match_block::Effective;
use super::{Guest, Severity, pam};
use crate::bytes::text::escape_limited;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::accounts::PasswordField;
use crate::guest::linux::text::exists;

pub(super) const DAY_SECONDS: i64 = 86_400;

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
    if effective.value("maxauthtries").is_some_and(|value| value == b"0") {
        let message = "MaxAuthTries 0: sshd ends the connection before any key is tried";
        add("maxauthtries", ("conf-methods", "LOGIN-T2"), Severity::Block, message, None);
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
    findings.extend(shell(guest.fs, user, effective));
    findings.extend(gates::findings(guest, user, effective));
    findings.extend(root(user, effective));
    findings
}

/// `PermitRootLogin no` (LOGIN-63).
fn root(user: &User, effective: &Effective<'_>) -> Option<Finding> {
    if user.uid != 0 {
        return None;
    }
    // What `forced-commands-only` means depends on the line with the key.
    let is_no = effective.value("permitrootlogin")? == b"no";
    let message = is_no.then_some("PermitRootLogin no: sshd refuses root")?;
    let place = effective.first("permitrootlogin").map(|directive| directive.place.to_string());
    let subject = place.unwrap_or_else(|| "sshd's default".to_owned());
    let finding = Finding::block(("conf-root", "LOGIN-63"), subject, message);
    Some(finding.fixed_by("set it to prohibit-password"))
}

/// Findings about the account itself. `pam_service` is the service under which sshd asks PAM, if it does.
pub(super) fn account_findings(
    guest: &Guest<'_>,
    user: &User,
    pam_service: Option<&[u8]>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = known(guest, user).into_iter().collect();
    match pam_service {
        Some(service) => findings.extend(pam::findings(guest, user, service)),
        None => findings.extend(without_pam(guest, user)),
    }
    if user.has_no_login_shell() {
        let shown = escape_limited(user.effective_shell(), 256);
        let message = format!("the login shell {shown} ends every login at once");
        let name = user.display_name();
        findings.push(Finding::warn(("user-shell-nologin", "LOGIN-59"), name, message));
    }
    if user.home.is_none() {
        let message = "the home directory in passwd is not an absolute path";
        findings.push(Finding::block(("home-missing", "VOL-40"), user.display_name(), message));
    }
    findings
}

/// Whether sshd sees the user as passwd has it (LOGIN-57).
fn known(guest: &Guest<'_>, user: &User) -> Option<Finding> {
    let accounts = &guest.system.accounts;
    let id = ("user-exists", "LOGIN-57");
    let name = user.display_name();
    if let Some(line) = accounts.excluding_line(user) {
        let message =
            format!("this line hides {name} from sshd, because nsswitch.conf names compat");
        return Some(Finding::block(id, format!("/etc/passwd:{line}"), message));
    }
    if !accounts.services.asks_files() {
        let message =
            format!("nsswitch.conf does not name the files, so that sshd may not know {name}");
        return Some(Finding::undecided(id, "/etc/nsswitch.conf", message));
    }
    let before = accounts.services.before_files();
    if before.is_empty() {
        return None;
    }
    let before = escape_limited(before.join(", ").as_bytes(), 64);
    let message = format!("{before} is asked before /etc/passwd, and may know another {name}");
    Some(Finding::info(id, "/etc/nsswitch.conf", message))
}

/// The shell must be an executable file, unless the login is in another root directory (LOGIN-59).
fn shell(fs: &dyn FileSystem, user: &User, effective: &Effective<'_>) -> Option<Finding> {
    if effective.value("chrootdirectory").is_some_and(|value| value != b"none") {
        return None;
    }
    let problem = shell_problem(fs, user)?;
    let shown = escape_limited(user.effective_shell(), 256);
    let message = format!("the login shell {shown} {problem}: sshd refuses the user");
    Some(Finding::block(("user-shell", "LOGIN-59"), user.display_name(), message))
}

/// Why nobody can run the shell of `user`, as the end of a sentence about it.
pub(crate) fn shell_problem(fs: &dyn FileSystem, user: &User) -> Option<&'static str> {
    let path = GuestPath::new(user.effective_shell());
    let found = find(fs, &path).ok().flatten().and_then(|found| fs.metadata(found.node).ok());
    match found {
        None => Some("does not exist"),
        Some(metadata) if metadata.kind != NodeKind::File => Some("is not a regular file"),
        Some(metadata) if metadata.mode & 0o111 == 0 => Some("is not executable"),
        Some(_) => None,
    }
}

/// What sshd tests itself where it does not ask PAM (LOGIN-58, LOGIN-72).
fn without_pam(guest: &Guest<'_>, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = user.display_name();
    let line = guest.system.accounts.shadow.as_ref().and_then(|shadow| shadow.get(&user.name));
    // Newer C libraries do not see a line with odd numbers at all; then passwd decides.
    let password = match line {
        Some(line) if !line.is_odd || line.password == PasswordField::Locked => line.password,
        _ => user.password,
    };
    let place = line.map_or_else(|| name.clone(), |line| format!("/etc/shadow:{}", line.line));
    if password == PasswordField::Locked {
        let message = format!(
            "the password of {name} is locked with ! and UsePAM is no: sshd refuses the user"
        );
        let finding = Finding::block(("user-locked", "LOGIN-58"), &place, message);
        findings.push(finding.fixed_by("replace the ! in /etc/shadow by *"));
    }
    let today = guest.now.seconds.div_euclid(DAY_SECONDS);
    if let Some(line) = line
        && let Some(day) = line.expire.filter(|&day| day < today)
    {
        let message =
            format!("the account {name} expired on day {day} (today is day {today} since 1970)");
        let id = ("acct-expired", "LOGIN-58");
        let finding = if line.is_odd {
            Finding::undecided(id, &place, message)
        } else {
            Finding::block(id, &place, message)
        };
        findings.push(finding.fixed_by("empty field 8 of the line in /etc/shadow"));
    }
    if user.uid != 0 && exists(guest.fs, "/etc/nologin") {
        let message = "it exists, so only root may log in";
        let finding = Finding::block(("nologin", "LOGIN-72"), "/etc/nologin", message);
        findings.push(finding.fixed_by("remove the file"));
    }
    findings
}

#[cfg(test)]
mod tests;
