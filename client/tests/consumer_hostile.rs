//! The consumer against a broker that answers Fetch with what a test made by hand: transactions, holes, and lies.

mod consumer_support;
mod net_support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use consumer_support::{Crafted, next, quick, records, tp};
use net_support::{Asked, Conversation, Peer, cluster, fitting, offered};
use ottla_client::{Consumer, ConsumerOptions, ErrorKind, Isolation};
use ottla_protocol::compression::{Compression, Compressor};
use ottla_protocol::messages::{
    AbortedTransaction, ApiVersionsResponse, FetchRequest, FetchResponse, FetchablePartitionResponse,
    FetchableTopicResponse,
};
use ottla_protocol::records::{MessageFormat, MessageSetBuilder};
use ottla_protocol::{ApiKey, ErrorCode};

const OFFERED: &[(ApiKey, i16, i16)] =
    &[(ApiKey::FETCH, 0, 11), (ApiKey::LIST_OFFSETS, 0, 5), (ApiKey::METADATA, 0, 8), (ApiKey::API_VERSIONS, 0, 2)];

/// What the broker says of `t`-0, answer by answer; then nothing.
#[derive(Default, Clone)]
struct Script(Arc<Mutex<Vec<FetchablePartitionResponse>>>);

impl Script {
    fn new(answers: Vec<FetchablePartitionResponse>) -> Self {
        Self(Arc::new(Mutex::new(answers)))
    }

    async fn run(self, mut talk: Conversation) {
        while let Some(asked) = talk.asked().await {
            match asked.api() {
                ApiKey::API_VERSIONS => talk.answer(&asked, &offered(OFFERED)).await,
                ApiKey::METADATA => {
                    let metadata = cluster(&[(1, talk.port)], &[("t", &[1])]);
                    talk.answer(&asked, &fitting(metadata, asked.header.api_version)).await;
                }
                ApiKey::FETCH => self.fetch(&mut talk, &asked).await,
                _ => return,
            }
        }
    }

    async fn fetch(&self, talk: &mut Conversation, asked: &Asked) {
        let request: FetchRequest = asked.read();
        let next = { self.0.lock().unwrap().pop() };
        if next.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(request.max_wait).unwrap())).await;
        }
        let partitions = next.into_iter().collect();
        let topics = vec![FetchableTopicResponse { name: "t".to_owned(), partitions }];
        talk.answer(asked, &FetchResponse { topics, ..FetchResponse::default() }).await;
    }
}

fn answer(batches: &[Vec<u8>]) -> FetchablePartitionResponse {
    FetchablePartitionResponse {
        high_watermark: 1000,
        records: Some(Bytes::from(batches.concat())),
        ..FetchablePartitionResponse::default()
    }
}

async fn reader(peer: &Peer, isolation: Isolation, from: i64) -> Consumer {
    let client = peer.client().await;
    let consumer = client.consumer(ConsumerOptions { isolation, ..quick() }).unwrap();
    consumer.assign(&[(tp("t", 0), from)]).await.unwrap();
    consumer
}

async fn broker(answers: Vec<FetchablePartitionResponse>) -> Peer {
    let script = Script::new(answers);
    Peer::start(move |talk| script.clone().run(talk)).await
}

/// Values read until the position is `end`, and every batch's next offset.
async fn read_to(consumer: &mut Consumer, end: i64) -> (Vec<(i64, String)>, Vec<i64>) {
    let (mut values, mut ends) = (Vec::new(), Vec::new());
    while consumer.position(&tp("t", 0)) != Some(end) {
        let fetched = next(consumer).await.unwrap();
        ends.push(fetched.next_offset());
        values.extend(records(&fetched).into_iter().map(|got| (got.offset, got.value)));
    }
    (values, ends)
}

