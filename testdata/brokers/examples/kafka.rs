//! Starts a real Kafka by hand and keeps it up until Ctrl-C or end of input:
//!
//! `cargo run -p ottla-brokers --example kafka -- 2.3.1 [--brokers N] [--sasl USER:PASSWORD] [--secured] [--property NAME=VALUE]`

use std::io::Read;
use std::process::ExitCode;

use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, Listener, Release};

const USAGE: &str = "usage: kafka [RELEASE] [--brokers N] [--sasl USER:PASSWORD]… [--secured] [--property NAME=VALUE]…";

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let (release, mut options, secured) = arguments(std::env::args().skip(1))?;
    let security = if secured { Some((Kdc::start()?, Certificates::make()?)) } else { None };
    if let Some((kdc, certificates)) = &security {
        options = options.secured(kdc, certificates)?;
    }
    eprintln!("starting Kafka {release} (the first time, its jars are fetched by Maven) …");
    let kafka = Kafka::start_with(release, options)?;
    println!("Kafka {} is up at {}", kafka.release(), kafka.bootstrap());
    if let Some((kdc, certificates)) = &security {
        describe(&kafka, kdc, certificates)?;
    } else if let Some(sasl) = kafka.sasl_bootstrap() {
        println!("with SASL PLAIN at {sasl}");
    }
    println!("data and logs: {}", kafka.directory().display());
    println!("try: kcat -b {} -L", kafka.address(0));
    println!("Ctrl-C or end of input stops it; nothing is kept.");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Prints where all listeners are and what a client needs for them.
fn describe(kafka: &Kafka, kdc: &Kdc, certificates: &Certificates) -> Result<(), Box<dyn std::error::Error>> {
    kdc.add_principal("alice", "alice-secret")?;
    let keytab = kdc.keytab("alice.keytab", &["alice"])?;
    for listener in Listener::ALL {
        if let Some(address) = kafka.bootstrap_of(listener) {
            println!("  {:<15} {address}", listener.name());
        }
    }
    println!("user, and principal of {}: alice, with the password alice-secret", kdc.realm());
    println!("krb5.conf: {}\nkeytab: {}", kdc.krb5_conf().display(), keytab.display());
    println!("certificates: {} (ca.pem is the one to trust)", certificates.directory().display());
    Ok(())
}

type Arguments = (Release, KafkaOptions, bool);

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn std::error::Error>> {
    let mut secured = false;
    let mut release = Release::from_env()?;
    let mut options = KafkaOptions::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(USAGE);
        match word.as_str() {
            "--brokers" => options = options.brokers(value()?.parse()?),
            "--sasl" => {
                let user = value()?;
                let (name, password) = user.split_once(':').ok_or(USAGE)?;
                options = options.sasl_plain(name, password);
            }
            "--secured" => secured = true,
            "--property" => {
                let pair = value()?;
                let (name, text) = pair.split_once('=').ok_or(USAGE)?;
                options = options.property(name, text);
            }
            name if !name.starts_with('-') => release = name.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((release, options, secured))
}
