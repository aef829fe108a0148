//! What the modules of PAM answer for one user, from what is on the volume (LOGIN-66 to LOGIN-74).

mod access;
mod limits;
mod list_file;
mod place;
mod succeed_if;
mod unix;

use super::code::Code;
use super::config::{Call, Entry, Kind};
use super::stack::Answer;
use super::tri::Tri;
use crate::bytes::text::escape_limited;
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::text::{TEXT_BYTES_MAX, exists, kind, lines, required};
use crate::login::{Finding, Guest};

/// Who is asked about, and by whom.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    guest: &'a Guest<'a>,
    user: &'a User,
    service: &'a [u8],
    kind: Kind,
    /// Directories in which modules are looked for; empty if the volume has none.
    directories: Vec<&'static str>,
}

/// Modules that answer a session with success, whatever else they do. What can fail in them is a service that does
/// not run or a resource that is missing, which no volume shows.
const SESSION_GOOD: [&str; 39] = [
    "cap",
    "cgfs",
    "cgm",
    "ck_connector",
    "console",
    "ecryptfs",
    "env",
    "env2",
    "fprintd",
    "fscrypt",
    "gnome_keyring",
    "group",
    "keyinit",
    "krb5",
    "kwallet",
    "kwallet5",
    "lastlog",
    "lastlog2",
    "ldap",
    "loginuid",
    "mail",
    "mkhomedir",
    "motd",
    "namespace",
    "oddjob_mkhomedir",
    "pkcs11",
    "selinux",
    "setquota",
    "sss",
    "systemd",
    "systemd_home",
    "timestamp",
    "tmpdir",
    "tty_audit",
    "ulimit",
    "umask",
    "unix",
    "winbind",
    "xauth",
];
/// Modules that have no account phase: naming them there fails.
const NO_ACCOUNT: [&str; 21] = [
    "cracklib",
    "faildelay",
    "ftp",
    "group",
    "issue",
    "keyinit",
    "limits",
    "mail",
    "mkhomedir",
    "motd",
    "namespace",
    "pwhistory",
    "pwquality",
    "rhosts",
    "selinux",
    "setquota",
    "systemd",
    "timestamp",
    "tty_audit",
    "umask",
    "xauth",
];
/// Modules that have no session phase.
const NO_SESSION: [&str; 20] = [
    "cracklib",
    "faildelay",
    "faillock",
    "ftp",
    "group",
    "issue",
    "nologin",
    "pwhistory",
    "pwquality",
    "rhosts",
    "rootok",
    "securetty",
    "sepermit",
    "shells",
    "tally",
    "tally2",
    "time",
    "userdb",
    "wheel",
    "passwdqc",
];

/// What a module that is not known here may say.
const ANYTHING: [Code; 13] = [
    Code::Success,
    Code::Ignore,
    Code::NewAuthtokReqd,
    Code::PermDenied,
    Code::AuthErr,
    Code::UserUnknown,
    Code::AcctExpired,
    Code::AuthinfoUnavail,
    Code::AuthtokExpired,
    Code::ServiceErr,
    Code::SystemErr,
    Code::SessionErr,
    Code::Abort,
];

impl<'a> Asked<'a> {
    pub(super) fn new(guest: &'a Guest<'a>, user: &'a User, service: &'a [u8], kind: Kind) -> Self {
        let directories = place::directories(guest.fs, guest.system.arch);
        Self { guest, user, service, kind, directories }
    }

