//! Windows guests: is this a system volume, and what is on it (windows-reset.md, sections 2 to 9)?
//!
//! Names are matched as the volume matches them, without case (WIN-11). Not handled: several installations on
//! one volume, such as `\Windows.old`.

pub mod format;

use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};

/// The directory of the registry hives.
pub const CONFIG: &str = "/Windows/System32/config";

/// A Windows system volume.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// The computer name, as UTF-8.
    pub host_name: Option<Vec<u8>>,
    /// What could not be read or was odd, escaped.
    pub warnings: Vec<String>,
}

impl System {
    /// The name for people, as in `Windows Server 2019 Datacenter`.
    pub fn full_name(&self) -> String {
        "Windows".to_owned()
    }
}

/// Looks at a Windows system volume; `None` if `fs` is none (WIN-10).
///
/// # Errors
/// That of the file system if damage hides whether it is one.
pub fn detect(fs: &dyn FileSystem) -> Result<Option<System>> {
    for hive in ["SYSTEM", "SOFTWARE", "SAM"] {
        let Some(found) = find(fs, &GuestPath::new(format!("{CONFIG}/{hive}")))? else {
            return Ok(None);
        };
        if fs.metadata(found.node)?.kind != NodeKind::File {
            return Ok(None);
        }
    }
    Ok(Some(System::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn a_system_volume_holds_three_hives_win_10_win_11() {
        let mut tree = MemoryTree::new().into_ntfs();
        for hive in ["SYSTEM", "Software", "sam"] {
            assert!(detect(&tree).unwrap().is_none(), "before {hive}");
            tree.file(&format!("/WINDOWS/SYSTEM32/Config/{hive}"), 0, 0o777, b"");
        }
        assert!(detect(&tree).unwrap().is_some());
        tree.directory("/windows/system32/config/sam", 0, 0o777);
        tree.file("/x", 0, 0o777, b"");
        let mut recovery = MemoryTree::new().into_ntfs();
        recovery.file("/Recovery/WindowsRE/Winre.wim", 0, 0o777, b"");
        assert!(detect(&recovery).unwrap().is_none());
    }
}
