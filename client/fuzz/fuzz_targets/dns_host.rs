//! The door `dns_host`: what it takes and promises stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ottla_client::fuzzing::dns_host(data);
});
