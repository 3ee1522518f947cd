//! Reads and checks a config file, without ever opening a socket. One run finds all mistakes, and each is shown with
//! file, line, column, the line itself, and what to write instead; the form is that of [`Report::render`].
//!
//! The file is TOML. [`keys`] lists every key with its meaning and its name in the original's form.

pub mod address;
mod auth;
mod connection;
pub mod duration;
mod environment;
mod interpolate;
mod kerberos;
pub mod keys;
mod mistake;
pub mod model;
pub(crate) mod nearest;
mod read;
mod redact;
mod render;
mod syntax;
mod task;
mod tls;
pub mod topics;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use self::environment::{Environment, FixedEnvironment, ProcessEnvironment};
pub use self::mistake::{Mistake, Needed, Owner, Place, Report, Severity};
pub use self::model::*;
pub use self::render::Paint;

use self::keys::Section;
use self::mistake::shown;
use self::read::{Reader, Table};
use crate::exit::Failure;

/// The largest config file that is read, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The default of `state_dir`, beside the config file.
const STATE_DIR: &str = ".ottla";

/// The longest name of a connection or task, in characters. Names become part of consumer group names.
const NAME_LIMIT: usize = 100;

/// A file after all checks.
#[derive(Debug)]
pub struct Checked {
    /// The config, if there was no error.
    pub config: Option<Config>,
    /// All mistakes; with a config, they are warnings only.
    pub report: Report,
    /// What is good of it: the connections and tasks without mistakes of their own.
    pub good: Config,
}

impl Checked {
    /// What a command needs that works with these tasks and connections alone: a good config of at least those, and how
    /// many errors the rest of the file has; or the mistakes that stop it.
    ///
    /// # Errors
    /// The report of the mistakes of the file as a whole, of the tasks and of their connections.
    pub fn only(mut self, mut needed: Needed) -> Result<(Config, Report, usize), Report> {
        for name in &needed.tasks {
            needed.connections.extend(self.good.ends.get(name).into_iter().flatten().cloned());
        }
        let others = self.report.keep(&needed);
        if self.report.has_errors() { Err(self.report) } else { Ok((self.good, self.report, others)) }
    }
}

/// Reads and checks a file.
///
/// # Errors
/// Exit 2 when the file cannot be read, is not UTF-8 or is larger than 1 MiB. Mistakes inside of the file are no
/// error of this function; they are in the report.
pub fn check_file(file: &Path, environment: &dyn Environment) -> Result<Checked, Failure> {
    let name = shown(&file.to_string_lossy());
    let cannot = |error: std::io::Error| {
        Failure::usage(format!("the config file `{name}` cannot be read: {error}"))
            .with_help("give the path of a TOML file")
    };
    if std::fs::metadata(file).map_err(cannot)?.is_dir() {
        return Err(Failure::usage(format!("`{name}` is a directory")).with_help("give the path of a TOML file"));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(cannot)?;
    opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_LIMIT {
        let message = format!("the config file `{name}` is larger than {FILE_LIMIT} bytes");
        return Err(Failure::usage(message).with_help("is it a data file?"));
    }
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(&name, &error))?;
    Ok(check_text(file, &text, environment))
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Failure {
    let valid = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let place = render::place(&before, valid);
    let byte = bytes.get(valid).copied().unwrap_or_default();
    Failure::usage(format!("{name}:{}:{}: the file is not UTF-8 text (byte 0x{byte:02x})", place.line, place.column))
        .with_help("save it as UTF-8; editors may have saved it as GBK, Latin-1 or UTF-16")
}

/// Checks the text of a file; `file` is only used to name it.
pub fn check_text(file: &Path, text: &str, environment: &dyn Environment) -> Checked {
    let (faults, readable) = syntax::faults(text);
    let (document, _) = DeTable::parse_recoverable(&readable);
    let mut reader = Reader::new(text, environment);
    let config = read_document(&mut reader, file, document.get_ref());
    let mut mistakes = syntax::mistakes(text, &faults);
    let broken: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.at.clone()).collect();
    mistakes.extend(reader.mistakes.into_iter().filter(|mistake| stands(text, mistake, &broken)));
    let report = Report::new(file, text, mistakes, reader.masks);
    Checked { config: (!report.has_errors()).then(|| config.clone()), report, good: config }
}

/// Does a mistake stand beside the syntax errors, or could it be a consequence of one?
fn stands(text: &str, mistake: &Mistake, broken: &[Range<usize>]) -> bool {
    let Some(at) = mistake.at.as_ref().filter(|_| !broken.is_empty()) else {
        return broken.is_empty();
    };
    // A syntax error anywhere inside of the value makes what was read of it a guess.
    let lines = syntax::line_around(text, at.start).start..syntax::line_around(text, at.end).end;
    !mistake.of_absence && !broken.iter().any(|fault| fault.start <= lines.end && fault.end >= lines.start)
}

