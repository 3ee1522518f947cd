//! Where bytes from anywhere come in: one function a door, each with what it promises. They are the bodies of the fuzz targets
//! in `fuzz/`, and `tests/fuzz_entry.rs` runs them on stable Rust. A promise that is broken is a panic.

use bytes::Bytes;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::group::{Assignment, StickyUserData, Subscription};
use ottla_protocol::header::RequestHeader;
use ottla_protocol::messages::{Body, Direction};
use ottla_protocol::records::{Batches, MessageFormat, ProducerStamp, Record, RecordsError, down_convert, up_convert};
use ottla_protocol::wire::{Writer, trace};

/// What a batch may grow to here: enough for any honest input of a fuzzer, too little for a bomb.
pub(crate) const LIMIT: usize = 1 << 20;

/// A door: a name, which is that of the fuzz target, and what stands behind it.
pub(crate) type Door = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const DOORS: [Door; 5] =
    [("messages", messages), ("requests", requests), ("records", records), ("codecs", codecs), ("group", group)];

/// A body of any message: the first byte chooses the table's row, the second the version.
pub(crate) fn messages(data: &[u8]) {
    let [row, version, bytes @ ..] = data else { return };
    let row = &Body::ALL[usize::from(*row) % Body::ALL.len()];
    let version = row.versions.start() + i16::from(*version) % (row.versions.end() - row.versions.start() + 1);
    body(row, version, &Bytes::copy_from_slice(bytes));
}

/// The way to choose a row and a version in [`messages`].
pub(crate) fn choose(row: &Body, version: i16) -> [u8; 2] {
    let at = Body::ALL.iter().position(|other| (other.key, other.direction) == (row.key, row.direction));
    [at.unwrap_or_default() as u8, (version - row.versions.start()) as u8]
}

/// A body is refused in the same words by its type and by its shape, with its name; or it is read, and what is written of
/// it is as long and is read as the same.
fn body(row: &Body, version: i16, bytes: &Bytes) {
    let traced = trace(&row.shape, version, bytes.clone(), |_| {});
    let message = match row.read(version, bytes.clone()) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.to_string().starts_with(&format!("{} v{version}: ", row.name)), "{error}");
            assert!(error.offset() <= bytes.len(), "{error}: after the end");
            return assert_eq!(traced, Err(error));
        }
    };
    assert_eq!(traced, Ok(()));
    let written = Bytes::from(message.write(version).expect("what came in a version can go out in it").concat());
    assert_eq!(written.len(), bytes.len(), "{} v{version}", row.name);
    let again = row.read(version, written.clone()).expect("what we write we read");
    assert_eq!(again.value(version), message.value(version), "{} v{version}", row.name);
    assert_eq!(again.write(version).expect("writes").concat(), written, "{} v{version}", row.name);
}

/// A request as it comes in a frame, header first, without the length prefix.
pub(crate) fn requests(data: &[u8]) {
    let mut rest = Bytes::copy_from_slice(data);
    let Ok(header) = RequestHeader::decode(&mut rest) else { return };
    let mut out = Writer::new(header.api_version);
    header.encode(&mut out).expect("what came can go out");
    assert_eq!(out.into_chunks().concat(), data[..data.len() - rest.len()], "{header:?}");
    let row = Body::find(header.api_key, Direction::Request);
    let Some(row) = row.filter(|row| row.versions.contains(&header.api_version)) else { return };
    body(row, header.api_version, &rest);
}

/// Record data of any formats. What can be read can be put into one new batch, and is the same there.
pub(crate) fn records(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let read = pairs(data.clone());
    for format in [MessageFormat::V0, MessageFormat::V1] {
        let _ = down_convert(data.clone(), format, &mut Compressor::new(), &mut Decompressor::new(), LIMIT);
    }
    let Ok(open) = up_convert(data, &mut Decompressor::new(), LIMIT) else { return };
    let mut sealed = open.seal(Compression::None, None, &mut Compressor::new()).expect("a small batch can be sealed");
    sealed.stamp(ProducerStamp::NONE);
    assert_eq!(pairs(sealed.bytes()), read, "converted");
}

/// A record's key and value.
type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The keys and values that a user would see. Control batches are gone through, but are no user's matter.
fn pairs(data: Bytes) -> Result<Vec<Pair>, RecordsError> {
    let mut seen = Vec::new();
    for batch in Batches::new(data) {
        let batch = batch?;
        let _ = batch.verify_crc();
        let read = batch.open(&mut Decompressor::new(), LIMIT).and_then(|open| {
            let pair = |record: Record<'_>| {
                assert_eq!(record.headers.iter().count(), record.headers.len());
                (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec))
            };
            open.iter().map(|record| record.map(pair)).collect::<Result<Vec<_>, _>>()
        });
        if !batch.header().attributes.is_control() {
            seen.extend(read?);
        }
    }
    Ok(seen)
}

/// Compressed bytes: the first byte chooses the codec. No output beyond the limit; and what we compress we decompress.
pub(crate) fn codecs(data: &[u8]) {
    let [codec, bytes @ ..] = data else { return };
    let codec = Compression::ALL[usize::from(*codec) % Compression::ALL.len()];
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    for limit in [LIMIT, bytes.len()] {
        if let Ok(out) = decompressor.decompress(codec, bytes, limit) {
            assert!(out.len() <= limit, "{codec}: {} bytes, with a limit of {limit}", out.len());
        }
    }
    let mut packed = Vec::new();
    compressor.compress(codec, None, bytes, &mut packed).expect("anything can be compressed");
    let unpacked = decompressor.decompress(codec, &packed, bytes.len()).expect("what we compress");
    assert_eq!(unpacked, bytes, "{codec}");
}

/// What members of a group say to each other: the first byte chooses subscription, assignment or the sticky assignor's
/// memory. What is read is written in its version, and read as the same.
pub(crate) fn group(data: &[u8]) {
    let [which, bytes @ ..] = data else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    match which % 3 {
        0 => {
            let Ok(read) = Subscription::read(bytes) else { return };
            let written = read.body.write(read.version.min(1)).expect("what came can go out");
            assert_eq!(Subscription::read(written).expect("ours").body, read.body);
        }
        1 => {
            let Ok(read) = Assignment::read(bytes) else { return };
            let written = read.body.write(read.version.min(1)).expect("what came can go out");
            assert_eq!(Assignment::read(written).expect("ours").body, read.body);
        }
        _ => {
            let Ok(read) = StickyUserData::read(bytes) else { return };
            let written = read.write().expect("what came can go out");
            assert_eq!(StickyUserData::read(written).expect("ours"), read);
        }
    }
}
