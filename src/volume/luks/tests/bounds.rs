//! What a header may not make regain do: write into its own keys, compute without end, or guess.

use super::refused::{COPY, edited, replaced, seal};
use super::{Formatted, Header, PASSPHRASE, first, second, secret};
use crate::disk::memory::MemoryDisk;

fn message(disk: &MemoryDisk) -> String {
    let error = Header::read(disk).unwrap_err();
    assert_eq!(error.kind_name(), "corrupt", "{error}");
    error.to_string()
}

/// [`first`] with other bytes at `at`.
fn first_with(at: usize, bytes: &[u8]) -> MemoryDisk {
    let mut image = first().image.clone();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    MemoryDisk::new(image)
}

#[test]
fn the_payload_never_reaches_into_the_keys_of_version_1() {
    let Formatted { image, .. } = first();
    let number = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap());
    // The area of slot 0: its start in sectors, and 4000 stripes of the key.
    let end = number(248) + 4000 * 64 / 512;
    for (sectors, is_right) in [(1, false), (2, false), (end - 1, false), (end, true)] {
        let disk = first_with(104, &sectors.to_be_bytes());
        if is_right {
            assert!(Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).is_ok());
        } else {
            assert!(message(&disk).contains("inside the key slots"), "{sectors}");
        }
    }
}

