//! Lays out one mistake the way compilers do: file, line and column, the line itself, carets under the fault, help.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::ops::Range;
use std::path::Path;

use unicode_width::UnicodeWidthChar as _;

use super::mistake::{Mistake, Place, Severity, printable, shown};
use super::redact::MASK;

/// How many bytes of a line are looked at before and after the fault; a line may be as long as the file.
const BEFORE: usize = 160;
const AFTER: usize = 320;
/// How many terminal columns of a line are shown before and after the beginning of the fault.
const COLUMNS_BEFORE: usize = 60;
const COLUMNS_AFTER: usize = 60;
/// A line of at most so many columns is shown whole.
const WHOLE_LINE: usize = 120;

/// With or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text only.
    Plain,
    /// With ANSI colours.
    Ansi,
}

impl Paint {
    /// Colours if standard error is a terminal that takes them and `NO_COLOR` does not forbid it (no-color.org).
    pub fn for_stderr() -> Self {
        Self::choose(std::io::stderr().is_terminal())
    }

    /// The same for standard output.
    pub fn for_stdout() -> Self {
        Self::choose(std::io::stdout().is_terminal())
    }

    fn choose(is_terminal: bool) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if is_terminal && !forbidden && !dumb { Self::Ansi } else { Self::Plain }
    }

    /// `text` in the SGR style `code` (ECMA-48), or as it is.
    pub fn style(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
    }
}

/// `error: message`, with a line break.
pub(super) fn head(out: &mut String, paint: Paint, severity: Severity, message: &str) {
    let word = paint.style(colour(severity), severity.name());
    let _ = writeln!(out, "{word}{}", paint.style(BOLD, &format!(": {message}")));
}

/// The place of a byte of the text. A byte beyond the end is taken for the end.
pub(super) fn place(text: &str, at: usize) -> Place {
    let at = floor(text, at);
    let line_start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    // A byte order mark is no character of the line.
    let before = text[line_start..at].trim_start_matches('\u{feff}');
    Place { line: text[..line_start].matches('\n').count() + 1, column: before.chars().count() + 1 }
}

/// One whole mistake, with a line break at the end.
pub(super) fn mistake(
    out: &mut String,
    paint: Paint,
    file: &Path,
    text: &str,
    masks: &[Range<usize>],
    mistake: &Mistake,
) {
    head(out, paint, mistake.severity, &mistake.message);
    let file = shown(&file.to_string_lossy());
    let Some(at) = &mistake.at else {
        let _ = writeln!(out, " {} {file}", paint.style(BLUE, "-->"));
        mistake.help.iter().for_each(|help| help_line(out, paint, " ", help));
        return;
    };
    let place = place(text, at.start);
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint.style(BLUE, "|");
    let _ = writeln!(out, "{margin}{} {file}:{}:{}", paint.style(BLUE, "-->"), place.line, place.column);
    let excerpt = excerpt(text, at, masks);
    let _ = writeln!(out, "{margin} {bar}");
    let _ = writeln!(out, "{} {bar} {}", paint.style(BLUE, &number), excerpt.line);
    let carets = paint.style(colour(mistake.severity), &"^".repeat(excerpt.carets));
    let _ = writeln!(out, "{margin} {bar} {}{carets}", " ".repeat(excerpt.indent));
    mistake.help.iter().for_each(|help| help_line(out, paint, &margin, help));
}

fn help_line(out: &mut String, paint: Paint, margin: &str, help: &str) {
    let sign = paint.style(BLUE, "=");
    let _ = writeln!(out, "{margin} {sign} {} {help}", paint.style(BOLD, "help:"));
}

/// A line made fit for the terminal, and where the carets go, in terminal columns.
struct Excerpt {
    line: String,
    indent: usize,
    carets: usize,
}

/// One character, or one masked range, as shown.
struct Cell {
    bytes: Range<usize>,
    text: String,
    width: usize,
}

fn excerpt(text: &str, at: &Range<usize>, masks: &[Range<usize>]) -> Excerpt {
    let start = floor(text, at.start);
    let line_start = text[..start].rfind('\n').map_or(0, |found| found + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |found| start + found);
    let from = floor(text, line_start.max(start.saturating_sub(BEFORE)));
    let to = floor(text, line_end.min(start + AFTER));
    let cells = cells(text, from..to, masks);
    let before: usize = cells.iter().filter(|cell| cell.bytes.end <= start).map(|cell| cell.width).sum();
    let under = |cell: &&Cell| cell.bytes.end > start && cell.bytes.start < at.end;
    let carets: usize = cells.iter().filter(under).map(|cell| cell.width).sum();
    let whole = cells.iter().map(|cell| cell.width).sum::<usize>() <= WHOLE_LINE;
    let (first, last) =
        if whole { (0, WHOLE_LINE) } else { (before.saturating_sub(COLUMNS_BEFORE), before + COLUMNS_AFTER) };
    let (line, cut) = clipped(&cells, first, last, from > line_start, to < line_end);
    let indent = before - cut.columns + cut.sign;
    Excerpt { line, indent, carets: carets.clamp(1, if whole { WHOLE_LINE } else { COLUMNS_AFTER }) }
}

/// How many columns were left away in front, and how many the sign for it takes.
struct Cut {
    columns: usize,
    sign: usize,
}

fn clipped(cells: &[Cell], first: usize, last: usize, more_before: bool, more_after: bool) -> (String, Cut) {
    let mut line = String::new();
    let mut cut = Cut { columns: 0, sign: 0 };
    let mut column = 0;
    let mut clipped_end = more_after;
    for cell in cells {
        if column < first {
            cut.columns += cell.width;
        } else if column < last {
            line.push_str(&cell.text);
        } else {
            clipped_end = true;
        }
        column += cell.width;
    }
    if cut.columns > 0 || more_before {
        line.insert(0, '…');
        cut.sign = 1;
    }
    if clipped_end {
        line.push('…');
    }
    (line, cut)
}

fn cells(text: &str, window: Range<usize>, masks: &[Range<usize>]) -> Vec<Cell> {
    let mut out = Vec::new();
    let mut masked_until = 0;
    for (offset, c) in text[window.clone()].char_indices() {
        let at = window.start + offset;
        if at < masked_until || c == '\r' || c == '\u{feff}' {
            continue;
        }
        let bytes = at..at + c.len_utf8();
        let index = masks.partition_point(|mask| mask.end <= at);
        if let Some(mask) = masks.get(index).filter(|mask| mask.start <= at) {
            masked_until = mask.end;
            out.push(Cell { bytes: mask.clone(), text: MASK.to_owned(), width: MASK.len() });
        } else if c == '\t' {
            out.push(Cell { bytes, text: "    ".to_owned(), width: 4 });
        } else {
            let c = printable(c);
            out.push(Cell { bytes, text: c.to_string(), width: c.width().unwrap_or(1) });
        }
    }
    out
}

/// The nearest character boundary at or before a byte, inside of the text.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
