//! The consumer against the development broker: what is written is read once and in order, whatever happens on the way.

mod consumer_support;

use std::time::Duration;

use consumer_support::{batch, connect, fill, filled, next, produce, quick, read, records, tp, values};
use ottla_client::{ConsumerOptions, ErrorKind, RecordFingerprint};
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::compression::Compression;
use ottla_protocol::{ApiKey, ErrorCode};

async fn one_node(partitions: i32) -> DevBroker {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", partitions).unwrap();
    broker
}

#[tokio::test]
async fn every_record_comes_once_and_in_order() {
    let broker = one_node(3).await;
    for partition in 0..3 {
        fill(&broker, "t", partition, 1000, 37).await;
    }
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0), (tp("t", 2), 500)]).await.unwrap();
    let mut got = read(&mut consumer, 2500).await;
    got.sort_by_key(|got| got.partition);
    assert_eq!(got, [filled(0, 0, 1000), filled(1, 0, 1000), filled(2, 500, 1000)].concat());
    assert_eq!(consumer.position(&tp("t", 1)), Some(1000));
}

#[tokio::test]
async fn each_codec_is_read() {
    let broker = one_node(1).await;
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (turn, codec) in codecs.into_iter().enumerate() {
        produce(&broker, "t", 0, batch(&values(turn * 100, turn * 100 + 100), codec)).await;
    }
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 500).await, filled(0, 0, 500));
}

#[tokio::test]
async fn a_batch_that_decompresses_beyond_the_limit_is_an_error() {
    let broker = one_node(1).await;
    produce(&broker, "t", 0, batch(&["x".repeat(1 << 20)], Compression::Gzip)).await;
    let options = ConsumerOptions { max_batch_bytes: 1 << 18, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(0)), "{error}");
    assert!(error.to_string().contains("seek to 1"), "{error}");
}

#[tokio::test]
async fn reading_begins_inside_a_batch_and_counts_from_there() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 100, 100).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 42)]).await.unwrap();
    let fetched = next(&mut consumer).await.unwrap();
    assert_eq!(records(&fetched), filled(0, 42, 100));
    assert_eq!((fetched.next_offset(), fetched.high_watermark()), (100, 100));
}

#[tokio::test]
async fn a_batch_larger_than_every_limit_comes_whole() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 2000, 1000).await;
    let options = ConsumerOptions { partition_max_bytes: 1, fetch_max_bytes: 1, buffer_bytes: 2, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 2000).await, filled(0, 0, 2000));
}

#[tokio::test]
async fn an_empty_topic_is_waited_at_and_its_first_record_comes() {
    let broker = one_node(1).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
    assert!(waiting.is_err(), "nothing was written");
    fill(&broker, "t", 0, 1, 1).await;
    assert_eq!(read(&mut consumer, 1).await, filled(0, 0, 1));
}

