//! Tasks whose records come back to where they were read: a→b and b→a, or a task that reads what it writes.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use super::{ClusterNumber, FileIdentity, From, To, Way, names};
use crate::config::topics::TopicExpression;
use crate::target::kafka::Naming;

/// How many steps the search for rings of tasks that all keep topic names may take; more than any real file needs.
const STEPS_LIMIT: usize = 10_000;

/// Tasks in the order in which a record goes round, and a topic or file on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// The tasks' names; the last one writes what the first one reads. The first in the alphabet stands first.
    pub tasks: Vec<String>,
    /// A topic on the way; `None` if a file was found first.
    pub topic: Option<String>,
}

impl Ring {
    fn new(mut tasks: Vec<String>, topic: Option<String>) -> Self {
        let first = (0..tasks.len()).min_by_key(|index| &tasks[*index]).unwrap_or(0);
        tasks.rotate_left(first);
        Self { tasks, topic }
    }

    /// `a -> b -> a`.
    pub fn path(&self) -> String {
        let names: Vec<_> = self.tasks.iter().chain(self.tasks.first()).map(String::as_str).collect();
        names.join(" -> ")
    }
}

/// What to do about a ring of several tasks.
pub const RING_HELP: &str =
    "let one of them write to a topic or file that none of the others reads, or narrow the `topics` of one source";

impl fmt::Display for Ring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the tasks {} feed each other, so that every record would go round without end", self.path())?;
        match &self.topic {
            Some(topic) => write!(out, " (for example in the topic `{topic}`)"),
            None => Ok(()),
        }
    }
}

/// One place where records are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Spot {
    Topic(ClusterNumber, String),
    File(FileIdentity),
}

/// All rings, no task in two of them: whoever mends one looks for the next.
pub fn rings(ways: &[Way]) -> Vec<Ring> {
    let mut left: Vec<&Way> = ways.iter().collect();
    let mut found = Vec::new();
    while let Some(ring) = through_a_spot(&left).or_else(|| by_kept_names(&left)) {
        left.retain(|way| !ring.tasks.contains(&way.task));
        found.push(ring);
    }
    found
}

/// A ring with a task on it that writes to one place, by name: followed spot by spot.
fn through_a_spot(ways: &[&Way]) -> Option<Ring> {
    let spots = ways.iter().filter_map(|way| fixed(way));
    spots.filter_map(|spot| back_to(ways, &spot)).min_by_key(|ring| ring.tasks.len())
}

fn fixed(way: &Way) -> Option<Spot> {
    match &way.to {
        To::Topics(cluster, Naming::Fixed(name)) => Some(Spot::Topic(*cluster, name.clone())),
        To::File(file) => Some(Spot::File(file.clone())),
        To::Topics(_, Naming::Same) | To::Elsewhere => None,
    }
}

/// Where a task puts what lies at a spot; `None` if it does not read it.
fn carried(way: &Way, spot: &Spot) -> Option<Spot> {
    match (&way.from, spot) {
        (From::Topics(of, expression), Spot::Topic(cluster, name)) if of == cluster && expression.matches(name) => {}
        (From::File(one), Spot::File(other)) if one == other => {}
        _ => return None,
    }
    match (&way.to, spot) {
        (To::Topics(into, Naming::Same), Spot::Topic(_, name)) => Some(Spot::Topic(*into, name.clone())),
        _ => fixed(way),
    }
}

/// The shortest way from a spot back to it.
fn back_to(ways: &[&Way], start: &Spot) -> Option<Ring> {
    let mut paths: HashMap<Spot, Vec<String>> = HashMap::new();
    let mut open = VecDeque::from([(start.clone(), Vec::new())]);
    while let Some((spot, path)) = open.pop_front() {
        for way in ways {
            let Some(next) = carried(way, &spot) else { continue };
            let longer: Vec<String> = path.iter().chain([&way.task]).cloned().collect();
            if next == *start {
                let topic = match start {
                    Spot::Topic(_, name) => Some(name.clone()),
                    Spot::File(_) => None,
                };
                return Some(Ring::new(longer, topic));
            }
            if !paths.contains_key(&next) {
                paths.insert(next.clone(), longer.clone());
                open.push_back((next, longer));
            }
        }
    }
    None
}

/// A ring of tasks that all write to the topic of the same name: one name has to match on the whole way.
fn by_kept_names(ways: &[&Way]) -> Option<Ring> {
    let keeping: Vec<(&Way, ClusterNumber, &TopicExpression, ClusterNumber)> = ways
        .iter()
        .filter_map(|way| match (&way.from, &way.to) {
            (From::Topics(of, expression), To::Topics(into, Naming::Same)) => Some((*way, *of, expression, *into)),
            _ => None,
        })
        .collect();
    let mut steps = 0;
    let mut open: VecDeque<Vec<usize>> = (0..keeping.len()).map(|index| vec![index]).collect();
    while let Some(path) = open.pop_front() {
        steps += 1;
        if steps > STEPS_LIMIT {
            return None;
        }
        let expressions: Vec<_> = path.iter().map(|index| keeping[*index].2).collect();
        let (Some(first), Some(last)) = (path.first(), path.last()) else { continue };
        let Some(name) = names::common(&expressions) else { continue };
        if keeping[*last].3 == keeping[*first].1 {
            let tasks = path.iter().map(|index| keeping[*index].0.task.clone()).collect();
            return Some(Ring::new(tasks, Some(name)));
        }
        let next = (0..keeping.len()).filter(|next| !path.contains(next) && keeping[*next].1 == keeping[*last].3);
        open.extend(next.map(|next| path.iter().copied().chain([next]).collect()));
    }
    None
}
