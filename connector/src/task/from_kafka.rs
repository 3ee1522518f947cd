//! The way of a task whose source is Kafka.

mod outages;
mod positions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{Client, Error, Fetched, TopicPartition};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::config::model::{JsonlPath, OnUnavailable};
use crate::core::checkpoint::Lane;
use crate::core::placement::Placement;
use crate::core::plan::{Course, Reason};
use crate::event::{Event, Origin};
use crate::exit::{Exit, Failure};
use crate::mode::RENEW_EVERY;
use crate::outage::{self, Watch};
use crate::progress::{Console, Progress, SHOWN, grouped};
use crate::resources::ClusterFacts;
use crate::source::kafka::progress::Position;
use crate::source::kafka::{KafkaSource, Reading, Selection, Start};
use crate::target::kafka::Naming;
use crate::target::{Route, SourceTopic, Target};

use self::outages::Outages;
use self::positions::{Log, Prover};
use super::failure::client_failure;
use super::pump::{Policies, Pump};
use super::sole::{self, Sole};
use super::{End, Ending, Job, JsonlTo, KafkaFrom, Shutdown, TargetSpec, Timing, drained, not_drained, requested};

/// How often topics are looked for as long as there is none to read: somebody waits for the first records.
const LOOK_FOR_THE_FIRST_EVERY: Duration = Duration::from_secs(1);

/// How often the end of a log is looked at for which no more records come.
const LOOK_AT_ENDS_EVERY: Duration = Duration::from_millis(250);

/// How often partitions that cannot be read are looked at.
const LOOK_AT_OUTAGES_EVERY: Duration = Duration::from_secs(1);

/// How often the positions of a start are committed for topics that the group's coordinator does not know yet: a topic that
/// was just created reaches it with a delay.
const START_COMMITS: u32 = 10;

/// How long to wait in between.
const START_COMMIT_AGAIN: Duration = Duration::from_millis(300);

/// A partition that is read.
struct Seat {
    place: TopicPartition,
    siblings: i32,
    course: Course,
    lane: Lane,
    route: Option<Route>,
    position: i64,
    done: bool,
    log: Log,
    /// Where the records before the position were put.
    placement: Option<Placement>,
}

struct FromKafka {
    source: KafkaSource,
    pump: Pump,
    name: String,
    ends: bool,
    seats: Vec<Seat>,
    by_place: HashMap<TopicPartition, usize>,
    /// Seats that are not done.
    open: usize,
    total: u64,
    progress: Arc<Progress>,
    console: Arc<Console>,
    failed_commits: u32,
    /// Partitions that cannot be read hold up no other.
    skips_unavailable: bool,
    outages: Outages,
    /// Topics whose records go to other partitions than in the last run, and it was said.
    moved: HashSet<Arc<str>>,
    /// The target is the cluster that is read from.
    own_cluster: bool,
    /// Tells of outages while the task runs.
    _watch: Watch,
}

/// Reads topics until they end, a signal comes, or a record stops it.
pub(super) async fn run(job: &Job, from: &KafkaFrom, console: &Arc<Console>, end: &mut End) -> Result<(), Failure> {
    let mut sole = None;
    let ran = run_as(&mut sole, job, from, console, end).await;
    // However it ended: the next start need not wait.
    if let Some(sole) = sole {
        sole.leave().await;
    }
    ran
}

/// The same; leaves in `sole` the right to run the task, once it has it.
async fn run_as(
    sole: &mut Option<Arc<Sole>>,
    job: &Job,
    from: &KafkaFrom,
    console: &Arc<Console>,
    end: &mut End,
) -> Result<(), Failure> {
    let mut shutdown = end.shutdown.clone();
    let mut task = tokio::select! {
        biased;
        () = requested(&mut shutdown) => {
            end.ending = Ending::Interrupted;
            return Ok(());
        }
        task = FromKafka::begin(sole, job, from, console, &end.progress) => task?,
    };
    let (limit, asked) = (job.timing.shutdown, shutdown.clone());
    let whole = async {
        let ran = task.run(&job.timing, &mut shutdown).await;
        task.settle_all(ran, end).await
    };
    match drained(&asked, limit, whole).await {
        Some(ended) => ended,
        None => Err(not_drained(&job.name, limit, &task.not_committed())),
    }
}