fn read_document(reader: &mut Reader<'_>, file: &Path, document: &DeTable<'_>) -> Config {
    let whole = Table { section: Section::File, at: 0..0, fields: document, kind: None };
    let meant = reader.check_keys(&whole);
    let shutdown_timeout = reader.duration(&whole, "shutdown_timeout");
    let connections = entries(reader, document, "connections");
    let names: Vec<String> = connections.iter().map(|entry| entry.name.to_owned()).collect();
    if connections.is_empty() && !meant.contains(&"connections") {
        let mistake = Mistake::whole_file("the file has no connection");
        reader.push(Mistake {
            of_absence: true,
            ..mistake.help("add a table [connections.NAME]; `ottla check --keys` lists all keys")
        });
    }
    let read: Vec<_> = connections
        .into_iter()
        .map(|entry| {
            let owner = Owner::Connection(entry.name.to_owned());
            reader.owned(&owner, |reader| connection::read(reader, entry.name, entry.table(Section::Connection)))
        })
        .collect();
    let (mut ends, mut tasks) = (BTreeMap::new(), Vec::new());
    for entry in entries(reader, document, "tasks") {
        ends.insert(entry.name.to_owned(), entry.ends());
        let owner = Owner::Tasks(vec![entry.name.to_owned()]);
        tasks.push(reader.owned(&owner, |reader| task::read(reader, entry.name, &entry.table(Section::Task), &names)));
    }
    // Good connections and tasks are checked against each other even when others are broken.
    let config = Config {
        file: file.to_owned(),
        state_dir: state_dir(reader, file, document),
        connections: read.into_iter().flatten().map(|read| (read.name.clone(), read)).collect(),
        tasks: BTreeMap::new(),
        shutdown_timeout,
        ends,
    };
    let tasks: Vec<_> = tasks.into_iter().flatten().collect();
    task::check(reader, &config, &tasks);
    let tasks = tasks.into_iter().map(|placed| (placed.task.name.clone(), placed.task)).collect();
    Config { tasks, ..config }
}

/// The directory that tasks keep their state in: a relative path starts at the config file's own directory, so that it
/// is the same wherever the command is started.
fn state_dir(reader: &mut Reader<'_>, file: &Path, document: &DeTable<'_>) -> PathBuf {
    let beside = |path: &str| file.parent().unwrap_or(Path::new("")).join(path);
    let stated = document.get("state_dir").and_then(|value| reader.filled_text("state_dir", value));
    let Some(text) = stated else { return beside(STATE_DIR) };
    let path = beside(&text.value);
    if path.exists() && !path.is_dir() {
        let message = format!("`state_dir` has to name a directory, and {} is none", text.quoted());
        reader.push(Mistake::error(text.at, message).help("name a directory; it is made if it does not exist"));
    }
    path
}

/// One named table below `[connections]` or `[tasks]`.
struct Entry<'t, 'i> {
    name: &'t str,
    at: Range<usize>,
    fields: &'t DeTable<'i>,
}

impl<'t, 'i> Entry<'t, 'i> {
    /// The connections that a task names, right or wrong.
    fn ends(&self) -> Vec<String> {
        let named = ["source", "target"].into_iter().filter_map(|key| self.fields.get(key)?.get_ref().as_str());
        named.map(str::to_owned).collect()
    }

    fn table(&self, section: Section) -> Table<'t, 'i> {
        Table { section, at: self.at.clone(), fields: self.fields, kind: None }
    }
}

fn entries<'t, 'i>(reader: &mut Reader<'_>, document: &'t DeTable<'i>, key: &str) -> Vec<Entry<'t, 'i>> {
    let Some(value) = document.get(key) else { return Vec::new() };
    let Some(tables) = reader.table(key, value) else { return Vec::new() };
    let mut out = Vec::new();
    for (name, value) in tables {
        let own = name.get_ref().as_ref().to_owned();
        let owner = if key == "tasks" { Owner::Tasks(vec![own]) } else { Owner::Connection(own) };
        let fields = reader.owned(&owner, |reader| {
            check_name(reader, name.get_ref(), name.span());
            entry_table(reader, key, name.get_ref(), value)
        });
        if let Some(fields) = fields {
            // The head of a table that was opened only by its sub-tables is not in the file.
            let at = if value.span().is_empty() { name.span() } else { value.span() };
            out.push(Entry { name: name.get_ref().as_ref(), at, fields });
        }
    }
    out
}

fn entry_table<'t, 'i>(
    reader: &mut Reader<'_>,
    key: &str,
    name: &str,
    value: &'t Spanned<DeValue<'i>>,
) -> Option<&'t DeTable<'i>> {
    let fields = value.get_ref().as_table();
    if fields.is_none() {
        let name = shown(name);
        let message = format!("`{name}` has to be a table of its own below `{key}`");
        reader.push(
            Mistake::error(value.span(), message).help(format!("write [{key}.{name}], with its keys in lines below")),
        );
    }
    fields
}

fn check_name(reader: &mut Reader<'_>, name: &str, at: Range<usize>) {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let problem = if name.is_empty() {
        "a name cannot be empty".to_owned()
    } else if name.chars().count() > NAME_LIMIT {
        format!("a name has at most {NAME_LIMIT} characters")
    } else if !name.starts_with(|c: char| c.is_alphanumeric() || c == '_') || !name.chars().all(legal) {
        format!("`{}` cannot be a name", shown(name))
    } else {
        return;
    };
    reader.push(Mistake::error(at, problem).help("a name has letters (Chinese ones too), digits, `_` and `-`"));
}
