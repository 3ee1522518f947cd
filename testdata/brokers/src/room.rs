//! The temporary directory in which a server and its files live.

use std::path::Path;
use std::thread;

use tempfile::TempDir;

use crate::Error;
use crate::guard::Janitor;

/// A directory that goes away with the value, or with the process that made it, however that ends. With the environment
/// variable `OTTLA_KAFKA_KEEP` set, or while the thread that drops it is panicking, it stays and its place is printed.
#[derive(Debug)]
pub(crate) struct Room {
    whose: String,
    janitor: Option<Janitor>,
    directory: Option<TempDir>,
}

impl Room {
    /// A new, empty directory. `whose` is for the line that says where it is kept.
    pub(crate) fn new(prefix: &str, whose: &str) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix(prefix).tempdir().map_err(Error::file(std::env::temp_dir()))?;
        let janitor = Some(Janitor::hire(directory.path())?);
        Ok(Self { whose: whose.to_owned(), janitor, directory: Some(directory) })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Writes a file of this name into it.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path().join(name);
        std::fs::write(&path, text).map_err(Error::file(path))
    }

    /// Leaves the directory where it is.
    pub(crate) fn keep(&mut self) {
        if let Some(janitor) = self.janitor.take() {
            janitor.dismiss();
        }
        if let Some(directory) = self.directory.take() {
            eprintln!("{}: data and logs are kept in {}", self.whose, directory.keep().display());
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if thread::panicking() || std::env::var_os("OTTLA_KAFKA_KEEP").is_some() {
            self.keep();
        }
        drop(self.directory.take());
        if let Some(janitor) = self.janitor.take() {
            janitor.dismiss();
        }
    }
}
