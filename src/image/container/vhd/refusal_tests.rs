//! What is refused, and what is damage.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::testing::{MemoryFiles, MemoryHost, can_write};
use super::tests::{BLOCK, BLOCKS, footer, open_bytes, open_host, small, sum};
use super::*;
use crate::disk::testing::directory;
use crate::error::ErrorKind;
use std::fs;
use std::os::unix::fs::FileExt as _;

#[test]
fn what_two_readers_would_read_differently_is_refused() {
    let good = small(&[0, 7]);
    assert!(open_bytes(good.clone()).is_ok());
    // Another size in the copy.
    let mut copy = good.clone();
    copy[..512].copy_from_slice(&footer(3, BLOCK * (BLOCKS - 1)));
    assert!(open_bytes(copy).unwrap_err().to_string().contains("the copy at the start"));
    // Data under a clear bit.
    let mut hidden = good.clone();
    hidden[2048 + 512 + BLOCK - 1] = 1;
    let error = open_bytes(hidden.clone()).unwrap().read_vec(2048, 2048).unwrap_err();
    assert!(error.to_string().contains("never written"), "{error}");
    let mut medium = open_host(&MemoryHost::new(hidden)).unwrap();
    assert!(medium.write_at(2048, &[1; 2048]).is_err());
    // Two blocks in one place: reading may, writing must not.
    let mut shared = good.clone();
    let entry: [u8; 4] = shared[1536..1540].try_into().unwrap();
    shared[1536 + 4 * 20..][..4].copy_from_slice(&entry);
    assert!(open_bytes(shared.clone()).unwrap().read_vec(20 * 4096, 512).is_ok());
    let medium = open_host(&MemoryHost::new(shared)).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("blocks 0 and 20"), "{error}");
    medium.can_write(&[7 * 4096..7 * 4096 + 512, 11 * 4096..13 * 4096]).unwrap();
    // The bitmap of a block in the data of another one.
    let mut inside = good.clone();
    let sector = u32::from_be_bytes(entry) + 4;
    inside[1536 + 4 * 21..][..4].copy_from_slice(&sector.to_be_bytes());
    let medium = open_host(&MemoryHost::new(inside)).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("blocks 0 and 21"), "{error}");
    // A table entry that leads over the table, and one that leads behind the end.
    for sector in [3u32, 1_000_000] {
        let mut image = good.clone();
        image[1536..1540].copy_from_slice(&sector.to_be_bytes());
        assert_eq!(open_bytes(image).unwrap().read_vec(0, 1).unwrap_err().kind_name(), "corrupt");
    }
    // A fixed image whose guest begins with a footer.
    let fixed = [footer(2, 4096), vec![0; 4096 - 512], footer(2, 4096)].concat();
    assert!(open_bytes(fixed).is_err());
}

#[test]
fn differencing_images_and_saved_states_are_refused_by_name() {
    let mut image = small(&[]);
    let len = image.len();
    for at in [0, len - 512] {
        image[at..at + 512].copy_from_slice(&footer(4, BLOCK * BLOCKS));
    }
    let error = open_bytes(image).unwrap_err();
    assert!(error.to_string().contains("qemu-img convert -p -f vpc -O raw"), "{error}");
    let mut saved = footer(2, 4096);
    saved[84] = 1;
    sum(&mut saved, 64);
    let image = [vec![0; 4096], saved].concat();
    assert!(open(&mut MemoryFiles::one(image.clone())).unwrap().not_writable.is_some());
    let error = open_host(&MemoryHost::new(image)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::ContainerNotWritable { .. })));
}

/// What has no place in the file, and cannot get one, is found out before the write.
#[test]
fn a_file_that_cannot_take_another_block_says_so_first() {
    let host = MemoryHost::device(small(&[0]));
    let mut medium = open_host(&host).unwrap();
    can_write(&*medium, 0, 512).unwrap();
    let error = can_write(&*medium, 4096, 4608).unwrap_err();
    assert!(error.to_string().contains("on a device"), "{error}");
    assert_eq!(medium.write_at(4096, &[1; 512]).unwrap_err().kind_name(), "refused");
    assert_eq!(host.operation_count(), 0);
    // The entries of the table reach to 2 TiB.
    let directory = directory();
    let path = directory.path().join("full.vhd");
    let image = small(&[0]);
    let (body, footer) = image.split_at(image.len() - 512);
    for (footer_sector, can) in [(0xffff_ffff_u64, 0), (0xffff_fffe, 1), (0xffff_fff5, 2)] {
        let file = fs::File::create(&path).unwrap();
        file.write_all_at(body, 0).unwrap();
        file.write_all_at(footer, footer_sector * 512).unwrap();
        let image = crate::image::open(&path, None).unwrap();
        for blocks in 1..=3 {
            let end = 4096 * (1 + blocks);
            let answer = image.can_write(&[0..512, 4096..end]);
            assert_eq!(answer.is_ok(), blocks <= can, "{footer_sector:#x}, {blocks}: {answer:?}");
        }
    }
}

