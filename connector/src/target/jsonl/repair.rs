//! The end of a file that is appended to: what a killed writer left there.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::exit::Failure;
use crate::format::{self, Fault};
use crate::source::jsonl::LINE_LIMIT;

/// What was done about the end of a file that was appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The beginning of an object, this many bytes long, was cut off.
    Cut(u64),
    /// The last line was whole and got its line break.
    Ended,
}

/// Sees to it that the file ends with a line break.
pub(super) fn repair(file: &mut File, path: &Path) -> Result<Option<Repair>, Failure> {
    let cannot = |error: io::Error| Failure::environment(format!("{} cannot be read: {error}", path.display()));
    let tail = last_line(file).map_err(cannot)?;
    let tail = match tail {
        Some(tail) if tail.is_empty() => return Ok(None),
        Some(tail) => tail,
        None => return Err(not_ours(path)),
    };
    if format::check(&tail).is_ok() {
        file.write_all(b"\n").map_err(cannot)?;
        return Ok(Some(Repair::Ended));
    }
    if !is_torn_object(&tail) {
        return Err(not_ours(path));
    }
    let length = file.metadata().map_err(cannot)?.len();
    file.set_len(length - tail.len() as u64).map_err(cannot)?;
    Ok(Some(Repair::Cut(tail.len() as u64)))
}

fn not_ours(path: &Path) -> Failure {
    Failure::environment(format!("{} ends with something that is no line of JSON", path.display()))
        .with_help("give another file, or end its last line with a line break")
}

/// What stands behind the last line break; `None` if that is longer than any line of ours.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    const STEP: u64 = 64 << 10;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    while start > 0 && tail.len() <= LINE_LIMIT {
        let step = start.min(STEP);
        start -= step;
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; step as usize];
        file.read_exact(&mut block)?;
        if let Some(end) = block.iter().rposition(|byte| *byte == b'\n') {
            block.drain(..=end);
            block.extend_from_slice(&tail);
            return Ok(Some(block));
        }
        block.extend_from_slice(&tail);
        tail = block;
    }
    Ok((start == 0).then_some(tail))
}

/// Is it an object whose end is missing, maybe in the middle of a character?
fn is_torn_object(tail: &[u8]) -> bool {
    let whole = match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => &tail[..error.valid_up_to()],
        _ => tail,
    };
    matches!(format::check(whole), Err(error) if matches!(error.fault, Fault::Truncated | Fault::Empty))
}