fn owned(values: &[(i64, &str)]) -> Vec<(i64, String)> {
    values.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

/// Producer 7 aborts 0..4, producer 8 commits what lies between, 7 commits afterwards.
fn transactions() -> FetchablePartitionResponse {
    let aborted = Some(vec![AbortedTransaction { producer_id: 7, first_offset: 0 }]);
    let batches = [
        Crafted::new(0, &["a0", "a1"]).transactional(7).bytes(),
        Crafted::new(2, &["c2"]).transactional(8).bytes(),
        Crafted::new(3, &["a3"]).transactional(7).bytes(),
        Crafted::control(4, 7, 0).bytes(),
        Crafted::new(5, &["c5"]).transactional(7).bytes(),
        Crafted::control(6, 8, 1).bytes(),
        Crafted::control(7, 7, 1).bytes(),
        Crafted::new(8, &["plain"]).bytes(),
    ];
    FetchablePartitionResponse { aborted, ..answer(&batches) }
}

#[tokio::test]
async fn read_committed_hides_aborted_and_control_records_and_passes_them() {
    let peer = broker(vec![transactions()]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    let (values, ends) = read_to(&mut consumer, 9).await;
    assert_eq!(values, owned(&[(2, "c2"), (5, "c5"), (8, "plain")]));
    assert_eq!(ends, [2, 3, 4, 5, 6, 7, 8, 9], "hidden batches move the position");
}

#[tokio::test]
async fn read_uncommitted_shows_aborted_records_and_no_control_records() {
    let peer = broker(vec![FetchablePartitionResponse { aborted: None, ..transactions() }]).await;
    let mut consumer = reader(&peer, Isolation::ReadUncommitted, 0).await;
    let (values, ends) = read_to(&mut consumer, 9).await;
    assert_eq!(values, owned(&[(0, "a0"), (1, "a1"), (2, "c2"), (3, "a3"), (5, "c5"), (8, "plain")]));
    assert_eq!(ends.len(), 8);
}

#[tokio::test]
async fn the_next_fetch_goes_on_after_what_compaction_left_of_a_batch() {
    // Its last three records are gone; a second batch is empty altogether.
    let holes = answer(&[
        Crafted::new(10, &["x", "y"]).last_offset_delta(4).bytes(),
        Crafted::new(15, &[]).last_offset_delta(9).count(0).bytes(),
    ]);
    let peer = broker(vec![answer(&[Crafted::new(30, &["z"]).bytes()]), holes]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 3).await;
    let (values, ends) = read_to(&mut consumer, 31).await;
    assert_eq!(values, owned(&[(10, "x"), (11, "y"), (30, "z")]));
    assert_eq!(ends, [15, 25, 31]);
}

#[tokio::test]
async fn the_end_of_a_log_whose_last_records_are_gone_is_known() {
    let peer = broker(vec![answer(&[Crafted::new(990, &["x"]).bytes()])]).await;
    let mut consumer = reader(&peer, Isolation::ReadUncommitted, 0).await;
    assert_eq!(consumer.known_end(&tp("t", 0)), None);
    read_to(&mut consumer, 991).await;
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), consumer.next()).await.is_err());
    assert_eq!(consumer.known_end(&tp("t", 0)), Some(1000), "the later answers do not name the partition at all");
    consumer.seek(&tp("t", 0), 5).unwrap();
    assert_eq!(consumer.known_end(&tp("t", 0)), None);
}

#[tokio::test]
async fn a_null_and_an_empty_answer_are_the_same() {
    let null = FetchablePartitionResponse { records: None, ..answer(&[]) };
    let peer = broker(vec![answer(&[Crafted::new(0, &["z"]).bytes()]), null, answer(&[])]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    assert_eq!(read_to(&mut consumer, 1).await.0, owned(&[(0, "z")]));
}

#[tokio::test]
async fn a_topic_that_was_stored_in_formats_v0_and_v1_is_read_through_to_v2() {
    let set = |format, codec, base, values: &[&str]| {
        let mut set = MessageSetBuilder::new(format, codec).unwrap().with_base_offset(base);
        for value in values {
            set.append(1, None, Some(value.as_bytes()));
        }
        set.seal(None, &mut Compressor::new()).unwrap().to_vec()
    };
    let stored = [
        set(MessageFormat::V0, Compression::None, 0, &["a", "b"]),
        set(MessageFormat::V0, Compression::Lz4, 2, &["c", "d"]),
        set(MessageFormat::V1, Compression::Gzip, 4, &["e", "f"]),
        Crafted::new(6, &["g"]).bytes(),
    ];
    // From the middle of a compressed message too: what stands before in it was given already.
    for from in 0..7 {
        let peer = broker(vec![answer(&stored)]).await;
        let mut consumer = reader(&peer, Isolation::ReadCommitted, from).await;
        let all = owned(&[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f"), (6, "g")]);
        assert_eq!(read_to(&mut consumer, 7).await.0, all[from as usize..], "from {from}");
    }
}

#[tokio::test]
async fn data_of_a_partition_that_was_not_asked_for_is_ignored() {
    let stray = FetchablePartitionResponse { partition_index: 9, ..answer(&[Crafted::new(0, &["no"]).bytes()]) };
    let peer = broker(vec![answer(&[Crafted::new(0, &["yes"]).bytes()]), stray]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    assert_eq!(read_to(&mut consumer, 1).await.0, owned(&[(0, "yes")]));
}

#[tokio::test]
async fn batches_that_lie_are_errors_with_their_place() {
    let whole = || Crafted::new(5, &["a", "b"]);
    let lies: Vec<(&str, Vec<u8>, ErrorKind)> = vec![
        ("wrong CRC", whole().last_offset_delta(3).bytes_with_old_crc(), ErrorKind::Corrupt),
        ("offsets that no log can have", whole().last_offset_delta(-1).bytes(), ErrorKind::Corrupt),
        ("offsets that no log can have", whole().base_offset(i64::MAX).bytes(), ErrorKind::Corrupt),
        ("offsets that no log can have", whole().base_offset(-3).bytes(), ErrorKind::Corrupt),
        ("no batch has -1 records", whole().count(-1).bytes(), ErrorKind::Corrupt),
        ("codec 7", whole().attributes(7).bytes(), ErrorKind::Corrupt),
        ("all end before the offset", Crafted::new(0, &["a"]).bytes(), ErrorKind::Corrupt),
        ("format v9", whole().magic(9).bytes(), ErrorKind::Corrupt),
        ("wrong CRC", whole().magic(1).bytes(), ErrorKind::Corrupt),
    ];
    for (words, batch, kind) in lies {
        let peer = broker(vec![answer(&[batch])]).await;
        let mut consumer = reader(&peer, Isolation::ReadUncommitted, 5).await;
        let error = next(&mut consumer).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{words}: {error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(5)), "{error}");
        assert_eq!(consumer.position(&tp("t", 0)), Some(5), "{words}: the position is not passed");
    }
}

#[tokio::test]
async fn what_stands_before_a_broken_batch_is_given_first() {
    let broken = answer(&[Crafted::new(0, &["good"]).bytes(), Crafted::new(1, &["bad"]).magic(9).bytes()]);
    let peer = broker(vec![broken]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    assert_eq!(records(&next(&mut consumer).await.unwrap()).len(), 1);
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(1)), "{error}");
}

#[tokio::test]
async fn broken_records_in_a_sound_batch_are_errors_not_panics() {
    for (count, delta, words) in [(3, 2, "record 2"), (1, 1, "left over"), (2, 0, "its batch ends before")] {
        let batch = Crafted::new(0, &["a", "b"]).count(count).last_offset_delta(delta).bytes();
        let peer = broker(vec![answer(&[batch])]).await;
        let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
        let fetched = next(&mut consumer).await.unwrap();
        let last = fetched.iter().last().unwrap().unwrap_err();
        assert_eq!((last.kind(), last.topic(), last.partition()), (ErrorKind::Corrupt, Some("t"), Some(0)), "{last}");
        assert!(last.to_string().contains(words), "{words}: {last}");
        assert!(fetched.iter().count() <= 3, "an error ends the records");
    }
}

#[tokio::test]
async fn batches_whose_offsets_go_backwards_are_an_error_and_not_passed_in_silence() {
    for base in [0, 1] {
        let disordered = [Crafted::new(0, &["a", "b"]), Crafted::new(base, &["x"]), Crafted::new(2, &["c"])];
        let peer = broker(vec![answer(&disordered.map(Crafted::bytes))]).await;
        let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
        assert_eq!(records(&next(&mut consumer).await.unwrap()).len(), 2);
        let error = next(&mut consumer).await.unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(2)), "{error}");
        assert!(error.to_string().contains("go backwards"), "{error}");
    }
}

