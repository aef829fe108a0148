//! What made a volume, and the names that follow from that.

use crate::bytes::text::escape;

/// What made a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A partition table, or nothing: the volume is all of a disk.
    Partition,
    /// LVM.
    Logical {
        /// The name of its group, unescaped.
        group: Vec<u8>,
        /// What tells that group apart.
        group_uuid: String,
        /// Its name, unescaped.
        name: Vec<u8>,
    },
    /// Linux RAID.
    Array {
        /// Its name, unescaped; may be empty.
        name: Vec<u8>,
        /// What tells it apart.
        uuid: String,
    },
    /// LUKS, unlocked.
    Unlocked {
        /// The UUID of its header.
        uuid: String,
    },
}

impl Source {
    /// The word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Logical { .. } => "logical_volume",
            Self::Array { .. } => "raid",
            Self::Unlocked { .. } => "unlocked",
        }
    }

    /// True if `name` is one of the names that the volume has by what made it: of a logical volume `GROUP/NAME`,
    /// with the UUID of the group in place of its name, and its paths below /dev.
    pub(super) fn is_called(&self, name: &str) -> bool {
        if let Self::Array { name: array, uuid } = self {
            return name == format!("md:{}", escape(array)) || name == format!("md:{uuid}");
        }
        let Self::Logical { group, group_uuid, name: volume } = self else { return false };
        let (group, volume) = (escape(group), escape(volume));
        let mapped = |name: &str| name.replace('-', "--");
        [
            format!("{group}/{volume}"),
            format!("{group_uuid}/{volume}"),
            format!("/dev/{group}/{volume}"),
            format!("/dev/mapper/{}-{}", mapped(&group), mapped(&volume)),
        ]
        .iter()
        .any(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logical_volume_has_several_names() {
        let source = Source::Logical {
            group: b"rocky-1".to_vec(),
            group_uuid: "abc".to_owned(),
            name: b"root".to_vec(),
        };
        for name in ["rocky-1/root", "abc/root", "/dev/rocky-1/root", "/dev/mapper/rocky--1-root"] {
            assert!(source.is_called(name), "{name}");
        }
        for name in ["root", "/dev/mapper/rocky-1-root", "rocky-1/roo", "1"] {
            assert!(!source.is_called(name), "{name}");
        }
        assert!(!Source::Partition.is_called("1"));
    }
}
