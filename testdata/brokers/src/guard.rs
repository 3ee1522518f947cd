//! Server processes that cannot outlive the process that started them.
//!
//! A small shell stands in for the server's parent: it starts a watcher that reads commands from a pipe, then becomes
//! the server by `exec`. The other end of the pipe is held here. Whatever ends this process closes it, SIGKILL
//! included, and the watcher then kills the server. That needs no signal handler and no unsafe code.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::command::wait_until;

/// `$$` is the server's own process id in the watcher too. `END` comes after the server was waited for, when its id may
/// already be another's.
const WATCHER: &str = r#"
exec 3<&0
( while read -r word <&3; do
    case $word in END) exit 0;; *) kill -"$word" $$ 2>/dev/null;; esac
  done
  kill -KILL $$ 2>/dev/null ) </dev/null >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// Removes a directory once the process that made it is gone, unless told to keep it.
const JANITOR: &str = r#"
while read -r word; do case $word in END) exit 0;; esac; done
for pause in 1 1 2 4; do sleep $pause; rm -rf "$1" 2>/dev/null && exit 0; done
"#;

/// A running server process in a process group of its own.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    watcher: Option<ChildStdin>,
}

impl Guarded {
    /// Starts a program whose output is appended to `log`.
    pub(crate) fn spawn(words: &[OsString], log: &Path) -> Result<Self, Error> {
        let output = File::options().create(true).append(true).open(log).map_err(Error::file(log))?;
        let errors = output.try_clone().map_err(Error::file(log))?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(WATCHER).arg("sh").args(words);
        command.stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0);
        let program = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let mut child = command.spawn().map_err(|source| Error::Program { program, source })?;
        let watcher = child.stdin.take();
        Ok(Self { child, watcher })
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, then SIGKILL after `patience`. Gone when this returns.
    pub(crate) fn stop(mut self, patience: Duration) {
        if self.tell("TERM").is_ok() {
            // Waiting can fail only for a process that is not ours; `end` settles it either way.
            drop(wait_until(&mut self.child, Instant::now() + patience));
        }
        self.end();
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&mut self) {
        // The pipe breaks only when the process is gone.
        drop(self.tell("STOP"));
    }

    fn end(&mut self) {
        if self.ended().is_none() {
            // A process that is gone already needs no signal.
            drop(self.child.kill());
            drop(self.child.wait());
        }
        drop(self.tell("END"));
        self.watcher = None;
    }

    fn tell(&mut self, word: &str) -> io::Result<()> {
        let Some(pipe) = self.watcher.as_mut() else { return Ok(()) };
        writeln!(pipe, "{word}")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sees to it that a directory goes away with this process even where no destructor runs, as for a `static`.
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    pub(crate) fn hire(directory: &Path) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(JANITOR).arg("sh").arg(directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().map(Self).map_err(|source| Error::Program { program: "sh".to_owned(), source })
    }

    /// Leaves the directory to whoever calls this.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            drop(writeln!(pipe, "END"));
        }
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sleeper(log: &Path) -> Guarded {
        Guarded::spawn(&["sh".into(), "-c".into(), "echo $$; exec sleep 600".into()], log).expect("sh runs")
    }

    fn pid(log: &Path) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = fs::read_to_string(log).expect("a log");
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            assert!(Instant::now() < deadline, "no process id in the log");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_server_dies_when_the_pipe_of_its_starter_closes() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let mut server = sleeper(&log);
        pid(&log);
        server.watcher = None;
        let status = wait_until(&mut server.child, Instant::now() + Duration::from_secs(20)).expect("our child");
        assert!(status.is_some(), "the server outlived its starter");
    }

    #[test]
    fn a_stopped_server_is_gone_when_stop_returns() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let server = sleeper(&log);
        let id = pid(&log);
        server.stop(Duration::from_secs(20));
        assert!(!Path::new("/proc").join(id).exists());
    }

    #[test]
    fn a_frozen_server_can_be_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let mut server = sleeper(&log);
        let process = Path::new("/proc").join(pid(&log));
        server.freeze();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string(process.join("stat")).expect("it lives").contains(" T ") {
            assert!(Instant::now() < deadline, "it runs on");
            std::thread::sleep(Duration::from_millis(5));
        }
        server.kill();
        assert!(!process.exists());
    }

    #[test]
    fn the_janitor_removes_what_is_left_and_leaves_what_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let (left, kept) = (directory.path().join("left"), directory.path().join("kept"));
        fs::create_dir(&left).and_then(|()| fs::create_dir(&kept)).expect("directories");
        Janitor::hire(&kept).expect("sh runs").dismiss();
        let mut janitor = Janitor::hire(&left).expect("sh runs");
        drop(janitor.0.stdin.take());
        janitor.0.wait().expect("our child");
        assert!(!left.exists() && kept.exists());
    }
}