#[tokio::test]
async fn a_waiting_fetch_is_answered_when_a_record_comes() {
    let broker = one_node(1).await;
    let options = ConsumerOptions { fetch_max_wait: Duration::from_mins(1), ..ConsumerOptions::default() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    for number in 0..5 {
        produce(&broker, "t", 0, batch(&values(number, number + 1), Compression::None)).await;
        assert_eq!(read(&mut consumer, 1).await, filled(0, number, number + 1));
    }
}

#[tokio::test]
async fn a_moved_leader_is_followed_without_loss_or_repeat() {
    let broker = DevBroker::builder().nodes(3).replicas(3).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    for turn in 0..6 {
        for number in turn * 50..turn * 50 + 50 {
            produce(&broker, "t", 0, batch(&values(number, number + 1), Compression::None)).await;
        }
        assert_eq!(read(&mut consumer, 25).await, filled(0, turn * 50, turn * 50 + 25));
        broker.move_leader("t", 0, i32::try_from(turn % 3).unwrap()).unwrap();
        assert_eq!(read(&mut consumer, 25).await, filled(0, turn * 50 + 25, turn * 50 + 50));
    }
}

#[tokio::test]
async fn a_restarted_node_is_read_on() {
    let broker = one_node(1).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    fill(&broker, "t", 0, 100, 10).await;
    assert_eq!(read(&mut consumer, 100).await, filled(0, 0, 100));
    broker.kill_node(0).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(waiting.is_err(), "a broker that is away is no error for a while");
    broker.restart_node(0).await.unwrap();
    produce(&broker, "t", 0, batch(&values(100, 101), Compression::None)).await;
    assert_eq!(read(&mut consumer, 1).await, filled(0, 100, 101));
}

#[tokio::test]
async fn a_broker_that_stays_away_is_told_and_reading_goes_on_when_it_is_back() {
    let broker = one_node(1).await;
    let options = ConsumerOptions { stall_timeout: Duration::from_millis(300), ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    fill(&broker, "t", 0, 1, 1).await;
    read(&mut consumer, 1).await;
    broker.kill_node(0).await.unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    assert!(error.is_retriable() && !error.is_fatal(), "{error}");
    assert!(error.to_string().contains("gave up after"), "{error}");
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)), "{error}");
    broker.restart_node(0).await.unwrap();
    produce(&broker, "t", 0, batch(&values(1, 2), Compression::None)).await;
    loop {
        // The stall may be told once more while the broker comes up.
        match next(&mut consumer).await {
            Ok(fetched) => break assert_eq!(records(&fetched), filled(0, 1, 2)),
            Err(error) => assert!(error.is_retriable(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_position_that_retention_passed_is_told_once_and_halts_only_its_partition() {
    let broker = one_node(2).await;
    fill(&broker, "t", 0, 100, 10).await;
    fill(&broker, "t", 1, 100, 10).await;
    broker.delete_records_before("t", 0, 60).unwrap();
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 5), (tp("t", 1), 0)]).await.unwrap();
    let (mut errors, mut got) = (Vec::new(), Vec::new());
    while got.len() < 100 || errors.is_empty() {
        match next(&mut consumer).await {
            Ok(fetched) => got.extend(records(&fetched)),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(got, filled(1, 0, 100));
    assert_eq!(errors.len(), 1);
    let error = &errors[0];
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(5)));
    for part in ["begins at 60", "ends at 100", "55 offsets", "seek"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let waiting = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
    assert!(waiting.is_err(), "told once: {waiting:?}");
    consumer.seek(&tp("t", 0), 60).unwrap();
    assert_eq!(read(&mut consumer, 40).await, filled(0, 60, 100));
}

#[tokio::test]
async fn a_position_beyond_a_cut_log_is_told_after_what_was_fetched() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 100, 10).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 100).await, filled(0, 0, 100));
    broker.truncate_log("t", 0, 50).unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(100)), "{error}");
    assert!(error.to_string().contains("cut"), "{error}");
}

#[tokio::test]
async fn a_corrupt_batch_is_an_error_with_its_place_and_can_be_read_again() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 30, 10).await;
    broker.inject(Fault::corrupt_records().times(1));
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    // The fault harms the answer's last batch; those before it are whole.
    assert_eq!(read(&mut consumer, 20).await, filled(0, 0, 20));
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(20)));
    assert!(error.to_string().contains("CRC") && error.to_string().contains("seek to 30"), "{error}");
    let waiting = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
    assert!(waiting.is_err(), "nothing of it is shown, nothing behind it: {waiting:?}");
    consumer.seek(&tp("t", 0), 20).unwrap();
    assert_eq!(read(&mut consumer, 10).await, filled(0, 20, 30));
}

#[tokio::test]
async fn a_cut_batch_is_fetched_again() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 30, 10).await;
    broker.inject(Fault::truncate_records().times(2));
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 30).await, filled(0, 0, 30));
}

#[tokio::test]
async fn a_batch_that_is_always_cut_is_an_error_not_a_loop() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 10, 10).await;
    broker.inject(Fault::truncate_records());
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(0)), "{error}");
    assert!(broker.requests(ApiKey::FETCH) < 10);
}

#[tokio::test]
async fn passing_errors_of_a_partition_pass() {
    for code in [6, 9, 56, 74, 78, 3, 75, -1, 5, 7] {
        let broker = one_node(2).await;
        fill(&broker, "t", 0, 20, 10).await;
        fill(&broker, "t", 1, 20, 10).await;
        broker.inject(Fault::error(ApiKey::FETCH, ErrorCode(code)).on_partition("t", 0).times(2));
        let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
        consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0)]).await.unwrap();
        let mut got = read(&mut consumer, 40).await;
        got.sort();
        assert_eq!(got, [filled(0, 0, 20), filled(1, 0, 20)].concat(), "code {code}");
    }
}

