//! Open intents: what they name must not be edited, everything else may be, and they stay in the log.

use super::tests::{append_all, transaction_of};
use super::{LogState, Pending, scan};
use crate::disk::overlay::Overlay;
use crate::error::{ErrorKind, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::xfs::Xfs;
use crate::fs::xfs::inode::ForkKind;
use crate::fs::xfs::testing::fixture;
use crate::fs::xfs::units::InodeNumber;
use crate::fs::xfs::volume::Volume;
use crate::fs::{FileEdit as _, FileSystem as _, Health, NodeId, Timestamp};
use std::ops::ControlFlow;
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
/// Its block is not shared: a shared one is copied, and only the copy is written.
const NAMED: &str = "/etc/group";
const OTHER: &str = "/etc/passwd";

fn node(disk: &Arc<Overlay>, path: &str) -> NodeId {
    let xfs = Xfs::open(disk.clone(), CLOCK).unwrap();
    find(&xfs, &GuestPath::new(path)).unwrap().expect(path).node
}

/// An intent of this type with this content behind its id.
fn intent(kind: u16, words: &[u64]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([1, 0, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9]);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// The volume with a log of the superblock and `intent`.
fn with_intent(intent: &[u8]) -> Arc<Overlay> {
    let disk = fixture("default");
    let volume = Volume::open(disk.clone(), CLOCK).unwrap();
    let start = Pending::default().operations(volume.superblock()).unwrap();
    append_all(&volume, &[start, transaction_of(&[vec![intent.to_vec()]])]);
    disk
}

fn append_to(disk: Arc<Overlay>, number: NodeId) -> Result<Arc<Overlay>> {
    let layer = Arc::new(Overlay::new(disk));
    let mut xfs = Xfs::open(layer.clone(), CLOCK)?;
    assert_eq!(xfs.health(), Health::JournalDirty);
    assert!(xfs.warnings()[0].contains("only a mount makes"), "{:?}", xfs.warnings());
    xfs.append(number, b"one line more\n")?;
    xfs.finish()?;
    Ok(layer)
}

#[test]
fn what_an_open_intent_names_is_not_edited() {
    let disk = fixture("default");
    let (named, other) = (node(&disk, NAMED), node(&disk, OTHER));
    let volume = Volume::open(disk, CLOCK).unwrap();
    let block_of = |node: NodeId| {
        let inode = volume.load_inode(InodeNumber(node.0)).unwrap();
        let mut first = None;
        volume
            .visit_extents(&inode, ForkKind::Data, &mut |extent| {
                first = Some(extent.start.0);
                Ok(ControlFlow::Break(()))
            })
            .unwrap();
        first.unwrap()
    };
    let block = block_of(named);
    // By owner and by block, as the type of intent has them. A mapping is owner, start, place, length and flags.
    let cases: [(&str, Vec<u8>); 6] = [
        ("BUI, by owner", intent(0x1244, &[named.0, 1, 8, 1 | 1 << 32])),
        ("BUI, by block", intent(0x1244, &[1 << 20, block, 0, 1 | 1 << 32])),
        ("CUI", intent(0x1242, &[block, 1 | 1 << 32])),
        ("EFI", intent(0x1236, &[block, 1])),
        ("ATTRI", intent(0x1246, &[named.0, 0, 0])),
        ("XMI", intent(0x1248, &[1 << 20, named.0, 0, 0, 0, 0, 0, 0, 0])),
    ];
    for (name, intent) in cases {
        let error = append_to(with_intent(&intent), named).map(drop).unwrap_err();
        let ErrorKind::Refused(Refusal::DirtyLog { detail }) = error.kind() else {
            panic!("{name}: {error}")
        };
        assert!(detail.contains("left open names what is to be edited"), "{name}: {detail}");
        let edited = append_to(with_intent(&intent), other).unwrap();
        let volume = Volume::open(edited, CLOCK).unwrap();
        let LogState::Dirty(dirty) = scan(&volume).unwrap() else { panic!("{name}: is lost") };
        assert_eq!(dirty.pending.intents().len(), 1, "{name}");
    }
}
