//! The door `codecs`: what it takes and promises stands there.
#![no_main]

#[path = "../../tests/support/entry.rs"]
#[allow(dead_code, reason = "the other targets have the other doors")]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::codecs(data));
