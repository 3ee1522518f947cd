//! `ottla dev`: the development broker in the foreground, for any Kafka client.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use ottla_devbroker::{DevBroker, Release};

use super::signals::first_signal;
use super::{print, say};
use crate::config::address::{self, Address};
use crate::exit::{Exit, Failure};

/// How many MiB of records a development broker keeps unless it is told otherwise; the embedded one keeps as many.
pub(super) const RETENTION_MIB: u64 = 1024;

/// Arguments of `ottla dev`.
#[derive(Debug, Args)]
#[command(
    after_help = "Bounds: 1000 connections (with more, the one that has waited longest for its next request is closed), \
    each closed after 10 minutes without a request; requests up to 100 MiB (512 KiB before a login), whole within 30 seconds, \
    256 MiB of them at a time; 10,000 partitions a topic, 200,000 in all; 10,000 groups with 10,000 members."
)]
pub struct DevArgs {
    /// Where to listen; a loopback address. Port 0 takes any free port.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: String,
    /// The Kafka release to play: its API versions and no others.
    #[arg(long, value_name = "RELEASE", default_value = "2.3")]
    release: Release,
    /// Partitions of topics that are created on demand.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Create topics when a client asks for them.
    #[arg(long, value_enum, value_name = "on|off", default_value_t = Switch::On)]
    auto_create: Switch,
    /// How many MiB of records are kept in all topics together; with more, the oldest are deleted.
    #[arg(long, value_name = "MIB", default_value_t = RETENTION_MIB, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    retention_mib: u64,
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Serves until SIGINT, SIGTERM or SIGHUP, then ends with exit 0.
pub async fn run(args: DevArgs) -> Result<Exit, Failure> {
    let listen = loopback(&args.listen)?;
    // Before the first word of output, so that a signal sent on seeing it is not missed.
    let stop = first_signal()?;
    let builder = DevBroker::builder().listen(&listen).partitions(args.partitions).release(args.release);
    let builder = builder.retention_bytes(args.retention_mib << 20);
    let broker = builder.auto_create(args.auto_create == Switch::On).start().await.map_err(|error| {
        Failure::environment(format!("the development broker did not start: {error}"))
            .with_help("--listen 127.0.0.1:0 takes any free port")
    })?;
    let bootstrap = broker.bootstrap().join(",");
    print(&format!("{bootstrap}\n"))?;
    say(&welcome(&bootstrap, &args));
    stop.await;
    say("stopping; all topics are gone now");
    broker.shutdown().await;
    Ok(Exit::Ok)
}

fn welcome(bootstrap: &str, args: &DevArgs) -> String {
    let creation = match (args.auto_create, args.partitions) {
        (Switch::Off, _) => "topics are not created on demand".to_owned(),
        (Switch::On, 1) => "topics are created on demand with 1 partition".to_owned(),
        (Switch::On, many) => format!("topics are created on demand with {many} partitions"),
    };
    format!(
        "development broker on {bootstrap}: it speaks Kafka {}, {creation}.\n\
         Everything is in memory and gone when it stops, the oldest records beyond {} MiB before that; it is for development \
         and tests, not for production.\n\
         \n\
         Try, in another terminal:\n  \
           ottla demo --dir .                                  10,000 orders in orders-copy.jsonl\n  \
           ottla copy orders-copy.jsonl kafka://{bootstrap}/orders\n  \
           ottla copy kafka://{bootstrap}/orders -\n  \
           kcat -b {bootstrap} -L\n\
         \n\
         Ctrl-C stops it.",
        args.release, args.retention_mib
    )
}

/// The address to listen on, with a loopback IP as its host.
fn loopback(listen: &str) -> Result<String, Failure> {
    // Port 0 is no address to connect to, but one to listen on.
    let (host, any_port) = match listen.strip_suffix(":0") {
        Some(host) => (format!("{host}:1"), true),
        None => (listen.to_owned(), false),
    };
    let wrong = |error: address::AddressError| {
        Failure::usage(format!("--listen {listen}: {}", error.problem)).with_help(error.help)
    };
    let mut address: Address = address::parse(&host).map_err(wrong)?;
    if address.host.eq_ignore_ascii_case("localhost") {
        "127.0.0.1".clone_into(&mut address.host);
    }
    if !address.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Err(Failure::usage(format!("--listen {listen}: the development broker listens on loopback addresses only"))
            .with_help("it has neither access control nor encryption; write 127.0.0.1, [::1] or localhost, and use an SSH tunnel from elsewhere"));
    }
    let text = address.to_string();
    Ok(if any_port { format!("{}:0", text.strip_suffix(":1").unwrap_or(&text)) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for (given, used) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("127.8.8.8:1", "127.8.8.8:1"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:0", "[::1]:0"),
            ("LOCALHOST:9092", "127.0.0.1:9092"),
        ] {
            assert_eq!(loopback(given), Ok(used.to_owned()));
        }
        for refused in ["0.0.0.0:9092", "[::]:9092", "192.168.0.1:0", "example.com:9092", "localhost", ":9092", ""] {
            assert_eq!(loopback(refused).map_err(|failure| failure.exit), Err(Exit::Usage), "{refused}");
        }
    }
}
