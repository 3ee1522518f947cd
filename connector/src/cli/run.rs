//! `ottla run FILE [TASK…]`: runs the tasks of a config file, all at once.
//!
//! One exception to "all at once": a `full` task that reads what another `full` task of the same run writes waits for
//! that one, since it would else find nothing.
//!
//! The first SIGINT or SIGTERM lets every task drain, commit and end; the second ends the process at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use ottla_devbroker::DevBroker;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::load_config;
use crate::config::model::{Bootstrap, Config, Kafka, Kind, Task};
use crate::config::nearest::nearest;
use crate::exit::{Exit, Failure};
use crate::mode::Mode;
use crate::progress::{Console, Counts, grouped, summary};
use crate::task::{self, Ending, Job, Outcome, Shutdown};

/// Arguments of `ottla run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The config file (TOML).
    file: PathBuf,
    /// Only these tasks; all of them without it.
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Read this topic from its earliest offset, whatever position is committed; may be given more than once. For a topic that
    /// was deleted and created again, or whose unread records retention has removed.
    #[arg(long, value_name = "TOPIC")]
    from_earliest: Vec<String>,
    /// Let this task forget the position in its source file and begin at the first line; can be given again.
    #[arg(long, value_name = "TASK")]
    from_start: Vec<String>,
    /// End with exit code 5 if records were skipped.
    #[arg(long)]
    strict: bool,
}

/// Runs the tasks to their end.
pub async fn run(args: RunArgs) -> Result<Exit, Failure> {
    let config = load_config(&args.file)?;
    let tasks = chosen(&config, &args.tasks)?;
    let signals = Signals::watch()?;
    let embedded = embedded_broker(&config, &tasks).await?;
    let addresses = embedded.as_ref().map(DevBroker::bootstrap).unwrap_or_default();
    let mut jobs =
        tasks.iter().map(|task| Job::from_config(&config, task, &addresses)).collect::<Result<Vec<_>, _>>()?;
    begin_again(&mut jobs, &args.from_start, &config)?;
    let jobs: Vec<_> = jobs.into_iter().map(|job| job.from_earliest(&args.from_earliest)).collect();
    let waits = waits(&config, &tasks);
    let console = Console::stderr();
    let ticker = console.tick();
    let outcomes = run_all(jobs, &waits, &console, &signals.shutdown()).await;
    drop(ticker);
    console.clear();
    if let Some(broker) = embedded {
        broker.shutdown().await;
    }
    Ok(report(&outcomes, &console, args.strict))
}

/// `--from-start TASK`.
fn begin_again(jobs: &mut [Job], names: &[String], config: &Config) -> Result<(), Failure> {
    for name in names {
        match jobs.iter_mut().find(|job| job.name == *name) {
            Some(job) => job.begin_again()?,
            None if config.tasks.contains_key(name) => {
                return Err(Failure::usage(format!("--from-start {name}: that task is not among those that run"))
                    .with_help("name it among the tasks, too"));
            }
            None => return Err(no_such_task(config, name)),
        }
    }
    Ok(())
}

/// The tasks named, in their order; all of them if none is named.
fn chosen<'c>(config: &'c Config, names: &[String]) -> Result<Vec<&'c Task>, Failure> {
    if config.tasks.is_empty() {
        return Err(Failure::usage(format!("{} has no tasks", config.file.display()))
            .with_help("add one: [tasks.NAME] with source, target and mode"));
    }
    if names.is_empty() {
        return Ok(config.tasks.values().collect());
    }
    let mut tasks: Vec<&Task> = Vec::with_capacity(names.len());
    for name in names {
        let Some(task) = config.tasks.get(name) else { return Err(no_such_task(config, name)) };
        if !tasks.iter().any(|chosen| chosen.name == task.name) {
            tasks.push(task);
        }
    }
    Ok(tasks)
}

fn no_such_task(config: &Config, name: &str) -> Failure {
    let names = || config.tasks.keys().map(String::as_str);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the tasks are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Failure::usage(format!("{} has no task `{name}`", config.file.display())).with_help(help)
}

/// One development broker for all connections of the chosen tasks that say `embedded`.
async fn embedded_broker(config: &Config, tasks: &[&Task]) -> Result<Option<DevBroker>, Failure> {
    let is_embedded = |name: &String| match config.connections.get(name).map(|connection| &connection.kind) {
        Some(Kind::Kafka(kafka)) => kafka.bootstrap == Bootstrap::Embedded,
        _ => false,
    };
    if !tasks.iter().any(|task| is_embedded(&task.source) || is_embedded(&task.target)) {
        return Ok(None);
    }
    let started = DevBroker::builder().start().await;
    started.map(Some).map_err(|error| Failure::environment(format!("the embedded broker did not start: {error}")))
}