#[tokio::test]
async fn lasting_errors_of_a_partition_are_told_and_halt_it() {
    for (code, kind, words) in [
        (29, ErrorKind::Broker, "--operation Read"),
        (76, ErrorKind::Unsupported, "zstd"),
        (35, ErrorKind::Unsupported, "downconversion"),
        (2, ErrorKind::Corrupt, "damaged"),
        (9999, ErrorKind::Broker, "9999"),
    ] {
        let broker = one_node(1).await;
        fill(&broker, "t", 0, 20, 10).await;
        broker.inject(Fault::error(ApiKey::FETCH, ErrorCode(code)).on_partition("t", 0).times(1));
        let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
        consumer.assign(&[(tp("t", 0), 7)]).await.unwrap();
        let error = next(&mut consumer).await.unwrap_err();
        assert_eq!((error.kind(), error.offset()), (kind, Some(7)), "{error}");
        assert!(error.to_string().contains(words) && !error.is_retriable(), "{words}: {error}");
        let waiting = tokio::time::timeout(Duration::from_millis(100), consumer.next()).await;
        assert!(waiting.is_err(), "{code}: halted, yet {waiting:?}");
        consumer.seek(&tp("t", 0), 7).unwrap();
        assert_eq!(read(&mut consumer, 13).await, filled(0, 7, 20));
    }
}

#[tokio::test]
async fn lost_answers_and_lost_sessions_lose_no_record() {
    let broker = one_node(3).await;
    for partition in 0..3 {
        fill(&broker, "t", partition, 300, 10).await;
    }
    let options = ConsumerOptions { partition_max_bytes: 700, ..quick() };
    broker.inject(Fault::close_after_applying(ApiKey::FETCH).after(3).times(2));
    broker.inject(Fault::error(ApiKey::FETCH, ErrorCode::FETCH_SESSION_ID_NOT_FOUND).after(8).times(2));
    broker.inject(Fault::error(ApiKey::FETCH, ErrorCode::INVALID_FETCH_SESSION_EPOCH).after(13).times(2));
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0), (tp("t", 2), 0)]).await.unwrap();
    let mut got = read(&mut consumer, 900).await;
    got.sort_by_key(|got| got.partition);
    assert_eq!(got, [filled(0, 0, 300), filled(1, 0, 300), filled(2, 0, 300)].concat());
}

#[tokio::test]
async fn brokers_without_sessions_are_read_too() {
    let no_slots = DevBroker::builder().fetch_sessions(0).start().await.unwrap();
    let old = DevBroker::builder().release("0.11".parse::<Release>().unwrap()).start().await.unwrap();
    for broker in [no_slots, old] {
        broker.create_topic("t", 2).unwrap();
        fill(&broker, "t", 0, 100, 10).await;
        fill(&broker, "t", 1, 100, 10).await;
        let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
        consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0)]).await.unwrap();
        let mut got = read(&mut consumer, 200).await;
        got.sort_by_key(|got| got.partition);
        assert_eq!(got, [filled(0, 0, 100), filled(1, 0, 100)].concat());
    }
}

