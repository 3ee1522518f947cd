//! Sends as fast as the buffer takes records; done when every one is acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use ottla_client::{Delivery, Outgoing, OutgoingHeaders, TopicProducer};

use crate::args::Run;
use crate::meter::{Meter, Work};
use crate::payload::{Key, Payloads};
use crate::{Failure, setup};

/// How many records go by between two looks at what is acknowledged.
const LOOK_EVERY: u64 = 1024;

pub(crate) fn run(run: &Run) -> Result<String, Failure> {
    let payloads = Payloads::new(run.size);
    let meter = Meter::start();
    let runtime = setup::runtime()?;
    let bytes = runtime.block_on(produce(run, &payloads))?;
    let more = Vec::new();
    let work = Work { peer: "ottla/default", op: "produce", records: run.count, bytes, from: meter.started, more };
    Ok(meter.report(&work))
}

async fn produce(run: &Run, payloads: &Payloads) -> Result<u64, Failure> {
    let client = setup::connect(run).await?;
    setup::partitions(&client, run).await?;
    let (producer, topic) = setup::producer(&client, run, Duration::from_millis(run.linger_ms)).await?;
    let mut pending = Pending::default();
    let mut bytes = 0;
    for id in 0..run.count {
        let (key, value) = (Key::new(id), payloads.of(id));
        bytes += (key.bytes().len() + value.len()) as u64;
        pending.add(send(&topic, run, id, key.bytes(), value).await?);
        if id % LOOK_EVERY == 0 {
            pending.look()?;
        }
    }
    producer.flush().await?;
    pending.finish().await?;
    Ok(bytes)
}

/// Sends record `id`.
pub(crate) async fn send(
    topic: &TopicProducer,
    run: &Run,
    id: u64,
    key: &[u8],
    value: &[u8],
) -> Result<Delivery, Failure> {
    let record = Outgoing {
        partition: run.partition(id),
        timestamp_ms: None,
        key: Some(key),
        value: Some(value),
        headers: OutgoingHeaders::None,
    };
    Ok(topic.send(record).await?)
}

/// Deliveries that are not known to have come. Those of one batch have one fate: one of them stands for all.
#[derive(Default)]
struct Pending(VecDeque<Delivery>);

impl Pending {
    fn add(&mut self, delivery: Delivery) {
        if !self.0.back().is_some_and(|last| last.same_batch(&delivery)) {
            self.0.push_back(delivery);
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        while let Some(result) = self.0.front().and_then(Delivery::try_result) {
            result?;
            self.0.pop_front();
        }
        Ok(())
    }

    async fn finish(self) -> Result<(), Failure> {
        for delivery in self.0 {
            delivery.await?;
        }
        Ok(())
    }
}