/// By task: the tasks whose end it waits for.
fn waits(config: &Config, tasks: &[&Task]) -> HashMap<String, Vec<String>> {
    let mut waits: HashMap<String, Vec<String>> = HashMap::new();
    for reader in tasks {
        let writers = tasks.iter().filter(|writer| writer.name != reader.name && feeds(config, writer, reader));
        waits.insert(reader.name.clone(), writers.map(|writer| writer.name.clone()).collect());
    }
    // Two that feed each other would wait for ever: nobody waits then.
    let circular = |name: &String| waits[name].iter().any(|other| waits[other].contains(name));
    let circular: Vec<String> = waits.keys().filter(|name| circular(name)).cloned().collect();
    for name in &circular {
        waits.insert(name.clone(), Vec::new());
    }
    waits
}

/// Does a full task write what a full task reads?
fn feeds(config: &Config, writer: &Task, reader: &Task) -> bool {
    let kafka = |name: &String| match config.connections.get(name).map(|connection| &connection.kind) {
        Some(Kind::Kafka(kafka)) => Some(kafka),
        _ => None,
    };
    if writer.mode != Mode::Full || reader.mode != Mode::Full {
        return false;
    }
    let (Some(to), Some(from)) = (kafka(&writer.target), kafka(&reader.source)) else { return false };
    to.bootstrap == from.bootstrap && writes_into(to, from)
}

fn writes_into(to: &Kafka, from: &Kafka) -> bool {
    to.topics.literal().is_some_and(|topic| from.topics.matches(&topic))
}

/// Runs all jobs, each in a task of its own, and gives their outcomes in the order of the jobs.
async fn run_all(
    jobs: Vec<Job>,
    waits: &HashMap<String, Vec<String>>,
    console: &Arc<Console>,
    shutdown: &Shutdown,
) -> Vec<Outcome> {
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let mut ended = HashMap::new();
    let mut senders = HashMap::new();
    for name in &names {
        let (sender, receiver) = watch::channel(false);
        senders.insert(name.clone(), sender);
        ended.insert(name.clone(), receiver);
    }
    let mut running = JoinSet::new();
    for (index, job) in jobs.into_iter().enumerate() {
        let before: Vec<_> =
            waits.get(&job.name).into_iter().flatten().filter_map(|name| ended.get(name).cloned()).collect();
        let (console, shutdown, mine) = (Arc::clone(console), shutdown.clone(), senders.remove(&job.name));
        running.spawn(async move {
            for mut other in before {
                // A sender that is gone ended in a panic; waiting longer would not help.
                let _ = other.wait_for(|ended| *ended).await;
            }
            let outcome = task::run(job, console, shutdown).await;
            if let Some(mine) = mine {
                mine.send_replace(true);
            }
            (index, outcome)
        });
    }
    let mut outcomes: Vec<Option<Outcome>> = names.iter().map(|_| None).collect();
    while let Some(joined) = running.join_next().await {
        if let Ok((index, outcome)) = joined {
            outcomes[index] = Some(outcome);
        }
    }
    let panicked = |(name, outcome): (String, Option<Outcome>)| outcome.unwrap_or_else(|| broken(name));
    names.into_iter().zip(outcomes).map(panicked).collect()
}

/// The outcome of a task that panicked; what happened was printed by the panic hook.
fn broken(name: String) -> Outcome {
    let failure = Failure::internal(format!("task {name} ended by an internal error"));
    Outcome { name, counts: Counts::default(), elapsed: std::time::Duration::ZERO, result: Err(failure) }
}

/// Says how each task ended; gives the worst exit code.
fn report(outcomes: &[Outcome], console: &Console, strict: bool) -> Exit {
    let mut worst = Exit::Ok;
    for outcome in outcomes {
        let how = match &outcome.result {
            Ok(Ending::Complete) => "complete",
            Ok(Ending::Interrupted) => "ended on request, positions committed",
            Ok(Ending::ReaderLeft) => "ended, since the reader of its output left",
            Err(_) => "stopped",
        };
        console.say(&format!("{}: {how}; {}", outcome.name, summary(outcome.counts, outcome.elapsed)));
    }
    for outcome in outcomes {
        if let Err(failure) = &outcome.result {
            console.say(&failure.to_string());
        }
        worst = worse(worst, outcome.exit());
    }
    let skipped: u64 = outcomes.iter().map(|outcome| outcome.counts.skipped).sum();
    if worst == Exit::Ok && strict && skipped > 0 {
        console.say(&format!("{} records were skipped (--strict)", grouped(skipped)));
        return Exit::Skipped;
    }
    worst
}

