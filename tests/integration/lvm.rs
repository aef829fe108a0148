//! Logical volumes, judged by `pvck` of LVM.

use crate::support::lvm::{self, Lay};
use crate::support::rng::Rng;
use crate::support::scratch::Scratch;
use crate::support::sparse;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk, DiskEdit};
use std::sync::Arc;

/// Not a multiple of an extent.
const LEN: usize = (5 << 20) + 4096;

#[test]
fn logical_volumes_are_where_lvm_has_them() {
    let scratch = Scratch::new();
    let image = scratch.join("image");
    let mut random = Rng::new(11);
    let content: Vec<u8> = (0..LEN).map(|_| random.below(256) as u8).collect();
    sparse::write(&image, &content);
    for lay in Lay::ALL {
        let files = lvm::put(&image, lay, scratch.path());
        for file in &files {
            let said = lvm::judged_metadata(file);
            assert!(said.contains(&lay.group(LEN as u64).text()), "{lay:?}: {said}");
        }
        let disks: Vec<Arc<Overlay>> = files
            .iter()
            .map(|path| Arc::new(Overlay::new(Arc::new(MemoryDisk::new(sparse::read(path))))))
            .collect();
        let physical: Vec<_> =
            disks.iter().map(|disk| regain::volume::lvm::read(disk.as_ref()).unwrap()).collect();
        let groups = regain::volume::lvm::assemble(&physical);
        let root = &groups[0].logical_volumes[0];
        assert_eq!((root.name.as_slice(), &root.obstacle), (b"root".as_slice(), &None));
        let mapping = root.mapping.clone().unwrap();
        let members = mapping.members().iter();
        let members = members.map(|index| disks[*index].clone() as Arc<dyn DiskEdit>).collect();
        let disk = regain::volume::lvm::LogicalDisk::new(mapping, members).unwrap();
        assert!(disk.read_vec(0, LEN).unwrap() == content, "{lay:?}");
    }
}

#[test]
fn what_was_put_in_comes_out() {
    let scratch = Scratch::new();
    let image = scratch.join("image");
    let mut random = Rng::new(12);
    let content: Vec<u8> = (0..LEN).map(|_| random.below(256) as u8).collect();
    sparse::write(&image, &content);
    for lay in Lay::ALL {
        let files = lvm::put(&image, lay, scratch.path());
        lvm::take(&files, lay, LEN as u64, &scratch.join("out"));
        assert!(sparse::read(&scratch.join("out")) == content, "{lay:?}");
    }
}
