//! The descriptor: a text that names the extents of a disk.
//!
//! Source: "Virtual Disk Format 5.0", section "The Descriptor File". Lines of `KEY = VALUE`, `#` begins a comment; a
//! line that begins with an access is an extent:
//!
//! ```text
//! # Disk DescriptorFile
//! version=1
//! CID=5c8b3e91
//! parentCID=ffffffff
//! createType="twoGbMaxExtentFlat"
//! RW 4194304 FLAT "disk-f001.vmdk" 0
//! RW 2048 ZERO
//! ```
//!
//! | field      | here           | valid when                                                                       |
//! |------------|----------------|----------------------------------------------------------------------------------|
//! | access     | `access`       | `RW`, `RDONLY`; `NOACCESS` is refused                                            |
//! | size       | `len_sectors`  | sectors of 512 bytes, not 0                                                      |
//! | type       | `kind`         | `FLAT`, `VMFS`, `SPARSE`, `ZERO`; all others are refused by name                 |
//! | file name  | `file`         | a plain name: no `/`, not `.` or `..`, no control character; absent for `ZERO`   |
//! | offset     | `offset_sectors` | of `FLAT`, in sectors; absent is 0                                             |

use super::super::block_map::Source;
use crate::bytes::{arith, text};
use crate::error::{Corrupt, Error, Result};

/// Bound on the text in bytes: that of a disk of 8 TB in extents of 2 GB is half as long.
const DESCRIPTOR_BYTES_MAX: u64 = 512 * 1024;

/// Bound on the extents.
const EXTENTS_MAX: usize = 4096;

/// Bound on the length of a file name in bytes, as of every host.
const NAME_BYTES_MAX: usize = 255;

/// `parentCID` of an image without a parent.
const NO_PARENT: &str = "ffffffff";

/// What is wrong with a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DescriptorDefect {
    #[error("no VMDK descriptor")]
    Missing,
    #[error("line {line}: {what}")]
    Line { line: usize, what: &'static str },
    #[error("no extent")]
    NoExtent,
    #[error("{len_bytes} bytes from {start_bytes:#x} do not fit into its {file_bytes} bytes")]
    ExtentTooShort { start_bytes: u64, len_bytes: u64, file_bytes: u64 },
    #[error("two extents use the file {0}")]
    FileShared(String),
}

/// What a guest may do with an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

/// How the bytes of an extent are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As they are.
    Flat,
    /// In grains.
    Sparse,
    /// Not at all.
    Zero,
}

/// One stretch of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) access: Access,
    pub(super) len_sectors: u64,
    pub(super) kind: Kind,
    /// Absent for [`Kind::Zero`].
    pub(super) file: Option<String>,
    pub(super) offset_sectors: u64,
}

/// What the text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) extents: Vec<Extent>,
}

pub(super) fn corrupt(defect: DescriptorDefect) -> Error {
    Corrupt::new("VMDK descriptor", defect).into()
}

impl Descriptor {
    /// Reads a file that is a descriptor and nothing else.
    ///
    /// # Errors
    /// As [`Descriptor::parse`]; `Limit`, `Io`.
    pub(super) fn read_file(source: &dyn Source) -> Result<Self> {
        let len_bytes = source.len_bytes();
        if len_bytes > DESCRIPTOR_BYTES_MAX {
            let what = "size of the VMDK descriptor in bytes";
            return Err(Error::limit(what, DESCRIPTOR_BYTES_MAX, len_bytes));
        }
        Self::parse(&source.read_vec(0, arith::to(len_bytes)?)?)
    }

