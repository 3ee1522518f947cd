//! What the rungs share: the files in `testdata/golden`, and a look-up in the table of messages.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod random;
pub(crate) mod schema;

use std::path::Path;

use bytes::Bytes;
use ottla_protocol::messages::Body;
use ottla_protocol::wire::{Reader, Value};

/// A file of `testdata/golden`, a row a line, cells by tab, without its heading.
pub(crate) fn golden(name: &str) -> Vec<Vec<String>> {
    // The package of the fuzz targets includes this file, too, from one directory further in.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("testdata/golden").join(name));
    let path = above.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no testdata/golden/{name}"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
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

/// Reads a body through its type and writes it again.
pub(crate) fn read(body: &Body, version: i16, bytes: &[u8]) -> Decoded {
    let message = body.read(version, Bytes::copy_from_slice(bytes)).map_err(|e| e.to_string())?;
    let chunks = message.write(version).map_err(|e| e.to_string())?;
    Ok((message.value(version), chunks.concat()))
}

/// The table's row for a row of a golden file.
pub(crate) fn find(key: &str, direction: &str) -> Option<&'static Body> {
    Body::ALL.iter().find(|body| body.key.0.to_string() == key && body.direction.to_string() == direction)
}

/// The golden bodies of this crate's messages, with the table's row for each.
pub(crate) fn bodies() -> Vec<(&'static Body, i16, Vec<u8>)> {
    let rows = golden("messages-2.3.1.tsv");
    let rows = rows.iter().filter_map(|row| Some((find(&row[0], &row[2])?, row)));
    rows.map(|(message, row)| (message, row[3].parse().expect("a version"), unhex(&row[6]))).collect()
}

/// A reader over these bytes, for what is not a message.
pub(crate) fn reader(version: i16, bytes: &[u8]) -> Reader {
    Reader::new(version, Bytes::copy_from_slice(bytes))
}
