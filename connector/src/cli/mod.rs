//! The command line: one file a command, and what they share. Data goes to standard output, all else to standard
//! error; [`Exit`] has the exit codes.

pub mod check;
pub mod copy;
pub mod demo;
pub mod dev;
pub mod run;
mod signals;
pub mod test;

use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, Needed, Paint, ProcessEnvironment};
use crate::exit::{Exit, Failure};
use crate::progress::Verbosity;

/// Moves JSON records into and out of Kafka.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, about, max_term_width = 100, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 internal error, 2 usage or config, 3 environment (broker, network, files), \
                        4 stopped by data, 5 finished with skipped records (--strict), 130/143 second signal."
)]
pub struct Cli {
    /// Say more on standard error: once for the start of every partition, twice for what the client does (connections,
    /// retries, leaders that move), three times for everything that is traced.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show it all in seconds: a broker in this process, 10,000 orders in, a full sync out, the proof.
    Demo(demo::DemoArgs),
    /// Run the development broker for any Kafka client (in memory, loopback only).
    Dev(dev::DevArgs),
    /// Copy records once, without a config file.
    Copy(copy::CopyArgs),
    /// Check a config file; never opens a socket.
    Check(check::CheckArgs),
    /// Test the connections of a config file step by step.
    Test(test::TestArgs),
    /// Run the tasks of a config file.
    Run(run::RunArgs),
}

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object for programs.
    Json,
}

/// Runs the command line of this process and returns how it ends.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(report_panic));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    log_to_stderr(Verbosity::from_count(cli.verbose));
    // A panic in a command must not end with Rust's own code 101.
    let result = panic::catch_unwind(AssertUnwindSafe(|| block_on(cli.command, Verbosity::from_count(cli.verbose))));
    finish(result.unwrap_or(Ok(Exit::Internal))).into()
}

/// Help and version go to standard output and are no failure; both are clap's doing. An error of clap's repeats arguments,
/// which are shown without what may be a secret in them.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Ok;
    }
    let rendered = error.render();
    let text = if Paint::for_stderr() == Paint::Ansi { rendered.ansi().to_string() } else { rendered.to_string() };
    say(without_secrets(text, std::env::args().skip(1)).trim_end());
    Exit::Usage
}

/// The text with every argument in it as an error may show it.
fn without_secrets(text: String, arguments: impl Iterator<Item = String>) -> String {
    arguments.fold(text, |text, argument| {
        // `--password=hunter2` and `password=hunter2`: only the name is shown.
        let shown = match argument.split_once('=') {
            Some((name, _)) if !argument.contains("://") => name.to_owned(),
            _ => copy::url::shown(&argument),
        };
        if shown == argument { text } else { text.replace(&argument, &shown) }
    })
}

fn block_on(command: Command, verbosity: Verbosity) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal(format!("the runtime cannot be started: {error}")))?;
    let result = runtime.block_on(dispatch(command, verbosity));
    // A thread that waits for standard input cannot be ended; the process does not wait for it.
    runtime.shutdown_background();
    result
}

async fn dispatch(command: Command, verbosity: Verbosity) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => demo::run(args, verbosity).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Copy(args) => copy::run(args, verbosity).await,
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(args).await,
        Command::Run(args) => run::run(args, verbosity).await,
    }
}

fn finish(result: Result<Exit, Failure>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            say(&failure.to_string());
            failure.exit
        }
    }
}

