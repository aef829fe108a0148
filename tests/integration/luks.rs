//! Encrypted volumes, judged by qemu and by cryptsetup.

use crate::support::luks::{self, Kind};
use crate::support::rng::Rng;
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use regain::disk::{Disk as _, DiskEdit};

const LEN: usize = (1 << 20) + 4096;

/// Overwrites pieces of every shape in `disk` and in `model`.
fn write_pieces(disk: &dyn DiskEdit, model: &mut [u8], random: &mut Rng) {
    for size in [1, 15, 512, 700, 4096, 5000, 70_000, 200_000] {
        let at = random.index(model.len() - size);
        let bytes = random.bytes(size);
        disk.write_at(at as u64, &bytes, "a test").unwrap();
        model[at..at + size].copy_from_slice(&bytes);
    }
}

#[test]
fn what_others_encrypted_is_read_and_what_is_written_others_decrypt() {
    let scratch = Scratch::new();
    let [image, container, out] = ["image", "container", "out"].map(|name| scratch.join(name));
    let mut random = Rng::new(21);
    let mut model = random.bytes(LEN);
    sparse::write(&image, &model);
    for kind in Kind::ALL {
        luks::put(&image, kind, &container);
        let (overlay, clear) = luks::unlock(&container);
        assert!(clear.read_vec(0, LEN).unwrap() == model, "{kind:?}");
        write_pieces(clear.as_ref(), &mut model, &mut random);
        let after = overlay.read_vec(0, overlay.len_bytes() as usize).unwrap();
        // What is before the payload is as it was.
        let before = sparse::read(&container);
        let payload = luks::PAYLOAD_BYTES as usize;
        assert!(after[..payload] == before[..payload], "{kind:?}");
        sparse::write(&container, &after);
        luks::take(&container, kind, LEN as u64, &out);
        assert!(sparse::read(&out) == model, "{kind:?}");
        sparse::write(&image, &model);
    }
}

/// cryptsetup decrypts the whole container in place. It wants the lock of reencryptions, which is root's.
#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_cryptsetup_decrypts_large_sectors() {
    let scratch = Scratch::new();
    let [image, container, header] =
        ["image", "container", "header"].map(|name| scratch.join(name));
    let mut random = Rng::new(22);
    let mut model = random.bytes(16 << 20);
    sparse::write(&image, &model);
    luks::put(&image, Kind::LargeSectors, &container);
    let (overlay, clear) = luks::unlock(&container);
    write_pieces(clear.as_ref(), &mut model, &mut random);
    sparse::write(&container, &overlay.read_vec(0, overlay.len_bytes() as usize).unwrap());
    let passphrase = luks::passphrase_file(scratch.path());
    let paths = [&header, &passphrase, &container].map(|path| path.to_str().unwrap());
    let arguments = [
        "-q",
        "reencrypt",
        "--decrypt",
        "--force-offline-reencrypt",
        "--header",
        paths[0],
        "--key-file",
        paths[1],
        paths[2],
    ];
    tools::succeed("cryptsetup", &arguments);
    let decrypted = sparse::read(&container);
    assert!(decrypted[..model.len()] == model);
}