#[test]
fn the_payload_never_reaches_into_the_keys_of_version_2() {
    let offset = |bytes: u64| replaced(r#""offset":"1048576""#, &format!(r#""offset":"{bytes}""#));
    // Slot 0 has 131072 bytes from 32768.
    for (bytes, is_right) in [(512, false), (32768, false), (163_328, false), (163_840, true)] {
        let disk = offset(bytes);
        if is_right {
            assert!(Header::read(&disk).unwrap().obstacle().is_none());
        } else {
            assert!(message(&disk).contains("place behind the headers and key slots"), "{bytes}");
        }
    }
    assert!(message(&offset(1_048_577)).contains("place behind"));
    // A slot behind the start of the payload is in it, or nowhere.
    for (place, part) in [("1048576", "behind the headers"), ("18446744073709551615", "on a disk")]
    {
        let disk = replaced(r#""offset":"32768""#, &format!(r#""offset":"{place}""#));
        assert!(message(&disk).contains(part), "{}", message(&disk));
    }
    for (size, part) in [("", "slot with area"), (r#","size":"127999""#, "room for its stripes")] {
        let area = format!(r#""offset":"32768"{size}"#);
        let disk = replaced(r#""offset":"32768","size":"131072""#, &area);
        assert!(message(&disk).contains(part), "{}", message(&disk));
    }
    // The headers are in the way as well, if no key is.
    let gone = r#""keyslots":{},"was":{"#;
    let disk = edited(|text| {
        let text = text
            .replace(r#""keyslots":{"#, gone)
            .replace(r#""keyslots":["0"]"#, r#""keyslots":[]"#);
        text.replace(r#""offset":"1048576""#, r#""offset":"32256""#)
    });
    assert!(message(&disk).contains("place behind the headers and key slots"));
}

#[test]
fn names_that_occur_twice_are_refused() {
    for (list, more) in [
        ("keyslots", r#""0":{"type":"luks2","key_size":32,"area":{"type":"raw"}},"#),
        ("segments", r#""0":{"type":"crypt","offset":"4194304","size":"dynamic"},"#),
        ("digests", r#""0":{"type":"x","keyslots":[],"segments":[],"salt":"","digest":""},"#),
    ] {
        let disk = replaced(&format!(r#""{list}":{{"#), &format!(r#""{list}":{{{more}"#));
        assert!(message(&disk).contains("occurs twice"), "{list}: {}", message(&disk));
        let disk = replaced(&format!(r#""{list}":{{"#), &format!(r#""{list}":{{}},"{list}":{{"#));
        assert!(message(&disk).contains("duplicate field"), "{list}: {}", message(&disk));
    }
    let twice = r#""tokens":{"0":{"type":"a"},"0":{"type":"b"}}"#;
    assert!(message(&replaced(r#""tokens":{}"#, twice)).contains("occurs twice"));
}

#[test]
fn digests_are_bounded() {
    let digest = |text: &str, key: &str| -> String {
        let at = text.find("\"digests\":").unwrap();
        let start = text[at..].find(key).unwrap() + at;
        let end = text[start..].find([',', '}']).unwrap() + start;
        text[start..end].to_owned()
    };
    for (key, value, part) in [
        ("\"iterations\":", "\"iterations\":10000001", "1 to 10000000 iterations"),
        ("\"iterations\":", "\"iterations\":0", "1 to 10000000 iterations"),
        ("\"digest\":", "\"digest\":\"AAAA\"", "digest of 16 to 64 bytes"),
        ("\"salt\":", "\"salt\":\"?\"", "digest with a salt"),
    ] {
        let disk = edited(|text| {
            let at = text.find("\"digests\":").unwrap();
            let (head, tail) = text.split_at(at);
            head.to_owned() + &tail.replacen(&digest(text, key), value, 1)
        });
        assert!(message(&disk).contains(part), "{}", message(&disk));
    }
    let many = |count: usize| {
        let other = r#"{"type":"x","keyslots":[],"segments":[],"salt":"","digest":""}"#;
        let others: Vec<String> =
            (1..count).map(|number| format!("\"{number}\":{other}")).collect();
        replaced(r#""digests":{"#, &format!(r#""digests":{{{},"#, others.join(",")))
    };
    assert!(message(&many(9)).contains("list of 8 at most"));
    assert!(Header::read(&many(8)).unwrap().obstacle().is_none());
    let disk = first_with(164, &10_000_001_u32.to_be_bytes());
    assert!(message(&disk).contains("iterations of its digest is 10000001"));
}

#[test]
fn all_key_slots_together_are_bounded() {
    // Each of them is within the limit, and none is computed here: the cost is counted first.
    let costly = edited(|text| {
        let start = text.find(r#""0":{"type":"luks2""#).unwrap();
        let end = text.find(r#""tokens""#).unwrap_or(text.len());
        let slot = &text[start..end];
        let depth = slot.char_indices().scan(0_i32, |depth, (at, byte)| {
            *depth += i32::from(byte == '{') - i32::from(byte == '}');
            Some((at, *depth, byte))
        });
        let last = depth.filter(|(_, depth, byte)| *depth == 0 && *byte == '}').map(|it| it.0);
        let slot = &slot[4..=last.take(1).last().unwrap()];
        let slow = slot.replace(r#""time":4,"memory":32"#, r#""time":16,"memory":4194304"#);
        assert_ne!(slow, slot);
        // The last one is cheap, and comes too late.
        let first = r#""priority":2,"#;
        let slots: Vec<String> = (1..6)
            .map(|number| format!("\"{number}\":{}", slow.replacen('{', &format!("{{{first}"), 1)))
            .collect();
        let names: Vec<String> = (0..6).map(|number| format!("\"{number}\"")).collect();
        let text = text.replace(r#""keyslots":{"#, &format!("\"keyslots\":{{{},", slots.join(",")));
        text.replace(r#""keyslots":["0"]"#, &format!("\"keyslots\":[{}]", names.join(",")))
    });
    let header = Header::read(&costly).unwrap();
    let costs: Vec<u64> = header.keyslots.iter().map(|slot| header.cost(slot)).collect();
    assert_eq!((costs.len(), costs[0]), (6, 1000 + costs[5]), "{costs:?}");
    assert!(costs[5] < 10, "{costs:?}");
    let sum: u64 = costs[..5].iter().sum();
    assert!(sum > super::super::unlock::COST_MAX, "{costs:?}");
}

#[test]
fn copies_of_different_changes_are_told() {
    let mut image = second().image.clone();
    assert_eq!(Header::read(&second().disk()).unwrap().warnings, [""; 0]);
    image[COPY + 23] ^= 0x40;
    seal(&mut image, COPY);
    let header = Header::read(&MemoryDisk::new(image)).unwrap();
    assert_eq!(header.warnings, ["the copies of the header are of different changes"]);
}

#[test]
fn a_size_of_the_copies_that_the_format_lacks_is_refused() {
    for size in [0_u64, 0x2000, 0x5000, 0x80_0000, u64::MAX] {
        let mut image = second().image.clone();
        image[COPY..2 * COPY].fill(0);
        image[8..16].copy_from_slice(&size.to_be_bytes());
        assert!(message(&MemoryDisk::new(image)).contains("none that the format has"), "{size}");
    }
}
