//! Shows Kafka frames field by field, with byte offsets; with `--check` encodes each again instead and compares.
//!
//! `cargo run -p ottla-protocol --example decode -- --help` says how. The work is in [`tool`], where tests reach it.

mod tool;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    match tool::run(std::env::args().skip(1), input, output) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads us has read enough, like `head`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
