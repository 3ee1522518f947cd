//! What can be wrong with a config file, collected and laid out for the reader.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::redact;
use super::render::{self, Paint};

/// At most so many mistakes are shown; what follows from a file of another format is no help to anyone.
const SHOWN_MISTAKES: usize = 100;

/// Does it stop the command?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but is perhaps not what was meant.
    Warning,
}

impl Severity {
    /// The word at the head of the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Which part of the file a mistake makes useless.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Owner {
    /// All of it.
    #[default]
    File,
    /// A connection, by name.
    Connection(String),
    /// Tasks that do not go together, or one that does not go at all, by name.
    Tasks(Vec<String>),
}

/// The parts of a file that a command uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needed {
    /// Connections by name.
    pub connections: Vec<String>,
    /// Tasks by name.
    pub tasks: Vec<String>,
}

impl Needed {
    /// Does a mistake with this owner stop the command?
    pub fn is_stopped_by(&self, owner: &Owner) -> bool {
        match owner {
            Owner::File => true,
            Owner::Connection(name) => self.connections.contains(name),
            Owner::Tasks(names) => names.iter().all(|name| self.tasks.contains(name)),
        }
    }
}

/// One mistake. Texts never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Does it stop the command?
    pub severity: Severity,
    /// What is wrong, with the offending text.
    pub message: String,
    /// Where in the file, in bytes; `None` when it concerns the file as a whole.
    pub at: Option<Range<usize>>,
    /// What to write instead.
    pub help: Vec<String>,
    /// Whom it stops; see [`Owner`].
    pub(super) owner: Owner,
    /// It says that something is not there. After a syntax error that may be wrong, so it is left out then.
    pub(super) of_absence: bool,
}

impl Mistake {
    pub(super) fn error(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            at: Some(at),
            help: Vec::new(),
            owner: Owner::File,
            of_absence: false,
        }
    }

    pub(super) fn warning(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    pub(super) fn absence(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { of_absence: true, ..Self::error(at, message) }
    }

    pub(super) fn whole_file(message: impl Into<String>) -> Self {
        Self { at: None, ..Self::error(0..0, message) }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// A place in a file, as editors count: from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// All mistakes of one file, in the file's order.
pub struct Report {
    file: PathBuf,
    text: String,
    masks: Vec<Range<usize>>,
    mistakes: Vec<Mistake>,
}

impl Report {
    /// `masks` are the byte ranges of `text` that must not be shown, besides those that look like secrets.
    pub(super) fn new(file: &Path, text: &str, mut mistakes: Vec<Mistake>, mut masks: Vec<Range<usize>>) -> Self {
        masks.extend(redact::secrets_in(text));
        mistakes.sort_by_key(|mistake| mistake.at.as_ref().map(|at| (at.start, at.end)));
        mistakes.dedup();
        Self { file: file.to_owned(), text: text.to_owned(), masks: redact::merged(masks), mistakes }
    }

    /// The file, as the user named it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All mistakes, warnings included, in the file's order.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// How many of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.mistakes.iter().filter(|mistake| mistake.severity == severity).count()
    }

    /// Is there an error among them?
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Leaves out what does not concern the parts of the file that are needed; gives how many errors that were.
    pub fn keep(&mut self, needed: &Needed) -> usize {
        let before = self.count(Severity::Error);
        self.mistakes.retain(|mistake| needed.is_stopped_by(&mistake.owner));
        before - self.count(Severity::Error)
    }

    /// Where a mistake begins; `None` when it concerns the whole file.
    pub fn place(&self, mistake: &Mistake) -> Option<Place> {
        mistake.at.as_ref().map(|at| render::place(&self.text, at.start))
    }

    /// The text for the terminal: every mistake with its line, then how many there are. Empty without mistakes.
    pub fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        for mistake in self.mistakes.iter().take(SHOWN_MISTAKES) {
            render::mistake(&mut out, paint, &self.file, &self.text, &self.masks, mistake);
            out.push('\n');
        }
        if self.mistakes.len() > SHOWN_MISTAKES {
            let _ = writeln!(out, "… and {} more\n", self.mistakes.len() - SHOWN_MISTAKES);
        }
        let errors = self.count(Severity::Error);
        if errors > 0 {
            let noun = if errors == 1 { "mistake" } else { "mistakes" };
            let total = format!("{errors} {noun} in {}", shown(&self.file.to_string_lossy()));
            render::head(&mut out, paint, Severity::Error, &total);
        }
        out
    }
}

/// Without the file's text: it may hold secrets.
impl fmt::Debug for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Report").field("file", &self.file).field("mistakes", &self.mistakes).finish_non_exhaustive()
    }
}

/// A piece of the user's text made fit for a message: clipped, without control characters, logins in URLs masked.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS: usize = 80;
    let masked = redact::without_login(text);
    let mut out: String = masked.chars().take(CHARACTERS).map(printable).collect();
    if masked.chars().nth(CHARACTERS).is_some() {
        out.push('…');
    }
    out
}

/// Control characters and those that turn the reading direction could make a message say something else.
pub(super) fn printable(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}
