//! One question and its answer as bytes (RFC 1035 §4), pure.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

const CNAME: u16 = 5;
const INTERNET: u16 = 1;
/// RFC 1035 §2.3.4.
const NAME_LIMIT: usize = 255;
const LABEL_LIMIT: usize = 63;
/// No realm has more KDCs and no host more addresses than this; further records are left out.
const RECORD_LIMIT: usize = 32;
/// No honest name is an alias of an alias as often (what common resolvers take, too).
const ALIAS_LIMIT: usize = 16;
const HEADER: usize = 12;

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses (RFC 3596).
    Aaaa,
    /// The host whose address it stands for.
    Ptr,
    /// The hosts of a service (RFC 2782).
    Srv,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ptr => 12,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// One question. Its name may end in a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    /// Whoever does not see it can only guess it.
    pub(crate) id: u16,
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
}

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

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Address(IpAddr),
    /// A name without a dot at the end; empty for the root.
    Host(String),
    Service(Target),
}

/// What a server knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the name is an alias of, in the end; itself if it is none.
    pub(crate) name: String,
    /// Records of the kind that was asked for, in the server's order. Empty if there are none.
    pub(crate) data: Vec<Data>,
    /// For how long this holds.
    pub(crate) ttl: Duration,
}

impl Found {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(|data| if let Data::Address(address) = data { Some(*address) } else { None })
    }

    /// The host of an address.
    pub(crate) fn host(&self) -> Option<&str> {
        self.data.iter().find_map(|data| if let Data::Host(host) = data { Some(&**host) } else { None })
    }
}

impl From<Found> for Srv {
    fn from(found: Found) -> Self {
        let target = |data| if let Data::Service(target) = data { Some(target) } else { None };
        Self { targets: found.data.into_iter().filter_map(target).collect(), ttl: found.ttl }
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Found(Found),
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
            Self::BadName => f.write_str("no name that DNS could know"),
            Self::Malformed(what) => write!(f, "a malformed answer: {what}"),
        }
    }
}

/// The bytes that ask.
pub(crate) fn query(question: &Question<'_>) -> Result<Vec<u8>, Problem> {
    let mut bytes = question.id.to_be_bytes().to_vec();
    // Recursion desired; one question, nothing else.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in without_dot(question.name).split('.') {
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
    bytes.extend(question.kind.number().to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    Ok(bytes)
}

/// Reads the answer to [`query`].
pub(crate) fn answer(bytes: &[u8], question: &Question<'_>) -> Result<Answer, Problem> {
    let mut message = Message { bytes, at: 0 };
    let (their_id, flags) = (message.u16()?, message.u16()?);
    let (questions, answers) = (message.u16()?, message.u16()?);
    message.skip(4)?;
    let is_answer = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if their_id != question.id || !is_answer || questions != 1 {
        return Err(Problem::NotOurs);
    }
    let name = without_dot(question.name);
    let asked = message.name()?;
    let kind = (message.u16()?, message.u16()?);
    if !asked.eq_ignore_ascii_case(name) || kind != (question.kind.number(), INTERNET) {
        return Err(Problem::NotOurs);
    }
    let mut found = Found { name: name.to_owned(), data: Vec::new(), ttl: Duration::ZERO };
    match (flags & 0x0200 != 0, (flags & 0xf) as u8) {
        (true, _) => return Ok(Answer::Cut),
        // 3: there is no such name. Any records are about something else then.
        (false, 3) => return Ok(Answer::Found(found)),
        (false, 0) => {}
        (false, code) => return Ok(Answer::Failed(code)),
    }
    found.ttl = Duration::from_secs(u32::MAX.into());
    let mut aliases = 0;
    for _ in 0..answers {
        message.record(question.kind, &mut found, &mut aliases)?;
    }
    if found.data.is_empty() {
        found.ttl = Duration::ZERO;
    }
    Ok(Answer::Found(found))
}

/// The name under which DNS knows the host of an address (RFC 1035 §3.5, RFC 3596 §2.5).
pub(crate) fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 0xf, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).chain(["ip6.arpa".to_owned()]).collect()
        }
    }
}

/// A name that says by a dot at its end that it is whole, without that.
pub(crate) fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
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

    fn octets<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut octets = [0; N];
        let at = self.at;
        self.skip(N)?;
        octets.copy_from_slice(&self.bytes[at..self.at]);
        Ok(octets)
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        self.octets().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        self.octets().map(u32::from_be_bytes)
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

    fn record(&mut self, kind: Kind, found: &mut Found, aliases: &mut usize) -> Result<(), Problem> {
        let owner = self.name()?;
        let (number, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let size = usize::from(self.u16()?);
        let start = self.at;
        self.skip(size)?;
        let end = self.at;
        let is_wanted = number == CNAME || number == kind.number();
        if class != INTERNET || !owner.eq_ignore_ascii_case(&found.name) || !is_wanted {
            return Ok(());
        }
        self.at = start;
        let data = if number == CNAME { Data::Host(self.name()?) } else { self.data(kind)? };
        if self.at != end {
            return Err(Problem::Malformed("a record's size is not what is in it"));
        }
        // Above 2^31 it stands for 0 (RFC 2181 §8).
        found.ttl = found.ttl.min(Duration::from_secs(if ttl > i32::MAX as u32 { 0 } else { ttl.into() }));
        match data {
            Data::Host(host) if number == CNAME => {
                *aliases += 1;
                if *aliases > ALIAS_LIMIT {
                    return Err(Problem::Malformed("an alias of an alias without an end"));
                }
                found.name = host;
            }
            // A host of "." says that the service is not there (RFC 2782).
            Data::Service(target) if target.host.is_empty() => {}
            data if found.data.len() < RECORD_LIMIT => found.data.push(data),
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, kind: Kind) -> Result<Data, Problem> {
        Ok(match kind {
            Kind::A => Data::Address(self.octets::<4>()?.into()),
            Kind::Aaaa => Data::Address(self.octets::<16>()?.into()),
            Kind::Ptr => Data::Host(self.name()?),
            Kind::Srv => {
                let (priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                Data::Service(Target { priority, weight, port, host: self.name()? })
            }
        })
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
