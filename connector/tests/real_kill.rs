//! `kill -9` of the connector and of the broker, in the middle of a task from Kafka to Kafka or to a file.
//!
//! `OTTLA_RECORDS` is the number of records (default 2,000,000), `OTTLA_KILLS` how often each of the two kinds of task is killed
//! (default 20), `OTTLA_SEED` repeats a run's moments.

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use ottla_brokers::{Error, Kafka, Release, kcat};
use support::{Running, Task, consume_range, until};

const PARTITIONS: usize = 3;
const DEFAULT_KILLS: u64 = 20;
/// About how long a record is in a file.
const LINE: u64 = 56;
/// How long after a commit a task is killed at most; less and less where tasks are done before that.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const DEFAULT_RECORDS: usize = 2_000_000;

/// A small generator of chance with a printable seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn seeded() -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = || clock.map_or(1, |now| now.as_nanos() as u64);
        let seed = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
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

fn number_in(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// How many records each of the source's partitions holds.
fn per_partition() -> usize {
    let all = number_in("OTTLA_RECORDS").unwrap_or(DEFAULT_RECORDS);
    println!("{all} records (OTTLA_RECORDS)");
    all / PARTITIONS
}

/// Fills a topic: record `n` of partition `p` is `{"p":p,"n":n,…}` with the key `kp` and lies at offset `n`.
fn fill(kafka: &Kafka, topic: &str, count: usize) -> Result<(), Error> {
    kafka.admin()?.create_topic(topic, PARTITIONS as i32, 1)?;
    for partition in 0..PARTITIONS {
        let lines = (0..count).fold(String::with_capacity(count * 80), |mut text, n| {
            let _ = writeln!(
                text,
                "k{partition}|{{\"p\":{partition},\"n\":{n},\"pad\":\"some forty bytes to carry about\"}}"
            );
            text
        });
        let place = partition.to_string();
        kcat(&["-b", &kafka.address(0), "-P", "-K|", "-z", "lz4", "-t", topic, "-p", &place], lines.as_bytes())?;
    }
    assert_eq!(kafka.admin()?.end_offsets(topic)?, [count as i64; PARTITIONS]);
    Ok(())
}

/// What has been read of the target, and whether it keeps the promises.
struct Audit {
    /// Per source partition: which records were seen.
    seen: Vec<Vec<bool>>,
    /// Per target and source partition: the latest of the first appearances.
    latest: Vec<[Option<usize>; PARTITIONS]>,
    /// Per target partition: the next offset to read.
    next: Vec<i64>,
    /// Of a file: where the next whole line begins.
    next_line: u64,
    repeats: usize,
}

impl Audit {
    fn new(count: usize) -> Self {
        let (seen, latest) = (vec![vec![false; count]; PARTITIONS], vec![[None; PARTITIONS]; PARTITIONS]);
        Self { seen, latest, next: vec![0; PARTITIONS], next_line: 0, repeats: 0 }
    }

    /// Reads what is new in the target and checks the order of first appearances.
    fn read(&mut self, target: &Target<'_>) -> Result<(), Error> {
        match target {
            Target::Topic(kafka, topic) => self.read_topic(kafka, topic),
            Target::File(path) => {
                self.read_file(path);
                Ok(())
            }
        }
    }

    /// A line that a kill has torn is cut off by the next life; until it is whole it does not count.
    fn read_file(&mut self, path: &std::path::Path) {
        let Ok(mut file) = std::fs::File::open(path) else { return };
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.next_line)).expect("a file can be sought in");
        file.read_to_string(&mut text).expect("the file is UTF-8");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            self.note(0, line);
        }
        self.next_line += whole as u64;
    }

    fn read_topic(&mut self, kafka: &Kafka, topic: &str) -> Result<(), Error> {
        // The ends come first: a task that still runs goes on writing meanwhile, and that is read next time.
        for (target, end) in kafka.admin()?.end_offsets(topic)?.into_iter().enumerate() {
            let text = consume_range(kafka, topic, target as i32, self.next[target]..end);
            for line in text.lines() {
                self.note(target, line);
            }
            self.next[target] = end;
        }
        Ok(())
    }

    fn note(&mut self, target: usize, line: &str) {
        let (partition, n) = numbers(line).unwrap_or_else(|| panic!("not one of ours: {line}"));
        if std::mem::replace(&mut self.seen[partition][n], true) {
            self.repeats += 1;
            return;
        }
        let latest = &mut self.latest[target][partition];
        assert!(latest.is_none_or(|latest| latest < n), "record {n} of partition {partition} came after {latest:?}");
        *latest = Some(n);
    }

    /// Everything before a committed position is in the target.
    fn check_positions(&self, committed: &[Option<i64>], when: &str) {
        for (partition, position) in committed.iter().enumerate() {
            let position = usize::try_from(position.unwrap_or(0)).expect("a position is no negative number");
            let missing = self.seen[partition][..position].iter().position(|seen| !seen);
            assert_eq!(
                missing, None,
                "{when}: partition {partition} is committed up to {position}, but lacks that record"
            );
        }
    }

    fn check_complete(&self) {
        for (partition, seen) in self.seen.iter().enumerate() {
            let missing = seen.iter().position(|seen| !seen);
            assert_eq!(missing, None, "record {missing:?} of partition {partition} never arrived");
        }
        println!("complete, with {} repeated records", self.repeats);
    }
}

