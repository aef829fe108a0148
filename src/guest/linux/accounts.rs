//! `/etc/passwd`, `/etc/group`, `/etc/shadow` and `/etc/login.defs`, as getpwnam(3) would see them
//! (VOL-40).
//!
//! Of the shadow file only what decides a login is kept: the lock state and the days; no password
//! hash leaves
//! [`Shadow::parse`]. Not handled: NIS (`+` and `-` entries), NSS services, nss-altfiles.

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
    /// Field 8: day on which the account expires.
    pub expire: Option<i64>,
}

impl Shadow {
    fn parse(line: &[u8]) -> Option<(Vec<u8>, Self)> {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').take(9).collect();
        let name = entry_name(fields.first()?)?;
        let day = |index: usize| number::<i64>(fields.get(index)?).filter(|&day| day >= 0);
        let shadow = Self {
            password: PasswordField::parse(fields.get(1)?),
            last_change: day(2),
            max_age: day(4),
            inactive: day(6),
            expire: day(7),
        };
        Some((name, shadow))
    }
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
    /// True if its list names somebody who is not in passwd.
    has_strangers: bool,
    /// Listed members, as indexes into the users, sorted.
    members: Vec<usize>,
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
    /// How many users have each gid as their primary one.
    primary_counts: BTreeMap<u32, usize>,
    /// For each user the gids of the groups that list it.
    listed_gids: Vec<Vec<u32>>,
}

impl Accounts {
    /// Reads the account files of `fs`.
    ///
    /// # Errors
    /// `NotFound` without passwd; `Limit` above [`ACCOUNTS_BYTES_MAX`] or [`ENTRIES_MAX`];
    /// otherwise as the
    /// file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let read = |path| required(fs, path, ACCOUNTS_BYTES_MAX);
        let passwd = read("/etc/passwd")?.ok_or_else(|| Error::not_found("/etc/passwd"))?;
        let mut accounts = Self { uid_min: 1000, uid_max: 60_000, ..Self::default() };
        accounts.take_passwd(&passwd)?;
        drop(passwd);
        if let Some(group) = read("/etc/group")? {
            accounts.take_groups(&group)?;
        }
        if let Some(shadow) = read("/etc/shadow")? {
            let entries = lines(&shadow).take(ENTRIES_MAX).filter_map(Shadow::parse);
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
        let listed = self.by_name.get(&user.name).and_then(|&index| self.listed_gids.get(index));
        let mut gids: Vec<u32> = listed.into_iter().flatten().copied().collect();
        gids.push(user.gid);
        gids.sort_unstable();
        gids.dedup();
        gids.into_iter().filter_map(|gid| self.groups.get(*self.by_gid.get(&gid)?))
    }

