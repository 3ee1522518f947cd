//! A regular file that lines are appended to.
//!
//! What was written counts only while the path still names the file that it went into. So every sync ends with a look
//! at the path. If another file is there, or none, because a person or `logrotate` deleted or renamed it, the file at
//! the path is opened or created, and everything since the last sync is written again, copied from the old file, which
//! can still be read. Lines can then be in both files; none is in neither.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Existing;
use super::repair::{Repair, repair};
use crate::exit::Failure;
use crate::file_id::{FileId, directory_of};

/// A file that is replaced more often than this within one sync is given up.
const MOST_REOPENS: u32 = 5;

/// How much of the old file is copied at once.
#[cfg(unix)]
const BLOCK: u64 = 256 << 10;

/// A regular file at a path, open for appending and locked.
#[derive(Debug)]
pub(super) struct OutFile {
    path: PathBuf,
    file: File,
    id: Option<FileId>,
    /// Its length at the last sync: everything before it is settled.
    settled: u64,
    /// Its length after everything that was written.
    written: u64,
    moved: Moved,
}

/// What to do when the path does not name the file any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Go on in the file that is there now, or in a new one.
    Reopen,
    /// End: the result has to be whole, in one file.
    Stop,
}

/// What the path names at the moment.
enum Standing {
    Here,
    /// The file, but shorter than what was written into it.
    Shrunk(u64),
    /// Another file.
    Replaced,
    Missing,
}

impl OutFile {
    /// Opens a file or creates it.
    ///
    /// # Errors
    /// Exit 3: it cannot be opened, has another writer, or its end is not ours to repair. Exit 2: it holds something
    /// and `existing` says to leave it alone.
    pub(super) fn open(path: &Path, existing: Existing, moved: Moved) -> Result<(Self, Option<Repair>), Failure> {
        let mut file = open_locked(path)?;
        let cannot = |error: io::Error| cannot_write(path, &error);
        let about = file.metadata().map_err(cannot)?;
        if existing == Existing::Refuse && about.len() > 0 {
            return Err(holds_something(path));
        }
        let repaired = repair(&mut file, path)?;
        let about = file.metadata().map_err(cannot)?;
        let length = about.len();
        let id = FileId::of(&about);
        Ok((Self { path: path.to_owned(), file, id, settled: length, written: length, moved }, repaired))
    }

    /// Which file it is.
    pub(super) fn id(&self) -> Option<FileId> {
        self.id
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.path, &error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes everything durable that was written, in a file that the path names. Returns what the user has to know.
    pub(super) fn sync(&mut self) -> Result<Option<String>, Failure> {
        let mut note = None;
        for _ in 0..MOST_REOPENS {
            self.file.sync_data().map_err(|error| cannot_write(&self.path, &error))?;
            match self.standing()? {
                Standing::Here => {
                    self.settled = self.written;
                    return Ok(note);
                }
                Standing::Shrunk(length) => return Err(self.shrunk(length)),
                Standing::Replaced if self.moved == Moved::Reopen => note = Some(self.reopen("replaced by another")?),
                Standing::Missing if self.moved == Moved::Reopen => note = Some(self.reopen("deleted or renamed")?),
                Standing::Replaced => return Err(self.moved_away("replaced by another")),
                Standing::Missing => return Err(self.moved_away("deleted or renamed")),
            }
        }
        Err(cannot_write(&self.path, &"it is replaced again and again"))
    }

    fn standing(&mut self) -> Result<Standing, Failure> {
        let cannot = |error: io::Error| cannot_write(&self.path, &error);
        let at_path = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Missing),
            about => about.map_err(cannot)?,
        };
        if FileId::of(&at_path) != self.id {
            return Ok(Standing::Replaced);
        }
        let length = self.file.metadata().map_err(cannot)?.len();
        if length < self.written {
            return Ok(Standing::Shrunk(length));
        }
        // Somebody without regard for the lock may have appended.
        self.written = length;
        Ok(Standing::Here)
    }

    /// Goes on in the file that the path names now; writes there what was not settled.
    fn reopen(&mut self, how: &str) -> Result<String, Failure> {
        let (mut new, _) = Self::open(&self.path, Existing::Append, self.moved).map_err(|mut failure| {
            let name = self.path.display();
            failure.message = format!("{name} was {how} while it was written: {}", failure.message);
            failure
        })?;
        let again = self.written - self.settled;
        self.copy_unsettled(&mut new)?;
        let name = new.path.display().to_string();
        *self = new;
        Ok(format!("{name} was {how} while it was written; going on in a new file, {again} bytes are written again"))
    }

    #[cfg(unix)]
    fn copy_unsettled(&self, new: &mut Self) -> Result<(), Failure> {
        use std::os::unix::fs::FileExt as _;
        let mut at = self.settled;
        let mut block = vec![0; (self.written - at).min(BLOCK) as usize];
        while at < self.written {
            let part = &mut block[..(self.written - at).min(BLOCK) as usize];
            self.file.read_exact_at(part, at).map_err(|error| {
                Failure::environment(format!(
                    "{} was deleted or renamed while it was written, and what is in it cannot be read: {error}",
                    self.path.display()
                ))
                .with_help("nothing of that is committed; start the task again")
            })?;
            new.write(part)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn copy_unsettled(&self, _: &mut Self) -> Result<(), Failure> {
        Err(self.moved_away("deleted or renamed"))
    }

    fn shrunk(&self, length: u64) -> Failure {
        Failure::environment(format!(
            "{} was cut while it was written: it has {length} bytes, {} were written",
            self.path.display(),
            self.written
        ))
        .with_help(
            "what is not committed is written again at the next start; let logrotate use `create`, not `copytruncate`, \
             which loses what is written between its copy and its cut",
        )
    }

    fn moved_away(&self, how: &str) -> Failure {
        Failure::environment(format!("{} was {how} while it was written", self.path.display()))
            .with_help("the copy is not whole; leave the file alone and start the copy again")
    }
}

pub(super) fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let failure = Failure::environment(format!("{} cannot be written: {error}", path.display()));
    match path.parent().filter(|folder| *folder != Path::new("") && !folder.exists()) {
        Some(folder) => failure.with_help(format!("there is no folder {}: make it first", folder.display())),
        None => failure.with_help("what was not written is not committed; start the task again once this is mended"),
    }
}

pub(super) fn holds_something(path: &Path) -> Failure {
    Failure::usage(format!("{} exists and is not empty", path.display()))
        .with_help("--append writes behind what it holds, --overwrite replaces it")
}

/// The file at the path, created where it is missing, with its lock.
fn open_locked(path: &Path) -> Result<File, Failure> {
    let cannot = |error: io::Error| cannot_write(path, &error);
    for _ in 0..MOST_REOPENS {
        let new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(cannot)?;
        lock(&file, path)?;
        if new {
            sync_directory(path).map_err(cannot)?;
        }
        // It can have been renamed between the opening and the lock.
        let opened = FileId::of(&file.metadata().map_err(cannot)?);
        if fs::metadata(path).is_ok_and(|about| FileId::of(&about) == opened) {
            return Ok(file);
        }
    }
    Err(cannot_write(path, &"it is replaced again and again"))
}

/// Takes the lock that every writer of ours holds.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        // A file system without locks is no reason to stop.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::environment(format!("{} is being written by another process or task", path.display()))
                .with_help("give each task a file of its own, or wait until the other one has ended"))
        }
    }
}

/// A new file survives a power cut only if its directory was synced too.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all().or(Ok(()))
}