fn report_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|at| (at.file(), at.line()));
    say(&panic_report(place, info.payload().downcast_ref::<&'static str>().copied()));
}

/// The report of a panic. `fixed` is its message if that stands in the source; one made at run time is left out,
/// because it may hold a user's data.
fn panic_report(place: Option<(&str, u32)>, fixed: Option<&'static str>) -> String {
    let place = place.map_or_else(String::new, |(file, line)| format!(" at {file}:{line}"));
    let what = fixed.map_or_else(String::new, |what| format!(": {what}"));
    format!(
        "error: internal error{place}{what}\n  help: this is a bug in ottla; please report this line and the command"
    )
}

/// `-v`, `-vv` and `-vvv` as `--help` says; `OTTLA_LOG` takes a filter in the form of `tracing` and wins.
fn log_to_stderr(verbosity: Verbosity) {
    let filter = EnvFilter::try_from_env("OTTLA_LOG").unwrap_or_else(|_| EnvFilter::new(filter(verbosity)));
    let ansi = Paint::for_stderr() == Paint::Ansi;
    // Module paths help those who read the source.
    let paths = verbosity >= Verbosity::Client;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_target(paths);
    // In a test process several commands run one after the other; the first one's logger stays.
    let _ = log.with_writer(std::io::stderr).try_init();
}

/// Which events are shown. What the client warns of while a cluster is away comes from
/// [`outage`](crate::outage) instead: once, with the task, and not at every try.
fn filter(verbosity: Verbosity) -> &'static str {
    match verbosity {
        Verbosity::Normal => {
            "warn,ottla_client::net::cluster=off,ottla_client::consumer=off,ottla_client::producer=off,ottla_devbroker=error"
        }
        Verbosity::Details => {
            "info,ottla_client::net::cluster=off,ottla_client::consumer=off,ottla_client::producer=off"
        }
        Verbosity::Client => "info,ottla_client=debug,ottla_connector=debug,ottla_devbroker=debug",
        Verbosity::Everything => "trace",
    }
}

/// Reads and checks a config file, prints its warnings to standard error and returns it. With `needed`, only mistakes
/// that concern those tasks and connections stop; that there are others is said.
///
/// # Errors
/// Exit 2 with all mistakes laid out, or when the file cannot be read.
pub fn load_config(file: &Path, needed: Option<Needed>) -> Result<Config, Failure> {
    let checked = config::check_file(file, &ProcessEnvironment)?;
    let paint = Paint::for_stderr();
    let (config, report, others) = match (needed, checked.config) {
        (None, Some(config)) => (config, checked.report, 0),
        (None, None) => return Err(Failure::report(Exit::Usage, checked.report.render(paint))),
        (Some(needed), config) => {
            let only = config::Checked { config, ..checked }.only(needed);
            only.map_err(|report| Failure::report(Exit::Usage, report.render(paint)))?
        }
    };
    let report = report.render(paint);
    if !report.is_empty() {
        say(report.trim_end());
    }
    if others > 0 {
        let noun = if others == 1 { "mistake" } else { "mistakes" };
        let file = file.display();
        say(&format!(
            "note: {file} has {others} {noun} in parts that are not used here; `ottla check {file}` shows them"
        ));
    }
    Ok(config)
}

/// Writes a line to standard error. A closed standard error is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes text to standard output. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// Exit 3 when standard output cannot be written to, a full disk for example.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::environment(format!("standard output cannot be written to: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_of_the_command_line_repeats_no_secret() {
        for arguments in [
            &["copy", "a", "b", "kafka://etl:hunter2@a:9092/t"][..],
            &["copy", "a", "b", "kafka://a:9092/t?password=hunter2"],
            &["copy", "a", "b", "password=hunter2"],
            &["copy", "a", "b", "--password=hunter2"],
            &["run", "x.toml", "--password=hunter2"],
            &["kafka://etl:hunter2@a:9092/t"],
        ] {
            let error = Cli::try_parse_from([&["ottla"], arguments].concat()).expect_err("a mistake");
            let text = without_secrets(error.render().to_string(), arguments.iter().map(|text| (*text).to_owned()));
            assert!(text.contains("error:") && !text.contains("hunter2"), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn a_panic_is_reported_without_what_was_put_together_at_run_time() {
        let report = panic_report(Some(("src/x.rs", 7)), Some("no such state"));
        assert!(report.starts_with("error: internal error at src/x.rs:7: no such state\n"), "{report}");

        let seen = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&seen);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let fixed = info.payload().downcast_ref::<&'static str>().copied();
            *kept.lock().unwrap() = panic_report(info.location().map(|at| (at.file(), at.line())), fixed);
        }));
        let password = "hunter2";
        let ended = panic::catch_unwind(|| panic!("login with {password}"));
        panic::set_hook(before);
        assert!(ended.is_err());
        let seen = seen.lock().unwrap();
        assert!(seen.contains("internal error at ") && !seen.contains("hunter2"), "{seen}");
    }
}
