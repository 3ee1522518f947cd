//! `ottla run FILE [TASK…]`: runs the tasks of a config file, all at once.
//!
//! One exception to "all at once": a `full` task that reads what another `full` task of the same run writes waits for
//! that one, since it would else find nothing; if that one fails, it does not run. Tasks that feed each other in a ring
//! are refused.
//!
//! The first SIGINT, SIGTERM or SIGHUP lets every task drain, commit and end, within `shutdown_timeout`; the second ends
//! the process at once.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ottla_devbroker::DevBroker;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::dev::RETENTION_MIB;
use super::load_config;
use super::signals::Signals;
use crate::config::model::{Bootstrap, Config, Kind, SHUTDOWN_TIMEOUT, Task};
use crate::config::nearest::nearest;
use crate::config::{Needed, duration};
use crate::exit::{Exit, Failure};
use crate::progress::{Console, Counts, Verbosity, grouped, summary};
use crate::resources::{self, ClusterFacts, Facts, Meeting, Way};
use crate::task::{self, ClusterSpec, Ending, Job, Outcome, Shutdown};

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
    /// Drain and end all tasks as soon as one has failed.
    #[arg(long)]
    fail_fast: bool,
    /// How long draining may take after the first signal, such as 25s; wins over `shutdown_timeout` in the file.
    #[arg(long, value_name = "TIME", value_parser = duration::argument)]
    shutdown_timeout: Option<Duration>,
}

/// Runs the tasks to their end.
pub async fn run(args: RunArgs, verbosity: Verbosity) -> Result<Exit, Failure> {
    let needed = (!args.tasks.is_empty()).then(|| Needed { tasks: args.tasks.clone(), ..Needed::default() });
    let mut config = load_config(&args.file, needed)?;
    config.shutdown_timeout = args.shutdown_timeout.or(config.shutdown_timeout);
    let limit = config.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT);
    let tasks = chosen(&config, &args.tasks)?;
    let console = Console::stderr(verbosity);
    let signals = Signals::watch(&console, limit)?;
    let embedded = embedded_broker(&config, &tasks).await?;
    let addresses = embedded.as_ref().map(DevBroker::bootstrap).unwrap_or_default();
    let mut jobs =
        tasks.iter().map(|task| Job::from_config(&config, task, &addresses)).collect::<Result<Vec<_>, _>>()?;
    begin_again(&mut jobs, &args.from_start, &config)?;
    let jobs: Vec<_> = jobs.into_iter().map(|job| job.from_earliest(&args.from_earliest)).collect();
    let mut shutdown = signals.shutdown();
    let asked = tokio::select! {
        biased;
        () = task::requested(&mut shutdown) => Asked::default(),
        asked = ask_clusters(&config, &tasks) => asked,
    };
    let ways = resources::ways(&config, tasks.iter().copied(), &asked.facts);
    refuse_rings(&ways)?;
    let plan = Plan { waits: resources::waits(&ways), unreachable: asked.unreachable, fail_fast: args.fail_fast };
    let ticker = console.tick();
    let reports = run_all(jobs, plan, &console, &signals).await;
    drop(ticker);
    console.close();
    if let Some(broker) = embedded {
        // Nobody uses it any more, so it has nothing to wait for.
        let _ = tokio::time::timeout(Duration::from_secs(2), broker.shutdown()).await;
    }
    Ok(verdict(&reports, &console, args.strict))
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
    let started = DevBroker::builder().retention_bytes(RETENTION_MIB << 20).start().await;
    started.map(Some).map_err(|error| Failure::environment(format!("the embedded broker did not start: {error}")))
}

/// What the clusters said of themselves.
#[derive(Default)]
struct Asked {
    facts: Facts,
    /// By task: why a cluster of its could not be asked.
    unreachable: BTreeMap<String, Failure>,
}

