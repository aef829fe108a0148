//! A damaged qcow2, read and written: no panic, an end, and the disk that was announced.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::image::format::Format;

fuzz_target!(|bytes: &[u8]| regain_fuzz::try_container(Format::Qcow2, bytes));
