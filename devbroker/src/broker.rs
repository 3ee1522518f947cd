//! The broker as its user sees it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::compression::{Compression, Decompressor};
use ottla_protocol::records::Batches;
use tokio::net::{TcpListener, lookup_host};

use crate::builder::Settings;
use crate::cluster::{Cluster, NewTopic, Node, Partition, is_internal};
use crate::faults::{Fault, FaultId};
use crate::handlers::OPEN_LIMIT;
use crate::log::Stored;
use crate::node::Running;
use crate::shared::{Shared, lock};
use crate::{Builder, Error, coordinator};

/// How often a wait for requests looks again.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running broker. Dropping it closes every socket and ends every task.
#[derive(Debug)]
pub struct DevBroker {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    /// By node; `None` while it is killed.
    running: Mutex<Vec<Option<Running>>>,
    clock: tokio::task::JoinHandle<()>,
}

/// A record in a log, as [`DevBroker::log`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The offset that its batch begins with: records with the same one came together.
    pub batch: i64,
    /// How its batch is compressed.
    pub compression: Compression,
    /// Its producer, -1 without idempotence.
    pub producer_id: i64,
    /// The producer's epoch, -1 without idempotence.
    pub producer_epoch: i16,
    /// The batch's first sequence number, -1 without idempotence.
    pub base_sequence: i32,
}

/// An injected fault, as [`DevBroker::inject`] gives it. Dropping it leaves the fault in place.
#[derive(Debug, Clone)]
pub struct FaultHandle {
    shared: Arc<Shared>,
    id: FaultId,
}

