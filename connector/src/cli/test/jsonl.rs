//! The steps for a JSONL file or standard input and output.

use std::io::{BufRead as _, Read as _};
use std::path::Path;
use std::time::Duration;

use super::Wanted;
use super::steps::Steps;
use crate::config::JsonlPath;
use crate::config::model::OnError;
use crate::source::jsonl::refuse_foreign;

/// How much of a file is read to look at its first line, in bytes.
const FIRST_LINE_LIMIT: u64 = 1024 * 1024;

pub(super) async fn test(steps: &mut Steps, path: &JsonlPath, wanted: &Wanted<'_>, limit: Duration) {
    let JsonlPath::File(path) = path else {
        steps.pass("file", "standard input or output, open when the task runs");
        return;
    };
    let (path, reads, writes) = (path.clone(), wanted.reads, wanted.writes);
    let both_unused = wanted.readers.is_empty() && reads && writes;
    // A file on a dead network share can block for ever; the step still ends in time.
    let look = tokio::task::spawn_blocking(move || {
        let mut steps = Steps::default();
        if reads {
            source(&mut steps, &path, both_unused);
        }
        if writes {
            target(&mut steps, &path);
        }
        steps
    });
    match tokio::time::timeout(limit, look).await {
        Ok(Ok(found)) => steps.append(found),
        Ok(Err(_)) => steps.fail("file", "looking at the file ended with an internal error", "please report this"),
        Err(_) => steps.fail("file", format!("no answer within {limit:?}"), "is it on a network share that is away?"),
    }
}

/// A file to read: is it there, is it a file, does it begin with a JSON object?
fn source(steps: &mut Steps, path: &Path, may_be_missing: bool) {
    const NAME: &str = "source";
    // Opening a pipe or a device can wait for ever.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return steps.pass(NAME, format!("{}: not a regular file, open when the task runs", path.display()));
    }
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_be_missing => {
            return steps.warn(
                NAME,
                format!("{}: does not exist", path.display()),
                "as a source it has to be there first",
            );
        }
        Err(error) => {
            let help = "give the path of a readable file; a relative one starts at the current directory";
            return steps.fail(NAME, format!("{}: {error}", path.display()), help);
        }
    };
    match file.metadata() {
        Ok(about) if about.is_dir() => {
            return steps.fail(NAME, format!("{}: is a directory", path.display()), "name a file in it");
        }
        Ok(_) => {}
        Err(error) => return steps.fail(NAME, format!("{}: {error}", path.display()), "is the file readable?"),
    }
    if let Err(foreign) = refuse_foreign(&file, path, OnError::Stop) {
        return steps.fail(NAME, foreign.message, foreign.help.unwrap_or_default());
    }
    let mut line = Vec::new();
    let read = std::io::BufReader::new(file.take(FIRST_LINE_LIMIT)).read_until(b'\n', &mut line);
    match read {
        Err(error) => steps.fail(NAME, format!("{}: {error}", path.display()), "is the file readable?"),
        Ok(0) => steps.warn(NAME, format!("{}: is empty", path.display()), "there is nothing to read yet"),
        Ok(_) if crate::format::check(line.trim_ascii_end()).is_ok() => {
            steps.pass(NAME, format!("{}: begins with a JSON object", path.display()));
        }
        Ok(_) => {
            let detail = format!("{}: its first line is not a JSON object", path.display());
            steps.warn(
                NAME,
                detail,
                "one JSON object a line is expected; on_bad_message decides what happens to others",
            );
        }
    }
}

/// A file to write: can it be, without changing what is there?
fn target(steps: &mut Steps, path: &Path) {
    const NAME: &str = "target";
    let about = std::fs::metadata(path);
    if about.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        return steps.fail(NAME, format!("{}: is a directory", path.display()), "name a file in it");
    }
    if about.as_ref().is_ok_and(|about| !about.is_file()) {
        return steps.pass(NAME, format!("{}: not a regular file, open when the task runs", path.display()));
    }
    if about.is_ok() {
        return match std::fs::OpenOptions::new().append(true).open(path) {
            Ok(_) => steps.pass(NAME, format!("{}: exists and can be written", path.display())),
            Err(error) => {
                steps.fail(
                    NAME,
                    format!("{}: {error}", path.display()),
                    "give the user of this process the right to write it",
                );
            }
        };
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(folder) {
        Ok(_) => steps.pass(NAME, format!("{}: does not exist yet and can be created", path.display())),
        Err(error) => {
            let help = "the directory has to exist and to be writable";
            steps.fail(NAME, format!("{}: cannot be created in {}: {error}", path.display(), folder.display()), help);
        }
    }
}
