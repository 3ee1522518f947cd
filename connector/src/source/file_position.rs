//! How far a file was read, in a form that outlives the process, and which file that was.
//!
//! A position names its file three times: by path, by device and inode, and by fingerprints of its first bytes and of
//! those before the position. At a start they tell what happened meanwhile:
//!
//! - The path names that file still, and the fingerprints hold: reading goes on there.
//! - The path names another file, and the old one is found by its inode under another name: it was rotated. The old one
//!   is read to its end, then those rotated in between, in the order of their last change, then the new one.
//! - The file is shorter than the position, or its bytes are others: it was cut or written anew. Nobody can tell what of
//!   it was sent, so the task stops.
//! - The old file is gone, or was compressed: what was not read of it cannot be reached, so the task stops.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::jsonl::{LinePosition, cannot_read};
use crate::exit::Failure;
use crate::file_id::{FileId, directory_of, resolved};
use crate::state::fingerprint;

/// How many bytes a fingerprint covers at most.
const WINDOW: u64 = 1024;

/// A position in a file, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The path of the task's file, absolute.
    pub path: String,
    /// Where the file was found: the same without links, or the name that a rotation gave it.
    pub found_at: String,
    /// Its identity; `None` while there was no file yet.
    pub device: Option<u64>,
    /// See `device`.
    pub inode: Option<u64>,
    /// How many bytes were read and acknowledged.
    pub offset: u64,
    /// How many lines that are, blank ones counted.
    pub line: i64,
    /// The last of them had no line break yet.
    pub in_line: bool,
    /// Of the first bytes.
    pub head: Print,
    /// Of the bytes before the position: its last line, or the end of it.
    pub tail: Print,
}

/// What some bytes of a file were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// How many.
    pub bytes: u64,
    /// Half of their SHA-256.
    pub sha256: String,
}

impl Print {
    fn of(file: &File, at: u64, bytes: u64) -> io::Result<Self> {
        let mut buffer = vec![0; bytes as usize];
        read_at(file, &mut buffer, at)?;
        Ok(Self { bytes, sha256: fingerprint(&buffer) })
    }

    fn holds(&self, file: &File, at: u64) -> io::Result<bool> {
        if self.bytes > WINDOW {
            return Ok(false);
        }
        Ok(Self::of(file, at, self.bytes)? == *self)
    }
}

/// Reads exactly so many bytes.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buffer, at);
    #[cfg(not(unix))]
    {
        use std::io::{Read as _, Seek as _};
        let mut file = file.try_clone()?;
        let before = file.stream_position()?;
        file.seek(io::SeekFrom::Start(at))?;
        let read = file.read_exact(buffer);
        file.seek(io::SeekFrom::Start(before))?;
        read
    }
}

/// A regular file that is open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where it was found.
    pub path: PathBuf,
    /// The file.
    pub file: Arc<File>,
    /// Which one it is.
    pub id: Option<FileId>,
}