/// Each field of the footers and of the dynamic header that says where something is.
#[test]
fn fields_that_cannot_be_are_refused() {
    let dynamic = small(&[0]);
    let fixed = [vec![0; 4096], footer(2, 4096)].concat();
    // A field of both footers, or of the dynamic header; with the right sums.
    let with = |image: &[u8], is_footer: bool, at: usize, value: u64, len: usize| {
        let mut image = image.to_vec();
        let end = image.len() - 512;
        let bytes = &value.to_be_bytes()[8 - len..];
        let structures: &[usize] = match (is_footer, image.starts_with(b"conectix")) {
            (true, true) => &[0, end],
            (true, false) => &[end],
            (false, _) => &[512],
        };
        for start in structures {
            image[start + at..][..len].copy_from_slice(bytes);
            let (len, sum_at) = if is_footer { (512, 64) } else { (1024, 36) };
            sum(&mut image[*start..start + len], sum_at);
        }
        open_bytes(image).map(|_| ())
    };
    let disk_bytes = (BLOCK * BLOCKS) as u64;
    for (image, is_footer, at, value, len, kind) in [
        (&dynamic, true, 12, 0x0001_0001, 4, None),
        (&dynamic, true, 12, 0x0002_0000, 4, Some("unsupported")),
        (&dynamic, true, 60, 5, 4, Some("corrupt")),
        (&dynamic, true, 48, 0, 8, Some("corrupt")),
        (&dynamic, true, 48, disk_bytes - 1, 8, Some("corrupt")),
        (&dynamic, true, 48, disk_bytes + 512, 8, Some("corrupt")),
        (&dynamic, true, 16, u64::MAX, 8, Some("corrupt")),
        (&dynamic, false, 24, 0x0002_0000, 4, Some("unsupported")),
        (&dynamic, false, 28, BLOCKS as u64 - 1, 4, Some("corrupt")),
        (&dynamic, false, 28, 1 << 27, 4, Some("limit")),
        (&dynamic, false, 28, 1 << 16, 4, Some("corrupt")),
        (&dynamic, false, 32, 5000, 4, Some("corrupt")),
        (&dynamic, false, 32, 1 << 29, 4, Some("corrupt")),
        (&dynamic, false, 16, 1537, 8, Some("corrupt")),
        (&fixed, true, 48, 4096, 8, None),
        (&fixed, true, 48, 2048, 8, None),
        (&fixed, true, 48, 4608, 8, Some("corrupt")),
    ] {
        let found = with(image, is_footer, at, value, len);
        let found = found.as_ref().err().map(crate::error::Error::kind_name);
        assert_eq!(found, kind, "{is_footer} {at} {value:#x}");
    }
    // The sums themselves: both footers alike, and the header.
    let end = dynamic.len() - 512;
    for places in [&[200, end + 200][..], &[512 + 200]] {
        let mut image = dynamic.clone();
        for place in places {
            image[*place] ^= 1;
        }
        assert!(open_bytes(image).unwrap_err().to_string().contains("checksum"), "{places:?}");
    }
}

/// A block may lie over nothing else, its bitmap included, and neither may what is written to a fixed image.
#[test]
fn blocks_over_structures_are_damage() {
    let good = small(&[0, 7]);
    let with = |index: usize, sector: u32| {
        let mut image = good.clone();
        image[1536 + 4 * index..][..4].copy_from_slice(&sector.to_be_bytes());
        image
    };
    // The table is at sector 3, the first block at 4 to 12, the second at 13 to 21, the footer at 22.
    for (sector, what) in [
        (0, "the copy of the footer"),
        (1, "the dynamic disk header"),
        (2, "the dynamic disk header"),
        (3, "the block allocation table"),
        (14, "the end of the file"),
    ] {
        let error = open_bytes(with(3, sector)).unwrap().read_vec(3 * 4096, 1).unwrap_err();
        assert!(error.to_string().contains(what), "{sector}: {error}");
    }
    // Only the bitmap of block 7 is over the data of block 3.
    let mut over = with(3, 5);
    over[1536..1540].fill(0xff);
    let medium = open_host(&MemoryHost::new(over)).unwrap();
    let error = can_write(&*medium, 3 * 4096, 3 * 4096 + 512).unwrap_err();
    assert!(error.to_string().contains("blocks 3 and 7"), "{error}");
    let mut fixed = open_host(&MemoryHost::new([vec![0; 4096], footer(2, 4096)].concat())).unwrap();
    assert!(fixed.write_at(4096, &[1; 512]).is_err() && fixed.write_at(3584, &[1; 1024]).is_err());
    // A file that does not end with a sector takes no block: where would the footer be?
    let mut odd = good.clone();
    odd.splice(good.len() - 512..good.len() - 512, [0; 100]);
    let medium = open_host(&MemoryHost::new(odd)).unwrap();
    can_write(&*medium, 0, 512).unwrap();
    let error = can_write(&*medium, 4096, 4608).unwrap_err();
    assert!(error.to_string().contains("does not end with a sector"), "{error}");
}
