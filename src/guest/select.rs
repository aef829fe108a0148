//! Which user is meant (VOL-37 to VOL-39).
//!
//! The order is fixed, and the first level that names anybody decides; if it names several, choosing would be
//! guessing. What sshd thinks of a user is asked through [`Access`], because this layer does not know sshd.

use super::linux::fstab::is_below;
use super::linux::{System, User, cloud_init, home_exists};
use crate::bytes::text::escape_limited;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::FileSystem;
use std::collections::BTreeSet;

/// What the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChoice {
    /// These users, by name.
    Named(Vec<Vec<u8>>),
    /// The one default user.
    Default,
    /// Everybody who could log in.
    All,
}

/// What only the login rules know about a user.
pub trait Access {
    /// True if some key file of the user holds a key.
    ///
    /// # Errors
    /// As the file system.
    fn has_keys(&self, user: &User) -> Result<bool>;

    /// True if `PermitRootLogin` lets root in with a key.
    ///
    /// # Errors
    /// As the file system.
    fn root_may_use_keys(&self) -> Result<bool>;
}

/// Accounts that are never picked, whatever their files say (VOL-38).
const NEVER: [&[u8]; 4] = [b"ssm-user", b"ec2-instance-connect", b"nobody", b"sshd"];

/// Chooses the users.
///
/// # Errors
/// * `NotFound` - a named user is not in passwd, or nobody could log in;
/// * `Ambiguous` - several could be meant;
/// * otherwise as the file system.
pub fn users<'a>(
    fs: &dyn FileSystem,
    system: &'a System,
    choice: &UserChoice,
    access: &dyn Access,
) -> Result<Vec<&'a User>> {
    match choice {
        UserChoice::Named(names) => named(system, names),
        UserChoice::Default => default(fs, system, access).map(|user| vec![user]),
        UserChoice::All => everybody(fs, system, access),
    }
}

fn named<'a>(system: &'a System, names: &[Vec<u8>]) -> Result<Vec<&'a User>> {
    let mut users: Vec<&User> = Vec::new();
    for name in names {
        let user = system.accounts.find(name).ok_or_else(|| {
            let name = escape_limited(name, 64);
            Error::not_found(format!("no user {name} in /etc/passwd"))
        })?;
        if !users.iter().any(|known| known.name == user.name) {
            users.push(user);
        }
    }
    Ok(users)
}

/// True if the user may be picked without being named (VOL-38).
fn is_pickable(user: &User) -> bool {
    !user.has_no_login_shell() && !NEVER.contains(&user.name.as_slice()) && user.uid != 65534
}

fn default<'a>(fs: &dyn FileSystem, system: &'a System, access: &dyn Access) -> Result<&'a User> {
    let levels: [&dyn Fn() -> Result<Vec<&'a User>>; 5] = [
        &|| Ok(known(system, cloud_init::default_user(fs, &mut Vec::new()))),
        &|| Ok(known(system, cloud_init::sudo_users(fs, &mut Vec::new()))),
        &|| with_keys(system, access),
        &|| people(fs, system),
        &|| root(system, access),
    ];
    for level in levels {
        let users = level()?;
        match users.as_slice() {
            [] => {}
            [user] => return Ok(user),
            _ => {
                let candidates = users.iter().map(|user| user.display_name()).collect();
                let what = "several users could be meant".to_owned();
                return Err(Error::new(ErrorKind::Ambiguous { what, candidates }));
            }
        }
    }
    Err(Error::not_found("no user who could log in"))
}

fn everybody<'a>(
    fs: &dyn FileSystem,
    system: &'a System,
    access: &dyn Access,
) -> Result<Vec<&'a User>> {
    let mut users = known(system, cloud_init::default_user(fs, &mut Vec::new()));
    users.extend(known(system, cloud_init::sudo_users(fs, &mut Vec::new())));
    users.extend(with_keys(system, access)?);
    users.extend(people(fs, system)?);
    users.retain(|user| user.uid != 0 || access.root_may_use_keys().unwrap_or(false));
    // In the order of passwd, each once.
    let names: BTreeSet<&[u8]> = users.iter().map(|user| user.name.as_slice()).collect();
    let is_chosen = |user: &&User| names.contains(user.name.as_slice());
    let chosen: Vec<&User> = system.accounts.users.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(Error::not_found("no user who could log in"));
    }
    Ok(chosen)
}

fn known(system: &System, names: impl IntoIterator<Item = Vec<u8>>) -> Vec<&User> {
    let users = names.into_iter().filter_map(|name| system.accounts.find(&name));
    users.filter(|user| is_pickable(user)).collect()
}

fn with_keys<'a>(system: &'a System, access: &dyn Access) -> Result<Vec<&'a User>> {
    let mut users = Vec::new();
    for user in system.accounts.users.iter().filter(|user| is_pickable(user)) {
        // Root's file usually only tells people to log in as somebody else; it is the last level.
        if user.uid != 0 && access.has_keys(user)? {
            users.push(user);
        }
    }
    Ok(users)
}

fn people<'a>(fs: &dyn FileSystem, system: &'a System) -> Result<Vec<&'a User>> {
    let range = system.accounts.uid_min..=system.accounts.uid_max;
    let mut users = Vec::new();
    for user in system.accounts.users.iter().filter(|user| range.contains(&user.uid)) {
        if is_pickable(user) && (home_is_elsewhere(fs, user) || home_exists(fs, user)?) {
            users.push(user);
        }
    }
    Ok(users)
}

/// True if the home lies where something is mounted that is not at hand: it may well exist.
fn home_is_elsewhere(fs: &dyn FileSystem, user: &User) -> bool {
    let Some(home) = &user.home else { return false };
    let points = fs.mount_points();
    points.iter().any(|point| point.missing.is_some() && is_below(home, &point.path))
}

