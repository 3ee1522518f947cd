//! What TLS costs: the same runs in the clear and under TLS 1.3. Broker and runs are processes of their own, so that the CPU
//! time is the client's alone.

use ottla_client::{Pem, TlsOptions, TrustedCa};
use ottla_devbroker::Builder;

use crate::args::Tls;
use crate::compare::{Broker, child, median};
use crate::{Failure, meter};

const CA: &str = include_str!("../../testdata/tls/ca.pem");
const CERTIFICATE: &str = include_str!("../../testdata/tls/server.pem");
const KEY: &str = include_str!("../../testdata/tls/server.key");

/// What a run's client trusts.
pub(crate) fn options() -> TlsOptions {
    TlsOptions { ca: TrustedCa::Pem(Pem::text(CA)), ..TlsOptions::default() }
}

/// The broker's side of it.
pub(crate) fn listening(builder: Builder) -> Builder {
    builder.tls(CERTIFICATE, KEY, None)
}

pub(crate) fn run(settings: &Tls) -> Result<(), Failure> {
    println!("machine: {}", meter::machine());
    println!(
        "{} records of {} bytes, no compression, acks all, batches of 128 KiB, 1 partition; medians of {} rounds; broker \
         and client are processes of their own on this machine, CPU time is the client's",
        settings.count, settings.size, settings.rounds
    );
    println!("{:<10} {:<8} {:>11} {:>8} {:>12}", "transport", "op", "records/s", "MB/s", "CPU s per GB");
    for (name, tls) in [("plain TCP", false), ("TLS 1.3", true)] {
        let rounds = (0..settings.rounds).map(|_| round(settings, tls)).collect::<Result<Vec<_>, _>>()?;
        for (at, op) in ["produce", "consume"].into_iter().enumerate() {
            let of =
                |value: fn(&str) -> Option<f64>| median(rounds.iter().filter_map(|lines| value(&lines[at])).collect());
            println!(
                "{name:<10} {op:<8} {:>11.0} {:>8.1} {:>12.3}",
                of(|line| meter::number(line, "records_per_s")),
                of(|line| meter::number(line, "mb_per_s")),
                of(cpu_per_gb)
            );
        }
    }
    Ok(())
}

/// Produces, and consumes that: the lines of both. Each round has a broker to itself, which keeps all in memory.
fn round(settings: &Tls, tls: bool) -> Result<[String; 2], Failure> {
    let broker = Broker::start(tls)?;
    let mut words = vec!["--brokers".to_owned(), broker.address.clone()];
    words.extend(["--count".to_owned(), settings.count.to_string(), "--size".to_owned(), settings.size.to_string()]);
    words.extend(tls.then(|| "--tls".to_owned()));
    Ok([child("produce", &words)?, child("consume", &words)?])
}

/// Seconds of CPU time, user and system, for 10^9 bytes of keys and values.
fn cpu_per_gb(line: &str) -> Option<f64> {
    let cpu = meter::number(line, "cpu_user_s")? + meter::number(line, "cpu_sys_s")?;
    Some(cpu / (meter::number(line, "bytes")? / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_told_per_gigabyte() {
        let line = "{\"bytes\":500000000,\"cpu_user_s\":0.250,\"cpu_sys_s\":0.250}";
        assert_eq!(cpu_per_gb(line).map(|cpu| cpu.to_string()).as_deref(), Some("1"));
    }
}