impl DevBroker {
    /// Settings, and then [`start`](Builder::start).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(host: &str, port: u16, nodes: usize, settings: Settings) -> Result<Self, Error> {
        let mut listeners = Vec::with_capacity(nodes);
        for index in 0..nodes {
            let port = if port == 0 { 0 } else { port.saturating_add(index as u16) };
            listeners.push(bind(index as i32, host, port).await?);
        }
        let described = |listener: &TcpListener| {
            let address = listener.local_addr().map_err(|source| listen_error(0, host, port, source))?;
            Ok((address, Node { host: advertised(host, address.ip()), port: address.port(), alive: true }))
        };
        let (addresses, described): (Vec<_>, Vec<_>) =
            listeners.iter().map(described).collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
        let topics = settings.topics;
        let shared = Arc::new(Shared::new(settings, Cluster::new(described, topics)));
        let running = (0..).zip(listeners).map(|(node, listener)| Some(Running::start(&shared, node, listener)));
        let running = Mutex::new(running.collect());
        let clock = tokio::spawn(coordinator::run(Arc::clone(&shared)));
        Ok(Self { shared, addresses, running, clock })
    }

    /// The cluster's id, as Metadata tells it: another for each broker that is started.
    pub fn cluster_id(&self) -> &str {
        &self.shared.cluster_id
    }

    /// `host:port` of every node, in order; those of killed nodes too.
    pub fn bootstrap(&self) -> Vec<String> {
        let cluster = self.shared.cluster();
        let address = |node: &Node| {
            let bracketed = if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.clone() };
            format!("{bracketed}:{}", node.port)
        };
        cluster.nodes().iter().map(address).collect()
    }

    /// Creates a topic with the builder's number of replicas, its leaders spread over the nodes.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        let mut cluster = self.shared.cluster();
        let new = NewTopic { partitions, replicas: cluster.default_replicas(), ..NewTopic::default() };
        cluster.create(name, &new).map_err(|refused| Error::Topic {
            topic: name.to_owned(),
            why: format!("{:?}: {}", refused.error, refused.why),
        })
    }

    /// Deletes a topic with its records, and the positions that groups have committed in it.
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        if !self.shared.cluster().delete(name) {
            return Err(Error::Topic { topic: name.to_owned(), why: "there is none".to_owned() });
        }
        self.shared.coordinator.with(|groups| groups.forget_topic(name));
        Ok(())
    }

    /// Every topic but the broker's own, and its number of partitions, by name.
    pub fn topics(&self) -> Vec<(String, i32)> {
        let cluster = self.shared.cluster();
        let topics = cluster.topics().filter(|(name, _)| !is_internal(name));
        topics.map(|(name, topic)| (name.to_string(), topic.partitions.len() as i32)).collect()
    }

    /// Everything in a partition, oldest first.
    pub fn log(&self, topic: &str, partition: i32) -> Result<Vec<LogRecord>, Error> {
        let (batches, start) = self.partition(topic, partition, |p| (p.log.batches(), p.log.start()))?;
        let mut records = Vec::new();
        for stored in batches {
            read_batch(&stored, &mut records).map_err(|why| Error::Unreadable {
                topic: topic.to_owned(),
                partition,
                offset: stored.base_offset,
                why,
            })?;
        }
        records.retain(|record| record.offset >= start);
        Ok(records)
    }

    /// The first offset of a partition and the one that its next record gets.
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        self.partition(topic, partition, |p| (p.log.start(), p.log.end()))
    }

    /// The position that a group has committed for a partition: the next offset to be read.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.shared.coordinator.with(|groups| groups.committed(group, topic, partition).map(|c| c.offset))
    }

    /// Forgets the positions that a group has committed, as `kafka-consumer-groups --delete` does.
    pub fn forget_offsets(&self, group: &str) {
        self.shared.coordinator.with(|groups| groups.forget_offsets(group));
    }

    /// How many members a group has, and its generation; zeros if there is no such group.
    pub fn group(&self, group: &str) -> (usize, i32) {
        self.shared.coordinator.with(|groups| groups.size(group))
    }

    /// The node that coordinates a group; `None` while all are killed.
    pub fn coordinator(&self, group: &str) -> Option<i32> {
        self.shared.cluster().coordinator(group)
    }

    /// The node that leads a partition, `None` while its nodes are killed.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<Option<i32>, Error> {
        self.partition(topic, partition, |p| p.leader)
    }

    /// Makes a node the leader of a partition, under a new leader epoch. The old one answers 6 from then on.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<(), Error> {
        self.check_node(node)?;
        self.partition(topic, partition, |_| ())?;
        if !self.shared.cluster().move_leader(topic, partition, node) {
            return Err(Error::NodeState { node, state: "down" });
        }
        Ok(())
    }

    /// Deletes the records before `offset`, as retention does: the log starts there, and what is asked for before it is
    /// out of range. Producers all of whose records are gone are forgotten. Returns the new start.
    pub fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) -> Result<i64, Error> {
        self.partition(topic, partition, |p| {
            p.wake();
            p.log.delete_before(offset)
        })
    }

    /// Loses the batches with records at `offset` or later, as an unclean election does. Returns the new end.
    pub fn truncate_log(&self, topic: &str, partition: i32, offset: i64) -> Result<i64, Error> {
        self.partition(topic, partition, |p| {
            p.wake();
            p.log.truncate_to(offset)
        })
    }

    /// Stops a node: its port refuses connections, those it had are closed without an answer to what was asked, and its
    /// partitions move to their next replica that is up. No record is lost, since all replicas share one log.
    pub async fn kill_node(&self, node: i32) -> Result<(), Error> {
        self.check_node(node)?;
        let Some(running) = lock(&self.running)[node as usize].take() else {
            return Err(Error::NodeState { node, state: "down" });
        };
        // In this order, so that nobody is answered by the election that the death brings.
        running.stop().await;
        self.shared.cluster().set_alive(node, false);
        self.shared.sessions(node).clear();
        Ok(())
    }

    /// Starts a killed node again, on the same port.
    pub async fn restart_node(&self, node: i32) -> Result<(), Error> {
        self.check_node(node)?;
        if lock(&self.running)[node as usize].is_some() {
            return Err(Error::NodeState { node, state: "up" });
        }
        let address = self.addresses[node as usize];
        let listener = bind(node, &address.ip().to_string(), address.port()).await?;
        self.shared.cluster().set_alive(node, true);
        lock(&self.running)[node as usize] = Some(Running::start(&self.shared, node, listener));
        Ok(())
    }

    /// Lets something go wrong from now on.
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        let id = self.shared.faults().inject(fault);
        FaultHandle { shared: Arc::clone(&self.shared), id }
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// How many requests of an API have come, to all nodes; those that a fault met are counted too.
    pub fn requests(&self, api: ApiKey) -> u64 {
        self.shared.faults().seen(None, api)
    }

    /// How many requests of an API have come to one node.
    pub fn requests_on(&self, node: i32, api: ApiKey) -> u64 {
        self.shared.faults().seen(Some(node), api)
    }

    /// Closes every socket and ends every task. Returns when the ports are free.
    pub async fn shutdown(self) {
        let running: Vec<Running> = lock(&self.running).iter_mut().filter_map(Option::take).collect();
        for node in running {
            node.stop().await;
        }
    }

    fn check_node(&self, node: i32) -> Result<(), Error> {
        if usize::try_from(node).is_ok_and(|index| index < self.addresses.len()) {
            return Ok(());
        }
        Err(Error::UnknownNode(node))
    }

    fn partition<T>(&self, topic: &str, partition: i32, look: impl FnOnce(&mut Partition) -> T) -> Result<T, Error> {
        let mut cluster = self.shared.cluster();
        let found = cluster.partition_mut(topic, partition);
        found.map(look).ok_or_else(|| Error::UnknownPartition { topic: topic.to_owned(), partition })
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

impl FaultHandle {
    /// How many requests it has met.
    pub fn hits(&self) -> u64 {
        self.shared.faults().hits(self.id)
    }

    /// Returns when it has met this many requests. Use it under a timeout: it waits as long as it takes.
    pub async fn wait_for_hits(&self, hits: u64) {
        while self.hits() < hits {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it still waits for requests to meet.
    pub fn is_active(&self) -> bool {
        self.shared.faults().is_active(self.id)
    }

    /// Takes it away.
    pub fn remove(&self) {
        self.shared.faults().remove(self.id);
    }
}

async fn bind(node: i32, host: &str, port: u16) -> Result<TcpListener, Error> {
    let fail = |source| listen_error(node, host, port, source);
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(fail)?.collect();
    TcpListener::bind(&addresses[..]).await.map_err(fail)
}

fn listen_error(node: i32, host: &str, port: u16, source: std::io::Error) -> Error {
    Error::Listen { node, address: format!("{host}:{port}"), source }
}

/// What clients are told to connect to.
fn advertised(host: &str, bound: IpAddr) -> String {
    match bound {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "::1".to_owned(),
        _ => host.to_owned(),
    }
}

fn read_batch(stored: &Stored, records: &mut Vec<LogRecord>) -> Result<(), String> {
    let mut decompressor = Decompressor::new();
    for batch in Batches::new(stored.bytes.clone()) {
        let batch = batch.map_err(|error| error.to_string())?;
        let open = batch.open(&mut decompressor, OPEN_LIMIT).map_err(|error| error.to_string())?;
        let header = batch.header();
        for record in &open {
            let record = record.map_err(|error| error.to_string())?;
            let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
            records.push(LogRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: owned(record.key),
                value: owned(record.value),
                headers: record.headers.iter().map(|h| (h.key.to_owned(), owned(h.value))).collect(),
                batch: header.base_offset,
                compression: header.attributes.compression().unwrap_or_default(),
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            });
        }
    }
    Ok(())
}