    /// Parses the text, which may be followed by NUL bytes.
    ///
    /// # Errors
    /// `Corrupt`; `Unsupported` for what cannot be read; `Limit`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        if !bytes.starts_with(b"# Disk DescriptorFile") {
            return Err(corrupt(DescriptorDefect::Missing));
        }
        let mut extents = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index.saturating_add(1);
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let Ok(line) = std::str::from_utf8(line) else {
                let what = "not UTF-8, which is the only encoding that is known here";
                return Err(corrupt(DescriptorDefect::Line { line: number, what }));
            };
            if let Some(extent) = parse_extent(line, number)? {
                if extents.len() >= EXTENTS_MAX {
                    let limit = arith::len_u64(EXTENTS_MAX);
                    return Err(Error::limit(
                        "extents of the VMDK",
                        limit,
                        limit.saturating_add(1),
                    ));
                }
                extents.push(extent);
            } else if let Some((key, value)) = line.split_once('=') {
                check_key(key.trim(), value.trim().trim_matches('"'))?;
            }
        }
        if extents.is_empty() {
            return Err(corrupt(DescriptorDefect::NoExtent));
        }
        Ok(Self { extents })
    }

    /// The names of the files, each once, in the order in which they occur.
    pub(super) fn files(&self) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        let names = self.extents.iter().filter_map(|extent| extent.file.clone());
        names.filter(|name| seen.insert(name.clone())).collect()
    }

    /// Checks that no file is used twice: what is written to one extent must not show in another.
    ///
    /// # Errors
    /// `Corrupt` with [`DescriptorDefect::FileShared`].
    pub(super) fn check_files_not_shared(&self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        for name in self.extents.iter().filter_map(|extent| extent.file.as_ref()) {
            if !seen.insert(name) {
                let name = text::escape(name.as_bytes());
                return Err(corrupt(DescriptorDefect::FileShared(name)));
            }
        }
        Ok(())
    }
}

/// Refuses what cannot be read.
fn check_key(key: &str, value: &str) -> Result<()> {
    if key.eq_ignore_ascii_case("parentCID") && !value.eq_ignore_ascii_case(NO_PARENT) {
        return Err(Error::unsupported(
            "a VMDK with a parent (a snapshot or linked clone): convert the last one of the chain \
             where all of them are: qemu-img convert -p -f vmdk -O raw",
        ));
    }
    Ok(())
}

/// Parses an extent, `Ok(None)` if the line is none.
fn parse_extent(line: &str, number: usize) -> Result<Option<Extent>> {
    let defect = |what| corrupt(DescriptorDefect::Line { line: number, what });
    let (word, rest) = split_word(line);
    let access = match word {
        "RW" => Access::ReadWrite,
        "RDONLY" => Access::ReadOnly,
        "NOACCESS" => return Err(Error::unsupported("a VMDK with an extent without access")),
        _ => return Ok(None),
    };
    let (size, rest) = split_word(rest);
    let len_sectors = size.parse().ok().filter(|len| *len != 0);
    let len_sectors = len_sectors.ok_or_else(|| defect("the size is not a number of sectors"))?;
    let (word, rest) = split_word(rest);
    let kind = match word {
        "FLAT" | "VMFS" => Kind::Flat,
        "SPARSE" => Kind::Sparse,
        "ZERO" if rest.is_empty() => Kind::Zero,
        "ZERO" => return Err(defect("an extent of zeros has no file")),
        other => {
            let kind = text::escape(other.as_bytes());
            return Err(Error::unsupported(format!("a VMDK with an extent of type {kind}")));
        }
    };
    if kind == Kind::Zero {
        return Ok(Some(Extent { access, len_sectors, kind, file: None, offset_sectors: 0 }));
    }
    let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (name, rest) = quoted.ok_or_else(|| defect("the file name is not in quotes"))?;
    check_name(name).map_err(defect)?;
    let offset_sectors = match rest.trim() {
        "" => 0,
        _ if kind == Kind::Sparse => return Err(defect("a sparse extent has no offset")),
        offset => offset.parse().map_err(|_| defect("the offset is not a number of sectors"))?,
    };
    let file = Some(name.to_owned());
    Ok(Some(Extent { access, len_sectors, kind, file, offset_sectors }))
}

/// The first word and what follows it.
fn split_word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (word, rest.trim_start())
}

/// Refuses every name that may lead out of the directory of the descriptor.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("the file name is empty or too long");
    }
    if name == "." || name == ".." || name.contains(['/', '\\']) {
        return Err("the file name leads out of the directory of the descriptor");
    }
    if name.chars().any(char::is_control) {
        return Err("the file name has a control character");
    }
    Ok(())
}

impl Extent {
    /// Length in bytes.
    pub(super) fn len_bytes(&self) -> Result<u64> {
        super::sectors(self.len_sectors)
    }

    /// Where it starts in its file, in bytes.
    pub(super) fn offset_bytes(&self) -> Result<u64> {
        super::sectors(self.offset_sectors)
    }

    /// The file for messages.
    pub(super) fn shown(&self) -> String {
        text::escape(self.file.as_deref().unwrap_or("zeros").as_bytes())
    }
}