/// Asked of the clusters, because names and addresses of one cluster can differ.
fn is_same_cluster(one: &Client, other: &Client) -> bool {
    ClusterFacts::of(one).is_same(&ClusterFacts::of(other))
}

/// Whether the target was new before it was opened.
enum Fresh {
    /// A file that does not exist or is empty.
    File(String),
    /// A file with something in it, or not a file; a topic is looked up.
    Unknown,
}

impl Fresh {
    async fn of(target: &TargetSpec) -> Self {
        let TargetSpec::Jsonl(JsonlTo { path: JsonlPath::File(path), .. }) = target else { return Self::Unknown };
        match tokio::fs::metadata(path).await {
            Ok(about) if !about.is_file() || about.len() > 0 => Self::Unknown,
            _ => Self::File(path.display().to_string()),
        }
    }
}

/// A piece of the user's or a broker's text, fit for a line.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

impl FromKafka {
    /// Everything before the first fetch: reaches both ends, chooses the starts, commits them. Nothing is lost if this
    /// is dropped half-way.
    async fn begin(
        sole: &mut Option<Arc<Sole>>,
        job: &Job,
        from: &KafkaFrom,
        console: &Arc<Console>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Failure> {
        let client = from.cluster.connect_saying(&job.name, console).await?;
        let reading = match &from.mode {
            Some(mode) => Reading::Task { group: job.group.clone(), mode: *mode },
            None => Reading::Once,
        };
        let ends = reading.ends();
        let skips_unavailable = !ends && from.on_unavailable == OnUnavailable::Continue;
        // Before anything else is touched: a second process must not even open the target.
        if let Reading::Task { group, .. } = &reading {
            *sole = Some(Arc::new(Sole::acquire(&client, &job.name, group, console).await?));
        }
        let fresh = Fresh::of(&job.target).await;
        let target = job.target.open(&job.name, console, &job.timing).await?;
        let policies = Policies {
            on_bad_message: from.on_bad_message,
            on_push_error: job.target.on_push_error(),
            command: job.command,
        };
        let own_cluster = match &target {
            Target::Kafka(kafka) => is_same_cluster(&client, kafka.client()),
            Target::Jsonl(_) => false,
        };
        let mut watched = vec![(from.cluster.name.clone(), client.clone())];
        watched.extend(super::watched(&job.target, &target));
        let mut task = Self {
            _watch: outage::watch(&job.name, watched, console),
            source: KafkaSource::open(
                client,
                sole.clone(),
                from.selection.clone(),
                reading,
                &from.cluster.place(),
                skips_unavailable,
            )?
            .started_by(&from.command, &from.from_earliest),
            pump: Pump::new(&job.name, target, policies, job.timing.commit, console, Arc::clone(progress)),
            name: job.name.clone(),
            ends,
            seats: Vec::new(),
            by_place: HashMap::new(),
            open: 0,
            total: 0,
            progress: Arc::clone(progress),
            console: Arc::clone(console),
            failed_commits: 0,
            skips_unavailable,
            outages: Outages::default(),
            moved: HashSet::new(),
            own_cluster,
        };
        if let Some(mode) = from.mode {
            let cluster = &from.cluster.name;
            console.say(&format!("{}: mode {mode}, positions in the group {} on {cluster}", job.name, job.group));
        }
        let starts = task.source.discover().await?;
        task.say_leaderless();
        if starts.is_empty() && !task.source.has_leaderless() {
            task.nothing_matches(from).await?;
        }
        task.warn_of_old_positions(&job.group, &fresh, &starts).await?;
        task.start(starts).await?;
        Ok(task)
    }

    /// A task that ends fails when no topic matches, since the name may be misspelled; one that does not end waits.
    async fn nothing_matches(&self, from: &KafkaFrom) -> Result<(), Failure> {
        let expression = match &from.selection {
            Selection::Matching(expression) if !expression.is_all() => {
                format!("no topic matches {}", quoted(expression.as_str()))
            }
            Selection::Matching(_) => "there are no topics".to_owned(),
            // Its absence is an error by itself; it is there, without partitions.
            Selection::Topic(name) => format!("topic {name} has no partitions"),
        };
        if !self.ends || from.allow_empty {
            let next = if self.ends { "there is nothing to do" } else { "waiting for one" };
            self.console.say(&format!("{}: {expression}; {next}", self.name));
            return Ok(());
        }
        let near = self.source.near_names().await;
        let near = match near.as_slice() {
            [] => String::new(),
            near => format!("did you mean {}? ", near.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")),
        };
        let place = from.cluster.place();
        Err(Failure::environment(format!("task {}: {place}: {expression}", self.name))
            .with_help(format!("{near}allow_empty = true in the task takes that for a complete copy")))
    }

    /// A new target that meets positions of an earlier one misses what was copied before them.
    async fn warn_of_old_positions(&self, group: &str, fresh: &Fresh, starts: &[Start]) -> Result<(), Failure> {
        let resumed = starts.iter().filter(|start| start.course.reason == Reason::Resumed && start.course.start > 0);
        let resumed: Vec<_> = resumed.collect();
        let Some(first) = resumed.first() else { return Ok(()) };
        let what = match (fresh, &self.pump.target) {
            (Fresh::File(path), _) => format!("{path} is new or empty"),
            (_, Target::Kafka(kafka)) => {
                let mut topics: Vec<&str> = resumed.iter().map(|start| start.place.topic.as_ref()).collect();
                topics.dedup();
                match kafka.missing_topic(&topics).await? {
                    Some(topic) => format!("topic {topic} does not exist yet"),
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        let others = match resumed.len() {
            1 => String::new(),
            count => format!(", and {} more partitions", count - 1),
        };
        self.console.say(&format!(
            "warning: {}: {what}, but the group {group} has positions already ({} at {}{others}): what lies before them is \
             not copied; with another `group` the task starts as a new one",
            self.name, first.place, first.course.start
        ));
        Ok(())
    }

    /// Takes in partitions: refuses loops, says where each starts and why, commits that, and begins to read.
    async fn start(&mut self, starts: Vec<Start>) -> Result<(), Failure> {
        for start in &starts {
            self.refuse_loop(&start.place.topic)?;
        }
        self.say_starts(&starts);
        self.say_unproven();
        self.commit_starts(&starts).await?;
        let mut positions = Vec::new();
        for Start { place, siblings, course, evidence, placement } in starts {
            let lane = self.pump.add(Origin::Partition(place.clone()), course.start);
            let done = course.done_at(course.start);
            if !done {
                self.open += 1;
                self.total += course.offsets().unwrap_or(0);
                positions.push((place.clone(), course.start));
            }
            self.by_place.insert(place.clone(), self.seats.len());
            let (position, log) = (course.start, Log::new(evidence));
            self.seats.push(Seat { place, siblings, course, lane, route: None, position, done, log, placement });
        }
        if self.ends {
            self.progress.ends_at(self.total);
        }
        self.source.consumer.assign(&positions).await.map_err(|error| self.failed(&error))
    }

    /// Commits where everything begins, before the first record is read. Those that are resumed too: brokers forget what is not
    /// committed again for long.
    async fn commit_starts(&mut self, starts: &[Start]) -> Result<(), Failure> {
        let position = |start: &Start| Position {
            place: start.place.clone(),
            offset: start.course.start,
            evidence: start.evidence,
            placement: start.placement.clone(),
        };
        let mut open: Vec<_> = starts.iter().map(position).collect();
        let mut turns = 0;
        loop {
            let refused = self.source.begin(&open).await.map_err(|error| self.failed(&error))?;
            open.retain(|position| refused.contains(&position.place));
            let Some(first) = open.first() else { return Ok(()) };
            turns += 1;
            if turns >= START_COMMITS {
                return Err(Failure::environment(format!(
                    "task {}: {}: the group's coordinator does not know the topic; was it deleted?",
                    self.name, first.place
                )));
            }
            tokio::time::sleep(START_COMMIT_AGAIN).await;
        }
    }

    /// Tells of positions whose last record is gone.
    fn say_unproven(&mut self) {
        let places = self.source.take_unproven();
        let Some(first) = places.first() else { return };
        let others = match places.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        self.console.say(&format!(
            "{}: {first}{others}: the record read last was removed by compaction or retention, so only the log's start and epoch \
             show that the topic is the one that was read",
            self.name
        ));
    }

    /// Where each partition starts and why; of many only how many, and the rest under `-v`.
    fn say_starts(&self, starts: &[Start]) {
        let mut reasons: Vec<(Reason, usize)> = Vec::new();
        for Start { place, course, .. } in starts {
            let stop = course.stop.map_or_else(|| "without end".to_owned(), |stop| format!("up to {stop}"));
            let line = format!("{}: {place} starts at {}, {stop} ({})", self.name, course.start, course.reason);
            if starts.len() <= SHOWN {
                self.console.say(&line);
            } else {
                self.console.detail(&line);
            }
            match reasons.iter_mut().find(|(reason, _)| *reason == course.reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((course.reason, 1)),
            }
        }
        if starts.len() > SHOWN {
            let topics: HashSet<_> = starts.iter().map(|start| &start.place.topic).collect();
            let reasons: Vec<_> =
                reasons.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count as u64))).collect();
            let (partitions, topics) = (grouped(starts.len() as u64), grouped(topics.len() as u64));
            self.console.say(&format!(
                "{}: {partitions} partitions of {topics} topics start: {}; -v lists them",
                self.name,
                reasons.join("; ")
            ));
        }
    }

    fn failed(&self, error: &Error) -> Failure {
        client_failure(&format!("task {}", self.name), error)
    }

    /// A task that wrote into a topic it reads would never come to its end.
    fn refuse_loop(&self, topic: &str) -> Result<(), Failure> {
        let Target::Kafka(kafka) = &self.pump.target else { return Ok(()) };
        let into = match kafka.naming() {
            Naming::Same => topic,
            Naming::Fixed(name) => name,
        };
        if !self.own_cluster || into != topic {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "task {}: source and target are the same cluster, and topic {topic} would be written into itself",
            self.name
        ))
        .with_help("give the target connection a plain topic name that the source's `topics` does not match"))
    }