impl Opened {
    /// Opens what a path names; `None` if nothing is there.
    ///
    /// # Errors
    /// Exit 3: it cannot be opened, or is no regular file.
    pub fn at(path: &Path) -> Result<Option<Self>, Failure> {
        let cannot = |error: io::Error| cannot_read(path, &error);
        let path = match resolved(path) {
            Err(error) => return Err(cannot(error)),
            Ok(path) => path,
        };
        // Opening anything else could wait for ever, or do something.
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
            Ok(about) if !about.is_file() => {
                return Err(Failure::environment(format!("{} is no regular file", path.display()))
                    .with_help("positions are kept for regular files only"));
            }
            Ok(_) => {}
        }
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(cannot)?,
        };
        let id = FileId::of(&file.metadata().map_err(cannot)?);
        Ok(Some(Self { path, file: Arc::new(file), id }))
    }

    /// What the system knows about it now.
    ///
    /// # Errors
    /// Exit 3: the system does not tell.
    pub fn about(&self) -> Result<Metadata, Failure> {
        self.file.metadata().map_err(|error| cannot_read(&self.path, &error))
    }

    /// Its length now.
    ///
    /// # Errors
    /// Exit 3: the system does not tell.
    pub fn length(&self) -> Result<u64, Failure> {
        Ok(self.about()?.len())
    }

    /// Is everything before the position as it was?
    fn is_as_before(&self, position: &FilePosition) -> Result<bool, Failure> {
        if self.length()? < position.offset {
            return Ok(false);
        }
        let holds = || -> io::Result<bool> {
            let before = position.offset.checked_sub(position.tail.bytes);
            let Some(tail) = before else { return Ok(false) };
            Ok(position.head.holds(&self.file, 0)? && position.tail.holds(&self.file, tail)?)
        };
        holds().map_err(|error| cannot_read(&self.path, &error))
    }

    /// Checks that everything before a position is as it was.
    ///
    /// # Errors
    /// Exit 4: it is not.
    pub fn check(&self, position: &FilePosition, again: &str) -> Result<(), Failure> {
        if self.is_as_before(position)? {
            return Ok(());
        }
        Err(changed(&self.path, position, self.length()?, again))
    }

    /// The position as it is kept, with its fingerprints. `path` is the task's.
    ///
    /// # Errors
    /// Exit 3: the file cannot be read.
    pub fn position(&self, path: &Path, at: LinePosition) -> Result<FilePosition, Failure> {
        let bytes = at.offset.min(WINDOW);
        let prints = || Ok((Print::of(&self.file, 0, bytes)?, Print::of(&self.file, at.offset - bytes, bytes)?));
        let (head, tail) = prints().map_err(|error: io::Error| cannot_read(&self.path, &error))?;
        Ok(FilePosition {
            path: text(path),
            found_at: text(&self.path),
            device: self.id.map(|id| id.device),
            inode: self.id.map(|id| id.inode),
            offset: at.offset,
            line: at.line,
            in_line: at.in_line,
            head,
            tail,
        })
    }

    /// The position `lines` lines behind another one; the rest of an open line counts as none.
    ///
    /// # Errors
    /// Exit 3: the file cannot be read, or has not so many lines there.
    pub fn lines_after(&self, from: LinePosition, lines: i64) -> Result<LinePosition, Failure> {
        let mut at = from.offset;
        let mut left = lines + i64::from(from.in_line);
        let mut block = vec![0; 64 << 10];
        let length = self.length()?;
        while left > 0 {
            let size = (length.saturating_sub(at)).min(block.len() as u64) as usize;
            if size == 0 {
                return Err(cannot_read(&self.path, &"it has become shorter"));
            }
            let part = &mut block[..size];
            read_at(&self.file, part, at).map_err(|error| cannot_read(&self.path, &error))?;
            for byte in &*part {
                at += 1;
                left -= i64::from(*byte == b'\n');
                if left == 0 {
                    break;
                }
            }
        }
        Ok(LinePosition { offset: at, line: from.line + lines, in_line: false })
    }

    /// The place behind the last line break. Reads the whole file to count its lines; `go_on` can end that.
    ///
    /// # Errors
    /// Exit 3: the file cannot be read.
    pub fn end_of_lines(&self, go_on: impl Fn() -> bool) -> Result<LinePosition, Failure> {
        let length = self.length()?;
        let mut found = LinePosition::default();
        let mut at = 0;
        let mut block = vec![0; 256 << 10];
        while at < length && go_on() {
            let part = &mut block[..(length - at).min(256 << 10) as usize];
            read_at(&self.file, part, at).map_err(|error| cannot_read(&self.path, &error))?;
            if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
                found.offset = at + last as u64 + 1;
                found.line += part.iter().fold(0, |count, byte| count + i64::from(*byte == b'\n'));
            }
            at += part.len() as u64;
        }
        Ok(found)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl FilePosition {
    /// Before the first byte of a file that does not exist yet.
    pub fn before(path: &Path) -> Self {
        let nothing = Print { bytes: 0, sha256: fingerprint(b"") };
        Self {
            path: text(path),
            found_at: text(path),
            device: None,
            inode: None,
            offset: 0,
            line: 0,
            in_line: false,
            head: nothing.clone(),
            tail: nothing,
        }
    }

    /// The place in the file.
    pub fn place(&self) -> LinePosition {
        LinePosition { offset: self.offset, line: self.line, in_line: self.in_line }
    }

    fn id(&self) -> Option<FileId> {
        Some(FileId { device: self.device?, inode: self.inode? })
    }

    /// Is it this file? Devices get other numbers when a machine starts again, so a fingerprint of something counts
    /// more than they do.
    pub fn is_of(&self, id: Option<FileId>) -> bool {
        match (self.id(), id) {
            (Some(mine), Some(id)) => mine.inode == id.inode && (mine.device == id.device || self.offset > 0),
            _ => false,
        }
    }
}

