//! The real binary: what it prints where, and how it ends.

mod check;
mod connections;
mod dev;
mod examples;
mod tls;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The binary in a directory, with a clean environment as far as it matters here.
fn ottla(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.current_dir(directory).env_remove("OTTLA_LOG").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// A run that has ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn run(directory: &Path, args: &[&str]) -> Ended {
    finish(ottla(directory).args(args))
}

/// Runs a command to its end, which must come: a command that hangs fails its test instead of stopping all of them.
fn finish(command: &mut Command) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr) = (std::thread::spawn(|| text_of(stdout)), std::thread::spawn(|| text_of(stderr)));
    let code = wait(&mut child);
    Ended { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn text_of(mut pipe: impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}

/// The exit code; kills a process that is still there after a time far beyond what any of these takes.
fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A directory with a config file `shop.toml` in it.
fn with_config(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("shop.toml"), text).unwrap();
    directory
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn help_and_version_are_data_and_no_failure() {
    let here = project();
    for args in [["--help"], ["--version"], ["help"]] {
        let ended = run(&here, &args).ends_with(0);
        assert!(ended.stdout.contains("ottla") && ended.stderr.is_empty(), "{args:?}: {}", ended.stderr);
    }
    let help = run(&here, &["--help"]).stdout;
    for command in ["demo", "dev", "copy", "check", "test", "run"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_names_the_near_one() {
    let here = project();
    for (args, said) in [
        (vec!["chekc"], "check"),
        (vec!["check"], "<FILE>"),
        (vec!["check", "a.toml", "--otput", "json"], "--output"),
        (vec!["dev", "--release", "9.9"], "2.3"),
        (vec!["dev", "--partitions", "0"], "--partitions"),
        (vec![], "Usage"),
    ] {
        let ended = run(&here, &args).ends_with(2);
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{args:?}: {}", ended.stderr);
    }
}
