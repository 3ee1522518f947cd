//! What a new leader names as the latest offset on a real Kafka, of the release that `OTTLA_KAFKA` names.

mod net_support;

use std::time::{Duration, Instant};

use net_support::builder;
use ottla_brokers::{Kafka, KafkaOptions, Release, kcat, skipped};
use ottla_client::{OffsetAt, TopicPartition};

const RECORDS: i64 = 100;

/// Followers hear of the high watermark with the next records, or after 20 s without any; a broker that is frozen counts
/// among the living, and among those in sync, for as long.
fn options() -> KafkaOptions {
    let options = KafkaOptions::default().brokers(3).property("zookeeper.session.timeout.ms", "20000");
    options.property("replica.fetch.wait.max.ms", "20000").property("replica.lag.time.max.ms", "60000")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
async fn the_latest_offset_of_a_new_leader_is_past_all_that_was_committed() {
    let release = Release::from_env().unwrap();
    if !release.uses_zookeeper() {
        return skipped(
            "the_latest_offset_of_a_new_leader_is_past_all_that_was_committed",
            &release,
            "of three voters two have to be alive",
        );
    }
    let kafka = Kafka::start_with(release, options()).unwrap();
    let admin = kafka.admin().unwrap();
    admin.create_topic("orders", 3, 3).unwrap();
    // The second replica is the next leader. It is the controller too, since the two others go.
    let controller = admin.controller().unwrap();
    let layout = admin.topic("orders").unwrap().unwrap().replicas;
    let partition = layout.iter().position(|replicas| replicas[1] == controller).unwrap();
    let [leader, next, last] = [0, 1, 2].map(|replica| layout[partition][replica] as usize - 1);
    let place = TopicPartition::new("orders", partition as i32);
    let lines = "{}\n".repeat(RECORDS as usize);
    let to = ["-P", "-t", "orders", "-p", &place.partition.to_string(), "-X", "acks=all"];
    kcat(&[&["-b", &kafka.bootstrap()][..], &to].concat(), lines.as_bytes()).unwrap();

    // All of it is committed, but the next leader does not know, and has no follower that it could learn it from.
    kafka.freeze(last);
    kafka.stop(leader);
    let client = builder([kafka.address(next)]).api_timeout(Duration::from_mins(2)).connect().await.unwrap();
    let (places, begun) = ([place.clone()], Instant::now());
    let asked =
        tokio::join!(client.offsets(&places, OffsetAt::Latest), client.offsets(&places, OffsetAt::LatestStable));
    println!("the leader knew after {:.1?}", begun.elapsed());
    assert_eq!((asked.0.unwrap()[&place], asked.1.unwrap()[&place]), (RECORDS, RECORDS));
}