#[tokio::test]
async fn what_is_fetched_ahead_stays_within_the_budget() {
    let broker = one_node(4).await;
    for partition in 0..4 {
        fill(&broker, "t", partition, 20_000, 500).await;
    }
    let buffer_bytes = 256 << 10;
    let options = ConsumerOptions { buffer_bytes, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    let all: Vec<_> = (0..4).map(|partition| (tp("t", partition), 0)).collect();
    consumer.assign(&all).await.unwrap();
    let mut got = 0;
    let mut most = 0;
    while got < 80_000 {
        // Let the fetcher run as far as it will.
        tokio::time::sleep(Duration::from_millis(1)).await;
        most = most.max(consumer.buffered_bytes());
        assert!(consumer.buffered_bytes() <= buffer_bytes, "{} bytes", consumer.buffered_bytes());
        got += records(&next(&mut consumer).await.unwrap()).len();
    }
    assert!(most > buffer_bytes / 4, "it does fetch ahead: {most}");
    assert_eq!(consumer.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_seek_is_obeyed_whatever_was_buffered_or_under_way() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 1000, 10).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    read(&mut consumer, 10).await;
    consumer.seek(&tp("t", 0), 905).unwrap();
    assert_eq!(consumer.position(&tp("t", 0)), Some(905));
    assert_eq!(read(&mut consumer, 95).await, filled(0, 905, 1000));
    // A fetch from 1000 waits at the broker; its answer comes after the seek.
    let held = broker.inject(Fault::delay(ApiKey::FETCH, Duration::from_millis(200)));
    held.wait_for_hits(1).await;
    produce(&broker, "t", 0, batch(&values(1000, 1001), Compression::None)).await;
    consumer.seek(&tp("t", 0), 500).unwrap();
    assert_eq!(records(&next(&mut consumer).await.unwrap()), filled(0, 500, 510));
}

#[tokio::test]
async fn an_unassigned_partition_is_silent_and_the_others_go_on() {
    let broker = one_node(2).await;
    fill(&broker, "t", 0, 100, 10).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0)]).await.unwrap();
    read(&mut consumer, 10).await;
    consumer.unassign(&[tp("t", 0)]);
    assert_eq!((consumer.position(&tp("t", 0)), consumer.buffered_bytes()), (None, 0));
    assert_eq!(consumer.seek(&tp("t", 0), 0).unwrap_err().kind(), ErrorKind::Config);
    fill(&broker, "t", 1, 20, 10).await;
    assert_eq!(read(&mut consumer, 20).await, filled(1, 0, 20));
    consumer.assign(&[(tp("t", 0), 90)]).await.unwrap();
    assert_eq!(read(&mut consumer, 10).await, filled(0, 90, 100));
}

#[tokio::test]
async fn an_unknown_topic_or_partition_cannot_be_assigned() {
    let broker = one_node(2).await;
    let consumer = connect(&broker).await.consumer(quick()).unwrap();
    for (partition, words) in [(tp("nope", 0), "no such topic"), (tp("t", 2), "2 partitions")] {
        let error = consumer.assign(&[(tp("t", 0), 0), (partition.clone(), 0)]).await.unwrap_err();
        assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some(&*partition.topic)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(consumer.position(&tp("t", 0)), None, "all or none");
    }
    assert_eq!(consumer.assign(&[(tp("t", 0), -1)]).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn dropping_next_at_any_moment_loses_and_repeats_nothing() {
    let broker = one_node(2).await;
    fill(&broker, "t", 0, 500, 3).await;
    fill(&broker, "t", 1, 500, 7).await;
    let options = ConsumerOptions { partition_max_bytes: 2000, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0)]).await.unwrap();
    let mut got = Vec::new();
    let mut dropped = 0;
    while got.len() < 1000 {
        // Polled once, then dropped.
        tokio::select! {
            biased;
            fetched = consumer.next() => got.extend(records(&fetched.unwrap())),
            () = std::future::ready(()) => dropped += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(dropped > 0);
    got.sort_by_key(|got| got.partition);
    assert_eq!(got, [filled(0, 0, 500), filled(1, 0, 500)].concat());
}

#[tokio::test]
async fn a_dropped_consumer_asks_no_more() {
    let broker = one_node(1).await;
    let client = connect(&broker).await;
    let options = ConsumerOptions { fetch_max_wait: Duration::from_millis(5), ..quick() };
    let consumer = client.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    while broker.requests(ApiKey::FETCH) < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(consumer);
    // A request may be on its way still.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = broker.requests(ApiKey::FETCH);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(broker.requests(ApiKey::FETCH), asked);
}

#[tokio::test]
async fn a_partition_with_much_does_not_starve_one_with_little() {
    let broker = one_node(2).await;
    fill(&broker, "t", 0, 20_000, 500).await;
    fill(&broker, "t", 1, 1, 1).await;
    let options = ConsumerOptions { fetch_max_bytes: 20_000, partition_max_bytes: 20_000, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0), (tp("t", 1), 0)]).await.unwrap();
    let mut before = 0;
    loop {
        let fetched = next(&mut consumer).await.unwrap();
        if fetched.partition().partition == 1 {
            break;
        }
        before += records(&fetched).len();
    }
    assert!(before < 10_000, "{before} records of the other partition came first");
}