/// Where reading goes on.
#[derive(Debug)]
pub struct Resumed {
    /// The files to read, in this order; the first one from the position on. Empty: the file does not exist (yet).
    pub files: Vec<Opened>,
    /// What is to be said about that.
    pub note: Option<String>,
}

/// Finds the file of a position. `path` is the task's; `again` the command that begins at the first line.
///
/// # Errors
/// Exit 4: the file was cut or written anew, or is gone. Exit 3: the file system refuses.
pub fn resume(path: &Path, position: &FilePosition, again: &str) -> Result<Resumed, Failure> {
    let now = Opened::at(path)?;
    if let Some(now) = &now
        && (position.is_of(now.id) || position.id().is_none())
    {
        if !now.is_as_before(position)? {
            return Err(changed(&now.path, position, now.length()?, again));
        }
        return Ok(Resumed { files: vec![now.clone()], note: None });
    }
    if let Some(old) = find_old(path, position)? {
        let mut note = format!("{} was rotated and is {} now", path.display(), old.path.display());
        let mut files = rotated_between(&old, now.as_ref(), position, again)?;
        if !files.is_empty() {
            let names: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
            note = format!("{note}; after it come {}", names.join(", "));
        }
        files.insert(0, old);
        files.extend(now);
        return Ok(Resumed { files, note: Some(note) });
    }
    match now {
        Some(now) if position.offset > 0 && now.is_as_before(position)? => {
            let note = format!("{} is a new file with the same content up to the position", path.display());
            Ok(Resumed { files: vec![now], note: Some(note) })
        }
        None if position.id().is_none() => Ok(Resumed { files: Vec::new(), note: None }),
        None => Err(cannot_read(path, &"it does not exist, and is under no other name in its directory")),
        Some(_) => Err(gone(path, position, again)),
    }
}

/// The file of the position under another name.
fn find_old(path: &Path, position: &FilePosition) -> Result<Option<Opened>, Failure> {
    let directories =
        [directory_of(Path::new(&position.found_at)), directory_of(&resolved(path).unwrap_or(path.into()))];
    for directory in &directories {
        // A directory that is gone holds nothing.
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if !about.is_file() || !position.is_of(FileId::of(&about)) {
                continue;
            }
            let Some(old) = Opened::at(&entry.path())? else { continue };
            if position.is_of(old.id) && old.is_as_before(position)? {
                return Ok(Some(old));
            }
        }
    }
    Ok(None)
}

/// The files that were rotated after `old` and before the one at the path, oldest first.
///
/// # Errors
/// Exit 4: one of them is compressed.
pub fn rotated_between(
    old: &Opened,
    now: Option<&Opened>,
    position: &FilePosition,
    again: &str,
) -> Result<Vec<Opened>, Failure> {
    let changed_at = |about: &Metadata| about.modified().ok();
    let (since, family) = (changed_at(&old.about()?), Family::of(Path::new(&position.path)));
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory_of(&old.path)) else { return Ok(Vec::new()) };
    for entry in entries.flatten() {
        let Ok(about) = entry.metadata() else { continue };
        let id = FileId::of(&about);
        let other = about.is_file() && id != old.id && now.is_none_or(|now| now.id != id);
        if !other || changed_at(&about) < since || !family.has(&entry.path()) {
            continue;
        }
        if is_compressed(&entry.path()) {
            return Err(compressed(&entry.path(), position, again));
        }
        found.extend(Opened::at(&entry.path())?.map(|file| (changed_at(&about), file)));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.path.cmp(&other.1.path)));
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// The names that rotation gives a file: what stands before the first dot or digit, and the extension somewhere after.
struct Family {
    stem: String,
    extension: Option<String>,
}

