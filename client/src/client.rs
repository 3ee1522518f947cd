//! The client itself: one handle on a cluster, from which everything else is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::ApiKey;
use ottla_protocol::compression::Compression;

use crate::config::ClientBuilder;
use crate::core::metadata::TopicInfo;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::cluster::Cluster;
use crate::net::retry::Retry;

/// The first Produce version with record batches v2 (KIP-98), which is all that this client writes.
const BATCHES_FROM: i16 = 3;
/// The first Produce version that takes zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A connection to a cluster. Cheap to clone; every clone is the same client. When the last clone and everything made from it
/// are dropped, all sockets are closed and all tasks have ended; dropping never blocks.
#[derive(Clone)]
pub struct Client {
    pub(crate) cluster: Cluster,
}

/// A topic as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is Kafka's own, like `__consumer_offsets`.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// Its number, from 0.
    pub id: i32,
    /// The id of the broker that leads it; `None` while there is none.
    pub leader: Option<i32>,
    /// The leader's epoch; `None` from brokers before 2.1. It grows with every election, and begins again with 0 when the topic
    /// is created again.
    pub leader_epoch: Option<i32>,
    /// The ids of the brokers that hold it.
    pub replicas: Vec<i32>,
    /// The ids of those in sync with the leader, the leader among them.
    pub isr: Vec<i32>,
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// The host it advertises.
    pub host: Arc<str>,
    /// The port it advertises.
    pub port: u16,
}

/// What is wrong with a broker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerTrouble {
    /// Its address.
    pub broker: String,
    /// For how long already.
    pub lasts: Duration,
    /// Which broker and what, in words.
    pub what: String,
}

impl ClientBuilder {
    /// Checks the options and reaches the cluster through any of its servers.
    ///
    /// Every server is tried once, the next one half a second after the last; if none answers, the error says what each said.
    /// Refused credentials end the attempt at once. All of it takes at most `api_timeout`.
    pub async fn connect(self) -> Result<Client, Error> {
        let cluster = Cluster::connect(self.options()?).await?;
        Ok(Client { cluster })
    }
}

impl Client {
    /// Options first, then [`ClientBuilder::connect`].
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Tries the credentials again although brokers have refused them.
    ///
    /// A refused login is reported once, not tried again for 1 s, 2 s and so on to 30 s, and after 3 refusals in a row not
    /// tried at all, since many wrong tries lock an account. Calls fail with the remembered error meanwhile. A client made
    /// anew, or this, begins from the start. Nothing is tried before the next call that needs a connection.
    pub fn log_in_again(&self) {
        self.cluster.log_in_again();
    }

    /// The brokers that cannot be reached, and those that have not answered for `patience`, at this moment; empty while all
    /// is well. A broker that nobody needs is not tried and not reported.
    ///
    /// ```no_run
    /// # async fn watch(client: ottla_client::Client) {
    /// for trouble in client.troubles(std::time::Duration::from_secs(5)) {
    ///     eprintln!("for {:?}: {}", trouble.lasts, trouble.what);
    /// }
    /// # }
    /// ```
    pub fn troubles(&self, patience: Duration) -> Vec<BrokerTrouble> {
        let found = self.cluster.troubles(patience).into_iter();
        found
            .map(|trouble| BrokerTrouble { broker: trouble.broker, lasts: trouble.lasts, what: trouble.what })
            .collect()
    }

