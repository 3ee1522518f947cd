//! What the runs begin with: a runtime, a client, a topic.

use std::sync::Arc;
use std::time::Duration;

use ottla_client::{
    Acks, Client, Consumer, ConsumerOptions, NewTopic, OffsetAt, Producer, ProducerOptions, TopicPartition,
    TopicProducer,
};
use tokio::runtime::Runtime;

use crate::args::{AckLevel, Run, Switch};
use crate::{Failure, tls};

/// The producer's buffer, the same for all peers.
const BUFFER_BYTES: usize = 64 << 20;

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

pub(crate) async fn connect(run: &Run) -> Result<Client, Failure> {
    let builder = Client::builder().bootstrap(run.bootstrap()).client_id("ottla-bench");
    let builder = if run.tls { builder.tls(tls::options()) } else { builder };
    Ok(builder.connect().await?)
}

/// The topic's partitions; it is made if there is none.
pub(crate) async fn partitions(client: &Client, run: &Run) -> Result<Vec<TopicPartition>, Failure> {
    let mut found = client.topic(&run.topic).await?;
    if found.is_none() {
        let partitions = run.partitions.max(1).cast_signed();
        client.create_topic(&NewTopic { name: run.topic.clone(), partitions, replicas: 1 }).await?;
        found = client.topic(&run.topic).await?;
    }
    let Some(topic) = found else { return Err(Failure::Failed(format!("no topic {}", run.topic))) };
    let name: Arc<str> = topic.name;
    Ok(topic.partitions.iter().map(|p| TopicPartition::new(name.clone(), p.id)).collect())
}

pub(crate) async fn producer(
    client: &Client,
    run: &Run,
    linger: Duration,
) -> Result<(Producer, TopicProducer), Failure> {
    let options = ProducerOptions {
        acks: match run.acks {
            AckLevel::All => Acks::All,
            AckLevel::Leader => Acks::Leader,
            AckLevel::None => Acks::None,
        },
        idempotent: run.idempotence == Switch::On,
        compression: run.compression,
        linger,
        batch_bytes: run.batch_bytes,
        buffer_bytes: BUFFER_BYTES,
        ..ProducerOptions::default()
    };
    let producer = client.producer(options).await?;
    let topic = producer.topic(&run.topic).await?;
    Ok((producer, topic))
}

/// A consumer of all partitions, from their start or their end.
pub(crate) async fn consumer(
    client: &Client,
    run: &Run,
    partitions: &[TopicPartition],
    from: OffsetAt,
) -> Result<Consumer, Failure> {
    let offsets = client.offsets(partitions, from).await?;
    let options = ConsumerOptions { fetch_max_wait: run.fetch_wait(), ..ConsumerOptions::default() };
    let consumer = client.consumer(options)?;
    let positions: Vec<_> = offsets.into_iter().collect();
    consumer.assign(&positions).await?;
    Ok(consumer)
}
