//! `ottla check FILE`: everything that can be known about a config file without opening a socket.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Output, print, say};
use crate::config::{
    self, AckLevel, Bootstrap, Checked, Config, Connection, Kafka, Kind, Paint, ProcessEnvironment, Report, Severity,
    keys,
};
use crate::exit::{Exit, Failure};

/// Arguments of `ottla check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The config file (TOML).
    #[arg(required_unless_present = "keys")]
    file: Option<PathBuf>,
    /// Print all keys with their meaning and their names in the original's form, and end.
    #[arg(long, conflicts_with_all = ["file", "output"])]
    keys: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Checks a file: exit 0 without errors, 2 with all of them listed.
pub fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let Some(file) = &args.file else {
        print(&keys::reference())?;
        return Ok(Exit::Ok);
    };
    let checked = config::check_file(file, &ProcessEnvironment)?;
    if args.output == Output::Json {
        print(&format!("{}\n", as_json(&checked)))?;
        return Ok(if checked.config.is_some() { Exit::Ok } else { Exit::Usage });
    }
    let report = checked.report.render(Paint::for_stderr());
    let Some(config) = &checked.config else {
        return Err(Failure::report(Exit::Usage, report));
    };
    if !report.is_empty() {
        say(&report);
    }
    print(&summary(config, &checked.report))?;
    Ok(Exit::Ok)
}

/// What the file says, in a few lines.
fn summary(config: &Config, report: &Report) -> String {
    let mut out = format!("{}: {}\n", config.file.display(), verdict(config, report));
    for connection in config.connections.values() {
        let _ = writeln!(out, "  connection {}: {}", connection.name, describe(connection));
    }
    for task in config.tasks.values() {
        let _ = writeln!(out, "  task {}: {} -> {}, {}", task.name, task.source, task.target, task.mode);
    }
    out
}

fn verdict(config: &Config, report: &Report) -> String {
    let warnings = match report.count(Severity::Warning) {
        0 => "no mistakes".to_owned(),
        1 => "no mistakes, 1 warning".to_owned(),
        many => format!("no mistakes, {many} warnings"),
    };
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let connections = count(config.connections.len(), "connection");
    format!("{connections}, {}, {warnings}", count(config.tasks.len(), "task"))
}

fn describe(connection: &Connection) -> String {
    let kind = match &connection.kind {
        Kind::Kafka(kafka) => format!("kafka, {}", describe_kafka(connection, kafka)),
        Kind::Jsonl(jsonl) => format!("jsonl, {}, {}", connection.role, jsonl.path),
    };
    format!("{kind}, bad message: {}, push error: {}", connection.on_bad_message, connection.on_push_error)
}

fn describe_kafka(connection: &Connection, kafka: &Kafka) -> String {
    let place = bootstrap(&kafka.bootstrap);
    let login = match &kafka.auth {
        Some(auth) => format!("login {} {}", auth.mechanism().name(), auth.who()),
        None => "no login".to_owned(),
    };
    let tls = match &kafka.tls {
        Some(tls) if tls.insecure_skip_verification => ", TLS without verification",
        Some(_) => ", TLS",
        None => "",
    };
    let topics = if kafka.topics.is_all() { "all topics".to_owned() } else { format!("topics {}", kafka.topics) };
    let writing = if connection.role.writes() {
        format!("acks {}, compression {}, ", acks(kafka.acks), kafka.compression)
    } else {
        String::new()
    };
    format!("{}, {place}{tls}, {topics}, {writing}{login}", connection.role)
}

/// Where a cluster is reached, for a line of text.
pub(super) fn bootstrap(bootstrap: &Bootstrap) -> String {
    match bootstrap {
        Bootstrap::Embedded => "embedded".to_owned(),
        Bootstrap::Servers(servers) => servers.join(" "),
    }
}

/// An acknowledgement level with its value on the wire, and that two of them are one.
pub(super) fn acks(level: AckLevel) -> &'static str {
    match level {
        AckLevel::None => "none (0)",
        AckLevel::Leader => "leader (1)",
        AckLevel::Majority => "majority (-1, the same on the wire as all)",
        AckLevel::All => "all (-1, the same on the wire as majority)",
    }
}

fn as_json(checked: &Checked) -> Value {
    let report = &checked.report;
    let summary = match &checked.config {
        Some(config) => verdict(config, report),
        None => format!("{} mistakes", report.count(Severity::Error)),
    };
    let result = json!({
        "file": report.file().display().to_string(),
        "connections": checked.config.as_ref().map(connections_json),
        "tasks": checked.config.as_ref().map(tasks_json),
        "mistakes": mistakes_json(report),
    });
    json!({ "command": "check", "ok": checked.config.is_some(), "summary": summary, "result": result })
}

fn mistakes_json(report: &Report) -> Vec<Value> {
    let one = |mistake: &config::Mistake| {
        let place = report.place(mistake);
        json!({
            "severity": mistake.severity.name(),
            "message": mistake.message,
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "help": mistake.help,
        })
    };
    report.mistakes().iter().map(one).collect()
}

fn connections_json(config: &Config) -> Vec<Value> {
    let one = |connection: &Connection| json!({ "name": connection.name, "description": describe(connection) });
    config.connections.values().map(one).collect()
}

fn tasks_json(config: &Config) -> Vec<Value> {
    let tasks = config.tasks.values();
    tasks
        .map(
            |task| json!({ "name": task.name, "source": task.source, "target": task.target, "mode": task.mode.name() }),
        )
        .collect()
}
