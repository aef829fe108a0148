//! The containers of the matrix, made and unpacked by `qemu-img`.

use crate::support::scratch::Scratch;
use crate::support::tools;
use std::path::{Path, PathBuf};

/// What the disk is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Raw,
    Qcow2,
    Qcow2Compressed,
    /// All content is in the backing file.
    Qcow2Backing,
    /// With an internal snapshot of the same content.
    Qcow2Snapshot,
    VmdkFlat,
    VmdkSparse,
    VmdkSplitFlat,
    VmdkSplitSparse,
    VhdFixed,
    VhdDynamic,
    Vhdx,
}

impl Container {
    pub(crate) const ALL: [Self; 12] = [
        Self::Raw,
        Self::Qcow2,
        Self::Qcow2Compressed,
        Self::Qcow2Backing,
        Self::Qcow2Snapshot,
        Self::VmdkFlat,
        Self::VmdkSparse,
        Self::VmdkSplitFlat,
        Self::VmdkSplitSparse,
        Self::VhdFixed,
        Self::VhdDynamic,
        Self::Vhdx,
    ];

    /// The format as qemu calls it, and the options of a conversion to it.
    fn qemu(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Raw => ("raw", &[]),
            Self::Qcow2 | Self::Qcow2Backing | Self::Qcow2Snapshot => ("qcow2", &[]),
            Self::Qcow2Compressed => ("qcow2", &["-c"]),
            Self::VmdkFlat => ("vmdk", &["-o", "subformat=monolithicFlat"]),
            Self::VmdkSparse => ("vmdk", &["-o", "subformat=monolithicSparse"]),
            Self::VmdkSplitFlat => ("vmdk", &["-o", "subformat=twoGbMaxExtentFlat"]),
            Self::VmdkSplitSparse => ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
            Self::VhdFixed => ("vpc", &["-o", "subformat=fixed,force_size=on"]),
            Self::VhdDynamic => ("vpc", &["-o", "subformat=dynamic,force_size=on"]),
            Self::Vhdx => ("vhdx", &["-o", "subformat=fixed"]),
        }
    }

    /// The container with the content of `disk`, in `scratch`.
    pub(crate) fn put(self, scratch: &Scratch, disk: &Path) -> PathBuf {
        let (format, options) = self.qemu();
        let path = scratch.join("target");
        let whole = if self == Self::Qcow2Backing { scratch.join("base") } else { path.clone() };
        let mut arguments = vec!["convert", "-f", "raw", "-O", format];
        arguments.extend(options);
        arguments.extend([disk.to_str().unwrap(), whole.to_str().unwrap()]);
        tools::succeed("qemu-img", &arguments);
        let target = path.to_str().unwrap();
        match self {
            Self::Qcow2Backing => {
                let over = ["create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", target];
                tools::succeed("qemu-img", &over);
            }
            Self::Qcow2Snapshot => {
                tools::succeed("qemu-img", &["snapshot", "-c", "before", target]);
            }
            _ => {}
        }
        path
    }

    /// What the guest sees in `target`, as a file of its own.
    pub(crate) fn take(self, scratch: &Scratch, target: &Path) -> PathBuf {
        let path = scratch.join("guest.raw");
        let (format, _) = self.qemu();
        let [from, to] = [target, &path].map(|path| path.to_str().unwrap());
        tools::succeed("qemu-img", &["convert", "-f", format, "-O", "raw", from, to]);
        path
    }

    /// Fails unless `qemu-img check` finds nothing, for the formats that it checks.
    pub(crate) fn assert_clean(self, target: &Path, what: &str) {
        let (format, _) = self.qemu();
        if matches!(format, "raw" | "vpc") || matches!(self, Self::VmdkFlat | Self::VmdkSplitFlat) {
            return;
        }
        let output = tools::run("qemu-img", &["check", "-f", format, target.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        let is_clean = output.status.success() && said.contains("No errors were found");
        assert!(is_clean, "{what}: {output:?}");
    }
}
