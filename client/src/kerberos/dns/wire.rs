//! One question and its answer as bytes (RFC 1035 §4), pure.

use std::fmt;
use std::time::Duration;

const SRV: u16 = 33;
const CNAME: u16 = 5;
const INTERNET: u16 = 1;
/// RFC 1035 §2.3.4.
const NAME_LIMIT: usize = 255;
const LABEL_LIMIT: usize = 63;
/// No realm has more KDCs than this; further ones are left out.
const TARGET_LIMIT: usize = 32;
const HEADER: usize = 12;

/// A host that has the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Lower ones are tried first.
    pub(crate) priority: u16,
    /// Among equals of priority, how often this one is to come first.
    pub(crate) weight: u16,
    /// Its port.
    pub(crate) port: u16,
    /// Its name, without a dot at the end.
    pub(crate) host: String,
}

/// What DNS knows of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Srv {
    /// Empty if there is no such service.
    pub(crate) targets: Vec<Target>,
    /// For how long this holds.
    pub(crate) ttl: Duration,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Srv),
    /// It did not fit; over TCP it does.
    Cut,
    /// The server cannot say (RFC 1035 §4.1.1, RCODE).
    Failed(u8),
}

/// Why bytes are no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Another id or another question: somebody else's, or made up.
    NotOurs,
    /// The name cannot be asked for.
    BadName,
    /// What is wrong in it.
    Malformed(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("an answer to another question"),
            Self::BadName => f.write_str("the realm is no name that DNS could know"),
            Self::Malformed(what) => write!(f, "a malformed answer: {what}"),
        }
    }
}

