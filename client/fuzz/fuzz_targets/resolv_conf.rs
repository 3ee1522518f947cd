//! The door `resolv_conf`: what it takes and promises stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ottla_client::fuzzing::resolv_conf(data);
});