/// The `p` and `n` of one of our lines.
fn numbers(line: &str) -> Option<(usize, usize)> {
    let (partition, rest) = line.strip_prefix("{\"p\":")?.split_once(",\"n\":")?;
    Some((partition.parse().ok()?, rest.split_once(',')?.0.parse().ok()?))
}

fn committed(kafka: &Kafka, task: &Task) -> Option<Vec<Option<i64>>> {
    kafka.admin().and_then(|admin| admin.committed(&task.group(), "from")).ok()
}

fn total(kafka: &Kafka, topic: &str) -> i64 {
    kafka.admin().and_then(|admin| admin.end_offsets(topic)).map_or(0, |ends| ends.iter().sum())
}

#[test]
#[should_panic(expected = "partition 1 is committed up to 2")]
fn the_audit_sees_a_position_ahead_of_the_target() {
    let mut audit = Audit::new(5);
    audit.note(0, "{\"p\":1,\"n\":0,");
    audit.check_positions(&[None, Some(2), Some(0)], "here");
}

#[test]
#[should_panic(expected = "record 1 of partition 2 came after Some(2)")]
fn the_audit_sees_a_change_of_order() {
    let mut audit = Audit::new(5);
    for n in [0, 2, 0, 1] {
        audit.note(1, &format!("{{\"p\":2,\"n\":{n},"));
    }
}

#[test]
#[should_panic(expected = "record Some(1) of partition 0 never arrived")]
fn the_audit_sees_a_lost_record() {
    let mut audit = Audit::new(3);
    for n in [0, 2] {
        audit.note(0, &format!("{{\"p\":0,\"n\":{n},"));
    }
    audit.check_complete();
}

/// Where a killed task writes.
enum Target<'a> {
    Topic(&'a Kafka, String),
    File(PathBuf),
}

impl Target<'_> {
    /// About how many records it holds.
    fn records(&self) -> u64 {
        match self {
            Self::Topic(kafka, topic) => total(kafka, topic) as u64,
            Self::File(path) => std::fs::metadata(path).map_or(0, |file| file.len() / LINE),
        }
    }
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_to_kafka_killed_at_random_moments_loses_and_reorders_nothing() -> Result<(), Error> {
    let kafka = Kafka::start(Release::from_env()?)?;
    killed_tasks(&kafka, |task, round| {
        let to = format!("to-{round}");
        kafka.admin()?.create_topic(&to, PARTITIONS as i32, 1)?;
        task.topic_to_topic(&kafka, "from", &to, "full", "");
        Ok(Target::Topic(&kafka, to))
    })
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_to_a_file_killed_at_random_moments_loses_and_reorders_nothing() -> Result<(), Error> {
    let kafka = Kafka::start(Release::from_env()?)?;
    killed_tasks(&kafka, |task, _| {
        task.topic_to_file(&kafka, "from", "full", "");
        Ok(Target::File(task.output()))
    })
}

/// Kills tasks until there were enough kills. `prepare` writes a task's config and names its target.
fn killed_tasks<'a>(
    kafka: &'a Kafka,
    prepare: impl Fn(&Task, usize) -> Result<Target<'a>, Error>,
) -> Result<(), Error> {
    let (count, wanted) = (per_partition(), number_in("OTTLA_KILLS").map_or(DEFAULT_KILLS, |kills| kills as u64));
    let mut chance = Chance::seeded();
    fill(kafka, "from", count)?;
    let (mut kills, mut commits, mut rounds) = (0, 0, 0);
    let mut pause = LONGEST_PAUSE;
    // A task is done in seconds, often before all its kills: then another one is begun, into a target of its own.
    while kills < wanted {
        let task = Task::new(&format!("killed-{rounds}"));
        let target = prepare(&task, rounds)?;
        let most = (wanted - kills).min(DEFAULT_KILLS);
        let round = Round { kafka, task: &task, target: &target, count, most };
        let (more_kills, more_commits) = round.run(&mut chance, &mut pause)?;
        (kills, commits, rounds) = (kills + more_kills, commits + more_commits, rounds + 1);
        assert!(rounds as u64 <= wanted, "only {kills} kills fell into the work of {rounds} tasks: take more records");
    }
    println!("{kills} kills fell into the work of {rounds} tasks, {commits} of these lives had committed");
    assert!(commits > 1, "no position was ever moved: take more records");
    Ok(())
}

