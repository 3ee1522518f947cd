//! What a metadata answer takes in memory: what it is read into and the snapshot made of it, together and at the worst moment.

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::wire::{MEMORY_ON_TOP, MEMORY_PER_BYTE};

use super::*;

/// What an error takes, whatever came: its box, and its way through the message.
const AN_ERROR: usize = 512;

/// A metadata answer of version 8 as a peer writes it, valid or not.
struct Frame(BytesMut);

impl Frame {
    fn text(&mut self, text: &str) {
        self.0.put_i16(text.len() as i16);
        self.0.put_slice(text.as_bytes());
    }

    /// The head, with brokers 0, 1, … of this host.
    fn new(brokers: i32, host: &str) -> Self {
        let mut frame = Self(BytesMut::new());
        frame.0.put_i32(0);
        frame.0.put_i32(brokers);
        for id in 0..brokers {
            frame.0.put_i32(id);
            frame.text(host);
            frame.0.put_i32(9092);
            frame.0.put_i16(-1);
        }
        frame.0.put_i16(-1);
        frame.0.put_i32(0);
        frame
    }

    fn topics(mut self, count: i32, mut topic: impl FnMut(&mut Self, i32)) -> Bytes {
        self.0.put_i32(count);
        for i in 0..count {
            topic(&mut self, i);
        }
        self.0.put_i32(0);
        self.0.freeze()
    }

    fn topic(&mut self, error: i16, name: &str, partitions: i32, epoch: i32, nodes: i32) {
        self.0.put_i16(error);
        self.text(name);
        self.0.put_u8(0);
        self.0.put_i32(partitions);
        for id in 0..partitions {
            self.0.put_i16(0);
            self.0.put_i32(id);
            self.0.put_i32(epoch % 3);
            self.0.put_i32(epoch);
            for _ in 0..2 {
                self.0.put_i32(nodes);
                (0..nodes).for_each(|node| self.0.put_i32(node));
            }
            self.0.put_i32(0);
        }
        self.0.put_i32(0);
    }
}

/// A short name; no two are alike.
fn short(i: i32) -> String {
    format!("{i:x}")
}

fn long(i: i32) -> String {
    format!("shop.orders.{i}")
}

fn tracker() -> Tracker {
    Tracker::new(Duration::from_mins(5), Duration::from_millis(100), Backoff::new(Duration::ZERO, Duration::ZERO))
}

/// Takes an answer and holds the client to its memory. Returns whether it was taken.
fn take(tracker: &mut Tracker, name: &str, body: &Bytes) -> bool {
    let (bytes, mut taken) = (body.clone(), false);
    let memory = allocation_counter::measure(|| {
        let Ok(answer) = Answer::read(8, bytes) else { return };
        let changes = tracker.succeed(Instant::now(), &Scope::All, answer);
        taken = changes.is_ok();
    });
    let (memory, size) = (memory.bytes_max as usize, body.len());
    println!("{name}: {size} bytes, {:.2} bytes of memory a byte, taken: {taken}", memory as f64 / size as f64);
    assert!(memory <= MEMORY_PER_BYTE * size + MEMORY_ON_TOP + AN_ERROR, "{name}: {memory} bytes of memory for {size}");
    taken
}