/// The exit code that tells more: a fault of ours, then wrong use, then data that needs a person, then surroundings.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Internal => 5,
        Exit::Usage => 4,
        Exit::StoppedByData => 3,
        Exit::Environment => 2,
        Exit::Skipped => 1,
        _ => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// SIGINT and SIGTERM: the first asks for the end, the second is the end.
#[derive(Debug)]
pub(super) struct Signals {
    shutdown: Shutdown,
    first: Arc<std::sync::OnceLock<Exit>>,
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// Exit 1: the system does not let us.
    pub(super) fn watch() -> Result<Self, Failure> {
        let (sender, shutdown) = watch::channel(false);
        let first = Arc::new(std::sync::OnceLock::new());
        let mut next = next_signal()?;
        let noted = Arc::clone(&first);
        tokio::spawn(async move {
            let exit = next.recv().await;
            let _ = noted.set(exit);
            super::say("draining and committing; a second signal ends at once");
            sender.send_replace(true);
            let exit = next.recv().await;
            std::process::exit(exit.code().into());
        });
        Ok(Self { shutdown, first })
    }

    /// What tasks look at.
    pub(super) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// The code of the first signal, if one came.
    pub(super) fn first(&self) -> Option<Exit> {
        self.first.get().copied()
    }
}

#[cfg(unix)]
struct NextSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn next_signal() -> Result<NextSignal, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| signal(kind).map_err(|error| Failure::internal(format!("signals cannot be watched: {error}")));
    Ok(NextSignal { interrupt: watch(SignalKind::interrupt())?, terminate: watch(SignalKind::terminate())? })
}

#[cfg(unix)]
impl NextSignal {
    async fn recv(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}

#[cfg(not(unix))]
struct NextSignal;

#[cfg(not(unix))]
fn next_signal() -> Result<NextSignal, Failure> {
    Ok(NextSignal)
}

#[cfg(not(unix))]
impl NextSignal {
    async fn recv(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Exit::Interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FixedEnvironment, check_text};

    const FILE: &str = r#"
        [connections.file]
        kind = "jsonl"
        path = "in.jsonl"
        [connections.broker]
        kind = "kafka"
        bootstrap = "embedded"
        topics = "orders"
        [connections.out]
        kind = "jsonl"
        path = "out.jsonl"
        [tasks.fill]
        source = "file"
        target = "broker"
        mode = "full"
        [tasks.drain]
        source = "broker"
        target = "out"
        mode = "full"
    "#;

    fn config(text: &str) -> Config {
        let checked = check_text("t.toml".as_ref(), text, &FixedEnvironment::default());
        checked.config.unwrap_or_else(|| panic!("a good config"))
    }

    #[test]
    fn a_full_task_waits_for_the_one_that_writes_what_it_reads() {
        let config = config(FILE);
        let waits = waits(&config, &config.tasks.values().collect::<Vec<_>>());
        assert_eq!(waits["drain"], ["fill"]);
        assert!(waits["fill"].is_empty());
        let endless = FILE.replace(
            "source = \"broker\"\n        target = \"out\"\n        mode = \"full\"",
            "source = \"broker\"\n        target = \"out\"\n        mode = \"full+incremental\"",
        );
        let config = self::config(&endless);
        let waits = self::waits(&config, &config.tasks.values().collect::<Vec<_>>());
        assert!(waits["drain"].is_empty(), "what goes on for ever meets the records as they come");
    }

    #[test]
    fn an_unknown_task_is_refused_with_the_nearest_name() {
        let config = config(FILE);
        let failure = chosen(&config, &["drian".to_owned()]).expect_err("no such task");
        assert_eq!((failure.exit, failure.help.as_deref()), (Exit::Usage, Some("did you mean `drain`?")));
        let names = |tasks: Vec<&Task>| tasks.into_iter().map(|task| task.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(chosen(&config, &[]).expect("all")), ["drain", "fill"]);
        let twice = ["fill".to_owned(), "fill".to_owned()];
        assert_eq!(names(chosen(&config, &twice).expect("one")), ["fill"]);
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_task() {
        assert_eq!(worse(Exit::Ok, Exit::Environment), Exit::Environment);
        assert_eq!(worse(Exit::StoppedByData, Exit::Environment), Exit::StoppedByData);
        assert_eq!(worse(Exit::Environment, Exit::Internal), Exit::Internal);
    }
}