/// The fingerprint of a record, as a consumer that reads it computes it.
async fn fingerprint_read(broker: &DevBroker, partition: i32, offset: i64) -> RecordFingerprint {
    let mut consumer = connect(broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", partition), offset)]).await.unwrap();
    let fetched = next(&mut consumer).await.unwrap();
    RecordFingerprint::of(&fetched.iter().next().unwrap().unwrap())
}

#[tokio::test]
async fn a_fingerprint_is_that_of_the_record_and_there_is_none_where_there_is_no_record() {
    for release in [Release::V0_11, Release::V2_3] {
        let broker = DevBroker::builder().release(release).nodes(2).start().await.unwrap();
        broker.create_topic("t", 3).unwrap();
        for partition in 0..3 {
            fill(&broker, "t", partition, 100, 7).await;
        }
        broker.delete_records_before("t", 2, 50).unwrap();
        let client = connect(&broker).await;
        let wanted = [(tp("t", 0), 57), (tp("t", 1), 100), (tp("t", 2), 49)];
        let found = client.fingerprints(&wanted).await.unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[&tp("t", 0)], Some(fingerprint_read(&broker, 0, 57).await), "{release}");
        assert_eq!((found[&tp("t", 1)], found[&tp("t", 2)]), (None, None), "{release}");
        let beyond = client.fingerprints(&[(tp("t", 0), 1000)]).await.unwrap();
        assert_eq!(beyond[&tp("t", 0)], None, "{release}");
    }
}

#[tokio::test]
async fn a_topic_created_again_has_other_fingerprints() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 50, 10).await;
    let client = connect(&broker).await;
    let old = client.fingerprints(&[(tp("t", 0), 20)]).await.unwrap()[&tp("t", 0)];
    broker.delete_topic("t").unwrap();
    broker.create_topic("t", 1).unwrap();
    produce(&broker, "t", 0, batch(&values(1000, 1050), Compression::None)).await;
    let new = client.fingerprints(&[(tp("t", 0), 20)]).await.unwrap()[&tp("t", 0)];
    assert!(old.is_some() && new.is_some() && old != new, "{old:?} {new:?}");
}

#[tokio::test]
async fn fingerprints_of_many_partitions_with_large_batches_are_all_found() {
    let broker = one_node(30).await;
    for partition in 0..30 {
        let values: Vec<String> = (0..4).map(|n| format!("{n}{}", "x".repeat(100_000))).collect();
        produce(&broker, "t", partition, batch(&values, Compression::None)).await;
    }
    let wanted: Vec<_> = (0..30).map(|partition| (tp("t", partition), 3)).collect();
    let found = connect(&broker).await.fingerprints(&wanted).await.unwrap();
    assert_eq!(found.values().filter(|found| found.is_some_and(|record| record.offset == 3)).count(), 30);
}

#[tokio::test]
async fn a_topic_that_was_gone_for_a_moment_is_watched_from_then_only() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 10, 5).await;
    let mut consumer = connect(&broker).await.consumer(quick()).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    let before = next(&mut consumer).await.unwrap().watched_since();
    assert_eq!(next(&mut consumer).await.unwrap().watched_since(), before, "fetch after fetch: no gap");
    let fetches = broker.requests(ApiKey::FETCH);
    broker.delete_topic("t").unwrap();
    // The answer to the fetch after the one that said so: nobody was asked meanwhile.
    while broker.requests(ApiKey::FETCH) < fetches + 2 {
        tokio::task::yield_now().await;
        if consumer.watched_since(&tp("t", 0)).is_none() {
            break;
        }
    }
    broker.create_topic("t", 1).unwrap();
    fill(&broker, "t", 0, 20, 20).await;
    assert!(next(&mut consumer).await.unwrap().watched_since() > before);
}

#[tokio::test]
async fn a_reader_that_pauses_with_a_full_buffer_is_not_watching() {
    let broker = one_node(1).await;
    fill(&broker, "t", 0, 100, 10).await;
    let options = ConsumerOptions { buffer_bytes: 2000, partition_max_bytes: 500, ..quick() };
    let mut consumer = connect(&broker).await.consumer(options).unwrap();
    consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
    let first = next(&mut consumer).await.unwrap().watched_since();
    // Longer than nobody may watch: this is what the test is about, not a wait for something to happen.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut last = first;
    while consumer.position(&tp("t", 0)) != Some(100) {
        last = next(&mut consumer).await.unwrap().watched_since();
    }
    assert!(last > first, "what came after the pause is no part of the time before");
}