#[tokio::test]
async fn records_whose_offsets_do_not_grow_are_an_error_and_not_passed_in_silence() {
    let peer = broker(vec![answer(&[Crafted::new(0, &["a", "b", "c"]).second_record_at(0).bytes()])]).await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    let fetched = next(&mut consumer).await.unwrap();
    let got: Vec<_> = fetched.iter().collect();
    assert_eq!(got.len(), 2, "an error ends the records");
    let error = got[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(0)), "{error}");
}

#[tokio::test]
async fn random_bytes_are_an_answer_too() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..60 {
        let mut batches = vec![Crafted::new(0, &["a", "b"]).bytes(), Crafted::new(2, &["c"]).transactional(3).bytes()];
        for _ in 0..random.usize(1..6) {
            let batch = random.usize(0..batches.len());
            let at = random.usize(0..batches[batch].len());
            batches[batch][at] ^= 1 << random.u8(0..8);
        }
        let peer = broker(vec![answer(&batches)]).await;
        let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
        // Whatever it is, it is told or given; nothing panics, and a flipped bit below the CRC is never shown.
        let wait = tokio::time::timeout(std::time::Duration::from_millis(30), consumer.next()).await;
        if let Ok(Ok(fetched)) = wait {
            for record in fetched.iter().flatten() {
                assert!([&b"a"[..], b"b", b"c"].contains(&record.value.unwrap()), "round {round}: {record:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_broker_from_before_0_11_is_refused_by_name() {
    let peer = Peer::start(|mut talk: Conversation| async move {
        while let Some(asked) = talk.asked().await {
            match asked.api() {
                ApiKey::API_VERSIONS if asked.header.api_version > 0 => {
                    let refusal =
                        ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..Default::default() };
                    talk.answer_in(&asked, 0, &refusal).await;
                }
                ApiKey::API_VERSIONS => {
                    let old = [(ApiKey::FETCH, 0, 3), (ApiKey::METADATA, 0, 2), (ApiKey::API_VERSIONS, 0, 0)];
                    talk.answer(&asked, &offered(&old)).await;
                }
                ApiKey::METADATA => {
                    let metadata = cluster(&[(1, talk.port)], &[("t", &[1])]);
                    talk.answer(&asked, &fitting(metadata, asked.header.api_version)).await;
                }
                _ => return,
            }
        }
    })
    .await;
    let mut consumer = reader(&peer, Isolation::ReadCommitted, 0).await;
    let error = next(&mut consumer).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Versions, None::<ErrorCode>), "{error}");
    assert!(error.to_string().contains("Fetch"), "{error}");
}
