//! Local accounts by their names in the SAM hive, and their profiles.
//!
//! Only names, relative ids (RIDs) and the members of the group of administrators: the key of a name in `Names`
//! has a default value whose *type* is the RID. What is inside the values `V` and `F` of an account is not
//! read. Layout of the value `C` of an alias (public descriptions of the SAM hive; WIN-121 for its key; I):
//!
//! | offset | size | field                                      | here      | valid when         |
//! |-------:|-----:|--------------------------------------------|-----------|--------------------|
//! |   0x10 |    4 | name, in bytes from 0x34                   | name      | inside the value   |
//! |   0x14 |    4 | length of the name in bytes                | name      | even               |
//! |   0x28 |    4 | first SID of the members, in bytes from 0x34 | members | inside the value   |
//! |   0x30 |    4 | number of members                          | members   | at most 1000 here  |

use super::registry::Registry;
use super::security::Sid;
use crate::bytes::{arith, field};
use crate::error::Result;
use crate::fs::path::GuestPath;

const NAMES: &str = r"SAM\Domains\Account\Users\Names";
const ADMINISTRATORS: &str = r"SAM\Domains\Builtin\Aliases\00000220";
const PROFILES: &str = r"Microsoft\Windows NT\CurrentVersion\ProfileList";
/// Bound on the accounts, members and profiles that are looked at.
const USERS_MAX: usize = 1000;
/// Start of the variable part of the value `C`.
const ALIAS_HEAD_BYTES: usize = 0x34;

/// The RID of the built-in administrator, whatever it is called (WIN-63).
pub const ADMINISTRATOR_RID: u32 = 500;

/// A local account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// The last number of its SID.
    pub rid: u32,
}

/// The directory of somebody who has logged in once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whose it is.
    pub sid: Sid,
    /// The directory on this volume.
    pub path: GuestPath,
}

/// Reads the accounts, by RID.
///
/// # Errors
/// As the hive.
pub fn read(sam: &Registry<'_>) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for name in sam.subkeys(NAMES, USERS_MAX)? {
        if let Some(rid) = sam.value_type(&format!("{NAMES}\\{name}"), "")? {
            users.push(User { name, rid });
        }
    }
    users.sort_by_key(|user| user.rid);
    Ok(users)
}

/// The members of the local group of administrators; `None` if the SAM hive does not say.
///
/// # Errors
/// As the hive; `Corrupt` if the value is cut short.
pub fn administrators(sam: &Registry<'_>) -> Result<Option<Vec<Sid>>> {
    let Some(value) = sam.data(ADMINISTRATORS, "C")? else { return Ok(None) };
    let bytes = &value.bytes;
    let first: usize = arith::to(field::le_u32(bytes, 0x28)?)?;
    let count: usize = arith::to(field::le_u32(bytes, 0x30)?)?;
    let mut at = ALIAS_HEAD_BYTES.saturating_add(first);
    let mut members = Vec::new();
    for _ in 0..count.min(USERS_MAX) {
        let sid = Sid::read(bytes, at)?;
        at = at.saturating_add(sid.len_bytes());
        members.push(sid);
    }
    Ok(Some(members))
}

/// The profiles whose directories are on the system volume.
///
/// # Errors
/// As the hive.
pub fn profiles(software: &Registry<'_>) -> Result<Vec<Profile>> {
    let mut profiles = Vec::new();
    for name in software.subkeys(PROFILES, USERS_MAX)? {
        let Some(sid) = Sid::parse(&name) else { continue };
        let image = software.string(&format!("{PROFILES}\\{name}"), "ProfileImagePath")?;
        let path = image.as_deref().and_then(on_system_drive);
        profiles.extend(path.map(|path| Profile { sid, path }));
    }
    Ok(profiles)
}

/// The guest path of `C:\Users\x` or `%SystemDrive%\Users\x`: the system volume is C: while it runs.
pub fn on_system_drive(path: &str) -> Option<GuestPath> {
    let lower = path.to_ascii_lowercase();
    let drives = ["c:", "%systemdrive%"];
    let drive = drives.into_iter().find(|drive| lower.starts_with(drive))?;
    let rest = path.get(drive.len()..)?;
    let is_absolute = rest.starts_with(['\\', '/']);
    is_absolute.then(|| GuestPath::new(rest.replace('\\', "/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_on_the_system_drive_become_guest_paths() {
        for (path, expected) in [
            (r"C:\Users\Administrator", Some("/Users/Administrator")),
            (r"%SystemDrive%\Users\x", Some("/Users/x")),
            (r"c:/Users/x", Some("/Users/x")),
            (r"D:\Users\x", None),
            (r"%systemroot%\system32\config\systemprofile", None),
            ("C:relative", None),
            ("", None),
        ] {
            assert_eq!(on_system_drive(path), expected.map(GuestPath::new), "{path}");
        }
    }
}
