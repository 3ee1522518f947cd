//! Walks the parsed file. Every getter either returns a good value or leaves a mistake behind, and the walk goes on
//! in both cases, so that one run finds all mistakes.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::environment::Environment;
use super::interpolate::{self, Fault};
use super::keys::{self, Absent, Key, KindName, LATER, Section};
use super::mistake::{Mistake, Owner, Severity, shown};
use super::model::Exposure;
use super::nearest::{nearest_key, nearest_word};

/// Collects mistakes while the tables are walked.
pub(super) struct Reader<'a> {
    text: &'a str,
    environment: &'a dyn Environment,
    pub(super) mistakes: Vec<Mistake>,
    /// Byte ranges of the text that must not be shown.
    pub(super) masks: Vec<Range<usize>>,
    /// What of the connection that is read now others can read or change, for the connection test.
    pub(super) exposures: Vec<Exposure>,
}

/// One table of the file with what is known about it.
pub(super) struct Table<'t, 'i> {
    pub(super) section: Section,
    /// The table's head, or the key of an inline table.
    pub(super) at: Range<usize>,
    pub(super) fields: &'t DeTable<'i>,
    /// The kind of connection, as far as it is known; keys of other kinds are refused.
    pub(super) kind: Option<KindName>,
}

/// A string value, references filled in.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) value: String,
    /// Its place in the file, quotes included.
    pub(super) at: Range<usize>,
    /// It came from outside of the file in part and must not be shown.
    pub(super) from_outside: bool,
    /// The file has the value byte for byte between its quotes.
    verbatim: bool,
}

impl Text {
    /// The place in the file of a byte range of the value; the whole value where that cannot be told.
    pub(super) fn part(&self, range: Range<usize>) -> Range<usize> {
        let inside = self.at.start + 1..self.at.end.saturating_sub(1);
        let part = inside.start + range.start..inside.start + range.end;
        if self.verbatim && part.end <= inside.end { part } else { self.at.clone() }
    }

    /// `` `value` `` for a message, or what it is called when it must not be shown.
    pub(super) fn quoted(&self) -> String {
        if self.from_outside { "the filled-in value".to_owned() } else { format!("`{}`", shown(&self.value)) }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, environment: &'a dyn Environment) -> Self {
        Self { text, environment, mistakes: Vec::new(), masks: Vec::new(), exposures: Vec::new() }
    }

    /// How many of the mistakes are errors.
    pub(super) fn errors(&self) -> usize {
        self.mistakes.iter().filter(|mistake| mistake.severity == Severity::Error).count()
    }

    pub(super) fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// What `read` finds wrong makes `owner` useless and nothing else.
    pub(super) fn owned<T>(&mut self, owner: &Owner, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mistakes.len();
        let value = read(self);
        for mistake in self.mistakes.iter_mut().skip(before).filter(|mistake| mistake.owner == Owner::File) {
            mistake.owner = owner.clone();
        }
        value
    }

