//! What a run cost: wall clock, CPU time and memory of the whole process, read from `/proc` without a line of C.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc/*/stat`: fixed by Linux's ABI for every architecture Rust has.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time used so far.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) sys: Duration,
}

impl Cpu {
    /// This process's. The sum comes from `/proc/self/task/*/schedstat`, in nanoseconds; its split into user and system
    /// from `/proc/self/stat`, which counts in ticks of 10 ms. Zero where there is no such thing.
    pub(crate) fn now() -> Self {
        let ticks = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| ticks(&stat)).unwrap_or_default();
        let exact = scheduled().unwrap_or_default();
        // A thread that ended is in the ticks only; between ticks the exact sum is ahead.
        if exact + Duration::from_millis(20) < ticks.total() { ticks } else { ticks.scaled_to(exact) }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.sys
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user.saturating_sub(before.user), sys: self.sys.saturating_sub(before.sys) }
    }

    fn scaled_to(self, total: Duration) -> Self {
        let ticks = self.total();
        if ticks.is_zero() {
            return Self { user: total, sys: Duration::ZERO };
        }
        let user = total.mul_f64(self.user.as_secs_f64() / ticks.as_secs_f64());
        Self { user, sys: total.saturating_sub(user) }
    }
}

/// Fields 14 and 15 of `stat`, counted behind the command's name, which may hold anything but ends at the last `)`.
fn ticks(stat: &str) -> Option<Cpu> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || Some(Duration::from_millis(fields.next()?.parse::<u64>().ok()? * 1000 / TICKS_PER_SECOND));
    Some(Cpu { user: next()?, sys: next()? })
}

fn scheduled() -> Option<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end while we look.
        let Ok(line) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        nanos += line.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

/// The most memory the process ever had resident, in MiB.
pub(crate) fn peak_rss_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// The processor's name and how many of it there are, for a figure without its machine says nothing.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} cores")
}

/// Runs from its making to its report.
pub(crate) struct Meter {
    pub(crate) started: Instant,
    cpu: Cpu,
}

/// What was done, for the report.
pub(crate) struct Work<'a> {
    pub(crate) peer: &'a str,
    pub(crate) op: &'a str,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Where the wall clock starts.
    pub(crate) from: Instant,
    /// Further fields.
    pub(crate) more: Vec<(&'static str, f64)>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu: Cpu::now() }
    }

    /// The line of JSON that all peers print.
    pub(crate) fn report(&self, work: &Work<'_>) -> String {
        let cpu = Cpu::now().since(self.cpu);
        line(work, work.from.elapsed(), cpu, peak_rss_mb())
    }
}

fn line(work: &Work<'_>, took: Duration, cpu: Cpu, rss_mb: f64) -> String {
    let secs = took.as_secs_f64().max(1e-9);
    let records = work.records as f64;
    let per_record = if work.records > 0 { cpu.total().as_nanos() as f64 / records } else { 0.0 };
    let mut line = format!(
        "{{\"peer\":\"{}\",\"version\":\"{}\",\"op\":\"{}\",\"records\":{},\"bytes\":{},\"secs\":{secs:.3},\
         \"records_per_s\":{:.0},\"mb_per_s\":{:.1},\"cpu_user_s\":{:.3},\"cpu_sys_s\":{:.3},\
         \"cpu_ns_per_record\":{per_record:.0},\"max_rss_mb\":{rss_mb:.1}",
        work.peer,
        env!("CARGO_PKG_VERSION"),
        work.op,
        work.records,
        work.bytes,
        records / secs,
        work.bytes as f64 / 1e6 / secs,
        cpu.user.as_secs_f64(),
        cpu.sys.as_secs_f64(),
    );
    for (name, value) in &work.more {
        let _ = write!(line, ",\"{name}\":{value}");
    }
    line + "}"
}

/// A number of a report line; how `compare` reads what its children print.
pub(crate) fn number(line: &str, field: &str) -> Option<f64> {
    let (_, rest) = line.split_once(&format!("\"{field}\":"))?;
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0";
        let want = Cpu { user: Duration::from_millis(2500), sys: Duration::from_millis(310) };
        assert_eq!(ticks(stat), Some(want));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn work_costs_cpu_time_and_memory() {
        let before = Cpu::now();
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        let used = Cpu::now().since(before).total();
        assert!(used > Duration::from_millis(5), "{used:?}");
        assert!(peak_rss_mb() > 0.5);
    }

    #[test]
    fn a_report_line_can_be_read_back() {
        let more = vec![("checksum", 12_345.0), ("first_s", 0.25)];
        let work =
            Work { peer: "ottla/default", op: "consume", records: 1000, bytes: 2_000_000, from: Instant::now(), more };
        let cpu = Cpu { user: Duration::from_micros(70), sys: Duration::from_micros(30) };
        let line = line(&work, Duration::from_secs(2), cpu, 9.5);
        for (field, want) in [
            ("records", 1000.0),
            ("records_per_s", 500.0),
            ("mb_per_s", 1.0),
            ("cpu_ns_per_record", 100.0),
            ("max_rss_mb", 9.5),
            ("checksum", 12_345.0),
            ("first_s", 0.25),
        ] {
            assert_eq!(number(&line, field), Some(want), "{field} in {line}");
        }
        assert_eq!(number(&line, "p50_ms"), None);
    }
}
