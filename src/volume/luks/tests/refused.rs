//! What is named and left alone.

use super::{FAST_PBKDF2, Formatted, Header, PASSPHRASE, first, format, reason, second, secret};
use crate::disk::memory::MemoryDisk;
use crate::error::{ErrorKind, Refusal, VolumeObstacle};
use sha2::{Digest as _, Sha256};

/// Size of a copy of the header, and where the JSON starts in it.
pub(super) const COPY: usize = 16384;
pub(super) const JSON: usize = 4096;

/// Gives the copy of a header at `at` its checksum.
pub(super) fn seal(image: &mut [u8], at: usize) {
    image[at + 448..at + 512].fill(0);
    let digest = Sha256::digest(&image[at..at + COPY]);
    image[at + 448..at + 480].copy_from_slice(&digest);
}

/// A version 2 whose JSON went through `edit`, in both copies.
pub(super) fn edited(edit: impl Fn(&str) -> String) -> MemoryDisk {
    let mut image = second().image.clone();
    for at in [0, COPY] {
        let text: Vec<u8> =
            image[at + JSON..at + COPY].iter().copied().take_while(|byte| *byte != 0).collect();
        let text = edit(std::str::from_utf8(&text).unwrap());
        image[at + JSON..at + COPY].fill(0);
        image[at + JSON..][..text.len()].copy_from_slice(text.as_bytes());
        seal(&mut image, at);
    }
    MemoryDisk::new(image)
}

pub(super) fn replaced(from: &str, to: &str) -> MemoryDisk {
    edited(|text| {
        assert!(text.contains(from), "{from}: {text}");
        text.replace(from, to)
    })
}

