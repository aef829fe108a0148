//! The operating system of a volume, whichever it is.

use super::{linux, windows};
use crate::error::Result;
use crate::fs::FileSystem;

/// What lives on a volume.
#[derive(Debug, Clone)]
pub enum System {
    /// A Linux root file system.
    Linux(Box<linux::System>),
    /// A Windows system volume.
    Windows(Box<windows::System>),
}

/// Looks for an operating system; `None` if there is none. Which one can be there follows from the file
/// system: Windows starts from NTFS alone, Linux from anything else.
///
/// # Errors
/// As [`linux::detect`] and [`windows::detect`].
pub fn detect(fs: &dyn FileSystem) -> Result<Option<System>> {
    if fs.identity().type_name == "ntfs" {
        return Ok(windows::detect(fs)?.map(|system| System::Windows(Box::new(system))));
    }
    Ok(linux::detect(fs)?.map(|system| System::Linux(Box::new(system))))
}

impl System {
    /// `linux` or `windows`, as in the JSON contract.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Linux(_) => "linux",
            Self::Windows(_) => "windows",
        }
    }

    /// The name for people, unescaped, as in `Debian GNU/Linux 13 (trixie)`.
    pub fn full_name(&self) -> Vec<u8> {
        match self {
            Self::Linux(system) => system.full_name().to_vec(),
            Self::Windows(system) => system.full_name().into_bytes(),
        }
    }

    /// The host name, unescaped, if it is known.
    pub fn host_name(&self) -> Option<&[u8]> {
        match self {
            Self::Linux(system) => system.host_name.as_deref(),
            Self::Windows(system) => system.host_name.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn the_file_system_says_which_system_can_be_there() {
        let mut tree = MemoryTree::new();
        for hive in ["SYSTEM", "SOFTWARE", "SAM"] {
            tree.file(&format!("/WINDOWS/system32/Config/{hive}"), 0, 0o777, b"");
        }
        assert!(detect(&tree).unwrap().is_none());
        let system = detect(&tree.clone().into_ntfs()).unwrap().unwrap();
        assert_eq!(system.family(), "windows");
        tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/sh\n")
            .file("/etc/os-release", 0, 0o644, b"ID=debian\nPRETTY_NAME=\"Debian 13\"\n")
            .directory("/bin", 0, 0o755);
        let system = detect(&tree).unwrap().unwrap();
        assert_eq!((system.family(), system.full_name().as_slice()), ("linux", &b"Debian 13"[..]));
    }
}