    fn fs(&self) -> &'a dyn FileSystem {
        self.guest.fs
    }

    /// What the module of a line may answer, at least one.
    pub(super) fn answers(&self, entry: &Entry) -> Vec<Answer> {
        let Call::Module { path, arguments } = &entry.call else {
            return vec![Answer::plain(Code::PermDenied)];
        };
        if !place::exists(self.fs(), &self.directories, path) {
            let module = escape_limited(path, 128);
            let message =
                format!("the module {module} does not exist: PAM takes that as a failure");
            let reason = Finding::block(("pam-account", "LOGIN-66"), &entry.place, message);
            return vec![Answer::because(Code::ModuleUnknown, reason)];
        }
        let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let name = file.strip_suffix(b".so").unwrap_or(file);
        let name = std::str::from_utf8(name.strip_prefix(b"pam_").unwrap_or(name)).unwrap_or("");
        let call = Arguments { place: &entry.place, words: arguments };
        match self.kind {
            Kind::Account if NO_ACCOUNT.contains(&name) => plain(&[Code::ModuleUnknown]),
            Kind::Session if NO_SESSION.contains(&name) => plain(&[Code::ModuleUnknown]),
            Kind::Account => self.account(name, &call).unwrap_or_else(|| plain(&ANYTHING)),
            Kind::Session => self.session(name, &call).unwrap_or_else(|| plain(&ANYTHING)),
        }
    }

    /// Modules that answer both phases alike.
    fn common(&self, name: &str, call: &Arguments<'_>) -> Option<Vec<Answer>> {
        Some(match name {
            "permit" => plain(&[Code::Success]),
            "warn" => plain(&[Code::Ignore]),
            "echo" => plain(&[Code::Ignore, Code::Success]),
            "access" => self.access(call),
            "localuser" => self.local_user(call),
            "succeed_if" => self.succeed_if(call),
            "usertype" => self.user_type(call),
            "debug" => self.debug(call),
            "listfile" => self.list_file(call),
            _ => return None,
        })
    }

    fn session(&self, name: &str, call: &Arguments<'_>) -> Option<Vec<Answer>> {
        Some(match name {
            "deny" => plain(&[Code::SessionErr]),
            "limits" => self.limits(call),
            name if name.starts_with("unix") || SESSION_GOOD.contains(&name) => {
                plain(&[Code::Success])
            }
            name => return self.common(name, call),
        })
    }

    fn account(&self, name: &str, call: &Arguments<'_>) -> Option<Vec<Answer>> {
        Some(match name {
            "unix" | "unix_acct" | "unix_auth" | "unix_passwd" | "unix_session" | "pwdb" => {
                self.unix(call)
            }
            "deny" => plain(&[Code::AuthErr]),
            "nologin" => self.nologin(call),
            "faillock" => self.faillock(call),
            "env" => plain(&[Code::ServiceErr, Code::Ignore]),
            "rootok" if self.guest.labels.are_needed() => plain(&[Code::Success, Code::AuthErr]),
            // Those that count failures of passwords only forget them in the account phase (LOGIN-74).
            "rootok" | "tally" | "tally2" | "loginuid" => plain(&[Code::Success]),
            "shells" => self.shells(call),
            "time" => self.time(call),
            "sepermit" => self.sepermit(),
            "securetty" if self.user.uid != 0 => plain(&[Code::Success, Code::Ignore]),
            "sss" => self.sss(call),
            "ldap" | "winbind" | "krb5" => directory(call),
            "systemd_home" => self.homed(),
            name => return self.common(name, call),
        })
    }

    /// Whether the user is in the group `name`; services other than the files may say so.
    fn in_group(&self, name: &[u8]) -> Tri {
        let accounts = &self.guest.system.accounts;
        if accounts.is_in_group(self.user, name) {
            return Tri::Yes;
        }
        if accounts.services.other_groups().is_empty() { Tri::No } else { Tri::Maybe }
    }

    /// Whether the user, perhaps on a host, is in a netgroup.
    fn in_netgroup(&self) -> Tri {
        let has_file = kind(self.fs(), "/etc/netgroup") == Some(NodeKind::File);
        let has_service = !self.guest.system.accounts.services.netgroups().is_empty();
        if has_file || has_service { Tri::Maybe } else { Tri::No }
    }

    /// The content of a file that a module reads; the error says what it is if there is none.
    fn read(&self, path: &[u8]) -> Result<Vec<u8>, Missing> {
        let path = GuestPath::new(path);
        match crate::fs::path::read_file(self.fs(), &path, TEXT_BYTES_MAX) {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(Missing::Absent),
            Err(error) if error.kind_name() == "limit" => Err(Missing::Unread),
            Err(_) => Err(Missing::Broken),
        }
    }

    /// pam_nologin (LOGIN-72).
    fn nologin(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let if_absent = if call.has("successok") { Code::Success } else { Code::Ignore };
        let path = call.value("file=").unwrap_or(b"/etc/nologin");
        // /run is made anew at every boot.
        let is_on_disk = !path.starts_with(b"/run/") && !path.starts_with(b"/var/run/");
        let shown = escape_limited(path, 256);
        if is_on_disk {
            match kind(self.fs(), &String::from_utf8_lossy(path)) {
                None => {}
                Some(NodeKind::Directory) => {
                    let message = "it is a directory, at which pam_nologin refuses everybody";
                    let reason = Finding::block(("nologin", "LOGIN-72"), shown, message);
                    return vec![Answer::because(Code::SystemErr, reason)];
                }
                Some(_) if self.user.uid == 0 => return plain(&[if_absent]),
                Some(_) => {
                    let message = "it exists, so only root may log in";
                    let reason = Finding::block(("nologin", "LOGIN-72"), shown, message);
                    return vec![Answer::because(
                        Code::AuthErr,
                        reason.fixed_by("remove the file"),
                    )];
                }
            }
        }
        let old = "/var/run/nologin";
        if call.value("file=").is_none()
            && self.user.uid != 0
            && self.is_run_on_disk()
            && exists(self.fs(), old)
        {
            let message =
                "it exists, and only root may log in unless the system removes it at boot";
            let reason = Finding::block(("nologin", "LOGIN-72"), old, message);
            return vec![Answer::plain(if_absent), Answer::because(Code::AuthErr, reason)];
        }
        plain(&[if_absent])
    }

    /// True on systems of the time before /run, where /var/run is a directory of the disk.
    fn is_run_on_disk(&self) -> bool {
        let run = crate::fs::path::resolve(self.fs(), &GuestPath::new("/var/run"), false);
        let Ok(crate::fs::path::Resolution::Found(found)) = run else { return false };
        let metadata = self.fs().metadata(found.node);
        metadata.is_ok_and(|metadata| metadata.kind == NodeKind::Directory)
            && !exists(self.fs(), "/run")
    }

    /// pam_debug answers what its arguments say.
    fn debug(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let prefix = match self.kind {
            Kind::Account => "acct=",
            Kind::Session => "open_session=",
        };
        let value = call.value(prefix).unwrap_or(b"success");
        let code = Code::ALL.iter().find(|(_, name)| name.as_bytes() == value);
        // Releases differ in what they make of a value that they do not know.
        code.map_or_else(|| plain(&ANYTHING), |(code, _)| plain(&[*code]))
    }

    /// pam_faillock counts passwords only; a file that is named must exist (LOGIN-74).
    fn faillock(&self, call: &Arguments<'_>) -> Vec<Answer> {
        match call.value("conf=") {
            Some(path) if self.read(path).is_err() => plain(&[Code::Success, Code::ServiceErr]),
            _ => plain(&[Code::Success]),
        }
    }

    fn local_user(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let Some(path) = call.value("file=") else {
            // A user of nss-altfiles is not in the file itself.
            let is_local = self.user.line != 0;
            return plain(&[if is_local { Code::Success } else { Code::PermDenied }]);
        };
        let Ok(content) = self.read(path) else {
            return plain(&[Code::ServiceErr, Code::PermDenied]);
        };
        let mut head = self.user.name.clone();
        head.push(b':');
        let is_local = lines(&content).any(|line| line.starts_with(&head));
        plain(&[if is_local { Code::Success } else { Code::PermDenied }])
    }

    fn user_type(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let uid = if call.has("use_uid") { 0 } else { self.user.uid };
        let is_system = self.is_system(uid);
        let is_wanted = match (call.has("issystem"), call.has("isregular")) {
            (true, false) => is_system,
            (false, true) => !is_system,
            (false, false) => return plain(&[Code::ServiceErr]),
            // The last one counts.
            (true, true) => return plain(&[Code::Success, Code::AuthErr]),
        };
        plain(&[if is_wanted { Code::Success } else { Code::AuthErr }])
    }

    /// pam_usertype: below `UID_MIN` and not above `SYS_UID_MAX`, or nobody.
    fn is_system(&self, uid: u32) -> bool {
        let uid_min = self.guest.system.accounts.uid_min;
        let settings = required(self.fs(), "/etc/login.defs", TEXT_BYTES_MAX);
        let settings = settings.ok().flatten().unwrap_or_default();
        let mut system_max = uid_min.saturating_sub(1);
        for line in lines(&settings) {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            if words.next() == Some(b"SYS_UID_MAX") {
                let value = words.next().and_then(|word| std::str::from_utf8(word).ok());
                system_max = value.and_then(|value| value.parse().ok()).unwrap_or(system_max);
            }
        }
        uid == 65534 || (uid <= system_max && uid < uid_min)
    }

    /// pam_shells: the shell must be a line of /etc/shells.
    fn shells(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let path = "/etc/shells";
        let metadata = crate::fs::path::find(self.fs(), &GuestPath::new(path)).ok().flatten();
        let metadata = metadata.and_then(|found| self.fs().metadata(found.node).ok());
        let is_trusted =
            metadata.is_some_and(|found| found.kind == NodeKind::File && found.mode & 0o002 == 0);
        let content = self.read(path.as_bytes()).unwrap_or_default();
        let shell = self.user.effective_shell();
        if is_trusted && lines(&content).any(|line| line.starts_with(b"/") && line == shell) {
            return plain(&[Code::Success]);
        }
        let vendor = exists(self.fs(), "/usr/etc/shells")
            || exists(self.fs(), "/usr/share/defaults/etc/shells");
        if vendor {
            return plain(&[Code::Success, Code::AuthErr]);
        }
        let message = format!(
            "pam_shells: /etc/shells does not list the login shell {}",
            escape_limited(shell, 128)
        );
        let reason = Finding::block(("pam-account", "LOGIN-66"), call.place, message);
        vec![Answer::because(Code::AuthErr, reason)]
    }

    /// pam_time refuses only where a rule for sshd exists.
    fn time(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let path = call.value("conffile=").unwrap_or(b"/etc/security/time.conf");
        let Ok(content) = self.read(path) else { return plain(&[Code::Success, Code::PermDenied]) };
        let is_about_us = |line: &[u8]| {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            let services = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let has =
                |text: &[u8]| services.windows(text.len().max(1)).any(|window| window == text);
            // A line that goes on could hold anything.
            !line.is_empty()
                && (has(self.service) || has(b"*") || has(b"!") || line.ends_with(b"\\"))
        };
        if !lines(&content).any(is_about_us) {
            return plain(&[Code::Success]);
        }
        let shown = escape_limited(path, 256);
        let message = "a rule of pam_time may refuse the login at some times";
        let reason = Finding::block(("pam-account", "LOGIN-66"), shown, message);
        vec![Answer::plain(Code::Success), Answer::because(Code::PermDenied, reason)]
    }

    /// pam_sepermit has nothing to say about users that its file does not name.
    fn sepermit(&self) -> Vec<Answer> {
        let content = match self.read(b"/etc/security/sepermit.conf") {
            Ok(content) => content,
            Err(Missing::Absent) => return plain(&[Code::Success, Code::Ignore]),
            Err(_) => return plain(&ANYTHING),
        };
        let is_rule = |line: &[u8]| !matches!(line.trim_ascii().first(), None | Some(b'#'));
        if lines(&content).any(is_rule) {
            plain(&ANYTHING)
        } else {
            plain(&[Code::Success, Code::Ignore])
        }
    }

    /// pam_sss: without a configuration there is no daemon to ask; with one it may know the user.
    fn sss(&self, call: &Arguments<'_>) -> Vec<Answer> {
        let services = &self.guest.system.accounts.services;
        let unavailable =
            if call.has("ignore_authinfo_unavail") { Code::Ignore } else { Code::AuthinfoUnavail };
        if !services.is_configured(self.fs(), "sss") {
            return plain(&[unavailable]);
        }
        let unknown =
            if call.has("ignore_unknown_user") { Code::Ignore } else { Code::UserUnknown };
        let rest = [Code::Success, Code::PermDenied, Code::AcctExpired, Code::NewAuthtokReqd];
        plain(&[&[unknown, unavailable], rest.as_slice()].concat())
    }

    /// pam_systemd_home does not know users of passwd, unless they have a record as well.
    fn homed(&self) -> Vec<Answer> {
        let name = [self.user.name.as_slice(), b".identity"].concat();
        let record = GuestPath::new("/var/lib/systemd/home").join(name);
        match crate::fs::path::find(self.fs(), &record) {
            Ok(None) => plain(&[Code::UserUnknown]),
            _ => plain(&ANYTHING),
        }
    }
}

