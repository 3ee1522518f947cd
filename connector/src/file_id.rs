//! Which file a path names: its device and inode, whatever the path looks like.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Symbolic links that are followed in one path, as Linux does.
const MOST_LINKS: u32 = 40;

/// The device and inode of a file. Two paths with the same one are one file: through symbolic links, hard links and
/// bind mounts. An inode is used again after its file was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device's number. It can change with a restart of the machine.
    pub device: u64,
    /// The inode's number on the device.
    pub inode: u64,
}

impl FileId {
    /// The identity that the system reports; `None` where it has no inodes.
    #[cfg(unix)]
    pub fn of(about: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self { device: about.dev(), inode: about.ino() })
    }

    /// The identity that the system reports; `None` where it has no inodes.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Option<Self> {
        None
    }

    /// The identity of what a path names, links followed; `None` if nothing is there.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().and_then(Self::of)
    }

    /// The identity of a regular file behind standard input.
    #[cfg(unix)]
    pub fn of_stdin() -> Option<Self> {
        use std::os::fd::AsFd as _;
        of_regular(io::stdin().as_fd())
    }

    /// The identity of a regular file behind standard output.
    #[cfg(unix)]
    pub fn of_stdout() -> Option<Self> {
        use std::os::fd::AsFd as _;
        of_regular(io::stdout().as_fd())
    }

    /// The identity of a regular file behind standard input.
    #[cfg(not(unix))]
    pub fn of_stdin() -> Option<Self> {
        None
    }

    /// The identity of a regular file behind standard output.
    #[cfg(not(unix))]
    pub fn of_stdout() -> Option<Self> {
        None
    }
}

#[cfg(unix)]
fn of_regular(fd: std::os::fd::BorrowedFd<'_>) -> Option<FileId> {
    let about = fs::File::from(fd.try_clone_to_owned().ok()?).metadata().ok()?;
    if about.is_file() { FileId::of(&about) } else { None }
}

/// Do two paths name one file? Files that do not exist yet are one if they would be created as one.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    if one == other {
        return true;
    }
    match (FileId::at(one), FileId::at(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => match (resolved(one), resolved(other)) {
            (Ok(one), Ok(other)) => would_be_same(&one, &other),
            _ => false,
        },
        _ => false,
    }
}

/// Neither is a link, neither exists: one file if they have the same name in one directory.
fn would_be_same(one: &Path, other: &Path) -> bool {
    if one.file_name() != other.file_name() {
        return false;
    }
    let (one, other) = (directory_of(one), directory_of(other));
    match (FileId::at(&one), FileId::at(&other)) {
        (Some(one), Some(other)) => one == other,
        _ => plain(&one) == plain(&other),
    }
}

/// The path without `.` components.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

/// The directory that a path's last component is in; `.` for a bare name.
pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Follows the symbolic links in a path's last component, to a path whose last component is none. It need not exist.
///
/// # Errors
/// The links form a circle.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        if !fs::symlink_metadata(&at).is_ok_and(|about| about.is_symlink()) {
            return Ok(at);
        }
        let link = fs::read_link(&at)?;
        at = directory_of(&at).join(link);
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_spellings_do_not_hide_that_two_paths_are_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a"), "x").expect("written");
        symlink("a", at("soft")).expect("linked");
        fs::hard_link(at("a"), at("hard")).expect("linked");
        fs::write(at("b"), "x").expect("written");
        for other in ["a", "soft", "hard", "./a"] {
            assert!(is_same_file(&at("a"), &at(other)), "{other}");
        }
        assert!(!is_same_file(&at("a"), &at("b")));
        assert!(!is_same_file(&at("a"), &at("absent")));
    }

    #[test]
    fn files_that_do_not_exist_yet_are_one_if_they_would_be_created_as_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("d")).expect("made");
        symlink("d", at("e")).expect("linked");
        symlink("d/new", at("dangling")).expect("linked");
        assert!(is_same_file(&at("d/new"), &at("e/new")));
        assert!(is_same_file(&at("d/new"), &at("dangling")));
        assert!(!is_same_file(&at("d/new"), &at("e/other")));
        assert!(is_same_file(Path::new("no/such/x"), Path::new("./no/such/x")));
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        symlink("b", directory.path().join("a")).expect("linked");
        symlink("a", directory.path().join("b")).expect("linked");
        assert!(resolved(&directory.path().join("a")).is_err());
    }
}
