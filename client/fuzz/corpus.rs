//! Writes what the fuzzer begins with, recorded log-ins among it: a file an input, `corpus/<target>/<number>`.

use std::{fs, io};

use ottla_client::fuzzing::{DOORS, corpus};

fn main() -> io::Result<()> {
    for (door, _) in DOORS {
        let inputs = corpus(door);
        fs::create_dir_all(format!("corpus/{door}"))?;
        for (i, input) in inputs.iter().enumerate() {
            fs::write(format!("corpus/{door}/{i:04}"), input)?;
        }
        println!("{door}: {} inputs", inputs.len());
    }
    Ok(())
}
