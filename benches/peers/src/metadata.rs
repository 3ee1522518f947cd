//! A Metadata response of 10,000 partitions: a hundred topics, three replicas a partition, all in sync.

use std::hint::black_box;
use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::MetadataResponse as KafkaProtocol;
use kafka_protocol::protocol::{Decodable as _, Encodable as _};
use krafka::__private::protocol::MetadataResponse as Krafka;
use ottla_protocol::messages::{
    Message as _, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use rskafka::protocol::api_version::ApiVersion;
use rskafka::protocol::messages::{MetadataResponse as Rskafka, ReadVersionedType as _};
use rskafka::protocol::primitives::Int16;

use crate::Failure;
use crate::race::{Runner, Unit, race};

pub(crate) fn run() -> Result<(), Failure> {
    let message = cluster();
    let body = bytes(&message, 8)?;
    decode(&body)?;
    encode(message.clone(), &body)?;
    // rskafka's decoder ends at version 4.
    decode_old(&bytes(&MetadataResponse { topics: older(message.topics), ..message }, 4)?)
}

fn cluster() -> MetadataResponse {
    let brokers = (0..3).map(|node_id| MetadataResponseBroker {
        node_id,
        host: format!("broker-{node_id}.kafka.example.com"),
        port: 9092,
        rack: Some(format!("rack-{node_id}")),
    });
    let topics = (0..100).map(|topic| MetadataResponseTopic {
        name: format!("shop.orders.{topic:03}"),
        partitions: (0..100).map(partition).collect(),
        ..Default::default()
    });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some("lkc-x7k2p".to_owned()),
        controller_id: 1,
        topics: topics.collect(),
        ..Default::default()
    }
}

fn partition(index: i32) -> MetadataResponsePartition {
    let replicas: Vec<i32> = (0..3).map(|i| (index + i) % 3).collect();
    MetadataResponsePartition {
        partition_index: index,
        leader_id: replicas[0],
        leader_epoch: 12,
        replica_nodes: replicas.clone(),
        isr_nodes: replicas,
        ..Default::default()
    }
}

/// Without what version 4 cannot say.
fn older(mut topics: Vec<MetadataResponseTopic>) -> Vec<MetadataResponseTopic> {
    topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|partition| partition.leader_epoch = -1);
    topics
}

fn bytes(message: &MetadataResponse, version: i16) -> Result<Bytes, Failure> {
    Ok(message.write(version)?.concat().into())
}

/// Decoding, and giving back the memory.
fn decode(body: &Bytes) -> Result<(), Failure> {
    let partitions = |counts: usize| assert_eq!(counts, 10_000, "not the whole answer");
    partitions(MetadataResponse::read(8, body.clone())?.topics.iter().map(|t| t.partitions.len()).sum());
    partitions(KafkaProtocol::decode(&mut body.clone(), 8)?.topics.iter().map(|t| t.partitions.len()).sum());
    partitions(Krafka::decode_v8(&mut body.clone())?.topics.iter().map(|t| t.partitions.len()).sum());
    let [ours, theirs, third, copied] = [(); 4].map(|()| body.clone());
    let message = MetadataResponse::read(8, body.clone())?;
    let title = format!("Metadata response v8, 10,000 partitions, {} bytes: decode and drop", body.len());
    race(
        &title,
        Unit::GigabytesPerSecond { bytes: body.len() },
        vec![
            Runner::new("ottla-protocol", move || _ = black_box(MetadataResponse::read(8, ours.clone()))),
            Runner::new("kafka-protocol 0.18.0", move || _ = black_box(KafkaProtocol::decode(&mut theirs.clone(), 8))),
            Runner::new("krafka 0.28.1 (internal)", move || _ = black_box(Krafka::decode_v8(&mut third.clone()))),
            // The same memory set aside and given back, without a byte decoded: what no decoder into these types is under.
            Runner::new("ours, decoded, cloned and dropped", move || _ = black_box(message.clone())),
            Runner::new("memcpy of the body", move || _ = black_box(copied.to_vec())),
        ],
    );
    Ok(())
}

fn encode(message: MetadataResponse, body: &Bytes) -> Result<(), Failure> {
    let theirs = KafkaProtocol::decode(&mut body.clone(), 8)?;
    let mut out = BytesMut::new();
    theirs.encode(&mut out, 8)?;
    assert_eq!(&out, body, "not the same bytes");
    let title = format!("Metadata response v8, 10,000 partitions, {} bytes: encode", body.len());
    race(
        &title,
        Unit::GigabytesPerSecond { bytes: body.len() },
        vec![
            Runner::new("ottla-protocol", move || _ = black_box(message.write(8))),
            Runner::new("kafka-protocol 0.18.0", move || {
                let mut out = BytesMut::new();
                _ = black_box(theirs.encode(&mut out, 8));
                black_box(out);
            }),
        ],
    );
    Ok(())
}

fn decode_old(body: &Bytes) -> Result<(), Failure> {
    let version = ApiVersion(Int16(4));
    let whole = Rskafka::read_versioned(&mut Cursor::new(&body[..]), version)?;
    assert_eq!(whole.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>(), 10_000);
    let [ours, theirs] = [(); 2].map(|()| body.clone());
    let title = format!("Metadata response v4, 10,000 partitions, {} bytes: decode and drop", body.len());
    race(
        &title,
        Unit::GigabytesPerSecond { bytes: body.len() },
        vec![
            Runner::new("ottla-protocol", move || _ = black_box(MetadataResponse::read(4, ours.clone()))),
            Runner::new("rskafka 0.6.0 (unstable-fuzzing)", move || {
                _ = black_box(Rskafka::read_versioned(&mut Cursor::new(&theirs[..]), version));
            }),
        ],
    );
    Ok(())
}