#[test]
fn the_worst_answers_and_the_snapshots_of_them_take_at_most_four_times_their_size() {
    let nothing = |frame: &mut Frame, i| frame.topic(0, &short(i), 0, 0, 0);
    let refused = |frame: &mut Frame, i| frame.topic(29, &short(i), 0, 0, 0);
    let one = |frame: &mut Frame, i| frame.topic(0, &short(i), 1, 0, 0);
    let head = || Frame::new(1, "kafka");
    let half = |half: i32| {
        move |frame: &mut Frame, i: i32| {
            if i == half { frame.topic(0, "big", 150_000, 0, 0) } else { frame.topic(0, &short(i), 0, 0, 0) }
        }
    };
    for (name, body) in [
        ("topics of nothing", head().topics(200_000, nothing)),
        ("topics that are refused", head().topics(200_000, refused)),
        ("topics with one name", head().topics(200_000, |frame, _| frame.topic(0, "t", 1, 0, 0))),
        ("topics with a partition", head().topics(150_000, one)),
        (
            "topics with a partition and a replica",
            head().topics(150_000, |frame, i| frame.topic(0, &short(i), 1, 0, 1)),
        ),
        ("a topic of many partitions", head().topics(1, |frame, _| frame.topic(0, "t", 150_000, 0, 0))),
        ("topics of many partitions", head().topics(40, |frame, i| frame.topic(0, &short(i), 10_000, 0, 0))),
        ("a partition of many replicas", head().topics(1, |frame, _| frame.topic(0, "t", 1, 0, 500_000))),
        ("a large topic, then nothing", head().topics(150_000, half(0))),
        ("nothing, then a large topic", head().topics(150_000, half(149_999))),
        ("brokers", Frame::new(150_000, "k").topics(0, nothing)),
        ("brokers without a host", Frame::new(150_000, "").topics(0, nothing)),
        ("brokers of long hosts", Frame::new(100_000, &"k".repeat(200)).topics(0, nothing)),
    ] {
        take(&mut tracker(), name, &body);
    }
}

#[test]
fn the_answers_of_the_largest_clusters_are_taken() {
    let head = || Frame::new(100, "kafka-01.example.com");
    for (name, body) in [
        ("12,000 topics of 3 partitions", head().topics(12_000, |frame, i| frame.topic(0, &long(i), 3, 0, 3))),
        ("150,000 topics of a partition", head().topics(150_000, |frame, i| frame.topic(0, &long(i), 1, 0, 1))),
        ("150,000 short names", head().topics(150_000, |frame, i| frame.topic(0, &short(i), 1, 0, 1))),
        ("a topic of 150,000 partitions", head().topics(1, |frame, i| frame.topic(0, &long(i), 150_000, 0, 2))),
        (
            "5,000 brokers",
            Frame::new(5_000, "kafka-01.example.com").topics(1, |frame, i| frame.topic(0, &long(i), 1, 0, 1)),
        ),
    ] {
        let mut tracker = tracker();
        assert!(take(&mut tracker, name, &body), "{name}");
        assert!(take(&mut tracker, &format!("{name}, again"), &body), "{name}");
    }
}

#[test]
fn what_a_second_answer_takes_does_not_depend_on_the_first() {
    let head = || Frame::new(1, "kafka");
    let first = head().topics(60_000, |frame, i| frame.topic(0, &long(i), 4, 7, 1));
    let second = [
        ("older epochs", head().topics(60_000, |frame, i| frame.topic(0, &long(i), 4, 5, 1))),
        ("other leaders", head().topics(60_000, |frame, i| frame.topic(0, &long(i), 4, 8, 1))),
        ("elections", head().topics(60_000, |frame, i| frame.topic(5, &long(i), 0, 0, 0))),
        ("refusals", head().topics(60_000, |frame, i| frame.topic(29, &long(i), 0, 0, 0))),
        ("no partitions", head().topics(60_000, |frame, i| frame.topic(0, &long(i), 0, 0, 0))),
        ("other topics", head().topics(60_000, |frame, i| frame.topic(0, &short(i), 4, 0, 1))),
    ];
    for (name, body) in second {
        let mut tracker = tracker();
        assert!(take(&mut tracker, "first", &first));
        take(&mut tracker, name, &body);
    }
}

#[test]
fn topics_that_nobody_asked_for_never_make_the_snapshot_grow() {
    let mut tracker = tracker();
    let scope = Scope::Named(BTreeSet::from(["orders".into()]));
    for round in 0..3 {
        let body = Frame::new(1, "kafka").topics(100, |frame, i| match i {
            0 => frame.topic(0, "orders", 1, 0, 1),
            _ => frame.topic(0, &format!("{round}.{i}"), 1, 0, 1),
        });
        tracker.succeed(Instant::now(), &scope, Answer::read(8, body).unwrap()).unwrap();
        assert_eq!(tracker.snapshot().topics.len(), 1);
    }
}
