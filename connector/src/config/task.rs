//! `[tasks.NAME]`, and what a task asks of its two connections.

use std::collections::BTreeMap;
use std::ops::Range;

use super::keys::{self, Section};
use super::mistake::{Mistake, Owner, shown};
use super::model::{Config, Connection, Jsonl, JsonlPath, Kind, Mode, OnUnavailable, Task};
use super::nearest::nearest;
use super::read::{Reader, Table};
use crate::mode;
use crate::resources::{self, Facts, Way};

pub(super) const MODES: [(&str, Mode); 3] =
    [("full", Mode::Full), ("incremental", Mode::Incremental), ("full+incremental", Mode::FullIncremental)];

const ON_UNAVAILABLE: [(&str, OnUnavailable); 2] =
    [("continue", OnUnavailable::Continue), ("stop", OnUnavailable::Stop)];

/// The longest name of a group, in characters. Kafka's own limit is that of a string, 32,767 bytes.
const GROUP_LIMIT: usize = 249;

/// A task with the places of its two ends, for mistakes found later.
pub(super) struct Placed {
    pub(super) task: Task,
    pub(super) source_at: Range<usize>,
    pub(super) target_at: Range<usize>,
    /// The task's head.
    pub(super) at: Range<usize>,
}

/// Reads one task. `names` are all connections of the file, broken ones included.
pub(super) fn read(reader: &mut Reader<'_>, name: &str, table: &Table<'_, '_>, names: &[String]) -> Option<Placed> {
    let meant = reader.check_keys(table);
    let mode = reader.required(table, "mode", &meant).zip(keys::find(Section::Task, "mode"));
    let mode = mode.and_then(|(value, key)| reader.word(key, value, &MODES));
    let source = end(reader, table, "source", &meant, names);
    let target = end(reader, table, "target", &meant, names);
    let group = group(reader, name, table);
    let allow_empty = reader.flag(table, "allow_empty");
    let on_unavailable = on_unavailable(reader, table);
    let ((source, source_at), (target, target_at)) = (source?, target?);
    let task = Task { name: name.to_owned(), source, target, mode: mode?, group: group?, allow_empty, on_unavailable };
    Some(Placed { task, source_at, target_at, at: table.at.clone() })
}

/// What to do about partitions that cannot be read; the default without the key, or with a mistake left behind.
fn on_unavailable(reader: &mut Reader<'_>, table: &Table<'_, '_>) -> OnUnavailable {
    let key = keys::find(Section::Task, "on_unavailable");
    let Some((key, value)) = key.zip(table.fields.get("on_unavailable")) else { return OnUnavailable::default() };
    reader.word(key, value, &ON_UNAVAILABLE).unwrap_or_default()
}

/// The task's group; `None` with a mistake left behind.
fn group(reader: &mut Reader<'_>, name: &str, table: &Table<'_, '_>) -> Option<String> {
    let Some(value) = table.fields.get("group") else { return Some(mode::group(name)) };
    let text = reader.filled_text("group", value)?;
    let problem = if text.value.chars().count() > GROUP_LIMIT {
        format!("a group's name has at most {GROUP_LIMIT} characters")
    } else if text.value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        format!("{} cannot be the name of a group", text.quoted())
    } else {
        return Some(text.value);
    };
    reader.push(Mistake::error(text.at, problem).help("write a name without blanks: group = \"ottla-orders\""));
    None
}

