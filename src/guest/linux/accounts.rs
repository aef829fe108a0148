//! `/etc/passwd`, `/etc/group`, `/etc/shadow` and `/etc/login.defs`, as getpwnam(3) would see them
//! (VOL-40).
//!
//! Of the shadow file only what decides a login is kept: the lock state and the days; no password
//! hash leaves [`line::shadow`]. Which other sources there may be is said by [`NameServices`]; the users of
//! nss-altfiles are read as well (LOGIN-57). Not handled: the users behind NIS entries (`+`).

mod line;

use super::name_services::NameServices;
use super::text::{TEXT_BYTES_MAX, lines, required};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape_limited;
use crate::error::{Error, Result};
use crate::fs::FileSystem;
use crate::fs::path::GuestPath;
use std::collections::BTreeMap;

/// Bound on each of the account files, in bytes.
pub const ACCOUNTS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bound on the entries of each of the account files.
pub const ENTRIES_MAX: usize = 65_536;
/// Bound on the warnings about one file.
const WARNINGS_MAX: usize = 20;
const PASSWD: &str = "/etc/passwd";
/// The users of the distribution where nss-altfiles is used, as on ostree.
const ALTFILES_PASSWD: &str = "/usr/lib/passwd";

/// One line of passwd (passwd(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name, unescaped.
    pub name: Vec<u8>,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory; `None` if it is empty or not absolute (VOL-40).
    pub home: Option<GuestPath>,
    /// Login shell as it stands there; empty means `/bin/sh`.
    pub shell: Vec<u8>,
    /// What the password field of passwd says.
    pub password: PasswordField,
    /// Line number in passwd; 0 for a user of another file.
    pub line: u64,
}

impl User {
    /// The shell that sshd would start.
    pub fn effective_shell(&self) -> &[u8] {
        if self.shell.is_empty() { b"/bin/sh" } else { &self.shell }
    }

    /// True for the shells that end a login at once.
    pub fn has_no_login_shell(&self) -> bool {
        let name = self.effective_shell().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        matches!(name, b"nologin" | b"false")
    }

    /// The name for people.
    pub fn display_name(&self) -> String {
        escape_limited(&self.name, 64)
    }
}

/// A password field, reduced to what decides a login with a key (LOGIN-58, LOGIN-68).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordField {
    /// Exactly `x`: look into shadow.
    InShadow,
    /// Starts with `!`.
    Locked,
    /// Empty.
    Empty,
    /// Anything else: a hash, `*`, ...
    Other,
}

impl PasswordField {
    fn parse(field: &[u8]) -> Self {
        match field {
            b"x" => Self::InShadow,
            b"" => Self::Empty,
            [b'!', ..] => Self::Locked,
            _ => Self::Other,
        }
    }
}

/// One line of shadow (shadow(5)), without the hash. Days since 1970-01-01; `None` for an empty
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// State of the password field.
    pub password: PasswordField,
    /// Field 3: day of the last change; 0 asks for a new password.
    pub last_change: Option<i64>,
    /// Field 5: days after which the password must be changed.
    pub max_age: Option<i64>,
    /// Field 7: days after `max_age` in which it can still be changed.
    pub inactive: Option<i64>,
    /// Field 8: day on which the account expires. Numbers below -1 are possible.
    pub expire: Option<i64>,
    /// True if some number is negative or too large: newer C libraries ignore such a line as a whole.
    pub is_odd: bool,
    /// Line number in shadow.
    pub line: u64,
}

/// One line of group (group(5)).
///
/// A group file may name a million members; only those that passwd knows are kept, by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name, unescaped.
    pub name: Vec<u8>,
    /// Group id.
    pub gid: u32,
    /// The first name in its list.
    first_member: Option<Vec<u8>>,
    /// How many names its list has, also those that passwd does not know and repeated ones.
    member_count: usize,
    /// Listed members, as indexes into the users, sorted.
    members: Vec<usize>,
}

/// Users that have a group as their primary one, over all lines of passwd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Primary {
    /// All have this user id.
    Only(u32),
    /// Several user ids.
    Several,
}

