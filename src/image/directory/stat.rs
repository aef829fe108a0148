//! What statx(2) says about a handle.

use crate::bytes::arith;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, StatxAttributes, StatxFlags, StatxTimestamp};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// What an object of the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
}

/// A moment: seconds since 1970-01-01 UTC, and nanoseconds below one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// Which object it is: the same for two names of one file, another for every mount it is seen through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The mount.
    pub mount_id: u64,
    /// Major number of the device.
    pub device_major: u32,
    /// Minor number of the device.
    pub device_minor: u32,
    /// Inode number.
    pub inode: u64,
    /// When it was made, where the file system knows: inode numbers are used again.
    pub born: Time,
}

impl Key {
    /// True if both are one object, as far as mount and number tell.
    pub fn is_at(self, other: Self) -> bool {
        self.is_same_inode(other) && self.mount_id == other.mount_id
    }

    /// The same, seen through any mount.
    pub fn is_same_inode(self, other: Self) -> bool {
        (self.device_major, self.device_minor, self.inode)
            == (other.device_major, other.device_minor, other.inode)
    }
}

/// Everything about an object but its content and its extended attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of the file system")]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Number of names.
    pub link_count: u32,
    /// Last access.
    pub accessed: Time,
    /// Last change of the content.
    pub modified: Time,
    /// Last change of anything.
    pub changed: Time,
    /// Which object it is.
    pub key: Key,
    /// `chattr +i`.
    pub is_immutable: bool,
    /// `chattr +a`.
    pub is_append_only: bool,
    /// fscrypt.
    pub is_encrypted: bool,
    /// fs-verity.
    pub is_verity: bool,
}

impl Stat {
    /// Asks about the object behind `fd`, which may be a mere path handle.
    ///
    /// # Errors
    /// `Io`.
    pub fn of(fd: impl AsFd) -> Result<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::BTIME;
        let found = rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, wanted);
        let found = found.map_err(io::Error::from)?;
        let known = StatxFlags::from_bits_retain(found.stx_mask);
        let mount_id = if known.contains(StatxFlags::MNT_ID) {
            found.stx_mnt_id
        } else {
            mount_id_of_proc(&fd)?
        };
        let is_birth_known = known.contains(StatxFlags::BTIME);
        let has = |flag| found.stx_attributes.contains(flag);
        let raw_mode = u32::from(found.stx_mode);
        Ok(Self {
            kind: kind(raw_mode)?,
            mode: Mode::from_raw_mode(raw_mode).bits() & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            size_bytes: found.stx_size,
            link_count: found.stx_nlink,
            accessed: time(found.stx_atime),
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
            key: Key {
                mount_id,
                device_major: found.stx_dev_major,
                device_minor: found.stx_dev_minor,
                inode: found.stx_ino,
                born: if is_birth_known { time(found.stx_btime) } else { Time::default() },
            },
            is_immutable: has(StatxAttributes::IMMUTABLE),
            is_append_only: has(StatxAttributes::APPEND),
            is_encrypted: has(StatxAttributes::ENCRYPTED),
            is_verity: has(StatxAttributes::VERITY),
        })
    }
}

fn kind(raw_mode: u32) -> Result<Kind> {
    Ok(match FileType::from_raw_mode(raw_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return Err(Error::unsupported("an object of an unknown kind")),
    })
}

fn time(found: StatxTimestamp) -> Time {
    Time { seconds: found.tv_sec, nanoseconds: found.tv_nsec }
}

/// The mount of `fd` where statx(2) does not tell it (Linux before 5.8).
fn mount_id_of_proc(fd: impl AsFd) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    let field = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let number = field.and_then(|field| field.trim().parse::<u64>().ok());
    let missing = "the kernel does not say through which mount a file is seen";
    Ok(arith::to(number.ok_or_else(|| Error::unsupported(missing))?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_of_the_mount_agree() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let stat = Stat::of(&file).unwrap();
        assert_eq!(stat.key.mount_id, mount_id_of_proc(&file).unwrap());
        assert_eq!(stat.kind, Kind::File);
    }
}
