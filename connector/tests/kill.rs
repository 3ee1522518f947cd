//! `kill -9` of `ottla run` at seeded random moments: nothing is lost, nothing runs ahead, order holds.
//!
//! `OTTLA_SEED` repeats a run's moments, `OTTLA_RECORDS` changes how much is moved.

mod tasks_support;

use std::fmt::Write as _;
use std::time::Duration;

use ottla_connector::mode::group;
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::ApiKey;
use tasks_support::*;

const PARTITIONS: usize = 3;
const KILLS: u64 = 20;
const PER_PARTITION: usize = 150_000;

/// About how long a line is. A fetch brings a megabyte of a partition: with short lines it would bring most of them.
const LINE: usize = 180;
const PAD: &str = "some bytes to carry about; ";
const PADS: usize = 5;
/// The most that a life works on after it has done its share.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A small generator of chance with a printable seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn seeded() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = now.map_or(1, |now| now.as_nanos() as u64);
        let seed = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fresh);
        println!("OTTLA_SEED={seed} repeats these moments");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }
}

fn per_partition() -> usize {
    std::env::var("OTTLA_RECORDS").ok().and_then(|n| n.parse::<usize>().ok()).map_or(PER_PARTITION, |n| n / PARTITIONS)
}

/// Which of each partition's records a target holds, read from what it holds in the order it holds it.
#[derive(Debug)]
struct Audit {
    seen: Vec<Vec<bool>>,
    repeats: usize,
}

impl Audit {
    /// Fails when a first appearance comes behind that of a later record of its partition.
    fn of<'a>(lines: impl Iterator<Item = &'a str>, count: usize) -> Self {
        let mut audit = Self { seen: vec![vec![false; count]; PARTITIONS], repeats: 0 };
        let mut latest = [None; PARTITIONS];
        for line in lines {
            let (partition, n) = numbers(line).unwrap_or_else(|| panic!("not one of ours: {line}"));
            if std::mem::replace(&mut audit.seen[partition][n], true) {
                audit.repeats += 1;
                continue;
            }
            assert!(latest[partition].is_none_or(|latest| latest < n), "{n} of {partition} came after {latest:?}");
            latest[partition] = Some(n);
        }
        audit
    }

    /// Everything before a committed position is in the target.
    fn check_positions(&self, committed: &[Option<i64>], when: &str) {
        for (partition, position) in committed.iter().enumerate() {
            let position = usize::try_from(position.unwrap_or(0)).expect("no negative position");
            let missing = self.seen[partition][..position].iter().position(|seen| !seen);
            assert_eq!(missing, None, "{when}: partition {partition} is committed up to {position}");
        }
    }

    fn check_complete(&self) {
        for (partition, seen) in self.seen.iter().enumerate() {
            assert_eq!(seen.iter().position(|seen| !seen), None, "partition {partition} lacks a record");
        }
        println!("complete, with {} repeated records", self.repeats);
    }
}

fn numbers(line: &str) -> Option<(usize, usize)> {
    let (partition, rest) = line.strip_prefix("{\"p\":")?.split_once(",\"n\":")?;
    Some((partition.parse().ok()?, rest.split_once(',')?.0.parse().ok()?))
}

async fn source(count: usize) -> DevBroker {
    let broker = broker().await;
    for topic in ["from", "to"] {
        broker.create_topic(topic, PARTITIONS as i32).expect("created");
    }
    let pad = PAD.repeat(PADS);
    for partition in 0..PARTITIONS {
        let text = (0..count).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "{{\"p\":{partition},\"n\":{n},\"pad\":\"{pad}\"}}");
            text
        });
        let values: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        produce(&broker, "from", partition as i32, &values).await;
    }
    broker
}

