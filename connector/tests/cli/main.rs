//! The real binary: what it prints where, and how it ends.

mod check;
mod connections;
mod dev;
mod examples;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn run(directory: &Path, args: &[&str]) -> Ended {
    Ended::of(ottla(directory).args(args).output().unwrap())
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