/// One task that is killed again and again.
struct Round<'a> {
    kafka: &'a Kafka,
    task: &'a Task,
    target: &'a Target<'a>,
    /// Records in each partition of the source.
    count: usize,
    /// How often it is killed at most.
    most: u64,
}

impl Round<'_> {
    /// Kills the task until it is complete, and checks it after each kill and at its end. How many kills fell into the work, and
    /// how many of these lives had moved a position.
    fn run(&self, chance: &mut Chance, pause: &mut Duration) -> Result<(u64, usize), Error> {
        let mut audit = Audit::new(self.count);
        let (mut before, mut kills, mut commits) = (vec![None; PARTITIONS], 0, 0);
        while kills < self.most {
            let mut running = self.task.start();
            self.wait_for_a_moment(&mut running, kills % 2 == 0, &before, chance, *pause);
            if let Some(status) = running.ended() {
                assert!(status.success(), "{} ended with {status}:\n{}", self.task.name, running.log());
                // It was quicker than its killer.
                *pause = (*pause / 2).max(SHORTEST_PAUSE);
                break;
            }
            running.kill();
            kills += 1;
            let now = self.kafka.admin()?.committed(&self.task.group(), "from")?;
            audit.read(self.target)?;
            audit.check_positions(&now, &format!("{}, after kill {kills}", self.task.name));
            commits += usize::from(now != before);
            before = now;
        }
        self.task.run_ok();
        audit.read(self.target)?;
        audit.check_complete();
        let end = Some(self.count as i64);
        assert_eq!(self.kafka.admin()?.committed(&self.task.group(), "from")?, [end; PARTITIONS]);
        Ok((kills, commits))
    }

    /// Waits for a moment soon after a commit (only then can a position be ahead of the target), or for any other.
    fn wait_for_a_moment(
        &self,
        running: &mut Running,
        after_a_commit: bool,
        before: &[Option<i64>],
        chance: &mut Chance,
        pause: Duration,
    ) {
        if after_a_commit {
            let moved = || committed(self.kafka, self.task).is_some_and(|now| now != before);
            until("a commit", || moved() || running.ended().is_some());
            std::thread::sleep(Duration::from_micros(chance.below(pause.as_micros() as u64)));
        } else {
            let share = (self.count * PARTITIONS) as u64 / DEFAULT_KILLS;
            let goal = self.target.records() + chance.below(share);
            until("progress", || self.target.records() >= goal || running.ended().is_some());
            std::thread::sleep(Duration::from_millis(chance.below(40)));
        }
    }
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_whose_broker_is_killed_and_started_again_loses_nothing() -> Result<(), Error> {
    let kafka = Kafka::start(Release::from_env()?)?;
    let (count, mut chance) = (per_partition(), Chance::seeded());
    fill(&kafka, "from", count)?;
    kafka.admin()?.create_topic("to", PARTITIONS as i32, 1)?;
    let task = Task::new("broker-killed");
    task.topic_to_topic(&kafka, "from", "to", "full", "");
    let (mut audit, target) = (Audit::new(count), Target::Topic(&kafka, "to".to_owned()));
    let mut running = task.start();
    for kill in 0..3 {
        let goal = target.records() + chance.below((count * PARTITIONS) as u64 / 4);
        until("progress", || target.records() >= goal || running.ended().is_some());
        kafka.kill(0);
        kafka.start_again(0)?;
        let committed = kafka.admin()?.committed(&task.group(), "from")?;
        audit.read(&target)?;
        audit.check_positions(&committed, &format!("after kill {kill}"));
        // It may outlive the broker's absence or end with an error that is no data's fault; then it is started again.
        if let Some(status) = running.ended() {
            assert!(matches!(status.code(), Some(0 | 3)), "ended with {status}:\n{}", running.log());
            running = task.start();
        }
    }
    let log = running.log();
    let status = running.wait();
    if !status.success() {
        assert_eq!(status.code(), Some(3), "ended with {status}:\n{log}");
        task.run_ok();
    }
    audit.read(&target)?;
    audit.check_complete();
    assert_eq!(kafka.admin()?.committed(&task.group(), "from")?, [Some(count as i64); PARTITIONS]);
    Ok(())
}
