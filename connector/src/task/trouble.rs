//! Says on screen what keeps a Kafka target from taking records, while the task itself waits for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ottla_client::Producer;

use crate::core::trouble::{TroubleReport, Waiting};
use crate::progress::Console;
use crate::target::Target;

/// How often it looks. Once a moment, never once a record.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at a producer until it is dropped.
pub(super) struct Watch {
    looker: Arc<Looker>,
    ticking: tokio::task::AbortHandle,
}

struct Looker {
    task: String,
    producer: Producer,
    console: Arc<Console>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    report: TroubleReport,
    /// Topics whose users were told that they are written without idempotence.
    unnumbered: BTreeSet<String>,
}

impl Watch {
    /// Begins to look; a target that is no Kafka target needs none.
    pub(super) fn start(task: &str, target: &Target, console: &Arc<Console>) -> Option<Self> {
        let Target::Kafka(kafka) = target else { return None };
        let looker = Arc::new(Looker {
            task: task.to_owned(),
            producer: kafka.producer().clone(),
            console: Arc::clone(console),
            state: Mutex::default(),
        });
        let ticker = Arc::clone(&looker);
        let ticking = tokio::spawn(async move {
            let mut interval = tokio::time::interval(LOOK_EVERY);
            loop {
                interval.tick().await;
                ticker.look();
            }
        });
        Some(Self { looker, ticking: ticking.abort_handle() })
    }

    /// Looks now, for a task that may end before the next turn.
    pub(super) fn look(&self) {
        self.looker.look();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

impl Looker {
    fn look(&self) {
        let trouble = self.producer.trouble();
        // A broker that cannot be reached or does not answer is the outage's to tell, see `crate::outage`.
        let answered = trouble.iter().filter(|trouble| trouble.error.code().is_some());
        let waiting = answered.map(|trouble| Waiting {
            since: trouble.since,
            attempts: trouble.attempts,
            error: trouble.error.to_string(),
        });
        let waiting: Vec<_> = waiting.collect();
        // Nothing panics under this lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = state.report.look(Instant::now(), &waiting) {
            self.console.say(&format!("{}: {line}", self.task));
        }
        for topic in self.producer.unnumbered_topics() {
            if state.unnumbered.insert(topic.to_string()) {
                self.console.say(&format!(
                    "{}: topic {topic} has a message.format.version before 0.11 and takes no producer ids: it is written without \
                     idempotence, so a batch that is sent again may be in it twice",
                    self.task
                ));
            }
        }
    }
}
