//! A file that replaces another one when it is complete.
//!
//! It is written beside the old one, in the same directory, under the name `.NAME.ottla-new`, and renamed when
//! everything is in it and on disk. Until then the old file stays as it was. A run that fails or is interrupted removes
//! what it wrote; what a killed one left behind is found by its name and its free lock and is removed by the next one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::file::{cannot_write, lock, sync_directory};
use crate::exit::Failure;
use crate::file_id::{FileId, resolved};

/// The ending of the file's name until it is complete.
const ENDING: &str = ".ottla-new";

/// A file on its way to replace the one at a path.
#[derive(Debug)]
pub(super) struct Replacement {
    /// As the user named it.
    name: PathBuf,
    /// The path without links in its last component: what is replaced.
    path: PathBuf,
    beside: PathBuf,
    file: File,
    /// The old file with its lock, if there is one.
    old: Option<File>,
    renamed: bool,
}

impl Replacement {
    /// Begins a new file beside `path`. Tells whether the rest of a killed run was removed.
    ///
    /// # Errors
    /// Exit 3: the directory cannot be written, or another process writes the old or the new file.
    pub(super) fn begin(name: &Path) -> Result<(Self, bool), Failure> {
        let cannot = |error: io::Error| cannot_write(name, &error);
        let path = resolved(name).map_err(cannot)?;
        let old = match OpenOptions::new().append(true).open(&path) {
            Ok(old) => {
                lock(&old, name)?;
                Some(old)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        let beside = beside(&path);
        let (file, removed) = create(&beside).map_err(|error| no_room_beside(name, &beside, &error))?;
        let new = Self { name: name.to_owned(), path, beside, file, old, renamed: false };
        lock(&new.file, &new.beside)?;
        new.take_over_rights().map_err(cannot)?;
        Ok((new, removed))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.beside, &error))
    }

    /// What is written stays where it is until all is there; it only has to be there.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        self.file.sync_data().map_err(|error| cannot_write(&self.beside, &error))?;
        let here =
            FileId::at(&self.beside) == FileId::of(&self.file.metadata().map_err(|e| cannot_write(&self.beside, &e))?);
        if here {
            return Ok(());
        }
        Err(Failure::environment(format!("{} was deleted or replaced while it was written", self.beside.display()))
            .with_help(format!("{} is as it was; start the copy again", self.name.display())))
    }

    /// Puts the new file in the place of the old one.
    pub(super) fn complete(&mut self) -> Result<(), Failure> {
        self.sync()?;
        let cannot = |error: io::Error| {
            Failure::environment(format!("{} cannot be replaced: {error}", self.name.display()))
                .with_help("it is as it was; copy to another path, and move the file yourself")
        };
        self.file.sync_all().map_err(cannot)?;
        fs::rename(&self.beside, &self.path).map_err(cannot)?;
        self.renamed = true;
        sync_directory(&self.path).map_err(|error| cannot_write(&self.name, &error))
    }

    /// As the user named what is replaced.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Is there a file that would be lost?
    pub(super) fn replaces(&self) -> bool {
        self.old.is_some()
    }

    /// The new file gets the mode and, as far as the system lets us, the owner of the old one.
    fn take_over_rights(&self) -> io::Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        let about = old.metadata()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            let ours = self.file.metadata()?;
            if (ours.uid(), ours.gid()) != (about.uid(), about.gid())
                && fchown(&self.file, Some(about.uid()), Some(about.gid())).is_err()
            {
                // Only root gives files away; a group that we are in can still be kept.
                let _ = fchown(&self.file, None, Some(about.gid()));
            }
        }
        let rights: Permissions = about.permissions();
        self.file.set_permissions(rights)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ENDING);
    path.with_file_name(name)
}

/// Creates the file, never through a link that is there already; removes what a killed run left behind.
fn create(beside: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    match options.open(beside) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created.map(|file| (file, false)),
    }
    let regular = fs::symlink_metadata(beside)?.is_file();
    if regular && matches!(File::open(beside)?.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(io::Error::other("another process writes it"));
    }
    fs::remove_file(beside)?;
    options.open(beside).map(|file| (file, true))
}

fn no_room_beside(name: &Path, beside: &Path, error: &io::Error) -> Failure {
    Failure::environment(format!("{} cannot be written: {error}", beside.display())).with_help(format!(
        "--overwrite writes a new file beside {} and renames it when it is complete; the directory has to be writable",
        name.display()
    ))
}
