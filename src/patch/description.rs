//! The part of a patch that is for people: what it is for, who made it, and which files it edits.
//!
//! Stored as JSON (RFC 8259), so that it can grow: a reader ignores fields it does not know and
//! fills in the optional ones that are missing. A field that is listed here is never removed and
//! never changes its meaning. Every text is free of control characters once it is part of a
//! [`Patch`](super::Patch); a path that is not UTF-8 is stored as
//! [`escape`](crate::bytes::text::escape) gives it.

use crate::bytes::text;
use crate::error::{Context as _, Error, Result};
use serde::{Deserialize, Serialize};

/// What a patch is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of the program that made the patch.
    pub regain_version: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The command that made it, as in "key add".
    pub command: String,
    /// What it was made for.
    pub identity: TargetIdentity,
    /// The files that it edits.
    #[serde(default)]
    pub files: Vec<FileNote>,
}

/// What identifies a target, besides the bytes before the edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIdentity {
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// Size of a logical sector in bytes.
    pub sector_size_bytes: u32,
    /// Disk GUID of the partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_guid: Option<String>,
    /// The edited file systems.
    #[serde(default)]
    pub volumes: Vec<VolumeIdentity>,
    /// The disks, if there are several: see [`parts`](super::parts). Their joined size is `size_bytes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartIdentity>,
}

/// What identifies one of several disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartIdentity {
    /// The disk as it was given.
    pub name: String,
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// Size of a logical sector in bytes.
    pub sector_size_bytes: u32,
    /// Disk GUID of the partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_guid: Option<String>,
}

/// What identifies an edited file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIdentity {
    /// The volume as the command line names it, as in "1".
    pub id: String,
    /// Where it starts on the disk; 0 if it is not consecutive bytes of one disk.
    pub offset_bytes: u64,
    /// Its type, as in "ext4".
    pub file_system: String,
    /// Its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// One edited file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNote {
    /// [`VolumeIdentity::id`] of the volume that holds it.
    pub volume: String,
    /// Guest path, escaped.
    pub path: String,
    /// What is done to it, as in "append".
    pub action: String,
    /// Details for people.
    #[serde(default)]
    pub detail: String,
}

impl Description {
    /// The same description with every text made safe for a terminal.
    pub(super) fn cleaned(self) -> Self {
        let Self { regain_version, created, command, identity, files } = self;
        Self {
            regain_version: clean(&regain_version),
            created: clean(&created),
            command: clean(&command),
            identity: identity.cleaned(),
            files: files.into_iter().map(FileNote::cleaned).collect(),
        }
    }
}

impl TargetIdentity {
    /// Compares with what was found on a target, before its bytes are compared.
    ///
    /// The sectors that a patch changes may well be equal on two disks made from one image; these
    /// numbers are not. A number that is missing on either side is not compared: an interrupted run
    /// can leave a file system that cannot be probed, and must still be finished or taken back.
    ///
    /// # Errors
    /// `Mismatch`, naming the first difference.
    pub fn check(&self, found: &Self) -> Result<()> {
        let size_bytes = |identity: &Self| Some(identity.size_bytes.to_string());
        compare("disk size in bytes", size_bytes(self), size_bytes(found))?;
        let table_guid = |identity: &Self| identity.table_guid.clone();
        compare("disk GUID", table_guid(self), table_guid(found))?;
        for (number, (part, other)) in (1..).zip(self.parts.iter().zip(&found.parts)) {
            part.check(other).context(|| format!("disk {number}, {}", part.name))?;
        }
        for volume in &self.volumes {
            let same_place = |other: &&VolumeIdentity| other.offset_bytes == volume.offset_bytes;
            let Some(other) = found.volumes.iter().find(same_place) else { continue };
            let what = |field: &str| format!("{field} of volume {}", volume.id);
            let file_system = |volume: &VolumeIdentity| Some(volume.file_system.clone());
            compare(&what("file system"), file_system(volume), file_system(other))?;
            compare(&what("UUID"), volume.uuid.clone(), other.uuid.clone())?;
        }
        Ok(())
    }