fn end(
    reader: &mut Reader<'_>,
    table: &Table<'_, '_>,
    key: &'static str,
    meant: &[&'static str],
    names: &[String],
) -> Option<(String, Range<usize>)> {
    let value = reader.required(table, key, meant)?;
    let text = reader.filled_text(key, value)?;
    if names.contains(&text.value) {
        return Some((text.value, text.at));
    }
    let near = if text.from_outside { None } else { nearest(&text.value, names.iter().map(String::as_str)) };
    let help = match near {
        Some(name) => format!("write \"{}\"", shown(name)),
        None if names.is_empty() => "add a table [connections.NAME]".to_owned(),
        None => format!("the connections are {}", listed(names)),
    };
    let message = format!("there is no connection {}", text.quoted());
    reader.push(Mistake { of_absence: true, ..Mistake::error(text.at, message).help(help) });
    None
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut list: Vec<_> = names.iter().take(SHOWN).map(|name| format!("\"{}\"", shown(name))).collect();
    if names.len() > SHOWN {
        list.push(format!("and {} more", names.len() - SHOWN));
    }
    list.join(", ")
}

/// Checks that each task's connections may and can do what the task asks of them, and that the tasks go together.
pub(super) fn check(reader: &mut Reader<'_>, config: &Config, tasks: &[Placed]) {
    for placed in tasks {
        let owner = Owner::Tasks(vec![placed.task.name.clone()]);
        reader.owned(&owner, |reader| check_ends(reader, config, placed));
    }
    let ways = resources::ways(config, tasks.iter().map(|placed| &placed.task), &Facts::new());
    check_rings(reader, config, tasks, &ways);
    check_shared_files(reader, config, tasks, &ways);
    check_groups(reader, tasks);
}

fn check_ends(reader: &mut Reader<'_>, config: &Config, placed: &Placed) {
    let source = config.connections.get(&placed.task.source);
    let target = config.connections.get(&placed.task.target);
    if let Some(source) = source.filter(|source| !source.role.reads()) {
        let message = format!("the connection `{}` has role \"{}\" and cannot be a source", source.name, source.role);
        reader.push(Mistake::error(placed.source_at.clone(), message).help("give it role = \"both\" or \"source\""));
    }
    if let Some(target) = target.filter(|target| !target.role.writes()) {
        let message = format!("the connection `{}` has role \"{}\" and cannot be a target", target.name, target.role);
        reader.push(Mistake::error(placed.target_at.clone(), message).help("give it role = \"both\" or \"target\""));
    }
    if let (Some(source), Some(target)) = (source, target) {
        check_pair(reader, placed, source, target);
    }
}

fn check_pair(reader: &mut Reader<'_>, placed: &Placed, source: &Connection, target: &Connection) {
    if let (Kind::Jsonl(_), Kind::Kafka(to)) = (&source.kind, &target.kind)
        && to.topics.literal().is_none()
    {
        let message = format!("lines have no topic, and `topics` of `{}` does not name one", target.name);
        let help = "give the target connection a plain topic name: topics = \"orders\"";
        reader.push(Mistake::error(placed.target_at.clone(), message).help(help));
    }
    if let Kind::Jsonl(from) = &source.kind {
        reader.mistakes.extend(unfollowable(from, placed));
    }
}

/// Tasks whose records come back to them would never come to an end.
fn check_rings(reader: &mut Reader<'_>, config: &Config, tasks: &[Placed], ways: &[Way]) {
    for ring in resources::rings(ways) {
        let of = |name: &String| tasks.iter().find(|placed| placed.task.name == *name);
        let Some(last) = ring.tasks.last().and_then(of) else { continue };
        let kept = ways.iter().any(|way| way.task == last.task.name && way.keeps_names());
        let (message, help) = match (&ring.topic, ring.tasks.len()) {
            (Some(_), 1) if kept => (
                "source and target are the same cluster, and every record would go back into its own topic".to_owned(),
                "give the target a connection of its own with a plain topic name: topics = \"orders-copy\"",
            ),
            (Some(topic), 1) => (
                format!("the task would read the topic it writes, `{}`, on the same cluster", shown(topic)),
                "write to a topic that the source's `topics` does not match",
            ),
            (None, 1) => {
                let path = jsonl(config, &last.task.target).map(|jsonl| shown(&jsonl.path.to_string()));
                let path = path.unwrap_or_default();
                (format!("the task would write the file it reads: `{path}`"), "write to another file")
            }
            _ => (ring.to_string(), resources::RING_HELP),
        };
        let owner = Owner::Tasks(ring.tasks.clone());
        let at = last.target_at.clone();
        reader.owned(&owner, |reader| reader.push(Mistake::error(at, message).help(help)));
    }
}

/// A file has one writer, and standard input one reader: two tasks would tear each other's lines apart.
fn check_shared_files(reader: &mut Reader<'_>, config: &Config, tasks: &[Placed], ways: &[Way]) {
    let mut reads_stdin: Option<&str> = None;
    for placed in tasks {
        let name = placed.task.name.as_str();
        if let Some(Jsonl { path: JsonlPath::Stdio, .. }) = jsonl(config, &placed.task.source)
            && let Some(other) = reads_stdin.replace(name)
        {
            let message = format!("the task `{other}` reads standard input already");
            let mistake = Mistake::error(placed.source_at.clone(), message).help("one task at most can read `-`");
            let owner = Owner::Tasks([other, name].map(str::to_owned).to_vec());
            reader.owned(&owner, |reader| reader.push(mistake));
        }
    }
    for (way, other) in resources::shared_files(ways) {
        let Some(placed) = tasks.iter().find(|placed| placed.task.name == way.task) else { continue };
        let path = jsonl(config, &way.target).map(|jsonl| jsonl.path.to_string()).unwrap_or_default();
        let message = format!("the task `{}` writes the same file `{}`", other.task, shown(&path));
        let mistake = Mistake::error(placed.target_at.clone(), message).help("give each task a file of its own");
        let owner = Owner::Tasks(vec![other.task.clone(), way.task.clone()]);
        reader.owned(&owner, |reader| reader.push(mistake));
    }
}

/// Two tasks of one group would take each other's positions for their own.
fn check_groups(reader: &mut Reader<'_>, tasks: &[Placed]) {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for placed in tasks {
        let task = &placed.task;
        for group in [task.group.clone(), mode::marks_group(&task.group)] {
            let Some(other) = taken.insert(group.clone(), &task.name) else { continue };
            let message = format!("the group `{}` keeps the positions of the task `{other}` already", shown(&group));
            let help = format!("give each task a group of its own: group = \"{}\"", mode::group(&task.name));
            let owner = Owner::Tasks(vec![other.to_owned(), task.name.clone()]);
            let mistake = Mistake::error(placed.at.clone(), message).help(help);
            reader.owned(&owner, |reader| reader.push(mistake));
            break;
        }
    }
}

/// What has no positions cannot be gone on with.
fn unfollowable(from: &Jsonl, placed: &Placed) -> Option<Mistake> {
    let what = match &from.path {
        JsonlPath::Stdio => "standard input".to_owned(),
        JsonlPath::File(path) if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) => {
            format!("`{}`, which is no regular file,", shown(&path.to_string_lossy()))
        }
        JsonlPath::File(_) => return None,
    };
    if placed.task.mode == Mode::Full {
        return None;
    }
    let message = format!("{what} has no positions for mode \"{}\"", placed.task.mode);
    Some(Mistake::error(placed.source_at.clone(), message).help("write mode = \"full\": it is read to its end"))
}

fn jsonl<'c>(config: &'c Config, name: &str) -> Option<&'c Jsonl> {
    match &config.connections.get(name)?.kind {
        Kind::Jsonl(jsonl) => Some(jsonl),
        Kind::Kafka(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_mode_is_understood() {
        let documented = keys::find(Section::Task, "mode").unwrap().words;
        assert_eq!(documented, MODES.map(|(word, _)| word));
        assert_eq!(documented, MODES.map(|(_, mode)| mode.name()));
    }
}
