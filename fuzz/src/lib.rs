//! What the targets share: good file systems, and damage made from the bytes of the fuzzer.

use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

/// Good file systems of different features, made by `fixtures/fuzz/generate`.
static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/fuzz/ext4.zst").as_slice(),
        include_bytes!("../../fixtures/fuzz/ext2.zst"),
        include_bytes!("../../fixtures/fuzz/inline.zst"),
        include_bytes!("../../fixtures/fuzz/journal.zst"),
    ]
    .map(|compressed| {
        let mut image = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(compressed).expect("a fixture");
        decoder.read_to_end(&mut image).expect("a fixture");
        image
    })
    .into()
});

/// A good file system with damage: the first byte chooses the image, then each group of six bytes is an offset
/// (four bytes, little-endian, modulo the length) and the two bytes that go there.
pub fn damaged(bytes: &[u8]) -> Arc<Overlay> {
    let (choice, damage) = bytes.split_first().unwrap_or((&0, &[]));
    let mut image = IMAGES[usize::from(*choice) % IMAGES.len()].clone();
    for group in damage.chunks_exact(6) {
        let offset = u32::from_le_bytes([group[0], group[1], group[2], group[3]]) as usize;
        let at = offset % (image.len() - 1);
        image[at..at + 2].copy_from_slice(&group[4..]);
    }
    Arc::new(Overlay::new(Arc::new(MemoryDisk::new(image))))
}