impl Family {
    fn of(path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
        Self { stem: stem(&name).to_owned(), extension }
    }

    fn has(&self, path: &Path) -> bool {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let extension = self.extension.as_ref();
        stem(&name) == self.stem
            && extension.is_none_or(|extension| name.split(['.', '-', '_']).any(|part| part == extension))
    }
}

fn stem(name: &str) -> &str {
    let end = name.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(name.len());
    name[..end].trim_end_matches(['-', '_', '.', ' '])
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["gz", "zst", "bz2", "xz", "lz4", "Z"].iter().any(|known| end == *known))
}

fn begin_again(again: &str) -> String {
    format!("`{again}` begins at the first line of the file that is there now")
}

/// The file was cut or written anew while it was read, or since.
pub fn changed(path: &Path, position: &FilePosition, length: u64, again: &str) -> Failure {
    let what = if length < position.offset {
        format!("it has {length} bytes, of which {} were read", position.offset)
    } else {
        "its bytes are not those that were read".to_owned()
    };
    Failure::data(format!(
        "{} was cut or written anew since line {} of it was sent: {what}",
        path.display(),
        position.line
    ))
    .with_help(format!("{}; let logrotate use `create`, not `copytruncate`", begin_again(again)))
}

fn gone(path: &Path, position: &FilePosition, again: &str) -> Failure {
    Failure::data(format!(
        "{} is another file than the one that was read up to line {} (byte {}), and that one is under no other name in \
         its directory",
        path.display(),
        position.line,
        position.offset
    ))
    .with_help(format!(
        "send what is left of the old file, for example: zcat OLD.gz | tail -c +{} | ottla copy - TARGET; then {}",
        position.offset + 1,
        begin_again(again)
    ))
}

fn compressed(path: &Path, position: &FilePosition, again: &str) -> Failure {
    Failure::data(format!(
        "{} was rotated more than once since line {} of it was sent, and {} is compressed",
        position.path,
        position.line,
        path.display()
    ))
    .with_help(format!(
        "decompress it under the same name without the ending, or send it by hand; then {}",
        begin_again(again)
    ))
}

