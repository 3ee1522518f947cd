//! A frame, a line a value: its first byte's offset in the frame, then name and value, indented.

use std::io::{self, Write};

use ottla_protocol::wire::trace::{Path, Seen, Step, What};
use ottla_protocol::wire::{Value, trace};
use ottla_protocol::{ApiKey, ErrorCode};

use super::frame::{Framed, Header};
use super::records;

/// How much of a text or of bytes is shown.
const CLIP: usize = 120;

/// Prints the frame. False if its body does not decode; what stood before the fault is shown then too.
pub(crate) fn frame(out: &mut impl Write, number: usize, framed: &Framed) -> io::Result<bool> {
    writeln!(out, "line {number}: {} v{}, {} bytes", framed.row.name, framed.version, framed.frame.len())?;
    header(out, &framed.header)?;
    let (mut good, mut printed) = (true, Ok(()));
    let walked = trace(&framed.row.shape, framed.version, framed.body.clone(), |seen| {
        // An error of writing ends the printing; the walk itself is short.
        if printed.is_ok() {
            printed = value(out, framed, seen).map(|is_good| good &= is_good);
        }
    });
    printed?;
    if let Err(error) = &walked {
        writeln!(out, "error: {error}, byte {} of the frame", error.offset() + framed.body_at())?;
    }
    Ok(good && walked.is_ok())
}

fn header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    match header {
        Header::Request(header) => {
            line(out, Some(0), 0, &format!("api_key: {} ({})", header.api_key.0, header.api_key))?;
            line(out, Some(2), 0, &format!("api_version: {}", header.api_version))?;
            line(out, Some(4), 0, &format!("correlation_id: {}", header.correlation_id))?;
            match &header.client_id {
                Some(id) => line(out, Some(8), 0, &format!("client_id: {}", clipped(id))),
                None => Ok(()),
            }
        }
        Header::Response { correlation_id } => line(out, Some(0), 0, &format!("correlation_id: {correlation_id}")),
    }
}

/// Prints a value of the body, record data down to its records. False if those do not decode.
fn value(out: &mut impl Write, framed: &Framed, seen: &Seen<'_>) -> io::Result<bool> {
    let (offset, depth) = (framed.body_at() + seen.offset, seen.path.0.len() - 1);
    let name = last(seen.path);
    match &seen.what {
        What::Value(Value::Bytes(bytes)) if is_records(framed.row.key, seen.path) => {
            line(out, Some(offset), depth, &format!("{name}: {} bytes", bytes.len()))?;
            records::print(out, offset + 4, depth + 1, bytes)
        }
        _ => line(out, Some(offset), depth, &format!("{name}: {}", shown(seen))).map(|()| true),
    }
}

fn last(path: Path<'_>) -> String {
    path.0.last().map(|step| Path(std::slice::from_ref(step)).to_string()).unwrap_or_default()
}

/// Only two messages carry record data, and both name it so.
fn is_records(key: ApiKey, path: Path<'_>) -> bool {
    matches!(key, ApiKey::PRODUCE | ApiKey::FETCH) && path.0.last() == Some(&Step::Field("records"))
}

fn shown(seen: &Seen<'_>) -> String {
    match &seen.what {
        What::Array(1) => "1 element".to_owned(),
        What::Array(count) => format!("{count} elements"),
        What::Struct(name) => (*name).to_owned(),
        What::Secret(len) => format!("{len} secret bytes"),
        What::Value(Value::Text(text)) => clipped(text),
        What::Value(Value::Bytes(bytes)) if bytes.is_empty() => "0 bytes".to_owned(),
        What::Value(Value::Bytes(bytes)) => format!("{} bytes {}", bytes.len(), blob(bytes)),
        What::Value(Value::Int(code)) if seen.path.0.last() == Some(&Step::Field("error_code")) => {
            let name = i16::try_from(*code).ok().and_then(|code| ErrorCode(code).name());
            format!("{code} ({})", name.unwrap_or("unknown to Kafka 2.3"))
        }
        What::Value(value) => value.to_string(),
    }
}

/// One line. Without an offset where the bytes are not in the frame as they are shown.
pub(crate) fn line(out: &mut impl Write, offset: Option<usize>, depth: usize, text: &str) -> io::Result<()> {
    let offset = offset.map(|offset| offset.to_string()).unwrap_or_default();
    writeln!(out, "{offset:>8}  {:width$}{text}", "", width = 2 * depth)
}

/// Bytes as text if they are text, else in hex; clipped.
pub(crate) fn blob(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return clipped(text);
    }
    let hex = bytes.iter().take(CLIP / 2).fold(String::from("0x"), |hex, byte| hex + &format!("{byte:02x}"));
    if bytes.len() > CLIP / 2 { hex + "…" } else { hex }
}

/// Quoted and escaped, so that it stays one line and moves no cursor.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(CLIP) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
