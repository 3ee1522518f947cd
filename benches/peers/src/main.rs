//! ottla-protocol beside the other Rust crates that encode and decode Kafka's messages: the same bytes, one process, one
//! round of each after the other, so that whatever else the machine does falls on all of them.
//!
//! `cargo run --release` in this directory. README.md says what is measured and which of the peers' modules are public.

mod metadata;
mod race;
mod records;

#[path = "../../src/meter.rs"]
#[allow(dead_code, reason = "of the bench's own meter only the machine's name is wanted here")]
mod meter;

use std::hint::black_box;

use race::{Runner, Unit, race};

pub(crate) type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("machine: {}", meter::machine());
    let block = vec![0x5a_u8; 1 << 20];
    let copy = block.clone();
    race(
        "what the machine gives, a 1 MiB block",
        Unit::GigabytesPerSecond { bytes: block.len() },
        vec![
            Runner::new("CRC-32C", move || _ = black_box(crc32c::crc32c(black_box(&block)))),
            Runner::new("memcpy", move || _ = black_box(black_box(&copy).clone())),
        ],
    );
    metadata::run()?;
    records::run()
}
