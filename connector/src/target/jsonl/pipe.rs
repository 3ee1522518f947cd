//! Pipes: a named one (FIFO), or the one behind standard output.
//!
//! A pipe acknowledges nothing. The most that can be known is that its reader has taken every byte out of it, and that
//! is what a sync waits for. What the reader does with the bytes then, nobody tells.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{OpenOptions, Sender};

use crate::exit::Failure;

/// How often a named pipe without a reader is tried again.
const LOOK_FOR_READER_EVERY: Duration = Duration::from_millis(50);

/// How often it is asked whether the reader has emptied the pipe: at first, and at most.
const LOOK_AT_REST_EVERY: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));

/// The writing end of a pipe; never blocks a thread.
#[derive(Debug)]
pub(super) struct OutPipe {
    sender: Sender,
    name: String,
    /// The reader's leaving is its way to say that it has enough.
    may_leave: bool,
}

impl OutPipe {
    /// Opens a named pipe; waits for a reader if there is none, which `say` is told. Cancel safe.
    ///
    /// # Errors
    /// Exit 3: it cannot be opened.
    pub(super) async fn open(path: &Path, may_leave: bool, say: &(dyn Fn(&str) + Sync)) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let mut said = false;
        loop {
            match OpenOptions::new().open_sender(path) {
                Ok(sender) => return Ok(Self { sender, name, may_leave }),
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
                Err(error) => return Err(super::file::cannot_write(path, &error)),
            }
            if !std::mem::replace(&mut said, true) {
                say(&format!("{name} is a named pipe that nobody reads; waiting for a reader"));
            }
            tokio::time::sleep(LOOK_FOR_READER_EVERY).await;
        }
    }

    /// The pipe behind standard output, opened a second time, so that other users of it notice nothing; `None` where the
    /// system has no way to do that.
    pub(super) fn stdout() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let sender = OpenOptions::new().open_sender("/proc/self/fd/1").ok()?;
        Some(Self { sender, name: super::STDOUT.to_owned(), may_leave: true })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.sender.write_all(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(failed(&self.name, self.may_leave, &error)),
        }
    }

    /// Waits until the reader has taken everything.
    pub(super) async fn taken(&mut self) -> Result<(), Failure> {
        let (mut wait, longest) = LOOK_AT_REST_EVERY;
        loop {
            let rest = ioctl_fionread(&self.sender).map_err(|error| failed(&self.name, false, &error.into()))?;
            if rest == 0 {
                return Ok(());
            }
            if self.has_no_reader() {
                return Err(failed(&self.name, self.may_leave, &io::ErrorKind::BrokenPipe.into()));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    fn has_no_reader(&self) -> bool {
        let mut ends = [PollFd::new(&self.sender, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut ends, Some(&now)).is_ok() && ends[0].revents().contains(PollFlags::ERR)
    }
}

/// Why a stream cannot be written on.
pub(super) fn failed(name: &str, may_leave: bool, error: &io::Error) -> Failure {
    if error.kind() != io::ErrorKind::BrokenPipe {
        return super::file::cannot_write(Path::new(name), error);
    }
    let message = format!("{name}: its reader has left");
    if may_leave {
        return Failure::reader_left(message);
    }
    Failure::environment(message)
        .with_help("what it did not take is not committed; start the reader, then the task again")
}