/// Why a file of a module was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It does not exist.
    Absent,
    /// The module cannot read it either.
    Broken,
    /// It is too large for us.
    Unread,
}

/// The arguments of a line.
#[derive(Debug, Clone, Copy)]
struct Arguments<'a> {
    /// Where the line stands.
    place: &'a str,
    words: &'a [Vec<u8>],
}

impl<'a> Arguments<'a> {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word.as_bytes())
    }

    /// The value of the last argument that begins with `prefix`.
    fn value(&self, prefix: &str) -> Option<&'a [u8]> {
        self.words.iter().rev().find_map(|word| word.strip_prefix(prefix.as_bytes()))
    }
}

/// Modules of other directories, asked about a local user.
fn directory(call: &Arguments<'_>) -> Vec<Answer> {
    let mut codes = ANYTHING.to_vec();
    if call.has("ignore_unknown_user") || call.has("unknown_ok") {
        codes.retain(|code| *code != Code::UserUnknown);
    }
    plain(&codes)
}

fn plain(codes: &[Code]) -> Vec<Answer> {
    codes.iter().map(|&code| Answer::plain(code)).collect()
}

/// Success or `against`, as far as the condition can be told.
fn by_condition(holds: Tri, against: Answer) -> Vec<Answer> {
    match holds {
        Tri::Yes => plain(&[Code::Success]),
        Tri::No => vec![against],
        Tri::Maybe => vec![Answer::plain(Code::Success), against],
    }
}
