//! How far the tasks of a run are: exact counts, and for those that end, how long they will still take.
//!
//! On a terminal each task has a live line until it ends; elsewhere a plain line a task is printed every few seconds. All
//! of it goes to standard error. The counters are added to once a batch, never once a record.

use std::collections::HashMap;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a live line changes.
const LIVE_EVERY: Duration = Duration::from_millis(200);

/// How often a plain line is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// So many lines of a kind, such as starts of partitions, are shown without `-v`.
pub const SHOWN: usize = 20;

/// What a task has done so far.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    written: AtomicU64,
    skipped: AtomicU64,
    deletions: AtomicU64,
    bytes: AtomicU64,
    /// How far the source was read, in its own unit: offsets or bytes.
    position: AtomicU64,
    /// The same unit; 0 while nobody knows.
    total: AtomicU64,
    finished: AtomicBool,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records taken from the source, bad ones included.
    pub read: u64,
    /// Records that the target has acknowledged.
    pub written: u64,
    /// Records passed: bad messages, and those that the target refused.
    pub skipped: u64,
    /// Deletions that a file has no line for.
    pub deletions: u64,
    /// Bytes of the values that were read.
    pub bytes: u64,
}

impl Counts {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            written: self.written + other.written,
            skipped: self.skipped + other.skipped,
            deletions: self.deletions + other.deletions,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Progress {
    /// A batch was read: how many records, the bytes of their values, and how much nearer the end that is.
    pub fn read(&self, records: u64, bytes: u64, advance: u64) {
        self.read.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.position.fetch_add(advance, Ordering::Relaxed);
    }

    /// The target has acknowledged so many records.
    pub fn written(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// So many records were passed.
    pub fn skipped(&self, records: u64) {
        self.skipped.fetch_add(records, Ordering::Relaxed);
    }

    /// So many deletions have no line.
    pub fn deletions(&self, records: u64) {
        self.deletions.fetch_add(records, Ordering::Relaxed);
    }

    /// The end is known now: this far from the beginning.
    pub fn ends_at(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// The task has ended; its line stays as it is.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// The counts of this moment.
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            read: load(&self.read),
            written: load(&self.written),
            skipped: load(&self.skipped),
            deletions: load(&self.deletions),
            bytes: load(&self.bytes),
        }
    }

    /// How far the target has acknowledged the source, and where it ends. What was read counts in the proportion in which
    /// its records are settled: no position is looked up for a line of text.
    fn ends(&self) -> (u64, Option<u64>) {
        let (total, read) = (self.total.load(Ordering::Relaxed), self.position.load(Ordering::Relaxed));
        (acknowledged(read, self.counts()), (total > 0).then_some(total))
    }
}

/// How much a run says, by how often `-v` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// What happens, in a few lines a task.
    #[default]
    Normal,
    /// `-v`: every partition's start.
    Details,
    /// `-vv`: and what the client does: connections, retries, leaders that move.
    Client,
    /// `-vvv`: and everything that any part of the program traces.
    Everything,
}

impl Verbosity {
    /// By how often `-v` was given.
    pub fn from_count(count: u8) -> Self {
        match count {
            0 => Self::Normal,
            1 => Self::Details,
            2 => Self::Client,
            _ => Self::Everything,
        }
    }
}

/// The part of `read`, in the source's unit, whose records are written or passed.
fn acknowledged(read: u64, counts: Counts) -> u64 {
    let settled = counts.written + counts.skipped + counts.deletions;
    if settled >= counts.read {
        return read;
    }
    // 128 bits: both factors may be offsets.
    u64::try_from(u128::from(read) * u128::from(settled) / u128::from(counts.read)).unwrap_or(read)
}

/// Where a run's lines go.
#[derive(Debug)]
pub struct Console {
    out: Out,
    verbosity: Verbosity,
    lines: Mutex<Vec<Line>>,
    started: Instant,
    stopping: AtomicBool,
    /// How many lines of each kind there were.
    some: Mutex<HashMap<String, usize>>,
}

#[derive(Debug)]
enum Out {
    /// A terminal, until [`Console::close`].
    Live(MultiProgress, AtomicBool),
    /// Standard error without a terminal.
    Plain,
    /// Kept for a test to look at.
    Kept(Mutex<Vec<String>>),
}