    async fn run(&mut self, timing: &Timing, shutdown: &mut Shutdown) -> Result<Ending, Failure> {
        let mut ends_tick = ticks(LOOK_AT_ENDS_EVERY);
        let mut topics_tick = ticks(self.discover_every(timing));
        let mut outages_tick = ticks(LOOK_AT_OUTAGES_EVERY);
        let mut renew_tick = ticks(RENEW_EVERY);
        loop {
            if self.pump.is_stopped() || (self.ends && self.open == 0) {
                return Ok(Ending::Complete);
            }
            let deadline = self.pump.batcher.deadline();
            let crowded = self.pump.is_crowded();
            tokio::select! {
                biased;
                () = requested(shutdown) => return Ok(Ending::Interrupted),
                failure = sole::lost(self.source.sole.as_deref()) => return Err(failure),
                () = until(deadline), if deadline.is_some() => self.commit().await?,
                settled = self.pump.target.settled() => self.pump.apply(settled),
                _ = ends_tick.tick(), if self.ends => self.look_at_ends(),
                _ = topics_tick.tick(), if !self.ends => {
                    tokio::select! {
                        biased;
                        () = requested(shutdown) => return Ok(Ending::Interrupted),
                        looked = self.look_for_topics() => looked?,
                    }
                    topics_tick = ticks(self.discover_every(timing));
                }
                _ = outages_tick.tick(), if self.has_outages() => {
                    self.look_at_outages();
                    if self.source.has_leaderless() {
                        tokio::select! {
                            biased;
                            () = requested(shutdown) => return Ok(Ending::Interrupted),
                            looked = self.look_for_topics() => looked?,
                        }
                    }
                }
                _ = renew_tick.tick() => self.renew().await?,
                fetched = self.source.consumer.next(), if !crowded => match fetched {
                    Ok(fetched) => {
                        if !self.wait_until_held(shutdown).await? {
                            return Ok(Ending::Interrupted);
                        }
                        self.take(&fetched, shutdown).await?;
                    }
                    Err(error) if self.goes_on_without(&error) => {}
                    Err(error) => {
                        let failure = self.read_failure(&error).await;
                        self.pump.stop(failure);
                    }
                },
            }
            if self.pump.batcher.is_due(std::time::Instant::now()) || (crowded && self.is_file()) {
                self.commit().await?;
            }
        }
    }

