//! What decides whether a password lets its user in, besides the password: the shell, the console,
//! and what else it opens (LOGIN-113).

use crate::bytes::text::escape_limited;
use crate::fs::FileSystem;
use crate::guest::linux::console::{kernel_consoles, root_bar, serial_logins};
use crate::guest::linux::text::exists;
use crate::guest::linux::{KernelCommandLine, User, cloud_init};
use crate::login::account::shell_problem;
use crate::login::match_block::{Effective, Subject};
use crate::login::{Finding, Guest};

/// Findings about the account, the console and sshd.
pub(super) fn findings(guest: &Guest<'_>, user: &User) -> Vec<Finding> {
    let mut findings: Vec<Finding> = shell(guest.fs, user).into_iter().collect();
    if user.uid != 0 && exists(guest.fs, "/etc/nologin") {
        let message = "it exists, so only root may log in";
        let finding = Finding::block(("nologin", "LOGIN-72"), "/etc/nologin", message);
        findings.push(finding.fixed_by("`regain key add TARGET --fix` removes it"));
    }
    findings.extend(consoles(guest.fs, user));
    findings.extend(ssh_door(guest, user));
    findings.extend(cloud_init_lock(guest, user));
    findings
}

fn shell(fs: &dyn FileSystem, user: &User) -> Option<Finding> {
    let ends_at_once = || user.has_no_login_shell().then_some("ends every login at once");
    let problem = shell_problem(fs, user).or_else(ends_at_once)?;
    let shown = escape_limited(user.effective_shell(), 256);
    let message = format!("the login shell {shown} {problem}");
    Some(Finding::block(("user-shell", "LOGIN-59"), user.display_name(), message))
}

/// Is there a login on a serial line, and may the user use it?
fn consoles(fs: &dyn FileSystem, user: &User) -> Vec<Finding> {
    let id = ("serial-console", "LOGIN-113");
    let line = KernelCommandLine::read(fs);
    let kernel = kernel_consoles(&line);
    let logins = serial_logins(fs, &kernel);
    let mut findings = Vec::new();
    if logins.is_empty() {
        findings.push(no_serial_login(id, &line, &kernel));
    }
    for login in logins {
        let message = format!("shows a login, by {}", login.evidence);
        findings.push(Finding::info(id, &login.terminal, message));
        if user.uid == 0
            && let Some(evidence) = root_bar(fs, &login.terminal, &kernel)
        {
            let message = format!("does not list {}: root may not log in there", login.terminal);
            let finding = Finding::warn(("root-console", "LOGIN-113"), evidence, message);
            findings.push(finding.fixed_by("set the password of another user, who may use sudo"));
        }
    }
    let has_login = ["/bin/login", "/usr/bin/login"].iter().any(|path| exists(fs, path));
    if !has_login {
        let message = "there is no /bin/login, so no terminal shows a login";
        findings.push(Finding::warn(id, "/bin/login", message));
    }
    findings
}

/// Why no login on a serial line was found.
fn no_serial_login(
    id: (&'static str, &'static str),
    line: &KernelCommandLine,
    kernel: &[String],
) -> Finding {
    if let Some(terminal) = kernel.first() {
        let message = format!("no getty is started on {terminal}, the console of the kernel");
        return Finding::warn(id, &line.source, message);
    }
    let (subject, what) = if line.source.is_empty() {
        (
            "kernel command line",
            "it is not on this volume, and no getty is enabled on a serial line",
        )
    } else {
        (
            line.source.as_str(),
            "there is no console= on a serial line, and no getty is enabled on one",
        )
    };
    let message = format!("{what}: the password may work only at the screen, if there is one");
    Finding::warn(id, subject, message).fixed_by("console=ttyS0 (or ttyAMA0, hvc0) for the kernel")
}

/// A password for the console opens sshd, too, where it takes passwords.
fn ssh_door(guest: &Guest<'_>, user: &User) -> Option<Finding> {
    if !exists(guest.fs, "/usr/sbin/sshd") {
        return None;
    }
    let groups = guest.system.accounts.groups_of(user).map(|group| group.name.clone());
    let subject = Subject { name: user.name.clone(), groups: groups.collect() };
    let settings = guest.config.effective(&subject);
    let open = settings.iter().filter(|effective| takes_passwords(effective, user)).count();
    if open == 0 {
        return None;
    }
    let from = if open == settings.len() { "" } else { " from some clients" };
    let place = settings.iter().find_map(|effective| effective.first("passwordauthentication"));
    let place = place.map_or_else(|| "sshd".to_owned(), |found| found.place.to_string());
    let message = format!("sshd takes passwords{from}: this one opens the network door, too");
    let finding = Finding::warn(("ssh-password", "LOGIN-113"), place, message);
    Some(finding.fixed_by("set PasswordAuthentication no"))
}

fn takes_passwords(effective: &Effective<'_>, user: &User) -> bool {
    let is_password = |method: &[u8]| {
        method == b"password" || method.starts_with(b"keyboard-interactive") || method == b"any"
    };
    let methods = effective.list("authenticationmethods");
    let is_alone = |list: &&[u8]| list.split(|&byte| byte == b',').all(is_password);
    let may_be_alone = methods.is_empty() || methods.iter().any(is_alone);
    let is_interactive =
        effective.flag("kbdinteractiveauthentication", true) && effective.flag("usepam", false);
    let root = effective.value("permitrootlogin");
    let is_root_let_in = user.uid != 0 || root.as_deref() == Some(b"yes");
    let is_on = effective.flag("passwordauthentication", true) || is_interactive;
    may_be_alone && is_root_let_in && is_on
}

/// cloud-init locks the passwords of its users on a new instance (LOGIN-97, VOL-45).
fn cloud_init_lock(guest: &Guest<'_>, user: &User) -> Option<Finding> {
    let default = cloud_init::default_user(guest.fs, &mut Vec::new());
    let has_program = exists(guest.fs, "/usr/bin/cloud-init");
    if !has_program || default.as_deref() != Some(user.name.as_slice()) {
        return None;
    }
    let message = "on an instance with another id cloud-init sets this user up again, and locks the \
                   password; on the same instance it stays";
    Some(Finding::info(("writers", "LOGIN-97"), user.display_name(), message))
}