#[derive(Debug)]
struct Line {
    name: String,
    progress: Arc<Progress>,
    bar: Option<ProgressBar>,
    /// The counts at the last plain line, so that an idle task prints none.
    shown: Counts,
}

/// Keeps the lines moving until it is dropped.
#[derive(Debug)]
pub struct Ticker(tokio::task::JoinHandle<()>);

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Console {
    /// Standard error: live lines if it is a terminal.
    pub fn stderr(verbosity: Verbosity) -> Arc<Self> {
        if std::io::stderr().is_terminal() {
            Self::live(ProgressDrawTarget::stderr_with_hz(10), verbosity)
        } else {
            Self::new(Out::Plain, verbosity)
        }
    }

    /// Live lines on a terminal.
    pub fn live(target: ProgressDrawTarget, verbosity: Verbosity) -> Arc<Self> {
        Self::new(Out::Live(MultiProgress::with_draw_target(target), AtomicBool::new(false)), verbosity)
    }

    /// Nowhere, for tests; [`Console::said`] has the lines.
    pub fn nowhere() -> Arc<Self> {
        Self::new(Out::Kept(Mutex::default()), Verbosity::Normal)
    }

    fn new(out: Out, verbosity: Verbosity) -> Arc<Self> {
        let stopping = AtomicBool::new(false);
        let (lines, some) = (Mutex::default(), Mutex::default());
        Arc::new(Self { out, verbosity, lines, started: Instant::now(), stopping, some })
    }

    /// The lines of [`Console::nowhere`] so far.
    pub fn said(&self) -> Vec<String> {
        match &self.out {
            Out::Kept(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Out::Live(..) | Out::Plain => Vec::new(),
        }
    }

    /// How much is to be said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Prints a line, above the live ones if there are any.
    pub fn say(&self, line: &str) {
        match &self.out {
            // `println` draws the live lines again, so it is of no use once they are gone.
            Out::Live(bars, closed) if !closed.load(Ordering::SeqCst) => drop(bars.println(line)),
            Out::Kept(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned()),
            // A closed standard error is no reason to stop.
            Out::Live(..) | Out::Plain => drop(writeln!(std::io::stderr().lock(), "{line}")),
        }
    }

    /// Prints a line that `-v` asks for.
    pub fn detail(&self, line: &str) {
        if self.verbosity >= Verbosity::Details {
            self.say(line);
        }
    }

    /// Prints a line of which there may be one a topic: the first twenty of a kind, the rest under `-v`.
    pub fn say_some(&self, kind: &str, line: &str) {
        let before = {
            let mut counts = self.some.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(kind.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        if before < SHOWN || self.verbosity >= Verbosity::Details {
            self.say(line);
        } else if before == SHOWN {
            self.say(&format!("{kind}: further ones are listed under -v"));
        }
    }

    /// The tasks are draining: says so once, and in every live line until the end.
    pub fn stopping(&self, line: &str) {
        self.stopping.store(true, Ordering::Relaxed);
        self.say(line);
    }

    /// Adds a task's line.
    pub fn task(&self, name: &str) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        let bar = match &self.out {
            Out::Live(bars, closed) if !closed.load(Ordering::SeqCst) => Some(bars.add(new_bar(name))),
            _ => None,
        };
        let line = Line { name: name.to_owned(), progress: Arc::clone(&progress), bar, shown: Counts::default() };
        self.lines().push(line);
        progress
    }

    /// Begins to keep the lines moving.
    pub fn tick(self: &Arc<Self>) -> Ticker {
        let console = Arc::clone(self);
        let every = if matches!(self.out, Out::Live(..)) { LIVE_EVERY } else { PLAIN_EVERY };
        Ticker(tokio::spawn(async move {
            let mut interval = tokio::time::interval(every);
            interval.tick().await;
            loop {
                interval.tick().await;
                console.show();
            }
        }))
    }

    /// Takes the live lines away for good; what is said later is printed plainly.
    pub fn close(&self) {
        // Under the lock that `show` holds, so that none is drawn again.
        let mut lines = self.lines();
        for line in lines.drain(..) {
            line.bar.iter().for_each(ProgressBar::finish_and_clear);
        }
        if let Out::Live(bars, closed) = &self.out {
            closed.store(true, Ordering::SeqCst);
            drop(bars.clear());
        }
    }

    fn show(&self) {
        let elapsed = self.started.elapsed();
        let stopping = self.stopping.load(Ordering::Relaxed);
        let mut plain = Vec::new();
        for line in self.lines().iter_mut() {
            let finished = line.progress.finished.load(Ordering::Relaxed);
            let (position, total) = line.progress.ends();
            let counts = line.progress.counts();
            match &line.bar {
                Some(bar) if finished => bar.finish_and_clear(),
                Some(bar) => show_bar(bar, position, total, counts, elapsed, stopping),
                None if finished || line.shown == counts => {}
                None => {
                    line.shown = counts;
                    plain.push(plain_line(&line.name, position, total, counts, elapsed));
                }
            }
        }
        for line in &plain {
            self.say(line);
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        // Nothing that holds it can panic half-way through a change.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_prefix(name.to_owned());
    bar.set_style(style("{spinner} {prefix}  {msg}  {elapsed}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn show_bar(bar: &ProgressBar, position: u64, total: Option<u64>, counts: Counts, elapsed: Duration, stopping: bool) {
    if let Some(total) = total
        && bar.length() != Some(total)
    {
        bar.set_length(total);
        bar.set_style(style("{prefix}  [{bar:24}] {percent:>3}%  {msg}  eta {eta}"));
    }
    bar.set_position(position);
    let moving = moving(counts, elapsed);
    bar.set_message(if stopping { format!("stopping …  {moving}") } else { moving });
    bar.tick();
}

fn plain_line(name: &str, position: u64, total: Option<u64>, counts: Counts, elapsed: Duration) -> String {
    let moving = moving(counts, elapsed);
    let Some(total) = total.filter(|total| *total >= position) else { return format!("{name}: {moving}") };
    let percent = position * 100 / total;
    match remaining(position, total, elapsed) {
        Some(left) => format!("{name}: {percent}%, {moving}, about {} left", seconds(left)),
        None => format!("{name}: {percent}%, {moving}"),
    }
}

fn moving(counts: Counts, elapsed: Duration) -> String {
    let mut text = format!("{} read, {} written", grouped(counts.read), grouped(counts.written));
    if counts.skipped > 0 {
        text = format!("{text}, {} skipped", grouped(counts.skipped));
    }
    format!("{text}, {}/s", grouped(rate(counts.written, elapsed)))
}

/// The time still to go at the pace so far; `None` while there is no pace.
fn remaining(position: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    if position == 0 {
        return None;
    }
    let left = elapsed.as_secs_f64() * (total - position) as f64 / position as f64;
    Duration::try_from_secs_f64(left).ok()
}

/// Records a second.
fn rate(records: u64, elapsed: Duration) -> u64 {
    (records as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// What a task did, for the end of a run: `10,000 read, 9,999 written, 1 skipped, 4.4 MB in 0.52 s (19,230 records/s)`.
pub fn summary(counts: Counts, elapsed: Duration) -> String {
    let mut text = format!(
        "{} read, {} written, {} skipped",
        grouped(counts.read),
        grouped(counts.written),
        grouped(counts.skipped)
    );
    if counts.deletions > 0 {
        text = format!("{text}, {} deletions without a line", grouped(counts.deletions));
    }
    let rate = grouped(rate(counts.written, elapsed));
    format!("{text}, {} in {} ({rate} records/s)", bytes(counts.bytes), seconds(elapsed))
}

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A time for people: `0.52 s`, `1 min 35 s`, `2 h 5 min`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.2} s", time.as_secs_f64()),
        whole @ 60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        whole => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_summary_has_every_count_the_bytes_the_time_and_the_rate() {
        let counts = Counts { read: 10_001, written: 10_000, skipped: 1, deletions: 0, bytes: 4_400_000 };
        let text = summary(counts, Duration::from_millis(500));
        assert_eq!(text, "10,001 read, 10,000 written, 1 skipped, 4.4 MB in 0.50 s (20,000 records/s)");
        let deleting = Counts { deletions: 2, ..counts };
        assert!(
            summary(deleting, Duration::from_secs(90)).contains("2 deletions without a line, 4.4 MB in 1 min 30 s")
        );
    }

    #[test]
    fn a_plain_line_says_how_long_it_still_takes() {
        let counts = Counts { read: 2500, written: 2000, ..Counts::default() };
        let line = plain_line("shop", 2500, Some(10_000), counts, Duration::from_secs(10));
        assert_eq!(line, "shop: 25%, 2,500 read, 2,000 written, 200/s, about 30.00 s left");
        let endless = plain_line("shop", 2500, None, counts, Duration::from_secs(10));
        assert_eq!(endless, "shop: 2,500 read, 2,000 written, 200/s");
        // A source that grew beyond its end while it was read has no percentage.
        assert!(!plain_line("shop", 11, Some(10), counts, Duration::from_secs(10)).contains('%'));
    }

    #[test]
    fn the_percentage_counts_what_was_written_and_not_what_was_read() {
        let progress = Progress::default();
        progress.ends_at(10_000);
        progress.read(10_000, 1_000_000, 10_000);
        let line = |progress: &Progress| {
            let (position, total) = progress.ends();
            plain_line("shop", position, total, progress.counts(), Duration::from_secs(10))
        };
        assert_eq!(line(&progress), "shop: 0%, 10,000 read, 0 written, 0/s");
        progress.written(2_000);
        progress.skipped(400);
        progress.deletions(100);
        assert_eq!(line(&progress), "shop: 25%, 10,000 read, 2,000 written, 400 skipped, 200/s, about 30.00 s left");
        progress.written(7_499);
        assert!(line(&progress).starts_with("shop: 99%"), "{}", line(&progress));
        progress.written(1);
        assert!(line(&progress).starts_with("shop: 100%"), "{}", line(&progress));
    }

    /// A terminal of 12 lines, and a console on it.
    fn terminal(verbosity: Verbosity) -> (InMemoryTerm, Arc<Console>) {
        let terminal = InMemoryTerm::new(12, 100);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (terminal, Console::live(target, verbosity))
    }

    #[test]
    fn no_bar_and_no_spinner_survives_the_end() {
        let (terminal, console) = terminal(Verbosity::Normal);
        let (ending, endless) = (console.task("ending"), console.task("endless"));
        ending.ends_at(10);
        ending.read(10, 100, 10);
        endless.read(10, 100, 10);
        console.show();
        let shown = terminal.contents();
        assert!(shown.contains("ending") && shown.contains("endless"), "{shown}");
        ending.finish();
        console.show();
        let shown = terminal.contents();
        assert!(!shown.contains("ending  [") && shown.contains("endless"), "the task has ended: {shown}");
        console.say("ending: complete");
        console.close();
        console.show();
        drop(console.task("late"));
        console.show();
        assert_eq!(terminal.contents().trim(), "ending: complete");
    }

    #[test]
    fn stopping_is_visible_on_a_terminal_until_the_end() {
        let (terminal, console) = terminal(Verbosity::Normal);
        let progress = console.task("shop");
        progress.read(10, 100, 10);
        console.show();
        console.stopping("stopping: draining");
        for _ in 0..3 {
            console.show();
            let shown = terminal.contents();
            assert!(shown.contains("stopping: draining"), "{shown}");
            assert!(shown.lines().any(|line| line.contains("shop") && line.contains("stopping …")), "{shown}");
        }
        console.close();
        assert_eq!(terminal.contents().trim(), "stopping: draining");
    }

    #[test]
    fn lines_of_which_there_may_be_thousands_end_after_twenty() {
        let console = Console::nowhere();
        for topic in 0..1000 {
            console.say_some("t: created topics", &format!("t: created topic {topic}"));
        }
        let said = console.said();
        assert_eq!(said.len(), 21);
        assert_eq!(said[20], "t: created topics: further ones are listed under -v");
    }

    #[test]
    fn details_are_said_from_one_v_on() {
        for (count, said) in [(0, false), (1, true), (2, true), (3, true), (200, true)] {
            let (terminal, console) = terminal(Verbosity::from_count(count));
            console.detail("a detail");
            assert_eq!(terminal.contents().contains("a detail"), said, "-v {count} times");
        }
    }

    #[test]
    fn counts_add_up() {
        let progress = Progress::default();
        progress.read(3, 300, 4);
        progress.read(2, 200, 2);
        progress.written(4);
        progress.skipped(1);
        progress.ends_at(6);
        let counts = progress.counts();
        assert_eq!(counts, Counts { read: 5, written: 4, skipped: 1, deletions: 0, bytes: 500 });
        assert_eq!(progress.ends(), (6, Some(6)));
        assert_eq!(counts.plus(counts).read, 10);
    }
}