/// All accounts of a guest.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Users in file order, the first of each name only.
    pub users: Vec<User>,
    /// Groups in file order.
    pub groups: Vec<Group>,
    /// Shadow lines by name; `None` if there is no shadow file.
    pub shadow: Option<BTreeMap<Vec<u8>, Shadow>>,
    /// Smallest uid of a person (`UID_MIN`).
    pub uid_min: u32,
    /// Largest uid of a person (`UID_MAX`).
    pub uid_max: u32,
    /// What was odd in the files.
    pub warnings: Vec<String>,
    /// Index of each user by name.
    by_name: BTreeMap<Vec<u8>, usize>,
    /// Index of the first group with each gid, which is the one that getgrgid(3) finds.
    by_gid: BTreeMap<u32, usize>,
    /// Who has each gid as the primary one.
    primary: BTreeMap<u32, Primary>,
    /// Name of the first user with each uid, which is the one that getpwuid(3) finds.
    by_uid: BTreeMap<u32, usize>,
    /// Names after `-` in passwd, which hide later lines from the service `compat`, with their lines.
    excluded: BTreeMap<Vec<u8>, u64>,
    /// Where names come from besides these files.
    pub services: NameServices,
    /// For each user the gids of the groups that list it.
    listed_gids: Vec<Vec<u32>>,
}