    /// Refuses unknown keys and those of another kind. Returns the keys that the unknown ones were probably meant
    /// to be, so that they are not reported as missing as well.
    pub(super) fn check_keys(&mut self, table: &Table<'_, '_>) -> Vec<&'static str> {
        let mut meant = Vec::new();
        for (name, value) in table.fields {
            let at = name.span();
            let Some(key) = keys::find(table.section, name.get_ref()) else {
                if matches!(table.section, Section::Auth | Section::Tls) {
                    self.masks.push(value.span());
                }
                let near = self.unknown_key(table, name.get_ref(), at);
                meant.extend(near);
                continue;
            };
            if let Some(kind) = table.kind.filter(|&kind| !key.applies_to(kind)) {
                let message = format!("`{}` does not apply to a connection of kind \"{}\"", key.name, kind.name());
                let list = names_of(table);
                self.push(Mistake::error(at, message).help(format!("its keys are {list}")));
            }
        }
        meant
    }

    fn unknown_key(&mut self, table: &Table<'_, '_>, name: &str, at: Range<usize>) -> Option<&'static str> {
        let section = table.section;
        if LATER.contains(&(section, name)) {
            let message = format!("`{name}` is not supported by this version yet");
            self.push(Mistake::error(at, message).help("leave it out"));
            return None;
        }
        let whose = match table.kind {
            Some(kind) if section == Section::Connection => format!("a connection of kind \"{}\"", kind.name()),
            _ => section.spoken().to_owned(),
        };
        let mistake = Mistake::error(at, format!("unknown key `{}` in {whose}", shown(name)));
        let near = nearest_key(name, &keys_of(table));
        let free = near.filter(|key| !table.fields.contains_key(key.name));
        self.push(match (near, free) {
            (Some(key), _) if matches!(key.name, "connections" | "tasks") => {
                mistake.help(format!("write `[{}.NAME]`", key.name))
            }
            (_, Some(key)) => mistake.help(format!("write `{}`", key.name)),
            (Some(key), None) => mistake.help(format!("`{}` is there already; leave this one out", key.name)),
            (None, None) => mistake.help(format!("the keys are {}", names_of(table))),
        });
        near.map(|key| key.name)
    }

    /// The value of a required key, or a mistake unless an unknown key was probably meant for it.
    pub(super) fn required<'t, 'i>(
        &mut self,
        table: &Table<'t, 'i>,
        name: &'static str,
        meant: &[&'static str],
    ) -> Option<&'t Spanned<DeValue<'i>>> {
        let found = table.fields.get(name);
        if found.is_none() && !meant.contains(&name) {
            let mistake = Mistake::absence(table.at.clone(), format!("the key `{name}` is missing"));
            self.push(match keys::find(table.section, name).map(|key| key.absent) {
                Some(Absent::Mistake(example) | Absent::MistakeFor(_, example)) => {
                    mistake.help(format!("add `{example}`"))
                }
                _ => mistake,
            });
        }
        found
    }

    /// A string with its references filled in.
    pub(super) fn text(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let at = value.span();
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(name, value, "a text in quotes");
            return None;
        };
        let written = self.text.get(at.start + 1..at.end.saturating_sub(1)).unwrap_or_default();
        let as_written = written == text.as_ref();
        match interpolate::fill(text, self.environment) {
            Ok(filled) => {
                let verbatim = as_written && filled.verbatim;
                Some(Text { value: filled.value, at, from_outside: filled.from_outside, verbatim })
            }
            Err(faults) => {
                let whole = Text { value: text.to_string(), at, from_outside: false, verbatim: as_written };
                self.mistakes.extend(faults.into_iter().map(|fault| reference_mistake(&whole, fault)));
                None
            }
        }
    }

    /// A string that has something in it.
    pub(super) fn filled_text(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
        let text = self.text(name, value)?;
        let mistake = if text.value.trim().is_empty() {
            let why = if text.from_outside { " after filling in its references" } else { "" };
            Mistake::error(text.at.clone(), format!("`{name}` is empty{why}"))
                .help("write a value or leave the key out")
        } else if text.value.contains('\0') {
            Mistake::error(text.at.clone(), format!("`{name}` has a NUL character in it")).help("leave it out")
        } else {
            return Some(text);
        };
        self.push(mistake);
        None
    }

    /// One of the allowed words of a key, as its position in [`Key::words`].
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static Key,
        value: &Spanned<DeValue<'_>>,
        meanings: &[(&'static str, T)],
    ) -> Option<T> {
        if !value.get_ref().is_str() {
            self.wrong_word_type(key, value);
            return None;
        }
        let text = self.text(key.name, value)?;
        let found = meanings.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let message = format!("{} is no value of `{}`", text.quoted(), key.name);
            let near = if text.from_outside || key.words.len() == 1 { None } else { nearest_word(&text.value, key) };
            let mistake = Mistake::error(text.at, message);
            let mistake = near.into_iter().fold(mistake, |mistake, word| mistake.help(format!("write \"{word}\"")));
            self.push(mistake.help(allowed(key)));
        }
        found.map(|(_, meaning)| *meaning)
    }

    fn wrong_word_type(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        let written = self.text.get(value.span()).unwrap_or_default();
        let scalar = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Boolean(_));
        let near = if scalar { nearest_word(written, key) } else { None };
        self.wrong_type(key.name, value, "a word in quotes");
        if let Some(mistake) = self.mistakes.last_mut() {
            mistake.help.extend(near.map(|word| format!("write \"{word}\"")));
            mistake.help.push(allowed(key));
        }
    }

    pub(super) fn wrong_type(&mut self, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let name = if name.contains(' ') { name.to_owned() } else { format!("`{name}`") };
        let message = format!("{name} has to be {wanted}, not {}", spoken_type(value.get_ref()));
        self.push(Mistake::error(value.span(), message));
    }

    /// `true` or `false`; `false` without the key.
    pub(super) fn flag(&mut self, table: &Table<'_, '_>, name: &'static str) -> bool {
        let Some(value) = table.fields.get(name) else { return false };
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.wrong_type(name, value, "true or false");
            return false;
        };
        *flag
    }

    /// A time with its unit.
    pub(super) fn duration(&mut self, table: &Table<'_, '_>, name: &'static str) -> Option<Duration> {
        let value = table.fields.get(name)?;
        if let DeValue::Integer(number) = value.get_ref() {
            self.wrong_type(name, value, "a time with its unit, in quotes");
            let example = format!("write \"{number}s\" for {number} seconds");
            self.mistakes.last_mut().into_iter().for_each(|mistake| mistake.help.push(example.clone()));
            return None;
        }
        let text = self.filled_text(name, value)?;
        match duration::parse(&text.value) {
            Ok(duration) => Some(duration),
            Err(problem) => {
                let message = format!("{} is no value of `{name}`: {problem}", text.quoted());
                self.push(
                    Mistake::error(text.at, message)
                        .help("write a number and a unit: \"500ms\", \"25s\", \"2m\", \"1h\""),
                );
                None
            }
        }
    }

    /// Warns of a secret that others get at.
    pub(super) fn expose(&mut self, at: Range<usize>, exposure: Exposure) {
        self.push(Mistake::warning(at, exposure.problem.clone()).help(exposure.help.clone()));
        self.exposures.push(exposure);
    }

    /// Warns of a file with a secret in it that others than its owner can read or change. One that is not there is somebody
    /// else's to report.
    pub(super) fn check_permissions(&mut self, what: &str, path: &str, at: &Range<usize>) {
        let Some(mode) = self.environment.permissions(Path::new(path)) else { return };
        if let Some(exposure) = Exposure::of_file(what, path, mode) {
            self.expose(at.clone(), exposure);
        }
    }

    /// A sub-table.
    pub(super) fn table<'t, 'i>(&mut self, name: &str, value: &'t Spanned<DeValue<'i>>) -> Option<&'t DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(name, value, "a table");
        }
        table
    }
}

fn reference_mistake(text: &Text, fault: Fault) -> Mistake {
    Mistake::error(text.part(fault.at), fault.message).help(fault.help)
}

fn allowed(key: &Key) -> String {
    let words: Vec<_> = key.words.iter().map(|word| format!("\"{word}\"")).collect();
    if words.len() == 1 {
        format!("the only value is {}", words[0])
    } else {
        format!("allowed are {}", words.join(", "))
    }
}

fn names_of(table: &Table<'_, '_>) -> String {
    keys_of(table).iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ")
}

fn keys_of(table: &Table<'_, '_>) -> Vec<&'static Key> {
    keys::of(table.section).filter(|key| table.kind.is_none_or(|kind| key.applies_to(kind))).collect()
}

fn spoken_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
