//! Logical volumes, judged by `pvck` of LVM.

use crate::support::lvm::{self, Lay};
use crate::support::lvm_build::{GroupSpec, linear};
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

/// Names with dashes, a text that wraps around the end of its area, and one of several volumes.
#[test]
fn groups_of_every_shape_are_what_lvm_reads() {
    let scratch = Scratch::new();
    for (name, volumes, text_offset) in [
        ("group", 1, 512),
        ("a-b--c", 1, (1 << 20) - 4096 - 512),
        ("g.h+i_j", 3, (1 << 20) - 4096 - 1000),
    ] {
        let mut spec = GroupSpec::new(65536, &[64]);
        (spec.name, spec.text_offset, spec.seqno) = (name, text_offset, 77);
        for (number, volume) in NAMES.iter().enumerate().take(volumes) {
            spec = spec.with(volume, vec![linear(0, number as u64, 1)]);
        }
        let mut image = spec.head(0);
        image.resize(spec.physical_bytes(0) as usize, 0);
        let path = scratch.join("pv");
        sparse::write(&path, &image);
        let said = lvm::judged_metadata(&path);
        assert!(said.contains(&spec.text()), "{name}: {said}");
        let physical = regain::volume::lvm::read(&MemoryDisk::new(image)).unwrap();
        assert_eq!(physical.damage(), [""; 0]);
        let group = regain::volume::lvm::assemble(&[physical]).remove(0);
        assert_eq!((group.name.as_slice(), group.seqno), (name.as_bytes(), 77));
        let found = group.logical_volumes.iter().map(|volume| volume.name.as_slice());
        let expected = NAMES.iter().take(volumes).map(|name| name.as_bytes());
        assert!(found.eq(expected), "{name}");
    }
}

/// Names of logical volumes.
const NAMES: [&str; 3] = ["root", "var-log--2", "with.dots+plus_"];
