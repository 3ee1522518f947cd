//! Writes what the fuzzer begins with, from Kafka's golden bytes: a file an input, `corpus/<target>/<number>`.

#[path = "../tests/support/corpus.rs"]
mod corpus;
#[path = "../tests/support/entry.rs"]
#[allow(dead_code, reason = "of the doors only their names are wanted here")]
mod entry;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{fs, io};

fn main() -> io::Result<()> {
    for (door, _) in entry::DOORS {
        let inputs = corpus::corpus(door);
        fs::create_dir_all(format!("corpus/{door}"))?;
        for (i, input) in inputs.iter().enumerate() {
            fs::write(format!("corpus/{door}/{i:04}"), input)?;
        }
        println!("{door}: {} inputs", inputs.len());
    }
    Ok(())
}