    /// Every topic that the user may see, sorted by name.
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        let metadata = self.cluster.refresh_all().await?;
        Ok(metadata.topics.iter().map(|topic| Topic::new(topic)).collect())
    }

    /// A topic, freshly asked for; `None` if there is none of this name. Never creates it, however the brokers are set.
    pub async fn topic(&self, name: &str) -> Result<Option<Topic>, Error> {
        let name: Arc<str> = name.into();
        let mut retry = Retry::new(self.cluster.options(), self.cluster.options().api_timeout);
        loop {
            let error = match retry.within(self.cluster.refresh(std::slice::from_ref(&name))).await {
                Ok(metadata) => match metadata.topic(&name) {
                    None => return Ok(None),
                    Some(topic) => match topic.error {
                        None => return Ok(Some(Topic::new(topic))),
                        Some(code) => Error::from_code(code).at_topic(&name),
                    },
                },
                Err(error) => error,
            };
            retry.pause(error).await?;
        }
    }

    /// The brokers as they were last heard of, by id.
    pub fn brokers(&self) -> Vec<Broker> {
        let metadata = self.cluster.snapshot();
        let broker = |node: &crate::core::metadata::Node| Broker {
            id: node.id.0,
            host: node.server.host.clone(),
            port: node.server.port,
        };
        metadata.nodes.values().map(broker).collect()
    }

    /// The cluster's id, from brokers that have one (0.10.1 and later).
    pub fn cluster_id(&self) -> Option<String> {
        self.cluster.snapshot().cluster_id.clone()
    }

    /// The servers that the client was given, as `host:port`.
    pub fn bootstrap_servers(&self) -> Vec<String> {
        self.cluster.options().bootstrap.iter().map(ToString::to_string).collect()
    }

    /// Whether every broker that can be reached takes batches of this codec. The error ([`ErrorKind::Unsupported`]) names the
    /// release that would. Nothing is written.
    pub async fn check_compression(&self, compression: Compression) -> Result<(), Error> {
        let brokers = self.cluster.refresh_until_deadline(&[]).await?.nodes.clone();
        let mut unreachable = None;
        let mut reached = false;
        for node in brokers.values() {
            let offered = match self.cluster.connection(node.id, Lane::Other).await {
                Ok(connection) => connection.offered(ApiKey::PRODUCE),
                // What cannot be reached takes no batches either; when it is back, its own answer will tell.
                Err(error) if error.is_retriable() => {
                    unreachable = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            reached = true;
            check_produce(compression, offered, &node.to_string())?;
        }
        match unreachable {
            Some(error) if !reached => Err(error),
            _ => Ok(()),
        }
    }
}

fn check_produce(compression: Compression, offered: Option<(i16, i16)>, broker: &str) -> Result<(), Error> {
    let offers = match offered {
        Some((_, max)) => format!("{broker} offers Produce up to v{max}"),
        None => format!("{broker} does not offer Produce"),
    };
    let max = offered.map_or(-1, |range| range.1);
    let message = if max < BATCHES_FROM {
        format!("record batches need Produce v{BATCHES_FROM}, Kafka 0.11 or later; {offers}")
    } else if compression == Compression::Zstd && max < ZSTD_FROM {
        format!("zstd needs Produce v{ZSTD_FROM}, Kafka 2.1 or later; {offers}; use gzip, snappy or lz4")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Unsupported, message))
}

impl Topic {
    fn new(info: &TopicInfo) -> Self {
        let partition = |partition: crate::core::metadata::PartitionInfo<'_>| Partition {
            id: partition.id,
            leader: partition.leader.map(|leader| leader.0),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.to_vec(),
            isr: partition.isr.to_vec(),
        };
        let partitions = info.partitions.iter().map(partition).collect();
        Self { name: info.name.clone(), internal: info.internal, partitions }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bootstrap", &self.bootstrap_servers()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_a_release_lacks_is_refused_by_the_releases_name() {
        let error = check_produce(Compression::Zstd, Some((0, 3)), "broker 1 at kafka:9092").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = "zstd needs Produce v7, Kafka 2.1 or later; broker 1 at kafka:9092 offers Produce up to v3; use gzip, \
                    snappy or lz4";
        assert_eq!(error.to_string(), text);
        check_produce(Compression::Zstd, Some((0, 7)), "b").unwrap();
        check_produce(Compression::Zstd, Some((0, 13)), "b").unwrap();
        check_produce(Compression::Lz4, Some((0, 3)), "b").unwrap();
        assert!(check_produce(Compression::None, Some((0, 2)), "b").unwrap_err().to_string().contains("0.11"));
    }
}
