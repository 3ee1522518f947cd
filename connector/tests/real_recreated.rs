//! Topics that are deleted and created again on a real Kafka while a task runs, is stopped, or stands still: nothing of the new
//! topic is skipped, and the task stops with 4, the facts and the command that goes on.

mod support;

use std::thread;
use std::time::Duration;

use ottla_brokers::{Error, Kafka, skipped};
use support::{Running, Task, kafka, produce, unique, until};

/// The code of a task that data stopped.
const STOPPED_BY_DATA: i32 = 4;

fn life(name: &str, count: usize) -> String {
    (0..count).fold(String::new(), |text, number| format!("{text}{{\"{name}\":{number}}}\n"))
}

#[derive(Debug, Clone, Copy)]
enum When {
    Running,
    Stopped,
    Frozen,
}

struct Trial {
    task: Task,
    topic: String,
    mode: &'static str,
    when: When,
    first: usize,
    second: usize,
}

impl Trial {
    fn new(random: &mut fastrand::Rng, kafka: &Kafka) -> Result<Self, Error> {
        let (task, topic) = (Task::new("recreated"), unique("recreated"));
        kafka.admin()?.create_topic(&topic, 1, 1)?;
        let mode = ["incremental", "full+incremental"][random.usize(0..2)];
        let when = [When::Running, When::Stopped, When::Frozen][random.usize(0..3)];
        task.topic_to_file(kafka, &topic, mode, "");
        let (first, second) = (random.usize(1..3000), random.usize(1..6000));
        Ok(Self { task, topic, mode, when, first, second })
    }

    fn written(&self, life: &str) -> Vec<String> {
        let start = format!("{{\"{life}\"");
        self.task.written().lines().filter(|line| line.starts_with(&start)).map(str::to_owned).collect()
    }

    /// Reads the first life, up to a moment that only the machine's pace decides.
    fn read_first_life(&self, kafka: &Kafka) -> Result<Running, Error> {
        let admin = kafka.admin()?;
        let mut running = self.task.start();
        let group = self.task.group();
        running.until("the first position", || admin.committed(&group, &self.topic).is_ok_and(|all| all[0].is_some()));
        produce(kafka, &self.topic, 0, &life("first", self.first));
        running.until("a first commit", || admin.committed(&group, &self.topic).is_ok_and(|all| all[0] > Some(0)));
        Ok(running)
    }

    fn recreate(&self, kafka: &Kafka) -> Result<(), Error> {
        let admin = kafka.admin()?;
        admin.delete_topic(&self.topic)?;
        // A broker may still be removing the old directory.
        until("the topic again", || admin.create_topic(&self.topic, 1, 1).is_ok());
        produce(kafka, &self.topic, 0, &life("second", self.second));
        Ok(())
    }

    fn play(&self, kafka: &Kafka) -> Result<(), Error> {
        let running = self.read_first_life(kafka)?;
        match self.when {
            When::Stopped => {
                assert!(running.terminate().success());
                self.recreate(kafka)?;
            }
            When::Frozen => {
                running.signal("STOP");
                self.recreate(kafka)?;
                running.signal("CONT");
                self.ends_by_itself(kafka, running);
            }
            When::Running => {
                self.recreate(kafka)?;
                self.ends_by_itself(kafka, running);
            }
        }
        assert_eq!(self.written("second"), Vec::<String>::new(), "nothing of the new topic was used");
        let again = self.task.run();
        assert_eq!(again.status.code(), Some(STOPPED_BY_DATA), "{}", again.stderr);
        assert!(again.stderr.contains(&format!("--from-earliest {}", self.topic)), "{}", again.stderr);
        self.go_on(kafka)
    }

    /// Refilled up to just where it stood, it has nothing to read until more comes.
    fn ends_by_itself(&self, kafka: &Kafka, mut running: Running) {
        for _ in 0..100 {
            if running.ended().is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        if running.ended().is_none() {
            produce(kafka, &self.topic, 0, "{\"third\":0}\n");
        }
        let log = running.log();
        assert_eq!(running.wait().code(), Some(STOPPED_BY_DATA), "{log}");
    }

    fn go_on(&self, kafka: &Kafka) -> Result<(), Error> {
        let mut running = self.task.start_with(&["--from-earliest", &self.topic]);
        let end = kafka.admin()?.end_offsets(&self.topic)?[0];
        let arrived = || self.written("second").len() + self.written("third").len();
        running.until("all of the second life", || arrived() as i64 >= end);
        assert!(running.terminate().success());
        let expected: Vec<_> = life("second", self.second).lines().map(str::to_owned).collect();
        assert_eq!(self.written("second"), expected, "nothing is skipped, and the order holds");
        Ok(())
    }
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn whenever_a_topic_is_recreated_nothing_is_skipped() -> Result<(), Error> {
    if !kafka().release().at_least(1, 0) {
        let test = "whenever_a_topic_is_recreated_nothing_is_skipped";
        skipped(test, kafka().release(), "its controller was seen to take more than 30 s to delete a topic");
        return Ok(());
    }
    let trials = std::env::var("OTTLA_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let seed = std::env::var("OTTLA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    for trial in 0..trials {
        let seed: u64 = seed.wrapping_add(trial);
        let trial = Trial::new(&mut fastrand::Rng::with_seed(seed), kafka())?;
        println!(
            "OTTLA_SEED={seed}: {} {:?}, {} records and then {}",
            trial.mode, trial.when, trial.first, trial.second
        );
        trial.play(kafka())?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_that_began_before_any_topic_matched_reads_the_first_one_from_its_beginning() -> Result<(), Error> {
    let (task, topic) = (Task::new("early"), unique("early"));
    task.topic_to_file(kafka(), &topic, "incremental", "");
    let mut running = task.start();
    running.until("the first look", || running_log_says(&task, "waiting for one"));
    assert!(running.terminate().success());
    kafka().admin()?.create_topic(&topic, 1, 1)?;
    produce(kafka(), &topic, 0, &life("first", 50));
    let mut running = task.start();
    running.until("all of it", || task.written().lines().count() >= 50);
    assert!(running.terminate().success());
    assert_eq!(task.written(), life("first", 50));
    Ok(())
}

fn running_log_says(task: &Task, words: &str) -> bool {
    std::fs::read_to_string(task.path("ottla.log")).unwrap_or_default().contains(words)
}