    fn cleaned(mut self) -> Self {
        self.table_guid = self.table_guid.as_deref().map(clean);
        for part in &mut self.parts {
            part.name = clean(&part.name);
            part.table_guid = part.table_guid.as_deref().map(clean);
        }
        for volume in &mut self.volumes {
            volume.id = clean(&volume.id);
            volume.file_system = clean(&volume.file_system);
            volume.uuid = volume.uuid.as_deref().map(clean);
        }
        self
    }
}

impl PartIdentity {
    fn check(&self, found: &Self) -> Result<()> {
        let size_bytes = |part: &Self| Some(part.size_bytes.to_string());
        compare("disk size in bytes", size_bytes(self), size_bytes(found))?;
        compare("disk GUID", self.table_guid.clone(), found.table_guid.clone())
    }
}

impl FileNote {
    pub(super) fn cleaned(self) -> Self {
        let Self { volume, path, action, detail } = self;
        Self {
            volume: clean(&volume),
            path: clean(&path),
            action: clean(&action),
            detail: clean(&detail),
        }
    }
}

pub(super) fn compare(what: &str, expected: Option<String>, found: Option<String>) -> Result<()> {
    match expected.zip(found) {
        Some((expected, found)) if !expected.eq_ignore_ascii_case(&found) => {
            let found = clean(&found);
            let made_for = format!("the patch was made for {expected}");
            Err(Error::mismatch(format!("{what} is {found}, {made_for}")))
        }
        _ => Ok(()),
    }
}

/// Escapes like [`text::escape`], but leaves backslashes alone: the text may have been escaped
/// before, and cleaning twice must change nothing.
pub(super) fn clean(shown: &str) -> String {
    let parts: Vec<String> = shown.split('\\').map(|part| text::escape(part.as_bytes())).collect();
    parts.join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::tests::description;

    type Edit = fn(&mut TargetIdentity);

    #[test]
    fn each_number_that_is_known_on_both_sides_must_agree() {
        let made_for = description(4096).identity;
        let unchanged = made_for.check(&made_for);
        assert!(unchanged.is_ok());
        let part = |name: &str, guid: &str| PartIdentity {
            name: name.to_owned(),
            size_bytes: 2048,
            sector_size_bytes: 512,
            table_guid: Some(guid.to_owned()),
        };
        let made_for = TargetIdentity { parts: vec![part("a", "1"), part("b", "2")], ..made_for };
        let changes: [(Edit, &str); 6] = [
            (|found| found.size_bytes = 512, "disk size in bytes is 512"),
            (|found| found.table_guid = Some("other".into()), "disk GUID is other"),
            (|found| found.parts[1].size_bytes = 1, "disk 2, b: disk size in bytes is 1"),
            (|found| found.parts.swap(0, 1), "disk 1, a: disk GUID is 2"),
            (|found| found.volumes[0].file_system = "xfs".into(), "file system of volume 1 is xfs"),
            (|found| found.volumes[0].uuid = Some("other".into()), "UUID of volume 1 is other"),
        ];
        for (change, expected) in changes {
            let mut found = made_for.clone();
            change(&mut found);
            let error = made_for.check(&found).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(error.exit_status(), 6);
        }
        let unknown: [Edit; 3] = [
            |found| found.table_guid = None,
            |found| found.volumes[0].uuid = None,
            |found| found.volumes.clear(),
        ];
        for change in unknown {
            let mut found = made_for.clone();
            change(&mut found);
            assert!(made_for.check(&found).is_ok());
        }
    }

    #[test]
    fn cleaning_escapes_once() {
        for (raw, expected) in [
            ("key add", "key add"),
            ("a\\x5cb", "a\\x5cb"),
            ("\u{1b}[2J\n", "\\x1b[2J\\x0a"),
            ("\\\u{202e}", "\\\\u{202e}"),
        ] {
            assert_eq!(clean(raw), expected);
            assert_eq!(clean(&clean(raw)), expected);
        }
    }
}
