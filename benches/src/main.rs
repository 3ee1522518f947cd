//! `ottla-bench`: what a record costs, side by side with the peers.
//!
//! `produce`, `consume` and `latency` take the flags and print the line of JSON that the other clients' programs do;
//! `compare` runs the first two against the development broker, in a process of its own, and against a real Kafka; `tls` does
//! so with and without TLS; `codec` measures encoding and decoding alone. CPU time and memory are the whole process's.

mod args;
mod codec;
mod compare;
mod consume;
mod latency;
mod meter;
mod payload;
mod produce;
mod setup;
mod tls;

use std::fmt;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::payload::Payloads;

/// Why a run ended without a result.
pub(crate) enum Failure {
    /// Something went wrong. Exit 1.
    Failed(String),
    /// The client cannot do that. Exit 3, which the peers' script shows as "n/a".
    Unsupported(String),
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Unsupported(message)) => {
            eprintln!("unsupported: {message}");
            ExitCode::from(3)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Payloads(run) => println!("{:016x}", Payloads::new(run.size).hash()),
        Command::Produce(run) => println!("{}", produce::run(&run)?),
        Command::Consume(run) => println!("{}", consume::run(&run)?),
        Command::Latency(run) => println!("{}", latency::run(&run)?),
        Command::Compare(compare) => compare::run(&compare)?,
        Command::Codec(codec) => codec::run(&codec)?,
        Command::Tls(settings) => tls::run(&settings)?,
        Command::Broker { tls } => compare::broker(tls)?,
    }
    Ok(())
}
