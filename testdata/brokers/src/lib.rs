//! Starts real Apache Kafka releases on loopback, for the tests and by hand.
//!
//! Every release comes as its Maven artifacts, is fetched once into a cache of jars, and is run by the Java that is on
//! the path: no distribution archive, no container. A [`Kafka`] is one cluster of one or more brokers (with their
//! ZooKeeper, where the release needs one) in processes of their own. It is ready when [`Kafka::start`] returns, and
//! all of it is gone when the value is dropped or the process that started it ends, however it ends.
//!
//! ```no_run
//! use ottla_brokers::{Kafka, Release};
//!
//! let kafka = Kafka::start(Release::from_env()?)?;
//! kafka.admin()?.create_topic("orders", 3, 1)?;
//! println!("{}", kafka.bootstrap());
//! # Ok::<(), ottla_brokers::Error>(())
//! ```
//!
//! Beside the brokers stand the independent clients that tests compare with: [`kcat()`], Kafka's own tools
//! ([`Tools`]), kafka-python ([`python()`]) and a small hand-written [`Admin`]. None of them shares a line with the
//! product.
//!
//! A [`Kdc`] is a real KDC of MIT, with realms, principals and keytabs as a test needs them; [`Certificates`] are made
//! with `openssl`. With both of them, [`KafkaOptions::secured`] makes a cluster on which every way to log in is possible:
//!
//! ```no_run
//! use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, Listener, Release};
//!
//! let kdc = Kdc::start()?;
//! kdc.add_principal("alice", "alice-secret")?;
//! let options = KafkaOptions::default().secured(&kdc, &*Certificates::shared()?)?;
//! let kafka = Kafka::start_with(Release::from_env()?, options)?;
//! println!("{:?} with {}", kafka.address_of(0, Listener::SaslSsl), kdc.krb5_conf().display());
//! # Ok::<(), ottla_brokers::Error>(())
//! ```
//!
//! It deliberately offers nothing beyond loopback, and no secret that is one: its passwords stand in files and commands.

mod admin;
mod certificates;
mod command;
mod error;
mod files;
mod guard;
mod jaas;
mod jars;
mod kafka;
mod kdc;
mod kdc_files;
mod kdc_options;
mod listeners;
mod options;
mod ports;
mod release;
mod room;
mod scram;
mod skip;
mod tools;
mod wire;

pub use admin::{Admin, TopicLayout};
pub use certificates::{Certificates, ClientKey, Identity, ServerCertificate};
pub use command::{Finished, kcat, python, run};
pub use error::Error;
pub use kafka::Kafka;
pub use kdc::{Kdc, KinitWith};
pub use kdc_files::Krb5Conf;
pub use kdc_options::{Enctype, KdcOptions, KdcTransport};
pub use listeners::Listener;
pub use options::{KafkaOptions, SaslUser, Security};
pub use ports::free as free_port;
pub use release::Release;
pub use skip::skipped;
pub use tools::Tools;
