//! The command line: that of the peers for `produce`, `consume` and `latency`, so that one script runs them all.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ottla_protocol::compression::Compression;

/// What a record costs: in ottla's client, against any broker.
#[derive(Parser, Debug)]
#[command(name = "ottla-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to measure.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Send records as fast as the buffer takes them, until every one is acknowledged; prints a line of JSON
    Produce(Run),
    /// Read every partition of a topic from its start until `--count` records were seen; prints a line of JSON
    Consume(Run),
    /// Send at `--rate` and measure until each record comes back; prints a line of JSON
    Latency(Run),
    /// Print a hash of the payloads, equal for all peers
    Payloads(Run),
    /// Produce and consume against the development broker, and a real one if named; prints a table
    Compare(Compare),
    /// What encoding, sealing, decoding and each codec cost a record, without a socket
    Codec(Codec),
    /// What TLS costs: produce and consume against the development broker in the clear and under TLS 1.3; prints a table
    Tls(Tls),
    /// Run the development broker until standard input ends: the other end of `compare` and `tls`
    #[command(hide = true)]
    Broker {
        /// Under TLS
        #[arg(long)]
        tls: bool,
    },
}

/// The settings of one run.
#[derive(Args, Debug, Clone)]
pub(crate) struct Run {
    /// Brokers, host:port, separated by commas
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) brokers: String,
    /// The topic; made with one partition if there is none
    #[arg(long, default_value = "bench")]
    pub(crate) topic: String,
    /// Records
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) count: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 200)]
    pub(crate) size: usize,
    /// Whose acknowledgement counts
    #[arg(long, value_enum, default_value_t = AckLevel::All)]
    pub(crate) acks: AckLevel,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none", value_parser = compression)]
    pub(crate) compression: Compression,
    /// How long a batch waits for more records
    #[arg(long, default_value_t = 5)]
    pub(crate) linger_ms: u64,
    /// The size of a batch
    #[arg(long, default_value_t = 131_072)]
    pub(crate) batch_bytes: usize,
    /// P: record `id` goes to partition `id % P`; 0: the client decides
    #[arg(long, default_value_t = 0)]
    pub(crate) partitions: u32,
    /// Whether the broker drops what a retry sends twice
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    pub(crate) idempotence: Switch,
    /// Consume in this group
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Records a second, for `latency`
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: u64,
    /// How long a broker may hold a fetch that found nothing
    #[arg(long, default_value_t = 500)]
    pub(crate) fetch_wait_ms: u64,
    /// Under TLS, with the certificates of testdata/tls
    #[arg(long)]
    pub(crate) tls: bool,
    /// Which of the client's ways; there is one
    #[arg(long, value_enum, default_value_t = Mode::Default)]
    pub(crate) mode: Mode,
}

impl Run {
    pub(crate) fn bootstrap(&self) -> Vec<String> {
        self.brokers.split(',').map(str::to_owned).collect()
    }

    /// The partition that record `id` is sent to.
    pub(crate) fn partition(&self, id: u64) -> Option<i32> {
        (self.partitions > 0).then(|| (id % u64::from(self.partitions)) as i32)
    }

    pub(crate) fn fetch_wait(&self) -> Duration {
        Duration::from_millis(self.fetch_wait_ms)
    }
}

/// The ways there are.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Mode {
    Default,
}

/// Acknowledgements.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum AckLevel {
    All,
    #[value(name = "1")]
    Leader,
    #[value(name = "0")]
    None,
}

/// On or off.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
pub(crate) enum Switch {
    On,
    Off,
}

/// The settings of `compare`.
#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// A Kafka to measure against too, host:port; it keeps a topic a round, since this client deletes none
    #[arg(long)]
    pub(crate) brokers: Option<String>,
    /// Records
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) count: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 200)]
    pub(crate) size: usize,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none", value_parser = compression)]
    pub(crate) compression: Compression,
    /// How often; the table has the medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// The settings of `tls`.
#[derive(Args, Debug)]
pub(crate) struct Tls {
    /// Records
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) count: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 1000)]
    pub(crate) size: usize,
    /// How often; the table has the medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
}

/// The settings of `codec`.
#[derive(Args, Debug)]
pub(crate) struct Codec {
    /// Bytes of a value
    #[arg(long, default_value_t = 200)]
    pub(crate) size: usize,
    /// Bytes of a batch
    #[arg(long, default_value_t = 131_072)]
    pub(crate) batch_bytes: usize,
    /// How long to measure each
    #[arg(long, default_value_t = 500)]
    pub(crate) millis: u64,
}

fn compression(name: &str) -> Result<Compression, String> {
    name.parse().map_err(|_| "one of none, gzip, snappy, lz4, zstd".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_peers_flags_are_taken() {
        let words = "ottla-bench produce --mode default --brokers h:1 --size 100 --partitions 3 --topic t --count 5 --acks 1 \
                     --linger-ms 0 --compression zstd --batch-bytes 1000 --idempotence on --fetch-wait-ms 10";
        let Command::Produce(run) = Cli::parse_from(words.split_whitespace()).command else { panic!("produce") };
        assert_eq!((run.acks, run.idempotence, run.compression), (AckLevel::Leader, Switch::On, Compression::Zstd));
        assert_eq!((run.partition(4), run.size, run.count), (Some(1), 100, 5));
    }
}
