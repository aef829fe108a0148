//! Which container format a file has, told from its first and last bytes.
//!
//! Sources: qemu's "qcow2 image format" specification; VMware "Virtual Disk Format 5.0"; Microsoft "Virtual
//! Hard Disk Image Format Specification" and \[MS-VHDX\]; RFC 1952 (gzip); the ".xz File Format"; RFC 8878
//! (Zstandard); IEEE Std 1003.1 (ustar); DMTF DSP0243 (OVA); "LUKS1 On-Disk Format Specification" and "LUKS2 On-Disk Format Specification". The VDI
//! signature and the bzip2 block magic are commonly known and were compared with files made by their tools.
//!
//! | format | offset            | bytes                                        |
//! |--------|------------------:|----------------------------------------------|
//! | qcow2  |                 0 | `QFI` FB                                     |
//! | VMDK   |                 0 | `KDMV`, `COWD`, or `# Disk DescriptorFile`   |
//! | VHD    | 0, or end - 512   | `conectix` (old files have a 511-byte footer)|
//! | VHDX   |                 0 | `vhdxfile`                                   |
//! | VDI    |              0x40 | 7F 10 DA BE                                  |
//! | gzip   |                 0 | 1F 8B 08                                     |
//! | xz     |                 0 | FD `7zXZ` 00                                 |
//! | zstd   |                 0 | 28 B5 2F FD                                  |
//! | bzip2  |                 0 | `BZh` `1`..`9`, then 31 41 59 26 53 59       |
//! | LUKS   |                 0 | `LUKS` BA BE                                 |
//! | OVA    |               257 | `ustar`, and a first member called `*.ovf`   |

use crate::bytes::arith::len_u64;
use crate::disk::Disk;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// How much of the start is read to recognise a format: one sector.
const HEAD_BYTES: u64 = 512;

/// Length of the footer of a VHD.
const VHD_FOOTER_BYTES: u64 = 512;

/// What holds the bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Nothing: the file is the disk.
    Raw,
    /// qcow and qcow2 of qemu.
    Qcow2,
    /// VMware, every subformat.
    Vmdk,
    /// Virtual PC and Azure; a fixed one is a raw disk with a footer.
    Vhd,
    /// Hyper-V.
    Vhdx,
    /// VirtualBox.
    Vdi,
    /// A gzip stream.
    Gzip,
    /// An xz stream.
    Xz,
    /// A Zstandard stream.
    Zstd,
    /// A bzip2 stream.
    Bzip2,
    /// LUKS, version 1 or 2, on the whole disk.
    Luks,
    /// An appliance: a tar archive with a description and stream-optimized VMDKs.
    Ova,
}

/// How a format becomes a raw disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It is one.
    None,
    /// `qemu-img convert -p -O raw`.
    QemuImg,
    /// A decompressor of this name, called with `-d`.
    Decompress(&'static str),
    /// `tar -xf`.
    Unpack,
    /// `cryptsetup open`.
    Unlock,
}

impl Format {
    /// Every format, in the order of the help text.
    pub const ALL: [Self; 12] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vmdk,
        Self::Vhd,
        Self::Vhdx,
        Self::Vdi,
        Self::Gzip,
        Self::Xz,
        Self::Zstd,
        Self::Bzip2,
        Self::Luks,
        Self::Ova,
    ];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Luks => "luks",
            Self::Ova => "ova",
        }
    }

    /// What a message calls several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Raw => "raw images",
            Self::Qcow2 => "qcow2 images",
            Self::Vmdk => "VMDK images",
            Self::Vhd => "VHD images",
            Self::Vhdx => "VHDX images",
            Self::Vdi => "VDI images",
            Self::Gzip => "gzip streams",
            Self::Xz => "xz streams",
            Self::Zstd => "Zstandard streams",
            Self::Bzip2 => "bzip2 streams",
            Self::Luks => "LUKS containers",
            Self::Ova => "OVA appliances",
        }
    }

    /// How to get the raw disk out of it.
    pub fn conversion(self) -> Conversion {
        match self {
            Self::Raw => Conversion::None,
            Self::Qcow2 | Self::Vmdk | Self::Vhd | Self::Vhdx | Self::Vdi => Conversion::QemuImg,
            Self::Gzip => Conversion::Decompress("gzip"),
            Self::Xz => Conversion::Decompress("xz"),
            Self::Zstd => Conversion::Decompress("zstd"),
            Self::Bzip2 => Conversion::Decompress("bzip2"),
            Self::Luks => Conversion::Unlock,
            Self::Ova => Conversion::Unpack,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::usage(format!("unknown image format {name:?}")))
    }
}