/// The bytes that ask for a name's SRV records.
pub(crate) fn query(id: u16, name: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = id.to_be_bytes().to_vec();
    // Recursion desired; one question, nothing else.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > LABEL_LIMIT {
            return Err(Problem::BadName);
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    if bytes.len() - HEADER > NAME_LIMIT {
        return Err(Problem::BadName);
    }
    bytes.extend(SRV.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    Ok(bytes)
}

/// Reads the answer to [`query`].
pub(crate) fn answer(bytes: &[u8], id: u16, name: &str) -> Result<Answer, Problem> {
    let mut message = Message { bytes, at: 0 };
    let (their_id, flags) = (message.u16()?, message.u16()?);
    let (questions, answers) = (message.u16()?, message.u16()?);
    message.skip(4)?;
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if their_id != id || !is_answer || questions != 1 {
        return Err(Problem::NotOurs);
    }
    let mut wanted = name.strip_suffix('.').unwrap_or(name).to_owned();
    let asked = message.name()?;
    let kind = (message.u16()?, message.u16()?);
    if !asked.eq_ignore_ascii_case(&wanted) || kind != (SRV, INTERNET) {
        return Err(Problem::NotOurs);
    }
    match (flags & 0x0200 != 0, (flags & 0xf) as u8) {
        (true, _) => return Ok(Answer::Cut),
        // 3: there is no such name. Any records are about something else then.
        (false, 3) => return Ok(Answer::Found(Srv { targets: Vec::new(), ttl: Duration::ZERO })),
        (false, 0) => {}
        (false, code) => return Ok(Answer::Failed(code)),
    }
    let mut srv = Srv { targets: Vec::new(), ttl: Duration::from_secs(u32::MAX.into()) };
    for _ in 0..answers {
        message.record(&mut wanted, &mut srv)?;
    }
    if srv.targets.is_empty() {
        srv.ttl = Duration::ZERO;
    }
    Ok(Answer::Found(srv))
}

struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Message<'_> {
    fn skip(&mut self, count: usize) -> Result<(), Problem> {
        if count > self.bytes.len() - self.at {
            return Err(Problem::Malformed("it is cut"));
        }
        self.at += count;
        Ok(())
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        let at = self.at;
        self.skip(2)?;
        Ok(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// A name, its labels joined by dots. A pointer must lead to before the part that it ends, so that following it ends
    /// (RFC 1035 §4.1.4: "a prior occurrence").
    fn name(&mut self) -> Result<String, Problem> {
        let mut name = String::new();
        let (mut at, mut start, mut behind) = (self.at, self.at, None);
        loop {
            let length = usize::from(*self.bytes.get(at).ok_or(Problem::Malformed("a name is cut"))?);
            match length {
                0 => break,
                1..=LABEL_LIMIT => {
                    let label = self.bytes.get(at + 1..=at + length).ok_or(Problem::Malformed("a name is cut"))?;
                    push_label(&mut name, label)?;
                    at += 1 + length;
                }
                0xc0.. => {
                    let low = *self.bytes.get(at + 1).ok_or(Problem::Malformed("a name is cut"))?;
                    behind = behind.or(Some(at + 2));
                    let target = (length & 0x3f) << 8 | usize::from(low);
                    if target >= start {
                        return Err(Problem::Malformed("a name points forward or at itself"));
                    }
                    (at, start) = (target, target);
                }
                _ => return Err(Problem::Malformed("a label of an unknown kind")),
            }
        }
        self.at = behind.unwrap_or(at + 1);
        Ok(name)
    }

    fn record(&mut self, wanted: &mut String, srv: &mut Srv) -> Result<(), Problem> {
        let owner = self.name()?;
        let (kind, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let size = usize::from(self.u16()?);
        let start = self.at;
        self.skip(size)?;
        let end = self.at;
        if class != INTERNET || !owner.eq_ignore_ascii_case(wanted) || !(kind == SRV || kind == CNAME) {
            return Ok(());
        }
        self.at = start;
        let target = if kind == SRV { Some((self.u16()?, self.u16()?, self.u16()?)) } else { None };
        let host = self.name()?;
        if self.at != end {
            return Err(Problem::Malformed("a record's size is not what is in it"));
        }
        // Above 2^31 it stands for 0 (RFC 2181 §8).
        srv.ttl = srv.ttl.min(Duration::from_secs(if ttl > i32::MAX as u32 { 0 } else { ttl.into() }));
        match target {
            None => *wanted = host,
            // A host of "." says that the service is not there (RFC 2782).
            Some((priority, weight, port)) if !host.is_empty() && srv.targets.len() < TARGET_LIMIT => {
                srv.targets.push(Target { priority, weight, port, host });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

fn push_label(name: &mut String, label: &[u8]) -> Result<(), Problem> {
    // A dot within a label, or bytes that no terminal should see: no name that could be meant.
    if !label.iter().all(|b| b.is_ascii_graphic() && *b != b'.') {
        return Err(Problem::Malformed("a name with strange characters"));
    }
    if name.len() + 1 + label.len() >= NAME_LIMIT {
        return Err(Problem::Malformed("a name is longer than 255 bytes"));
    }
    if !name.is_empty() {
        name.push('.');
    }
    name.extend(label.iter().map(|b| char::from(*b)));
    Ok(())
}

/// Puts hosts in the order in which they are to be tried: by priority, and among equals by chance according to their
/// weights (RFC 2782, "Weight"). `chance` gives a number from 0 to the one it is given.
pub(crate) fn put_in_order(targets: &mut [Target], mut chance: impl FnMut(u32) -> u32) {
    // Those of weight 0 first: they are then taken only if chance says 0.
    targets.sort_by_key(|target| (target.priority, target.weight));
    for first in 0..targets.len() {
        let equals = targets[first..].iter().take_while(|target| target.priority == targets[first].priority);
        let sum = equals.clone().map(|target| u32::from(target.weight)).sum();
        let chosen = chance(sum);
        let mut running = 0;
        let taken = equals.take_while(|target| {
            running += u32::from(target.weight);
            running < chosen
        });
        let taken = first + taken.count();
        if taken < targets.len() {
            // What was before it keeps its order.
            targets[first..=taken].rotate_right(1);
        }
    }
}
