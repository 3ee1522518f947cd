//! What a task has to remember on this machine between two runs: one file a task in the state directory.
//!
//! A file source has no cluster that keeps its positions, so they are kept here; a task of any kind can keep more under
//! keys of its own. The file is small JSON, written to a temporary file, synced and renamed, so that a crash at any
//! moment leaves the old or the new one. A file that is broken, or of another task, or of a later version, is an error
//! that says what to do: beginning again in silence would send everything twice, or lose what lies between.
//!
//! The store holds a lock for as long as it lives, so that a second process with the same task and directory is refused.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::exit::{Exit, Failure};

/// The version of the file's form. A higher one is refused.
const VERSION: u32 = 1;

/// A state file is far smaller; a larger one is something else.
const LARGEST: u64 = 16 << 20;

/// The longest task name, in bytes, that is a file name as it is. File names have 255 bytes at most.
const LONGEST_NAME: usize = 160;

/// The memory of one task, locked.
#[derive(Debug)]
pub struct State {
    file: PathBuf,
    task: String,
    entries: BTreeMap<String, Value>,
    /// Held until the end.
    _lock: File,
}

/// The form of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// Says what the file is to whoever opens it.
    what: String,
    version: u32,
    task: String,
    entries: BTreeMap<String, Value>,
}

/// The part of the file that every version has.
#[derive(Debug, Deserialize)]
struct Head {
    version: u32,
}

const WHAT: &str = "positions of an ottla task; do not edit while it runs";

impl State {
    /// Opens the memory of a task, an empty one if there is none yet; creates the directory.
    ///
    /// # Errors
    /// Exit 3: the directory or the file cannot be used, or another process runs the task. Exit 4: the file is there
    /// and cannot be understood.
    pub fn open(directory: &Path, task: &str) -> Result<Self, Failure> {
        let cannot = |error: io::Error| {
            Failure::environment(format!("the state directory {} cannot be used: {error}", directory.display()))
                .with_help(
                    "name another one in the config file: state_dir = \"PATH\"; it keeps the positions of file sources",
                )
        };
        fs::create_dir_all(directory).map_err(cannot)?;
        let name = file_name(task);
        let lock = directory.join(format!("{name}.lock"));
        let lock = OpenOptions::new().create(true).append(true).open(lock).map_err(cannot)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            return Err(Failure::environment(format!(
                "task {task}: another process runs it (its lock in {} is taken)",
                directory.display()
            ))
            .with_help("wait until that one has ended, or give this one a name or a state_dir of its own"));
        }
        let file = directory.join(format!("{name}.json"));
        let entries = read(&file, task)?;
        Ok(Self { file, task: task.to_owned(), entries, _lock: lock })
    }

    /// The file that it is kept in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is kept under a key.
    ///
    /// # Errors
    /// Exit 4: it is there and has another form.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| broken(&self.file, &self.task, &format!("`{key}`: {error}")))
    }

    /// Keeps a value under a key; [`State::save`] makes it durable.
    ///
    /// # Errors
    /// Exit 1: the value has no form in JSON.
    pub fn put<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), Failure> {
        let value = serde_json::to_value(value);
        let value = value.map_err(|error| Failure::internal(format!("the state of {}: {error}", self.task)))?;
        self.entries.insert(key.to_owned(), value);
        Ok(())
    }

    /// Forgets what is kept under a key; [`State::save`] makes it durable.
    pub fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Makes everything durable. Waits for the disk.
    ///
    /// # Errors
    /// Exit 3: it cannot be written; what was saved before is still there.
    pub fn save(&self) -> Result<(), Failure> {
        let stored =
            Stored { what: WHAT.to_owned(), version: VERSION, task: self.task.clone(), entries: self.entries.clone() };
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::environment(format!(
                "the positions of task {} cannot be kept in {}: {error}",
                self.task,
                self.file.display()
            ))
            .with_help("what was written since they were kept last is sent again at the next start")
        };
        let mut bytes = serde_json::to_vec_pretty(&stored).map_err(|error| cannot(&error))?;
        bytes.push(b'\n');
        replace(&self.file, &bytes).map_err(|error| cannot(&error))
    }
}

fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("json.new");
    let mut out = File::create(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    // Some file systems cannot sync a directory.
    let _ = File::open(crate::file_id::directory_of(file))?.sync_all();
    Ok(())
}

fn read(file: &Path, task: &str) -> Result<BTreeMap<String, Value>, Failure> {
    let wrong = |what: &dyn std::fmt::Display| broken(file, task, what);
    let about = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(wrong(&error)),
        Ok(about) => about,
    };
    if !about.is_file() || about.len() > LARGEST {
        return Err(wrong(&"it is no file of ours"));
    }
    let bytes = fs::read(file).map_err(|error| wrong(&error))?;
    // The version first: a later one may have another form.
    let head: Head = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    if head.version > VERSION {
        return Err(wrong(&format!("it is of version {}, this ottla knows {VERSION}", head.version)));
    }
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    if stored.task != task {
        return Err(wrong(&format!("it belongs to the task {:?}", stored.task)));
    }
    Ok(stored.entries)
}

fn broken(file: &Path, task: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::StoppedByData,
        format!("task {task}: its positions in {} cannot be used: {what}", file.display()),
    )
    .with_help("restore that file, or delete it to begin as a new task, which sends again or passes what the mode says")
}

/// A file name for a task: its own name, shortened and made unique by a hash if it is a long one.
fn file_name(task: &str) -> String {
    if task.len() <= LONGEST_NAME {
        return task.to_owned();
    }
    let mut end = LONGEST_NAME - 20;
    while !task.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &task[..end], fingerprint(task.as_bytes()))
}

/// Half of the SHA-256 of some bytes, in hexadecimal: enough to notice that they are others.
pub fn fingerprint(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let half = digest.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
    format!("{half:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Entry {
        offset: u64,
    }

    #[test]
    fn what_was_saved_is_there_at_the_next_opening_and_what_was_not_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("deep/state");
        let mut state = State::open(&home, "任务").expect("open");
        assert_eq!(state.get::<Entry>("file").expect("none"), None);
        state.put("file", &Entry { offset: 7 }).expect("put");
        state.save().expect("saved");
        state.put("file", &Entry { offset: 8 }).expect("put");
        drop(state);
        let state = State::open(&home, "任务").expect("open");
        assert_eq!(state.get::<Entry>("file").expect("there"), Some(Entry { offset: 7 }));
        assert!(State::open(&home, "other").expect("open").get::<Entry>("file").expect("none").is_none());
    }

    #[test]
    fn a_second_process_with_the_task_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = State::open(directory.path(), "t").expect("open");
        let failure = State::open(directory.path(), "t").expect_err("locked");
        assert!(failure.exit == Exit::Environment && failure.message.contains("another process runs it"), "{failure}");
        drop(first);
        State::open(directory.path(), "t").expect("free again");
    }

    #[test]
    fn a_broken_or_foreign_file_is_an_error_and_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("t.json");
        let good = |version: u32, task: &str| {
            format!("{{\"what\":\"\",\"version\":{version},\"task\":{task:?},\"entries\":{{}}}}")
        };
        for (text, said) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "version"),
            (good(1, "t")[..30].to_owned(), "EOF"),
            (good(2, "t"), "version 2, this ottla knows 1"),
            (good(1, "u"), "belongs to the task \"u\""),
            ("\0".repeat(50), "expected value"),
        ] {
            fs::write(&file, &text).expect("written");
            let failure = State::open(directory.path(), "t").expect_err("broken");
            assert!(failure.exit == Exit::StoppedByData && failure.message.contains(said), "{failure}");
            assert!(failure.help.is_some());
            assert_eq!(fs::read_to_string(&file).expect("read"), text);
        }
        fs::write(&file, good(1, "t").replace("{}}", "{\"file\":{\"offset\":-1}}}")).expect("written");
        let state = State::open(directory.path(), "t").expect("open");
        assert!(state.get::<Entry>("file").is_err());
    }

    #[test]
    fn long_names_have_short_and_different_files() {
        let long = "客".repeat(100);
        let longer = format!("{}户", "客".repeat(99));
        assert!(file_name(&long).len() < 240 && file_name(&long) != file_name(&longer));
        assert_eq!(file_name("orders"), "orders");
    }
}