    /// True if the group with `gid` has nobody in it but `user`, and at least that one (LOGIN-54).
    pub fn is_private_group(&self, gid: u32, user: &User) -> bool {
        let Some(group) = self.by_gid.get(&gid).and_then(|&index| self.groups.get(index)) else {
            return false;
        };
        let is_primary = user.gid == gid;
        let primary_count = self.primary_counts.get(&gid).copied().unwrap_or(0);
        let index = self.by_name.get(&user.name);
        let only_user = group.members.iter().all(|member| Some(member) == index);
        let has_member = is_primary || !group.members.is_empty();
        primary_count == usize::from(is_primary) && only_user && !group.has_strangers && has_member
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        }
    }

    fn take_passwd(&mut self, content: &[u8]) -> Result<()> {
        for (line, number) in lines(content).zip(1u64..) {
            if is_skipped(line) {
                continue;
            }
            let Some(user) = parse_user(line) else {
                self.warn(format!("/etc/passwd: line {number} is no account and is ignored"));
                continue;
            };
            if self.by_name.contains_key(&user.name) {
                let name = user.display_name();
                self.warn(format!("/etc/passwd: line {number} names {name} again; ignored"));
                continue;
            }
            self.by_name.insert(user.name.clone(), self.users.len());
            let count = self.primary_counts.entry(user.gid).or_default();
            *count = count.saturating_add(1);
            self.users.push(user);
            check_count("accounts in /etc/passwd", self.users.len())?;
        }
        Ok(())
    }

    fn take_groups(&mut self, content: &[u8]) -> Result<()> {
        self.listed_gids.resize(self.users.len(), Vec::new());
        for line in lines(content).filter(|line| !is_skipped(line)) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut fields = line.splitn(4, |&byte| byte == b':');
            let name = fields.next().and_then(entry_name);
            let gid = fields.nth(1).and_then(number);
            let (Some(name), Some(gid)) = (name, gid) else { continue };
            let list = fields.next().unwrap_or_default().split(|&byte| byte == b':').next();
            let listed = list.unwrap_or_default().split(|&byte| byte == b',');
            let mut has_strangers = false;
            let mut members = Vec::new();
            for member in listed.filter(|name| !name.is_empty()) {
                match self.by_name.get(member) {
                    Some(&index) => members.push(index),
                    None => has_strangers = true,
                }
            }
            members.sort_unstable();
            members.dedup();
            for &member in &members {
                if let Some(gids) = self.listed_gids.get_mut(member) {
                    gids.push(gid);
                }
            }
            self.by_gid.entry(gid).or_insert(self.groups.len());
            self.groups.push(Group { name, gid, has_strangers, members });
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

/// Empty lines, comments and NIS entries (`+`, `-`).
fn is_skipped(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#' | b'+' | b'-'))
}

fn entry_name(field: &[u8]) -> Option<Vec<u8>> {
    (!field.is_empty() && !field.contains(&0)).then(|| field.to_vec())
}

fn parse_user(line: &[u8]) -> Option<User> {
    if line.contains(&0) {
        return None;
    }
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    let [name, password, uid, gid, _, home, shell] = fields.as_slice() else { return None };
    Some(User {
        name: entry_name(name)?,
        uid: number(uid)?,
        gid: number(gid)?,
        home: home.starts_with(b"/").then(|| GuestPath::new(home)),
        shell: shell.to_vec(),
        password: PasswordField::parse(password),
    })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn read(passwd: &[u8]) -> Result<Accounts> {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, passwd);
        Accounts::read(&tree)
    }

    #[test]
    fn oddities_of_passwd_are_survived_vol_40() {
        let accounts = read(
            b"root:x:0:0::/root:/bin/bash\n+@nis::::::\n-bad\n\n# no\nadmin:x:1000:1000:Zo\xeb:/home//admin/:\n\
              admin:x:0:0::/:/bin/sh\ntoor:*:0:0::/root:/bin/sh\nbig:x:4294967294:1::/h:/bin/sh\n\
              rel:x:7:7::home/rel:/bin/sh\nshort:x:1\nnul\0:x:5:5::/:/bin/sh\nneg:x:-1:1::/:/bin/sh\n\
              last:!x:9:9::/last:/bin/sh",
        )
        .unwrap();
        let names: Vec<String> = accounts.users.iter().map(User::display_name).collect();
        assert_eq!(names, ["root", "admin", "toor", "big", "rel", "last"]);
        let admin = accounts.find(b"admin").unwrap();
        assert_eq!((admin.uid, admin.home.clone()), (1000, Some(GuestPath::new("/home/admin"))));
        assert_eq!(admin.effective_shell(), b"/bin/sh");
        assert_eq!(accounts.find(b"rel").unwrap().home, None);
        assert_eq!(accounts.find(b"last").unwrap().password, PasswordField::Locked);
        assert_eq!(accounts.warnings.len(), 4);
    }

    #[test]
    fn a_carriage_return_stays_in_the_shell_where_sshd_sees_it() {
        let accounts = read(b"a:x:1:1::/a:/bin/sh\r\n").unwrap();
        assert_eq!(accounts.find(b"a").unwrap().shell, b"/bin/sh\r");
    }

    #[test]
    fn a_giant_passwd_is_a_limit_and_not_read() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/sh\n");
        tree.change("/etc/passwd", |metadata| metadata.size_bytes = 100 << 20);
        assert_eq!(Accounts::read(&tree).unwrap_err().exit_status(), 5);
        let many = |rest: &str| {
            let lines: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("u{n}{rest}")).collect();
            lines.join("\n")
        };
        assert!(read(many(":::::::").as_bytes()).unwrap().users.is_empty());
        assert_eq!(read(many("::1:1:::").as_bytes()).unwrap_err().exit_status(), 5);
        let zeros = read(&vec![0; 1 << 20]).unwrap();
        assert!(zeros.users.is_empty() && zeros.warnings.len() == 1);
    }

    #[test]
    fn of_several_groups_with_one_gid_the_first_counts() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"a:x:500:7::/a:\nb:x:501:8::/b:\n").file(
            "/etc/group",
            0,
            0o644,
            b"one:x:7:\ntwo:x:7:a,zoe\nthree:x:9:b\nfour:x:9:a\nmine:x:8:b,b\nodd:x:8:zoe\n",
        );
        let accounts = Accounts::read(&tree).unwrap();
        let names = |user: &[u8]| -> Vec<String> {
            let groups = accounts.groups_of(accounts.find(user).unwrap());
            groups.map(|group| String::from_utf8_lossy(&group.name).into_owned()).collect()
        };
        assert_eq!(names(b"a"), ["one", "three"]);
        assert_eq!(names(b"b"), ["mine", "three"]);
        assert!(accounts.is_private_group(8, accounts.find(b"b").unwrap()));
        assert!(!accounts.is_private_group(9, accounts.find(b"a").unwrap()));
    }

    #[test]
    fn shadow_keeps_no_hash_and_group_and_limits_are_read() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"a:x:500:7::/a:\nb:x:501:8::/b:\n")
            .file(
                "/etc/shadow",
                0,
                0o600,
                b"a:!$6$secret:19000:0:90:7:5:20000:\nb:*:::::::\nb:!:::::::\nz\n",
            )
            .file("/etc/group", 0, 0o644, b"g:x:7:\nwheel:x:10:a,b\r\nbad\n+\n")
            .file("/etc/login.defs", 0, 0o644, b"# UID_MIN 1\nUID_MIN\t500\nUID_MAX   600 # x\n");
        let accounts = Accounts::read(&tree).unwrap();
        let shadow = accounts.shadow.clone().unwrap();
        assert_eq!(shadow[b"a".as_slice()].password, PasswordField::Locked);
        assert_eq!(shadow[b"a".as_slice()].expire, Some(20000));
        assert_eq!(shadow[b"b".as_slice()].password, PasswordField::Other);
        assert!(!format!("{shadow:?}").contains("secret"));
        let user = accounts.find(b"a").unwrap();
        let groups: Vec<_> = accounts.groups_of(user).map(|group| group.name.as_slice()).collect();
        assert_eq!(groups, [b"g".as_slice(), b"wheel"]);
        assert!(!accounts.is_private_group(10, user));
        assert!(accounts.is_private_group(7, user) && !accounts.is_private_group(11, user));
        assert_eq!((accounts.uid_min, accounts.uid_max), (500, 600));
    }
}
