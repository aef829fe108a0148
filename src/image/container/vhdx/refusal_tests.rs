//! What is refused, and what is damage.

use super::super::testing::{Made, MemoryHost, can_write, mixed_disk};
use super::tests::{MIB_LEN, OPTIONS, current, open_bytes, open_host, region, sum, sums};
use super::*;

#[test]
fn a_log_that_is_not_there_is_damage() {
    let made = Made::from_disk(&mixed_disk(MIB_LEN, 7), "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let at = current(&image);
    image[at + 48..at + 64].fill(0x11);
    sum(&mut image, at, 4096);
    let error = open_bytes(image.clone()).unwrap_err();
    assert!(error.to_string().contains("no sequence of entries in it is complete"), "{error}");
    assert_eq!(open_host(&MemoryHost::new(image)).unwrap_err().kind_name(), "refused");
    // The older header may say what it wants.
    let mut image = made.bytes();
    let other = if at == 64 * 1024 { 128 * 1024 } else { 64 * 1024 };
    image[other + 48..other + 64].fill(0x11);
    sum(&mut image, other, 4096);
    assert!(open_bytes(image).is_ok());
}

#[test]
fn blocks_in_one_place_or_over_structures_are_damage() {
    let disk = mixed_disk(4 * MIB_LEN, 9);
    let made = Made::from_disk(&disk, "vhdx", OPTIONS[1]);
    let good = made.bytes();
    let bat = region(&good, [0x66, 0x77, 0xc2, 0x2d]);
    let with = |index: usize, entry: u64| {
        let mut image = good.clone();
        image[bat + index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
        image
    };
    let first = u64::from_le_bytes(good[bat..bat + 8].try_into().unwrap());
    let medium = open_host(&MemoryHost::new(with(3, first))).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("blocks 0 and 3"), "{error}");
    can_write(&*medium, 1 << 20, (1 << 20) + 512).unwrap();
    for entry in [6, (1 << 20) | 6, ((bat as u64 >> 20) << 20) | 6, (1 << 40) | 6, first | 7] {
        let error = open_bytes(with(2, entry)).unwrap().read_vec(2 << 20, 1).unwrap_err();
        assert_eq!(error.kind_name(), "corrupt", "{entry:#x}");
    }
}

#[test]
fn differencing_images_are_refused_by_name() {
    let made = Made::from_disk(&mixed_disk(MIB_LEN, 10), "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let metadata = region(&image, [0x06, 0xa2, 0x7c, 0x8b]);
    let entries = image[metadata + 32..metadata + 32 + 2047 * 32].chunks_exact(32);
    let found = entries.clone().find(|entry| entry[..4] == [0x37, 0x67, 0xa1, 0xca]).unwrap();
    let at = metadata + u32::from_le_bytes(found[16..20].try_into().unwrap()) as usize;
    image[at + 4] |= 2;
    let error = open_bytes(image).unwrap_err();
    assert!(error.to_string().contains("qemu-img convert -p -f vhdx -O raw"), "{error}");
}

#[test]
fn a_device_takes_no_new_block() {
    let made = Made::from_disk(&[vec![0; MIB_LEN], vec![1; MIB_LEN]].concat(), "vhdx", OPTIONS[0]);
    let host = MemoryHost::device(made.bytes());
    let medium = open_host(&host).unwrap();
    can_write(&*medium, 1 << 20, (1 << 20) + 512).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("on a device"), "{error}");
    assert_eq!(host.operation_count(), 0);
}

/// Fields of the headers, the region table and the metadata that say where something is.
#[test]
fn fields_that_cannot_be_are_refused() {
    let made = Made::from_disk(&mixed_disk(2 * MIB_LEN, 12), "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let kind_of = |change: &dyn Fn(&mut [u8])| {
        let mut image = good.clone();
        change(&mut image);
        sums(&mut image);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name().to_owned())
    };
    let put = |at: usize, value: u64, len: usize| {
        kind_of(&|image| image[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]))
    };
    let is = |found: Option<String>, kind: &str| assert_eq!(found.as_deref(), Some(kind));
    let header = current(&good);
    is(put(header + 64, 1, 2), "unsupported");
    is(put(header + 66, 2, 2), "unsupported");
    is(put(header + 68, 4096, 4), "corrupt");
    is(put(header + 72, 1 << 60, 8), "corrupt");
    // Both copies of the region table: entries start at 16, each of 32 bytes.
    let both = |at: usize, bytes: &[u8]| {
        kind_of(&|image| {
            for table in [192 << 10, 256 << 10] {
                image[table + at..table + at + bytes.len()].copy_from_slice(bytes);
            }
        })
    };
    let first = &good[(192 << 10) + 16..][..32];
    let second = &good[(192 << 10) + 48..][..32];
    is(both(8, &2048u32.to_le_bytes()), "corrupt");
    is(both(8, &1u32.to_le_bytes()), "corrupt");
    is(both(48, first), "corrupt");
    // The second region where the first one is, and where the log is.
    is(both(48 + 16, &first[16..24]), "corrupt");
    is(both(48 + 16, &good[header + 72..header + 80]), "corrupt");
    is(both(48 + 16, &(1u64 << 50).to_le_bytes()), "corrupt");
    is(both(48 + 24, &4096u32.to_le_bytes()), "corrupt");
    // A third region that is not known: it may be there if it is not required.
    let end = (good.len() as u64).next_multiple_of(MIB);
    let third = |required: u32| {
        let mut image = good.clone();
        image.resize(end as usize + MIB_LEN, 0);
        let guid = [[7; 16].as_slice(), &end.to_le_bytes(), &(MIB as u32).to_le_bytes()].concat();
        for table in [192 << 10, 256 << 10] {
            image[table + 8..table + 12].copy_from_slice(&3u32.to_le_bytes());
            image[table + 80..table + 108].copy_from_slice(&guid);
            image[table + 108..table + 112].copy_from_slice(&required.to_le_bytes());
        }
        sums(&mut image);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name())
    };
    assert_eq!((third(0), third(1)), (None, Some("unsupported")));
    assert_ne!(first[..16], second[..16]);
}

