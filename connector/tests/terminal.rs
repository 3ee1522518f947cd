//! What `ottla run` leaves on a real pseudo-terminal: bars while it works, none when it has ended, and every line whole.

#![cfg(target_os = "linux")]

mod tasks_support;

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::ApiKey;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tasks_support::{broker, fill, until};

const ROWS: u16 = 40;
const COLUMNS: u16 = 140;

/// `ottla` on a terminal whose screen can be looked at.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    fn start(args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("its size");
        let end =
            File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).expect("its other end");
        let another = || end.try_clone().expect("another handle");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.args(args).env("TERM", "xterm").stdin(another()).stdout(another()).stderr(another());
        let child = command.spawn().expect("ottla runs");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let reader = std::thread::spawn({
            let (mut master, screen) = (File::from(master), Arc::clone(&screen));
            move || {
                let mut bytes = [0; 4096];
                // The last end that is closed is an error (EIO) for this one.
                while let Ok(read @ 1..) = master.read(&mut bytes) {
                    screen.lock().expect("no panic").process(&bytes[..read]);
                }
            }
        });
        Self { child, screen, reader: Some(reader) }
    }

    /// What is on the screen now, without the blank lines.
    fn shows(&self) -> String {
        let parser = self.screen.lock().expect("no panic");
        let rows = parser.screen().rows(0, COLUMNS).filter(|row| !row.trim().is_empty());
        rows.fold(String::new(), |text, row| text + row.trim_end() + "\n")
    }

    fn signal(&self, name: &str) {
        let id = self.child.id();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().expect("kill runs");
        assert!(sent.success(), "SIG{name}");
    }

    async fn shows_in_time(&self, what: &str) {
        until(&format!("{what:?} on the screen"), async || self.shows().contains(what)).await;
    }

    /// Waits for its end. How it ended, and what is left on the screen.
    async fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        until("its end", async || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        let reader = self.reader.take().expect("it is taken once");
        tokio::task::spawn_blocking(move || reader.join()).await.expect("no panic").expect("no panic");
        (status.expect("it has ended"), self.shows())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A task `sync` from the topic `from` into a file.
fn config(broker: &DevBroker, directory: &Path, mode: &str) -> String {
    let text = format!(
        "[connections.k]\nkind = \"kafka\"\nbootstrap = {:?}\ntopics = \"from\"\n\
         [connections.f]\nkind = \"jsonl\"\npath = '{}'\n\
         [tasks.sync]\nsource = \"k\"\ntarget = \"f\"\nmode = \"{mode}\"\n",
        broker.bootstrap(),
        directory.join("out.jsonl").display()
    );
    let file = directory.join("ottla.toml");
    std::fs::write(&file, text).expect("written");
    file.to_str().expect("letters").to_owned()
}

/// Neither a frame of a spinner nor a part of a bar.
fn assert_no_bar(screen: &str) {
    let is_braille = |character: char| ('\u{2800}'..='\u{28ff}').contains(&character);
    assert!(!screen.contains(is_braille) && !screen.contains("eta ") && !screen.contains("/s "), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_stopped_says_so_at_once_and_leaves_no_bar() {
    let (broker, directory) = (broker().await, tempfile::tempdir().expect("a directory"));
    broker.create_topic("from", 1).expect("created");
    fill(&broker, "from", 0, 0..50).await;
    let terminal = Terminal::start(&["run", &config(&broker, directory.path(), "full+incremental")]);
    terminal.shows_in_time("50 read, 50 written").await;
    assert!(!terminal.shows().contains("stopping"), "{}", terminal.shows());
    // What is to be drained is held up, so that there is time to look.
    let silent = broker.inject(Fault::silence(ApiKey::OFFSET_COMMIT));
    fill(&broker, "from", 0, 50..60).await;
    until("a commit without an answer", async || silent.hits() > 0).await;
    terminal.signal("INT");
    terminal.shows_in_time("stopping: draining and committing, for 25s at most; a second signal ends at once").await;
    terminal.shows_in_time("stopping …  60 read").await;
    terminal.signal("INT");
    let (status, screen) = terminal.end().await;
    assert_eq!(status.code(), Some(130), "{screen}");
    assert_no_bar(&screen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_completes_leaves_its_lines_and_no_bar() {
    let (broker, directory) = (broker().await, tempfile::tempdir().expect("a directory"));
    broker.create_topic("from", 1).expect("created");
    fill(&broker, "from", 0, 0..5000).await;
    let (status, screen) = Terminal::start(&["run", &config(&broker, directory.path(), "full")]).end().await;
    assert!(status.success(), "{screen}");
    assert_no_bar(&screen);
    let lines: Vec<_> = screen.lines().collect();
    assert_eq!(lines.len(), 3, "{screen}");
    assert_eq!(lines[0], "sync: mode full, positions in the group ottla-sync on k");
    assert!(lines[1].starts_with("sync: from-0 starts at 0, up to 5000 "), "{screen}");
    assert!(lines[2].starts_with("sync: complete; 5,000 read, 5,000 written, 0 skipped, "), "{screen}");
}