fn root<'a>(system: &'a System, access: &dyn Access) -> Result<Vec<&'a User>> {
    let root = system.accounts.find(b"root").filter(|user| !user.has_no_login_shell());
    Ok(if access.root_may_use_keys()? { root.into_iter().collect() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Missing;
    use crate::fs::memory::MemoryTree;
    use crate::fs::mounted::{Mounted, Part, Shared};
    use crate::fs::path::GuestPath;
    use crate::guest::linux::detect;

    struct Fake {
        with_keys: &'static [&'static str],
        root: bool,
    }

    impl Access for Fake {
        fn has_keys(&self, user: &User) -> Result<bool> {
            Ok(self.with_keys.iter().any(|name| name.as_bytes() == user.name))
        }

        fn root_may_use_keys(&self) -> Result<bool> {
            Ok(self.root)
        }
    }

    fn tree(passwd: &str) -> MemoryTree {
        let mut tree = MemoryTree::new();
        let passwd = format!("root:x:0:0::/root:/bin/bash\nsshd:x:74:74::/:/bin/sh\n{passwd}");
        tree.file("/etc/passwd", 0, 0o644, passwd.as_bytes())
            .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
            .directory("/bin", 0, 0o755)
            .directory("/home/a", 1000, 0o755)
            .directory("/home/b", 1001, 0o755);
        tree
    }

    fn chosen(tree: &MemoryTree, choice: &UserChoice, fake: &Fake) -> Result<Vec<String>> {
        let system = detect(tree).unwrap().unwrap();
        let users = users(tree, &system, choice, fake)?;
        Ok(users.into_iter().map(User::display_name).collect())
    }

    const NOBODY: Fake = Fake { with_keys: &[], root: false };
    const A: &str = "a:x:1000:1000::/home/a:/bin/sh\n";
    const AB: &str = "a:x:1000:1000::/home/a:/bin/sh\nb:x:1001:1001::/home/b:/bin/sh\n";

    #[test]
    fn the_first_level_that_names_somebody_decides_vol_37() {
        let default = |tree: &MemoryTree, fake: &Fake| chosen(tree, &UserChoice::Default, fake);
        let mut system = tree(AB);
        assert_eq!(default(&system, &Fake { with_keys: &["b"], root: true }).unwrap(), ["b"]);
        system.file("/etc/sudoers.d/90-cloud-init-users", 0, 0o440, b"a ALL=(ALL) ALL\n");
        assert_eq!(default(&system, &Fake { with_keys: &["b"], root: true }).unwrap(), ["a"]);
        let yaml = b"system_info:\n  default_user:\n    name: b\n";
        system.file("/etc/cloud/cloud.cfg", 0, 0o644, yaml);
        assert_eq!(default(&system, &NOBODY).unwrap(), ["b"]);
        assert_eq!(default(&tree(A), &NOBODY).unwrap(), ["a"]);
        assert_eq!(default(&tree(""), &Fake { with_keys: &[], root: true }).unwrap(), ["root"]);
        assert_eq!(default(&tree(""), &NOBODY).unwrap_err().exit_status(), 3);
    }

    /// On a disk without that of /home nobody's home is seen: that is no reason to take root.
    #[test]
    fn a_home_on_a_missing_volume_counts_vol_37() {
        let mut passwd = tree("c:x:1000:1000::/home/c:/bin/sh\n");
        let all = Fake { with_keys: &[], root: true };
        assert_eq!(chosen(&passwd, &UserChoice::Default, &all).unwrap(), ["root"]);
        passwd.directory("/srv", 0, 0o755);
        for (at, expected) in [("/srv", "root"), ("/home", "c")] {
            let fs = Shared::new(Box::new(passwd.clone()));
            let (volume, name, directory) = (0, String::new(), GuestPath::root());
            let mut mounted = Mounted::new(Part { volume, name, fs, directory }).unwrap();
            let (reason, remedy) = (String::new(), String::new());
            mounted.leave_out(&GuestPath::new(at), Missing { reason, remedy });
            let system = detect(&mounted).unwrap().unwrap();
            let users = users(&mounted, &system, &UserChoice::Default, &all).unwrap();
            assert_eq!(users[0].display_name(), expected, "{at}");
        }
    }

    #[test]
    fn several_are_listed_and_not_guessed_vol_39() {
        let error = chosen(&tree(AB), &UserChoice::Default, &NOBODY).unwrap_err();
        assert_eq!(error.to_string(), "several users could be meant: a, b");
        assert_eq!(error.exit_status(), 3);
        assert_eq!(chosen(&tree(AB), &UserChoice::All, &NOBODY).unwrap(), ["a", "b"]);
    }

    #[test]
    fn some_are_never_picked_but_may_be_named_vol_38() {
        let system = tree(
            "ssm-user:x:1000:1::/home/a:/bin/sh\nx:x:1001:1::/home/b:/usr/sbin/nologin\n\
             n:x:65534:1::/home/b:/bin/sh\n",
        );
        let keys = Fake { with_keys: &["ssm-user", "x", "n", "sshd"], root: false };
        assert_eq!(chosen(&system, &UserChoice::Default, &keys).unwrap_err().exit_status(), 3);
        let named = UserChoice::Named(vec![b"x".to_vec(), b"root".to_vec(), b"x".to_vec()]);
        assert_eq!(chosen(&system, &named, &NOBODY).unwrap(), ["x", "root"]);
        let error = chosen(&system, &UserChoice::Named(vec![b"zoe".to_vec()]), &NOBODY);
        assert_eq!(error.unwrap_err().to_string(), "no user zoe in /etc/passwd");
    }
}