impl Accounts {
    /// Reads the account files of `fs`.
    ///
    /// # Errors
    /// `NotFound` without passwd; `Limit` above [`ACCOUNTS_BYTES_MAX`] or [`ENTRIES_MAX`]; otherwise as the file
    /// system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let read = |path| required(fs, path, ACCOUNTS_BYTES_MAX);
        let passwd = read(PASSWD)?.ok_or_else(|| Error::not_found(PASSWD))?;
        let mut accounts = Self { uid_min: 1000, uid_max: 60_000, ..Self::default() };
        accounts.services = NameServices::read(fs, &mut accounts.warnings);
        accounts.take_passwd(&passwd, PASSWD)?;
        drop(passwd);
        let has_altfiles = accounts.services.has_altfiles();
        let altfiles = |path| if has_altfiles { read(path) } else { Ok(None) };
        if let Some(passwd) = altfiles(ALTFILES_PASSWD)? {
            accounts.take_passwd(&passwd, ALTFILES_PASSWD)?;
        }
        for group in [read("/etc/group")?, altfiles("/usr/lib/group")?].into_iter().flatten() {
            accounts.take_groups(&group)?;
        }
        if let Some(shadow) = read("/etc/shadow")? {
            let numbered = lines(&shadow).zip(1u64..).take(ENTRIES_MAX);
            let entries = numbered
                .filter_map(|(line, number)| Some((line::content(line)?, number)))
                .filter(|(line, _)| !line::is_nis(line))
                .filter_map(|(line, number)| line::shadow(line, number));
            let mut by_name = BTreeMap::new();
            for (name, entry) in entries {
                by_name.entry(name).or_insert(entry);
            }
            accounts.shadow = Some(by_name);
        }
        if let Some(settings) = required(fs, "/etc/login.defs", TEXT_BYTES_MAX)? {
            accounts.take_login_defs(&settings);
        }
        Ok(accounts)
    }

    /// The user called `name`.
    pub fn find(&self, name: &[u8]) -> Option<&User> {
        self.users.get(*self.by_name.get(name)?)
    }

    /// The groups of `user`: the primary one and those that list it as a member (LOGIN-62). Of
    /// several groups with one gid it is the first, as for sshd, which asks for names by gid.
    pub fn groups_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Group> {
        self.gids_of(user).into_iter().filter_map(|gid| self.groups.get(*self.by_gid.get(&gid)?))
    }

    /// True if Debian's sshd lets a node with `gid` and the owner `owner` be writable by its group when `user` logs
    /// in (LOGIN-54): the group exists, every user that has it as primary group has the uid of `user`, its list is
    /// empty or names the owner of the node alone, and there is somebody in it one way or the other.
    pub fn is_private_group(&self, gid: u32, owner: u32, user: &User) -> bool {
        let Some(group) = self.by_gid.get(&gid).and_then(|&index| self.groups.get(index)) else {
            return false;
        };
        let Some(owner) = self.by_uid.get(&owner).and_then(|&index| self.users.get(index)) else {
            return false;
        };
        let primary = self.primary.get(&gid);
        let is_primary_own = primary.is_none_or(|primary| *primary == Primary::Only(user.uid));
        let is_list_own = match &group.first_member {
            None => true,
            Some(first) => *first == owner.name && group.member_count == 1,
        };
        let has_member = primary.is_some() || group.member_count > 0;
        is_primary_own && is_list_own && has_member
    }

    /// The line of passwd that hides `user` from the service `compat` (`-user` before the user's own line).
    pub fn excluding_line(&self, user: &User) -> Option<u64> {
        let line = self.excluded.get(&user.name).copied();
        line.filter(|&line| line < user.line && self.services.is_compat())
    }

    /// True if the group `name` is in the files, whoever is in it.
    pub fn has_group(&self, name: &[u8]) -> bool {
        self.groups.iter().any(|group| group.name == name)
    }

    /// True if `user` is in the first group called `name`, which is the one that getgrnam(3) finds.
    pub fn is_in_group(&self, user: &User, name: &[u8]) -> bool {
        let group = self.groups.iter().find(|group| group.name == name);
        group.is_some_and(|group| self.gids_of(user).contains(&group.gid))
    }

    /// The group ids of `user`: the primary one and those of the groups that list the user.
    pub fn gids_of(&self, user: &User) -> Vec<u32> {
        let listed = self.by_name.get(&user.name).and_then(|&index| self.listed_gids.get(index));
        let mut gids: Vec<u32> = listed.into_iter().flatten().copied().collect();
        gids.push(user.gid);
        gids.sort_unstable();
        gids.dedup();
        gids
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        }
    }

    fn take_passwd(&mut self, content: &[u8], path: &str) -> Result<()> {
        for (line, number) in lines(content).zip(1u64..) {
            let is_damaged = line.contains(&0);
            let Some(line) = line::content(line) else {
                if is_damaged {
                    self.warn(format!("{path}: line {number} holds NUL bytes and is ignored"));
                }
                continue;
            };
            if line::is_nis(line) {
                self.take_nis(line, number);
                continue;
            }
            let number = if path == PASSWD { number } else { 0 };
            let Some(user) = line::user(line, number) else {
                self.warn(format!("{path}: line {number} is no account and is ignored"));
                continue;
            };
            let primary = self.primary.entry(user.gid).or_insert(Primary::Only(user.uid));
            if *primary != Primary::Only(user.uid) {
                *primary = Primary::Several;
            }
            if self.by_name.contains_key(&user.name) {
                let name = user.display_name();
                self.warn(format!("{path}: line {number} names {name} again; ignored"));
                continue;
            }
            self.by_name.insert(user.name.clone(), self.users.len());
            self.by_uid.entry(user.uid).or_insert(self.users.len());
            self.users.push(user);
            check_count("accounts in /etc/passwd", self.users.len())?;
        }
        Ok(())
    }

    fn take_nis(&mut self, line: &[u8], number: u64) {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        match name.split_first() {
            // `-@group` is a netgroup.
            Some((b'-', name)) if !name.starts_with(b"@") => {
                if self.excluded.len() < ENTRIES_MAX {
                    self.excluded.entry(name.to_vec()).or_insert(number);
                }
            }
            _ => self.services.has_nis_entries = true,
        }
    }

    fn take_groups(&mut self, content: &[u8]) -> Result<()> {
        self.listed_gids.resize(self.users.len(), Vec::new());
        for line in lines(content).filter_map(line::content).filter(|line| !line::is_nis(line)) {
            let Some((name, gid, listed)) = line::group(line) else { continue };
            let mut group = Group {
                name: name.to_vec(),
                gid,
                first_member: None,
                member_count: 0,
                members: Vec::new(),
            };
            for member in listed {
                group.member_count = group.member_count.saturating_add(1);
                group.first_member.get_or_insert_with(|| member.to_vec());
                group.members.extend(self.by_name.get(member));
            }
            group.members.sort_unstable();
            group.members.dedup();
            for &member in &group.members {
                if let Some(gids) = self.listed_gids.get_mut(member) {
                    gids.push(gid);
                }
            }
            self.by_gid.entry(gid).or_insert(self.groups.len());
            self.groups.push(group);
            check_count("groups in /etc/group", self.groups.len())?;
        }
        Ok(())
    }

    fn take_login_defs(&mut self, content: &[u8]) {
        for line in lines(content) {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
            match (key, number(value)) {
                (b"UID_MIN", Some(value)) => self.uid_min = value,
                (b"UID_MAX", Some(value)) => self.uid_max = value,
                _ => {}
            }
        }
    }
}

fn check_count(what: &str, count: usize) -> Result<()> {
    if count > ENTRIES_MAX {
        let what = format!("number of {what}");
        return Err(Error::limit(what, len_u64(ENTRIES_MAX), len_u64(count)));
    }
    Ok(())
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests;