fn config(broker: &DevBroker, directory: &std::path::Path, target: &str) -> String {
    let servers = format!("{:?}", broker.bootstrap());
    let text = format!(
        "[connections.from]\nkind = \"kafka\"\nbootstrap = {servers}\ntopics = \"from\"\n\
         [connections.to]\n{target}\n[tasks.t]\nsource = \"from\"\ntarget = \"to\"\nmode = \"full\"\n"
    );
    let file = directory.join("ottla.toml");
    std::fs::write(&file, text).expect("written");
    file.to_str().expect("letters").to_owned()
}

/// Lives of a task, each killed at a random moment of the work, and a last one that is let alone.
async fn lives(
    broker: &DevBroker,
    count: usize,
    target: &str,
    progress: impl Fn() -> usize,
    lines: impl Fn() -> Vec<String>,
) {
    // A slow source, so that lives are long enough to be cut in their middle, and for commits to come between.
    broker.inject(Fault::delay(ApiKey::FETCH, Duration::from_millis(120)));
    // And a slow target: what is not in it yet when a kill comes must not have been committed.
    broker.inject(Fault::delay(ApiKey::PRODUCE, Duration::from_millis(60)));
    let directory = tempfile::tempdir().expect("a directory");
    let file = config(broker, directory.path(), target);
    let mut chance = Chance::seeded();
    let share = count * PARTITIONS / KILLS as usize;
    let mut pause = LONGEST_PAUSE;
    for life in 0..KILLS {
        let before = progress();
        let goal = before + 1 + chance.below(share as u64) as usize;
        let mut process = Process::start(directory.path(), &["run", &file]);
        until("progress", async || progress() >= goal || process.ended().is_some()).await;
        tokio::time::sleep(Duration::from_micros(chance.below(pause.as_micros() as u64))).await;
        if let Some(status) = process.ended() {
            assert!(status.success(), "life {life} ended with {status}:\n{}", process.log());
        }
        drop(process);
        if progress() > before + 2 * share {
            // This one came too far. A busy machine has its own pace.
            pause /= 2;
        }
        let committed = committed(broker, &group("t"), "from", PARTITIONS as i32).await;
        println!("life {life}: {} in the target, committed {committed:?}", progress());
        Audit::of(lines().iter().map(String::as_str), count).check_positions(&committed, &format!("after life {life}"));
        if committed == [Some(count as i64); PARTITIONS] {
            assert!(life >= 4, "so few kills prove little: change the pace of this test");
            break;
        }
    }
    let done = ottla(&["run", &file], b"").await;
    assert!(done.status.success(), "{}", said(&done));
    Audit::of(lines().iter().map(String::as_str), count).check_complete();
    let committed = committed(broker, &group("t"), "from", PARTITIONS as i32).await;
    assert_eq!(committed, [Some(count as i64); PARTITIONS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_task_from_kafka_to_kafka_loses_nothing() {
    let count = per_partition();
    let broker = source(count).await;
    let target = format!("kind = \"kafka\"\nbootstrap = {:?}\ntopics = \"to\"", broker.bootstrap());
    let lines = || (0..PARTITIONS as i32).flat_map(|partition| values(&broker, "to", partition)).collect();
    let progress = || (0..PARTITIONS as i32).map(|p| broker.offsets("to", p).expect("offsets").1 as usize).sum();
    lives(&broker, count, &target, progress, lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_task_from_kafka_to_a_file_loses_nothing_and_tears_no_line() {
    let (count, out) = (per_partition(), OutFile::new());
    let broker = source(count).await;
    let target = format!("kind = \"jsonl\"\npath = '{}'", out.path().display());
    // A line that is torn by a kill is cut off by the next life; what is not whole yet does not count.
    let lines = || {
        let text = std::fs::read_to_string(out.path()).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().map(str::to_owned).collect()
    };
    let progress = || std::fs::metadata(out.path()).map_or(0, |file| file.len() as usize / LINE);
    lives(&broker, count, &target, progress, lines).await;
    assert!(std::fs::read_to_string(out.path()).expect("read").ends_with('\n'));
}
