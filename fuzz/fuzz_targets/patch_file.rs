//! Patch files: no panic, and what decodes encodes to a file that decodes to the same.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::patch::Patch;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(patch) = Patch::decode(bytes) {
        let again = Patch::decode(&patch.encode().expect("decoded patches encode"));
        assert_eq!(again.expect("encoded patches decode"), patch);
    }
});
