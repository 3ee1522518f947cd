//! The door `dns_answer`: what it takes and promises stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ottla_client::fuzzing::dns_answer(data);
});