/// Tells the format of `disk` from its content; [`Format::Raw`] if nothing is recognised.
///
/// # Errors
/// `Io`.
pub fn detect(disk: &dyn Disk) -> Result<Format> {
    let len_bytes = disk.len_bytes();
    let mut head = [0; 512];
    let mut foot = [0; 512];
    let head_len = usize::try_from(len_bytes.min(HEAD_BYTES)).unwrap_or(head.len());
    let head = head.get_mut(..head_len).unwrap_or_default();
    disk.read_at(0, head)?;
    let foot_len = usize::try_from(len_bytes.min(VHD_FOOTER_BYTES)).unwrap_or(foot.len());
    let foot = foot.get_mut(..foot_len).unwrap_or_default();
    disk.read_at(len_bytes.saturating_sub(len_u64(foot.len())), foot)?;
    Ok(recognise(head, foot))
}

/// Tells the format from the first 512 and the last 512 bytes.
fn recognise(head: &[u8], foot: &[u8]) -> Format {
    const AT_START: [(&[u8], Format); 11] = [
        (b"QFI\xfb", Format::Qcow2),
        (b"KDMV", Format::Vmdk),
        (b"COWD", Format::Vmdk),
        (b"# Disk DescriptorFile", Format::Vmdk),
        (b"conectix", Format::Vhd),
        (b"vhdxfile", Format::Vhdx),
        (b"\x1f\x8b\x08", Format::Gzip),
        (b"\xfd7zXZ\0", Format::Xz),
        (b"\x28\xb5\x2f\xfd", Format::Zstd),
        (b"LUKS\xba\xbe\0\x01", Format::Luks),
        (b"LUKS\xba\xbe\0\x02", Format::Luks),
    ];
    for (magic, format) in AT_START {
        if head.starts_with(magic) {
            return format;
        }
    }
    if head.get(0x40..0x44) == Some(b"\x7f\x10\xda\xbe") {
        return Format::Vdi;
    }
    // The name of the first member is the first field of the archive.
    let name = head.get(..100).unwrap_or_default().split(|&byte| byte == 0).next();
    let is_description = name.is_some_and(|name| name.ends_with(b".ovf"));
    if head.get(257..262) == Some(b"ustar") && is_description {
        return Format::Ova;
    }
    let is_bzip2_level = head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level));
    let bzip2_block = head.get(4..10) == Some(b"\x31\x41\x59\x26\x53\x59");
    if head.starts_with(b"BZh") && is_bzip2_level && bzip2_block {
        return Format::Bzip2;
    }
    // A fixed VHD looks like a raw disk but for its end.
    if foot.starts_with(b"conectix") || foot.get(1..9) == Some(b"conectix") {
        return Format::Vhd;
    }
    Format::Raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    fn detect_bytes(bytes: &[u8]) -> Format {
        detect(&MemoryDisk::new(bytes.to_vec())).unwrap()
    }

    #[test]
    fn every_name_is_read_back() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        assert_eq!("floppy".parse::<Format>().unwrap_err().kind_name(), "usage");
    }

    #[test]
    fn short_and_odd_content_is_raw() {
        for bytes in [b"x".as_slice(), b"QFI", b"BZh9 is not a stream", &[0; 600]] {
            assert_eq!(detect_bytes(bytes), Format::Raw);
        }
    }

    #[test]
    fn an_appliance_is_more_than_an_archive() {
        let mut bytes = vec![0; 1024];
        bytes[257..262].copy_from_slice(b"ustar");
        assert_eq!(detect_bytes(&bytes), Format::Raw);
        bytes[..11].copy_from_slice(b"machine.ovf");
        assert_eq!(detect_bytes(&bytes), Format::Ova);
    }

    #[test]
    fn a_fixed_vhd_is_not_raw() {
        let mut bytes = vec![0; 4096];
        bytes[3584..3592].copy_from_slice(b"conectix");
        assert_eq!(detect_bytes(&bytes), Format::Vhd);
        // The footer of very old files is 511 bytes long.
        let mut bytes = vec![0; 4095];
        bytes[3584..3592].copy_from_slice(b"conectix");
        assert_eq!(detect_bytes(&bytes), Format::Vhd);
    }
}