/// Asks the clusters whose identity decides whether tasks feed each other. A task with a cluster that does not answer
/// cannot run: it could be a part of a ring.
async fn ask_clusters(config: &Config, tasks: &[&Task]) -> Asked {
    let mut asking = JoinSet::new();
    for name in resources::undecided(config, tasks.iter().copied()) {
        let Some(Kind::Kafka(kafka)) = config.connections.get(&name).map(|connection| &connection.kind) else {
            continue;
        };
        let Bootstrap::Servers(servers) = &kafka.bootstrap else { continue };
        let cluster = ClusterSpec {
            name: name.clone(),
            servers: servers.clone(),
            auth: kafka.auth.clone(),
            tls: kafka.tls.clone(),
        };
        asking.spawn(async move { (name, cluster.connect().await.map(|client| ClusterFacts::of(&client))) });
    }
    let mut asked = Asked::default();
    while let Some(answer) = asking.join_next().await {
        let Ok((name, answer)) = answer else { continue };
        match answer {
            Ok(facts) => drop(asked.facts.insert(name, facts)),
            Err(failure) => {
                let using = tasks.iter().filter(|task| task.source == name || task.target == name);
                asked.unreachable.extend(using.map(|task| (task.name.clone(), failure.clone())));
            }
        }
    }
    asked
}

/// Tasks that feed each other would never come to an end.
fn refuse_rings(ways: &[Way]) -> Result<(), Failure> {
    let rings = resources::rings(ways);
    let Some(first) = rings.first() else { return Ok(()) };
    let message = if let ([name], Some(topic)) = (first.tasks.as_slice(), &first.topic) {
        format!("task {name}: source and target are the same cluster, and it would read the topic it writes, {topic}")
    } else {
        first.to_string()
    };
    Err(Failure::usage(message).with_help(resources::RING_HELP))
}

/// How the tasks of a run depend on each other.
struct Plan {
    /// By task: the tasks whose end it waits for, and where they meet.
    waits: BTreeMap<String, Vec<(String, Meeting)>>,
    /// By task: why it cannot run.
    unreachable: BTreeMap<String, Failure>,
    fail_fast: bool,
}

/// How a task of a run ended.
#[derive(Debug)]
enum Report {
    /// It ran.
    Ran(Outcome),
    /// A signal came while it waited.
    NotStarted(String),
    /// The task that it waited for did not come to a good end.
    NotRun { name: String, because: String },
}

/// What a task tells those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Badly,
}

impl Report {
    fn end(&self) -> End {
        match self {
            Self::Ran(Outcome { result: Ok(Ending::Complete), .. }) => End::Well,
            _ => End::Badly,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Ran(outcome) => outcome.exit(),
            Self::NotStarted(_) => Exit::Ok,
            Self::NotRun { .. } => Exit::Environment,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Ran(outcome) => &outcome.name,
            Self::NotStarted(name) | Self::NotRun { name, .. } => name,
        }
    }

    fn skipped(&self) -> u64 {
        if let Self::Ran(outcome) = self { outcome.counts.skipped } else { 0 }
    }

    /// Says how the task ended, when it ended.
    fn say(&self, console: &Console) {
        match self {
            Self::Ran(outcome) => {
                let how = match &outcome.result {
                    Ok(Ending::Complete) => "complete",
                    Ok(Ending::Interrupted) => "ended on request, positions committed",
                    Ok(Ending::ReaderLeft) => "ended, since the reader of its output left",
                    Err(_) => "stopped",
                };
                console.say(&format!("{}: {how}; {}", outcome.name, summary(outcome.counts, outcome.elapsed)));
                if let Err(failure) = &outcome.result {
                    console.say(&failure.to_string());
                }
            }
            Self::NotStarted(name) => console.say(&format!("{name}: ended on request before its start")),
            Self::NotRun { name, because } => {
                console.say(&format!("{name}: not run, since it reads what {because} writes, which did not complete"));
            }
        }
    }
}

