//! What the modules of PAM answer for one user, from what is on the volume (LOGIN-66 to LOGIN-74).

mod access;
mod limits;
mod list_file;
mod nologin;
mod place;
mod settings;
mod succeed_if;
mod unix;
mod user;

use super::code::Code;
use super::config::{Call, Entry, Kind};
use super::stack::Answer;
use super::tri::Tri;
use crate::bytes::text::escape_limited;
use crate::fs::path::GuestPath;
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::text::{TEXT_BYTES_MAX, kind};
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
