//! Damaged physical volumes: no panic, an end, and no byte outside the extents.

use super::{assemble, fixture, images, lvm_build, overlays, physical, spec};
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk as _, DiskEdit};
use crate::volume::lvm::{LogicalDisk, read};
use std::sync::Arc;

/// Rounds of every test here.
const ROUNDS: u64 = 1000;

fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// Reads the ends of every volume, and that is all inside.
fn use_volumes(image: &[u8]) {
    let Ok(volume) = read(&MemoryDisk::new(image.to_vec())) else {
        return;
    };
    let disks = overlays(&[image.to_vec()]);
    for group in assemble(&[volume]) {
        for volume in group.logical_volumes {
            let Ok(mapping) = volume.mapping else { continue };
            let members = mapping.members().iter();
            let members = members.map(|index| disks[*index].clone() as Arc<dyn DiskEdit>).collect();
            let disk = LogicalDisk::new(mapping, members).unwrap();
            let len = disk.len_bytes();
            for at in [0, len / 2, len.saturating_sub(1)] {
                disk.read_vec(at, 1).unwrap();
            }
        }
    }
}

#[test]
fn damaged_texts_end_in_a_defect_or_in_something_whole() {
    let spec = super::GroupSpec { physical: vec![4], ..spec() };
    let good = spec.text();
    let mut seed = 3;
    let words = [
        "}",
        "{",
        "\"",
        "[",
        "]",
        "=",
        ",",
        "\\",
        "#",
        "-1",
        "99999999999",
        "9223372036854775807",
        "\n",
        "pv0",
        "root",
        "striped",
        "\0",
    ];
    for _ in 0..ROUNDS {
        let mut text = good.clone().into_bytes();
        for _ in 0..=(next(&mut seed) % 4) {
            let at = next(&mut seed) % text.len();
            let word = words[next(&mut seed) % words.len()].as_bytes();
            let end = (at + next(&mut seed) % 6).min(text.len());
            text.splice(at..end, word.iter().copied());
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut image = spec.head_with(0, &text);
        image.resize((1 << 20) + 4 * 65536, 0);
        use_volumes(&image);
    }
}

#[test]
fn damaged_headers_end_in_a_defect_or_in_something_whole() {
    let good = images(&super::GroupSpec { physical: vec![4], ..spec() }).remove(0);
    let mut seed = 5;
    for _ in 0..ROUNDS {
        let mut image = good.clone();
        for _ in 0..=(next(&mut seed) % 3) {
            let place =
                [512 + next(&mut seed) % 200, 4096 + next(&mut seed) % 64][next(&mut seed) % 2];
            image[place] = [0, 1, 0xff, next(&mut seed) as u8][next(&mut seed) % 4];
        }
        lvm_build::seal(&mut image[512..1024], 16, 20);
        lvm_build::seal(&mut image[4096..4608], 0, 4);
        use_volumes(&image);
    }
}

/// Each area may hold a text of 4 MiB.
#[test]
fn a_label_does_not_lead_to_many_texts() {
    let mut image = images(&super::GroupSpec { physical: vec![4], ..spec() }).remove(0);
    let area: [u8; 16] = image[512 + 104..512 + 120].try_into().unwrap();
    for (count, is_read) in [(8, true), (9, false)] {
        for number in 0..count {
            image[512 + 104 + number * 16..][..16].copy_from_slice(&area);
        }
        image[512 + 104 + count * 16..1024].fill(0);
        lvm_build::seal(&mut image[512..1024], 16, 20);
        assert_eq!(read(&MemoryDisk::new(image.clone())).is_ok(), is_read, "{count}");
    }
}

#[test]
fn every_byte_of_a_label_is_covered_by_its_checksum() {
    let good = fixture().remove(0);
    for at in 512 + 16..1024 {
        let mut sector = good[..1024].to_vec();
        sector[at] ^= 0x10;
        assert!(read(&MemoryDisk::new(sector)).is_err(), "{at}");
    }
    physical(&good);
}