    fn has_outages(&self) -> bool {
        !self.outages.is_empty() || self.source.has_leaderless()
    }

    /// Tells of partitions that have no leader now, and of which nothing was read yet.
    fn say_leaderless(&mut self) {
        let places = self.source.take_new_leaderless();
        let Some(first) = places.first() else { return };
        let others = match places.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        self.console
            .say(&format!("{}: {first}{others}: no leader; read once there is one, the others go on", self.name));
    }

    /// Nothing is handed over while another process may have taken the task over. `false`: the task is to end.
    async fn wait_until_held(&self, shutdown: &mut Shutdown) -> Result<bool, Failure> {
        let Some(sole) = self.source.sole.as_deref().filter(|sole| !sole.is_held()) else { return Ok(true) };
        tokio::select! {
            biased;
            () = requested(shutdown) => Ok(false),
            held = sole.held() => held.map(|()| true),
        }
    }

    fn is_file(&self) -> bool {
        matches!(self.pump.target, Target::Jsonl(_))
    }

    /// Hands over one fetched batch, up to the stop.
    async fn take(&mut self, fetched: &Fetched, shutdown: &mut Shutdown) -> Result<(), Failure> {
        let Some(&index) = self.by_place.get(fetched.partition()) else { return Ok(()) };
        if self.seats[index].done {
            return Ok(());
        }
        if !self.outages.is_empty() {
            self.is_read_again(fetched.partition());
        }
        if self.needs_check(index, fetched.watched_since()) && !self.check_before_use(index, shutdown).await? {
            return Ok(());
        }
        let route = self.route(index).await?;
        let seat = &mut self.seats[index];
        let end = seat.course.stop.map_or(fetched.next_offset(), |stop| fetched.next_offset().min(stop));
        let mut batch = self.pump.begin(seat.lane, route, seat.place.partition, end);
        let mut next = seat.position;
        let (mut prover, leader_epoch) = (Prover::default(), fetched.leader_epoch());
        for record in fetched {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.pump.stop_in(&mut batch, next);
                    let failure = self.source.read_failure(&error, None).await;
                    self.pump.stop(failure);
                    break;
                }
            };
            if record.offset >= end {
                break;
            }
            if let Some(proof) = prover.saw(&record, leader_epoch) {
                self.pump.prove(&batch, proof);
            }
            let event = Event::from_record(&record);
            if !self.pump.take(&mut batch, record.offset, event, record.value.unwrap_or_default()).await? {
                break;
            }
            next = record.offset + 1;
            prover.handed_over(record);
        }
        let proof = prover.proof(leader_epoch);
        if let Some(proof) = proof {
            self.pump.prove(&batch, proof);
        }
        self.pump.end(&batch, u64::try_from(end - seat.position).unwrap_or(0));
        seat.was_read(proof, std::time::Instant::now());
        seat.position = end;
        if seat.course.done_at(end) {
            self.finish_seat(index);
        }
        Ok(())
    }

    async fn route(&mut self, index: usize) -> Result<Route, Failure> {
        let seat = &self.seats[index];
        if let Some(route) = seat.route {
            return Ok(route);
        }
        let topic = SourceTopic { name: Some(&seat.place.topic), partitions: seat.siblings };
        let route = self.pump.target.route(topic).await?;
        self.pump.say_news();
        if let Some(placement) = self.pump.target.placement(route) {
            self.place_by(index, placement);
        }
        self.seats[index].route = Some(route);
        Ok(route)
    }

    /// The records of a seat are placed so from now on. Says once a topic that the last run placed them otherwise.
    fn place_by(&mut self, index: usize, now: Placement) {
        let (topic, siblings) = (self.seats[index].place.topic.clone(), self.seats[index].siblings);
        if let Some(before) = &self.seats[index].placement
            && now.moves_records(before, siblings)
            && self.moved.insert(topic.clone())
        {
            let line = now.change(before, &format!("records of topic {topic}"));
            self.console.say(&format!("warning: {}: {line}", self.name));
        }
        self.seats[index].placement = Some(now);
    }

    fn finish_seat(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if !std::mem::replace(&mut seat.done, true) {
            self.open -= 1;
            self.source.consumer.unassign(std::slice::from_ref(&seat.place));
        }
    }

    /// Ends partitions behind whose position the broker has nothing more although the stop is further: compaction can
    /// remove the last records of a log.
    fn look_at_ends(&mut self) {
        for index in 0..self.seats.len() {
            let seat = &mut self.seats[index];
            let Some(stop) = seat.course.stop.filter(|_| !seat.done) else { continue };
            let known = self.source.consumer.known_end(&seat.place);
            if known.is_none_or(|known| known < stop)
                || self.source.consumer.position(&seat.place) != Some(seat.position)
            {
                continue;
            }
            let span = self.pump.checkpoint.read(seat.lane, stop);
            self.pump.checkpoint.finish(span);
            seat.position = stop;
            self.finish_seat(index);
        }
    }

    fn discover_every(&self, timing: &Timing) -> Duration {
        if self.seats.is_empty() { timing.discover.min(LOOK_FOR_THE_FIRST_EVERY) } else { timing.discover }
    }

    async fn look_for_topics(&mut self) -> Result<(), Failure> {
        let found = self.source.discover().await;
        self.say_leaderless();
        match found {
            Ok(starts) => self.start(starts).await,
            // Reading goes on; a cluster that stays away is noticed there.
            Err(failure) if failure.exit == Exit::Environment => {
                tracing::warn!("task {}: looking for new topics failed: {}", self.name, failure.message);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits for what is under way, commits what is safe, and marks a full sync that came to its end.
    async fn settle_all(&mut self, ran: Result<Ending, Failure>, end: &mut End) -> Result<(), Failure> {
        let settled = self.pump.finish().await;
        let committed = if settled.is_ok() { self.commit_last().await } else { Ok(()) };
        // The first thing that went wrong is the one to tell.
        end.ending = ran?;
        self.pump.outcome(settled)?;
        committed?;
        if end.ending == Ending::Complete {
            self.pump.complete().await?;
        }
        if self.ends && end.ending == Ending::Complete {
            self.mark_completed().await?;
        }
        Ok(())
    }

    /// What was read and not committed, partition by partition.
    fn not_committed(&self) -> Vec<String> {
        let open = self.seats.iter().filter_map(|seat| {
            let committed = self.pump.checkpoint.committed_at(seat.lane);
            let is_open = committed < seat.position || !self.pump.checkpoint.is_settled(seat.lane);
            is_open.then(|| format!("{} from offset {committed} on", seat.place))
        });
        open.collect()
    }

    async fn mark_completed(&mut self) -> Result<(), Failure> {
        let ends: Vec<_> = self.seats.iter().filter_map(|seat| Some((seat.place.clone(), seat.course.stop?))).collect();
        if ends.is_empty() {
            return Ok(());
        }
        let place = format!("task {}: the full sync cannot be marked as completed", self.name);
        self.source.mark_completed(&ends).await.map_err(|error| client_failure(&place, &error))
    }
}

fn ticks(every: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
