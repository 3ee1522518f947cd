//! What the rungs share: the files in `testdata/golden`, and every message by key and direction.
#![allow(dead_code, reason = "each test file uses its part")]

use std::ops::RangeInclusive;

use bytes::Bytes;
use ottla_protocol::messages::*;
use ottla_protocol::wire::{Reader, Shape, Value};

/// A file of `testdata/golden`, a row a line, cells by tab, without its heading.
pub(crate) fn golden(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../testdata/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

/// A decoded body: its fields by name, and what encoding it again gives.
pub(crate) type Decoded = Result<(Value, Vec<u8>), String>;

/// A message without its type.
pub(crate) struct Entry {
    pub(crate) key: i16,
    pub(crate) request: bool,
    pub(crate) name: &'static str,
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) shape: Shape,
    pub(crate) read: fn(i16, &[u8]) -> Decoded,
}

fn read<M: Message>(version: i16, body: &[u8]) -> Decoded {
    let message = M::read(version, Bytes::copy_from_slice(body)).map_err(|e| e.to_string())?;
    let chunks = message.write(version).map_err(|e| e.to_string())?;
    Ok((message.value(version), chunks.concat()))
}

fn entry<M: Message>(request: bool) -> Entry {
    Entry { key: M::KEY.0, request, name: M::NAME, versions: M::VERSIONS, shape: M::SHAPE, read: read::<M> }
}

fn pair<R: Request>() -> [Entry; 2] {
    [entry::<R>(true), entry::<R::Response>(false)]
}

/// Every message of the crate.
pub(crate) fn all() -> Vec<Entry> {
    [
        pair::<ProduceRequest>(),
        pair::<FetchRequest>(),
        pair::<ListOffsetRequest>(),
        pair::<MetadataRequest>(),
        pair::<OffsetCommitRequest>(),
        pair::<OffsetFetchRequest>(),
        pair::<FindCoordinatorRequest>(),
        pair::<JoinGroupRequest>(),
        pair::<HeartbeatRequest>(),
        pair::<LeaveGroupRequest>(),
        pair::<SyncGroupRequest>(),
        pair::<SaslHandshakeRequest>(),
        pair::<ApiVersionsRequest>(),
        pair::<CreateTopicsRequest>(),
        pair::<InitProducerIdRequest>(),
        pair::<SaslAuthenticateRequest>(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A reader over these bytes, for what is not a message.
pub(crate) fn reader(version: i16, bytes: &[u8]) -> Reader {
    Reader::new(version, Bytes::copy_from_slice(bytes))
}
