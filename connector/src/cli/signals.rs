//! Signals: the first SIGINT, SIGTERM or SIGHUP asks the tasks to drain, a second one is the end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::exit::{Exit, Failure};
use crate::progress::Console;
use crate::task::Shutdown;

/// How long the process may take beyond the tasks' own deadline, before it is ended from outside of the runtime: leaving a
/// group takes 3 s at most.
const GRACE: Duration = Duration::from_secs(4);

/// How long an end at once waits for a terminal to take the bars away.
const CLEARING: Duration = Duration::from_millis(200);

/// Watches signals and asks tasks to end.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    stop: Arc<watch::Sender<bool>>,
    first: Arc<OnceLock<Exit>>,
}

impl Signals {
    /// Watches from now on. Draining may take `limit`.
    ///
    /// # Errors
    /// Exit 1: the system does not let us.
    pub(super) fn watch(console: &Arc<Console>, limit: Duration) -> Result<Self, Failure> {
        let signals = Self { stop: Arc::new(watch::Sender::new(false)), first: Arc::default() };
        let mut next = next_signal()?;
        let (noted, console) = (signals.clone(), Arc::clone(console));
        tokio::spawn(async move {
            let exit = next.recv().await;
            let _ = noted.first.set(exit);
            // Before anything is said: standard error may be a pipe that nobody reads.
            noted.stop.send_replace(true);
            end_after(limit + GRACE, Arc::clone(&console));
            let said = Arc::clone(&console);
            tokio::task::spawn_blocking(move || said.stopping(&stopping(limit)));
            let exit = next.recv().await;
            end_at_once(console, exit);
        });
        Ok(signals)
    }

    /// What tasks look at.
    pub(super) fn shutdown(&self) -> Shutdown {
        self.stop.subscribe()
    }

    /// Asks the tasks to drain without a signal.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The code of the first signal, if one came.
    pub(super) fn first(&self) -> Option<Exit> {
        self.first.get().copied()
    }
}

fn stopping(limit: Duration) -> String {
    format!("stopping: draining and committing, for {limit:?} at most; a second signal ends at once")
}

/// Ends the process if nothing else does: a blocked write to standard error, for example, holds up a thread of the
/// runtime.
fn end_after(limit: Duration, console: Arc<Console>) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        end_at_once(console, Exit::Environment);
    });
}

/// Ends the process, and leaves no bar on the terminal unless it takes nothing more.
fn end_at_once(console: Arc<Console>, exit: Exit) {
    let (done, cleared) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        console.close();
        let _ = done.send(());
    });
    let _ = cleared.recv_timeout(CLEARING);
    std::process::exit(exit.code().into());
}

#[cfg(unix)]
struct NextSignal {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` under `nohup`, which wants the process to survive its terminal.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
fn next_signal() -> Result<NextSignal, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| signal(kind).map_err(|error| Failure::internal(format!("signals cannot be watched: {error}")));
    let hangup = if hangup_is_ignored() { None } else { Some(watch(SignalKind::hangup())?) };
    Ok(NextSignal { interrupt: watch(SignalKind::interrupt())?, terminate: watch(SignalKind::terminate())?, hangup })
}

/// Is SIGHUP ignored already? Linux says so in `SigIgn`, a bit a signal (proc_pid_status(5)); elsewhere it is taken for
/// not ignored.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(unix)]
impl NextSignal {
    async fn recv(&mut self) -> Exit {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
            () = hangup => Exit::Terminated,
        }
    }
}

/// Watches for the signals that end `ottla dev`; the future resolves at the first.
///
/// # Errors
/// Exit 1: the system does not let us.
pub(super) fn first_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut next = next_signal()?;
    Ok(async move {
        next.recv().await;
    })
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_recognised_and_nothing_else() {
        let status = |mask: &str| format!("Name:\tottla\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        assert!(ignores_hangup(&status("0000000000000001")));
        assert!(ignores_hangup(&status("0000000000001003")));
        assert!(!ignores_hangup(&status("0000000000001002")));
        assert!(!ignores_hangup(&status("no number")));
        assert!(!ignores_hangup(""));
    }
}
