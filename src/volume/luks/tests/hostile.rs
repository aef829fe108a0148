//! Damaged headers: no panic, an end, bounded memory.

use super::refused::{COPY, JSON, edited, seal};
use super::{Header, PAYLOAD, first, second};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::volume::luks::Unlocked;
use std::sync::Arc;

const ROUNDS: usize = 2000;

fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// Uses a header as far as that is possible without the key.
fn use_header(image: Vec<u8>) -> bool {
    let disk = Arc::new(MemoryDisk::new(image));
    let Ok(header) = Header::read(disk.as_ref()) else {
        return false;
    };
    let _ = header.obstacle().map(|error| error.to_string());
    let Ok(segment) = header.segment else {
        return true;
    };
    let unlocked = Unlocked::with_key(&vec![1; segment.key_bytes], segment);
    if let Ok(clear) = unlocked.over(Arc::new(Overlay::new(disk))) {
        let len = clear.len_bytes();
        clear.write_at(len - 1, b"x", "a test").unwrap();
        assert_eq!(clear.read_vec(len - 1, 1).unwrap(), b"x");
    }
    true
}

/// The header with as much of the payload as the damage may need.
fn small(image: &[u8], header: usize) -> Vec<u8> {
    let mut small = image[..header].to_vec();
    small.resize((1 << 20) + PAYLOAD / 4, 0);
    small
}

#[test]
fn damaged_headers_of_version_1_end_in_a_defect_or_in_something_whole() {
    let good = small(&first().image, 1024);
    let (mut seed, mut whole) = (1, 0);
    for _ in 0..ROUNDS {
        let mut image = good.clone();
        for _ in 0..=(next(&mut seed) % 3) {
            let at = next(&mut seed) % 592;
            image[at] = [0, 1, 0x7f, 0xff, next(&mut seed) as u8][next(&mut seed) % 5];
        }
        whole += usize::from(use_header(image));
    }
    assert!(whole > ROUNDS / 4, "{whole}");
}

#[test]
fn damaged_headers_of_version_2_end_in_a_defect_or_in_something_whole() {
    let good = small(&second().image, 2 * COPY);
    let words = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "-1",
        "0",
        "18446744073709551615",
        "18446744073709551616",
        "null",
        "\\",
        "\"0\"",
        "1e999",
        "dynamic",
        "\u{0}",
    ];
    let (mut seed, mut whole) = (2, 0);
    for round in 0..ROUNDS {
        let mut image = good.clone();
        for _ in 0..=(next(&mut seed) % 2) {
            if round % 4 == 0 {
                let at = next(&mut seed) % 512;
                image[at] = [0, 1, 0x7f, 0xff, next(&mut seed) as u8][next(&mut seed) % 5];
            } else {
                let at = JSON + next(&mut seed) % 1000;
                let word = words[next(&mut seed) % words.len()].as_bytes();
                image[at..at + word.len()].copy_from_slice(word);
            }
        }
        seal(&mut image, 0);
        image[COPY..2 * COPY].fill(0);
        whole += usize::from(use_header(image));
    }
    assert!(whole > ROUNDS / 20, "{whole}");
}

#[test]
fn json_that_is_deep_or_long_is_bounded() {
    for text in [
        "[".repeat(12_000),
        format!("{{\"keyslots\":{}", "[".repeat(10_000)),
        format!("{{\"x\":[{}1],", "[],".repeat(3000)),
        "{\"keyslots\":{},\"segments\":{},\"digests\":{},\"config\":{}}".to_owned(),
        "{}".to_owned(),
        String::new(),
    ] {
        let disk = edited(|_| text.clone());
        assert_eq!(
            Header::read(&disk).unwrap_err().kind_name(),
            "corrupt",
            "{}",
            &text[..text.len().min(20)]
        );
    }
    // Every number of slots above the limit.
    let many = edited(|text| {
        let slot = r#"{"type":"none","key_size":1,"area":{"type":"none"}}"#;
        let slots: Vec<_> = (1..40).map(|number| format!("\"{number}\":{slot}")).collect();
        text.replace("\"keyslots\":{", &format!("\"keyslots\":{{{},", slots.join(",")))
    });
    assert!(Header::read(&many).unwrap_err().to_string().contains("32 at most"));
    // Each digest costs as much as a key slot.
    let many = edited(|text| {
        let digest = r#"{"type":"x","keyslots":[],"segments":[],"salt":"","digest":""}"#;
        let digests: Vec<_> = (1..9).map(|number| format!("\"{number}\":{digest}")).collect();
        text.replace("\"digests\":{", &format!("\"digests\":{{{},", digests.join(",")))
    });
    assert!(Header::read(&many).unwrap_err().to_string().contains("8 at most"));
}

#[test]
fn short_disks_are_no_headers() {
    for (formatted, header_bytes) in [(first(), 592), (second(), COPY)] {
        for len in [0, 1, 6, 8, 100, 512, 591, 4095, 5000, COPY - 1] {
            let disk = MemoryDisk::new(formatted.image[..len.min(header_bytes - 1)].to_vec());
            assert!(Header::read(&disk).is_err(), "{len}");
        }
        assert!(Header::read(&formatted.disk()).is_ok());
    }
}