/// Does the configured path not fit to the one that the positions are of?
///
/// # Errors
/// Exit 4: they are of another file.
pub fn check_path(path: &Path, position: &FilePosition, again: &str) -> Result<(), Failure> {
    let same_path = Path::new(&position.path) == path;
    if same_path || FileId::at(path).is_some_and(|id| position.is_of(Some(id))) {
        return Ok(());
    }
    Err(Failure::data(format!(
        "the positions of the task are of the file {}, not of {}",
        position.path,
        path.display()
    ))
    .with_help(format!("give the task another name, or {}", begin_again(again))))
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A file that was changed so many seconds after an hour ago.
        fn write(&self, name: &str, text: &str, seconds: u64) {
            fs::write(self.at(name), text).expect("written");
            let time = SystemTime::now() - Duration::from_hours(1) + Duration::from_secs(seconds);
            File::options().write(true).open(self.at(name)).expect("open").set_modified(time).expect("set");
        }

        /// Behind the first line of `x.jsonl`.
        fn position(&self) -> FilePosition {
            let opened = Opened::at(&self.at("x.jsonl")).expect("open").expect("there");
            let place = opened.lines_after(LinePosition::default(), 1).expect("a line");
            opened.position(&self.at("x.jsonl"), place).expect("a position")
        }

        fn resume(&self, position: &FilePosition) -> Result<Vec<String>, Failure> {
            let resumed = resume(&self.at("x.jsonl"), position, "ottla run f --from-start t")?;
            let name = |file: &Opened| file.path.file_name().expect("a name").to_string_lossy().into_owned();
            Ok(resumed.files.iter().map(name).collect())
        }
    }

    #[test]
    fn a_file_that_has_grown_is_read_on() {
        let home = Home::new();
        home.write("x.jsonl", "{\"a\":1}\n", 0);
        let position = home.position();
        assert_eq!((position.offset, position.line, position.in_line), (8, 1, false));
        home.write("x.jsonl", "{\"a\":1}\n{\"a\":2}\n", 1);
        assert_eq!(home.resume(&position).expect("resumed"), ["x.jsonl"]);
    }

    #[test]
    fn a_file_that_was_cut_or_written_anew_is_recognised() {
        let home = Home::new();
        home.write("x.jsonl", "{\"a\":1}\n", 0);
        let position = home.position();
        for text in ["", "{\"a\":1}", "{\"b\":1}\n", "{\"b\":1}\n{\"a\":2}\n"] {
            home.write("x.jsonl", text, 1);
            let failure = home.resume(&position).expect_err("changed");
            assert_eq!(failure.exit, crate::exit::Exit::StoppedByData, "{text}: {failure}");
            assert!(failure.to_string().contains("--from-start t"), "{failure}");
        }
    }

    #[test]
    fn rotated_files_are_read_in_the_order_of_their_rotation() {
        let home = Home::new();
        home.write("x.jsonl", "{\"a\":1}\n", 10);
        let position = home.position();
        fs::rename(home.at("x.jsonl"), home.at("x.jsonl.3")).expect("renamed");
        home.write("x.jsonl.4", "{\"older\":1}\n", 5);
        home.write("x.jsonl.2", "{\"a\":2}\n", 20);
        home.write("x-20260101.jsonl", "{\"a\":3}\n", 30);
        home.write("xy.jsonl", "{\"other\":1}\n", 25);
        home.write("x.csv", "a,b\n", 25);
        home.write("x.jsonl", "{\"a\":4}\n", 40);
        let files = home.resume(&position).expect("resumed");
        assert_eq!(files, ["x.jsonl.3", "x.jsonl.2", "x-20260101.jsonl", "x.jsonl"]);
        fs::remove_file(home.at("x.jsonl")).expect("removed");
        assert_eq!(home.resume(&position).expect("resumed").len(), 3);
        home.write("x.jsonl.1.gz", "..", 35);
        let failure = home.resume(&position).expect_err("compressed");
        assert!(failure.message.contains("x.jsonl.1.gz is compressed"), "{failure}");
    }

    #[test]
    fn an_old_file_that_is_gone_stops_the_task_and_a_copy_of_it_does_not() {
        let home = Home::new();
        home.write("x.jsonl", "{\"a\":1}\n{\"a\":2}\n", 0);
        let position = home.position();
        // Held open, so that its inode is not given to the new one.
        let _old = File::open(home.at("x.jsonl")).expect("open");
        fs::remove_file(home.at("x.jsonl")).expect("removed");
        assert_eq!(home.resume(&position).expect_err("missing").exit, crate::exit::Exit::Environment);
        home.write("x.jsonl", "{\"new\":1}\n{\"new\":2}\n", 1);
        let failure = home.resume(&position).expect_err("another file");
        assert!(failure.help.as_ref().is_some_and(|help| help.contains("tail -c +9")), "{failure}");
        home.write("x.jsonl", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", 1);
        assert_eq!(home.resume(&position).expect("the same content"), ["x.jsonl"]);
    }

    #[test]
    fn the_path_of_the_positions_is_the_one_of_the_task() {
        let home = Home::new();
        home.write("x.jsonl", "{\"a\":1}\n", 0);
        home.write("y.jsonl", "{\"b\":1}\n", 0);
        let position = home.position();
        check_path(&home.at("x.jsonl"), &position, "again").expect("the same");
        assert!(check_path(&home.at("y.jsonl"), &position, "again").expect_err("another").message.contains("y.jsonl"));
    }

    #[test]
    fn the_end_of_the_lines_is_behind_the_last_line_break() {
        let home = Home::new();
        for (text, offset, line) in [("", 0, 0), ("{\"torn", 0, 0), ("{}\n\n{}\n{\"to", 7, 3), ("{}\n", 3, 1)] {
            home.write("x.jsonl", text, 0);
            let opened = Opened::at(&home.at("x.jsonl")).expect("open").expect("there");
            let found = opened.end_of_lines(|| true).expect("read");
            assert_eq!((found.offset, found.line), (offset, line), "{text}");
        }
    }
}