fn kind(disk: &MemoryDisk) -> (VolumeObstacle, String) {
    match Header::read(disk).unwrap().obstacle().unwrap().kind() {
        ErrorKind::Refused(Refusal::UnsuitableVolume { obstacle, reason, .. }) => {
            (*obstacle, reason.clone())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_not_known_of_version_2_is_named() {
    use VolumeObstacle as Kind;
    let cipher = r#""iv_tweak":"0","encryption":"aes-xts-plain64""#;
    for (from, to, obstacle, part) in [
        (
            cipher,
            r#""iv_tweak":"0","encryption":"aes-cbc-essiv:sha256""#,
            Kind::Layout,
            "cipher is aes-cbc-essiv:sha256",
        ),
        (
            cipher,
            r#""iv_tweak":"0","encryption":"serpent-xts-plain64""#,
            Kind::Layout,
            "cipher is serpent-xts-plain64",
        ),
        (
            cipher,
            r#""iv_tweak":"0","encryption":"xchacha12,aes-adiantum-plain64""#,
            Kind::Layout,
            "adiantum",
        ),
        (cipher, r#""iv_tweak":"0","encryption":"\u001b[2J""#, Kind::Layout, "cipher is \\x1b[2J"),
        (
            r#""iv_tweak":"0","#,
            r#""iv_tweak":"0","integrity":{"type":"hmac(sha256)"},"#,
            Kind::Layout,
            "integrity",
        ),
        (r#""type":"crypt""#, r#""type":"hw-opal-crypt""#, Kind::Layout, "type hw-opal-crypt"),
        (r#""type":"crypt""#, r#""type":"linear""#, Kind::Layout, "type linear"),
        (r#""offset":"1048576""#, r#""offset":"0""#, Kind::Layout, "detached"),
        (
            r#""config":{"#,
            r#""config":{"requirements":{"mandatory":["online-reencrypt-v2"]},"#,
            Kind::Unfinished,
            "online-reencrypt-v2",
        ),
        (
            r#""config":{"#,
            r#""config":{"requirements":{"mandatory":["x-new"]},"#,
            Kind::Layout,
            "requires x-new",
        ),
        (
            r#""segments":{"#,
            r#""segments":{"1":{"type":"crypt","offset":"1","size":"1"},"#,
            Kind::Unfinished,
            "more than one segment",
        ),
        (
            r#""iv_tweak":"0","#,
            r#""iv_tweak":"0","flags":["in-reencryption"],"#,
            Kind::Unfinished,
            "more than one segment",
        ),
        (
            r#""type":"luks2""#,
            r#""type":"reencrypt""#,
            Kind::NoPassphrase,
            "no key slot takes a passphrase",
        ),
        (
            r#""type":"luks2","key_size":32"#,
            r#""type":"luks2","key_size":24"#,
            Kind::Layout,
            "key has 24 bytes",
        ),
    ] {
        let (found, reason) = kind(&replaced(from, to));
        assert_eq!(found, obstacle, "{reason}");
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn slots_that_cannot_be_tried_are_named() {
    for (from, to, part) in [
        (r#""type":"argon2id""#, r#""type":"scrypt""#, "key derivation is scrypt"),
        (
            r#""memory":32"#,
            r#""memory":4194305"#,
            "needs 4194305 KiB of memory, more than the limit of 4194304",
        ),
        (r#""time":4"#, r#""time":1001"#, "needs 1001 passes"),
        (r#""cpus":2"#, r#""cpus":17"#, "needs 17 lanes"),
        (r#""time":4,"memory":32"#, r#""time":100,"memory":4000000"#, "memory times passes"),
        (
            r#""stripes":4000,"hash":"sha256""#,
            r#""stripes":4000,"hash":"whirlpool""#,
            "hash is whirlpool",
        ),
        (
            r#""encryption":"aes-xts-plain64","key_size""#,
            r#""encryption":"twofish-xts-plain64","key_size""#,
            "twofish",
        ),
    ] {
        let disk = replaced(from, to);
        let error = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap_err();
        let reason = reason(&error);
        assert!(reason.contains("slot 0 was not tried: "), "{reason}");
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn slots_of_tokens_are_tried_last_and_told() {
    let tokens = |kind: &str| format!(r#""tokens":{{"0":{{"type":"{kind}","keyslots":["0"]}}}}"#);
    for (kind, obstacle) in [
        ("systemd-tpm2", VolumeObstacle::NoPassphrase),
        ("clevis", VolumeObstacle::NoPassphrase),
        ("systemd-recovery", VolumeObstacle::WrongPassphrase),
        ("luks2-keyring", VolumeObstacle::WrongPassphrase),
    ] {
        let disk = replaced(r#""tokens":{}"#, &tokens(kind));
        let header = Header::read(&disk).unwrap();
        // Who knows the secret of the token gets in.
        assert!(header.unlock(&disk, &secret(PASSPHRASE)).is_ok(), "{kind}");
        let error = header.unlock(&disk, &secret(b"other")).unwrap_err();
        let ErrorKind::Refused(Refusal::UnsuitableVolume { obstacle: found, reason, .. }) =
            error.kind()
        else {
            panic!("{error}");
        };
        assert_eq!(*found, obstacle, "{reason}");
        assert_eq!(reason.contains(kind), obstacle == VolumeObstacle::NoPassphrase, "{reason}");
    }
}

#[test]
fn what_is_not_known_of_version_1_is_named() {
    let changed = |at: usize, bytes: &[u8]| {
        let mut image = first().image.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        MemoryDisk::new(image)
    };
    for (at, bytes, part) in [
        (8, b"serpent\0".as_slice(), "cipher is serpent-xts-plain64"),
        (40, b"cbc-essiv:sha256\0", "cipher is aes-cbc-essiv:sha256"),
        (104, &[0; 4], "detached"),
        (108, &[0, 0, 0, 48], "key has 48 bytes"),
        (208, &[0, 0, 0xde, 0xad], "no key slot"),
    ] {
        let (_, reason) = kind(&changed(at, bytes));
        assert!(reason.contains(part), "{reason}");
    }
    let disk = changed(72, b"ripemd160\0");
    let error = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap_err();
    assert!(reason(&error).contains("hash is ripemd160"), "{error}");
    let disk = changed(212, &[0x7f, 0xff, 0xff, 0xff]);
    let error = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap_err();
    assert!(reason(&error).contains("2147483647 iterations"), "{error}");

    for (at, bytes, kind) in [
        (4, [0xde, 0xad].as_slice(), "refused"),
        (6, &[0, 3], "unsupported"),
        (208, &[1; 4], "corrupt"),
        (252, &[0xff; 4], "corrupt"),
        (0, b"X", "not_found"),
    ] {
        assert_eq!(Header::read(&changed(at, bytes)).unwrap_err().kind_name(), kind, "{at}");
    }
}

#[test]
fn a_real_volume_with_another_cipher_is_refused() {
    let essiv = ["--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"];
    let formatted: Formatted = format(&[&essiv, &FAST_PBKDF2]);
    let error = formatted.unlock().unwrap_err();
    assert!(reason(&error).contains("aes-cbc-essiv:sha256"), "{error}");
}

#[test]
fn one_whole_copy_of_the_header_is_enough() {
    let good = &second().image;
    for at in [0, COPY] {
        let mut image = good.clone();
        image[at + 5000] ^= 1;
        let header = Header::read(&MemoryDisk::new(image.clone())).unwrap();
        assert!(header.warnings[0].contains("checksum"), "{:?}", header.warnings);
        assert!(header.unlock(&MemoryDisk::new(image), &secret(PASSPHRASE)).is_ok());
    }
    let mut image = good.clone();
    image[..COPY].fill(0);
    assert!(Header::read(&MemoryDisk::new(image.clone())).is_ok());
    // Another content in front makes the second copy a leftover.
    image[1080] = 0x53;
    assert_eq!(Header::read(&MemoryDisk::new(image)).unwrap_err().kind_name(), "not_found");
    let mut image = good.clone();
    (image[4200], image[COPY + 4200]) = (0, 0);
    assert_eq!(Header::read(&MemoryDisk::new(image)).unwrap_err().kind_name(), "corrupt");
}

#[test]
fn the_copy_with_the_higher_number_counts() {
    for (at, label) in [(0, b"first"), (COPY, b"other")] {
        let mut image = second().image.clone();
        for (copy, name) in [(0, b"first"), (COPY, b"other")] {
            image[copy + 24..copy + 29].copy_from_slice(name);
            image[copy + 16..copy + 24].copy_from_slice(&7_u64.to_be_bytes());
        }
        image[at + 23] = 9;
        seal(&mut image, 0);
        seal(&mut image, COPY);
        assert_eq!(Header::read(&MemoryDisk::new(image)).unwrap().label, label);
    }
}

#[test]
fn segments_with_a_size_and_a_tweak_are_what_they_say() {
    let disk = replaced(r#""size":"dynamic","iv_tweak":"0""#, r#""size":"8192","iv_tweak":"8""#);
    let unlocked = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap();
    let over = |disk: MemoryDisk| -> std::sync::Arc<crate::disk::overlay::Overlay> {
        std::sync::Arc::new(crate::disk::overlay::Overlay::new(std::sync::Arc::new(disk)))
    };
    let clear = unlocked.over(over(disk)).unwrap();
    assert_eq!(clear.len_bytes(), 8192);
    // The same cipher text one sector later decrypts to the same with the tweak of one sector.
    let mut image = second().image.clone();
    image.copy_within(1 << 20..(1 << 20) + 4096, (1 << 20) + 4096);
    let plain = second().unlock().unwrap().over(over(MemoryDisk::new(image))).unwrap();
    assert_eq!(clear.read_vec(0, 4096).unwrap(), plain.read_vec(4096, 4096).unwrap());

    for size in ["8192000", "99999999", "4095", "0"] {
        let disk = replaced(r#""size":"dynamic""#, &format!(r#""size":"{size}""#));
        let unlocked = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap();
        assert_eq!(unlocked.over(over(disk)).unwrap_err().kind_name(), "corrupt");
    }
}