/// Fields of the metadata.
#[test]
fn lengths_that_cannot_be_are_refused() {
    let made = Made::from_disk(&mixed_disk(2 * MIB_LEN, 12), "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let table = region(&good, [0x06, 0xa2, 0x7c, 0x8b]);
    let entry_of = |start: [u8; 4]| {
        let entries = (0..16).map(|number| table + 32 + number * 32);
        entries.into_iter().find(|at| good[*at..at + 4] == start).unwrap()
    };
    let [parameters, size, sector] =
        [[0x37, 0x67, 0xa1, 0xca], [0x24, 0x42, 0xa5, 0x2f], [0x1d, 0xbf, 0x41, 0x81]]
            .map(entry_of);
    let item = |entry: usize| {
        table + u32::from_le_bytes(good[entry + 16..entry + 20].try_into().unwrap()) as usize
    };
    let kind = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name())
    };
    for bytes in [512u32 << 10, 512 << 20, 3 << 20, 0] {
        assert_eq!(kind(item(parameters), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    for bytes in [0, 513, 65 << 40, u64::MAX - 511, 16 << 40] {
        assert_eq!(kind(item(size), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    for bytes in [0u32, 1024, 8192] {
        assert_eq!(kind(item(sector), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    // Items in the table itself, behind the region, and of another length; twice; not there; unknown and required.
    assert_eq!(kind(sector + 16, &64u32.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector + 16, &(8u32 << 20).to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector + 20, &8u32.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector, &good[size..size + 32]), Some("corrupt"));
    assert_eq!(
        kind(sector, &[[7; 16].as_slice(), &good[sector + 16..sector + 24], &[0; 4]].concat()),
        Some("corrupt")
    );
    assert_eq!(kind(sector, &[7; 32]), Some("unsupported"));
    assert_eq!(kind(table + 10, &2048u16.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(table, b"metadatA"), Some("corrupt"));
}

/// Without a log no new block can be entered, and what is in the log of regain can only be what regain writes.
#[test]
fn logs_that_regain_does_not_write() {
    let made = Made::empty(2 * MIB_LEN, "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let at = current(&good);
    let mut image = good.clone();
    image[at + 68..at + 72].fill(0);
    sum(&mut image, at, 4096);
    let medium = open_host(&MemoryHost::new(image)).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("a VHDX without a log"), "{error}");
    // Zeros, and a longer file, both by an entry with the identifier of regain.
    let log_at = u64::from_le_bytes(good[at + 72..at + 80].try_into().unwrap()) as usize;
    let bat = region(&good, [0x66, 0x77, 0xc2, 0x2d]);
    let guid = header::own_log_guid().unwrap();
    let page = good[bat..bat + 4096].to_vec();
    for (is_longer, has_zeros, refused) in
        [(false, false, false), (true, false, true), (false, true, true)]
    {
        let len = good.len() as u64;
        let mut entry = log::entry(&guid, &[(bat as u64, page.clone())], len).unwrap();
        if is_longer {
            entry[56..64].copy_from_slice(&(len + MIB).to_le_bytes());
        }
        if has_zeros {
            entry[64..68].copy_from_slice(b"zero");
            entry[72..80].copy_from_slice(&4096u64.to_le_bytes());
        }
        sum(&mut entry, 0, 8192);
        let mut image = good.clone();
        image[log_at..log_at + 8192].copy_from_slice(&entry);
        image[at + 48..at + 64].copy_from_slice(&guid);
        sum(&mut image, at, 4096);
        assert!(open_bytes(image.clone()).is_ok());
        let host = MemoryHost::new(image);
        let opened = open_host(&host);
        assert_eq!(opened.is_err(), refused, "{is_longer} {has_zeros}");
        assert_eq!(host.operation_count() == 0, refused);
    }
}