/// Runs all jobs, each in a task of its own; says how each ends when it ends.
async fn run_all(jobs: Vec<Job>, plan: Plan, console: &Arc<Console>, signals: &Signals) -> Vec<Report> {
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let mut ends: HashMap<String, watch::Sender<Option<End>>> =
        names.iter().map(|name| (name.clone(), watch::Sender::new(None))).collect();
    let mut running = JoinSet::new();
    let mut by_id = HashMap::new();
    for job in jobs {
        let writers = plan.waits.get(&job.name).into_iter().flatten();
        let before: Vec<_> = writers
            .filter_map(|(name, meeting)| Some((name.clone(), meeting.clone(), ends.get(name)?.subscribe())))
            .collect();
        let name = job.name.clone();
        let unreachable = plan.unreachable.get(&name).cloned();
        let (console, shutdown) = (Arc::clone(console), signals.shutdown());
        let spawned = running.spawn(async move {
            match unreachable {
                Some(failure) => Report::Ran(failed(job.name, failure)),
                None => in_turn(job, before, console, shutdown).await,
            }
        });
        by_id.insert(spawned.id(), name);
    }
    let mut reports = Vec::new();
    while let Some(joined) = running.join_next_with_id().await {
        let (id, report) = match joined {
            Ok((id, report)) => (id, Some(report)),
            Err(error) => (error.id(), None),
        };
        let name = by_id.remove(&id).unwrap_or_default();
        // What happened in a panic was printed by the panic hook.
        let report = report.unwrap_or_else(|| {
            Report::Ran(failed(name.clone(), Failure::internal(format!("task {name} ended by an internal error"))))
        });
        report.say(console);
        if let Some(end) = ends.remove(&name) {
            end.send_replace(Some(report.end()));
        }
        if plan.fail_fast && report.exit() != Exit::Ok && !running.is_empty() {
            console.stopping(&format!("{name} has failed, so the other tasks drain and end (--fail-fast)"));
            signals.stop();
        }
        reports.push(report);
    }
    reports
}

fn failed(name: String, failure: Failure) -> Outcome {
    Outcome { name, counts: Counts::default(), elapsed: Duration::ZERO, result: Err(failure) }
}

/// A task that is waited for, what it writes, and its end to come.
type Before = (String, Meeting, watch::Receiver<Option<End>>);

/// Waits for the tasks that write what the job reads, then does the job.
async fn in_turn(job: Job, before: Vec<Before>, console: Arc<Console>, mut shutdown: Shutdown) -> Report {
    for (writer, meeting, mut end) in before {
        let what = match meeting {
            Meeting::Topic(topic) => format!("topic {topic}"),
            Meeting::File => "its file".to_owned(),
        };
        console.say(&format!("{}: waits until {writer} is complete, which writes what it reads: {what}", job.name));
        let ended = tokio::select! {
            biased;
            () = task::requested(&mut shutdown) => return Report::NotStarted(job.name),
            ended = end.wait_for(Option::is_some) => ended.ok().and_then(|end| *end),
        };
        // A sender that is gone ended in a panic.
        if ended != Some(End::Well) {
            let asked = *shutdown.borrow();
            return if asked {
                Report::NotStarted(job.name)
            } else {
                Report::NotRun { name: job.name, because: writer }
            };
        }
    }
    Report::Ran(task::run(job, console, shutdown).await)
}

/// Sums up more than one task in a line; gives the worst exit code. How each ended was said when it ended.
fn verdict(reports: &[Report], console: &Console, strict: bool) -> Exit {
    let worst = reports.iter().map(Report::exit).fold(Exit::Ok, worse);
    let bad: Vec<_> = reports.iter().filter(|report| report.exit() != Exit::Ok).map(Report::name).collect();
    if reports.len() > 1 && !bad.is_empty() {
        console.say(&format!(
            "{} of {} tasks did not come to a good end: {}",
            bad.len(),
            reports.len(),
            bad.join(", ")
        ));
    }
    let skipped: u64 = reports.iter().map(Report::skipped).sum();
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
        let waits_in = |text: &str| {
            let config = config(text);
            resources::waits(&resources::ways(&config, config.tasks.values(), &Facts::new()))
        };
        let waits = waits_in(FILE);
        assert_eq!(waits["drain"], [("fill".to_owned(), Meeting::Topic("orders".to_owned()))]);
        assert!(waits["fill"].is_empty());
        let endless = FILE.replace(
            "source = \"broker\"\n        target = \"out\"\n        mode = \"full\"",
            "source = \"broker\"\n        target = \"out\"\n        mode = \"full+incremental\"",
        );
        assert!(!waits_in(&endless).contains_key("drain"), "what goes on for ever meets the records as they come");
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
