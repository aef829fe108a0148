//! Headers of encrypted volumes: no panic, an end.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::disk::memory::MemoryDisk;
use regain::volume::luks::Header;

fuzz_target!(|bytes: &[u8]| {
    let image = match bytes.split_first() {
        Some((choice, rest)) if choice % 2 == 1 => {
            let mut image = rest.to_vec();
            image.resize(image.len().max(64 << 10), 0);
            image
        }
        _ => regain_fuzz::luks2_header(bytes),
    };
    if let Ok(header) = Header::read(&MemoryDisk::new(image)) {
        let _ = header.obstacle().map(|error| error.to_string());
    }
});
