//! What a config file may refer to outside of itself: environment variables and small files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// The largest file that `${file:PATH}` reads, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// The surroundings a config file is read in. A trait, so that tests need no process-wide variables.
pub trait Environment {
    /// The variable's value; `Ok(None)` when it is not set, an error in words when it is not Unicode.
    fn variable(&self, name: &str) -> Result<Option<String>, String>;

    /// The file's content without one trailing line break, or why it cannot be had.
    fn file(&self, path: &Path) -> Result<String, String>;

    /// The permission bits of a file, links followed; `None` where there are none or the file is not there.
    fn permissions(&self, path: &Path) -> Option<u32> {
        let _ = path;
        None
    }
}

/// The process's own variables and the file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        // `std::env::var` would take `=` and NUL as "not set"; the caller has refused such names already.
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("its value is not UTF-8 text".to_owned()),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        // A pipe or a device could block the check for ever.
        let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
        if !about.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(format!("it is larger than {FILE_LIMIT} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        Ok(without_line_break(&text).to_owned())
    }

    #[cfg(unix)]
    fn permissions(&self, path: &Path) -> Option<u32> {
        use std::os::unix::fs::PermissionsExt as _;
        Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
    }
}

/// Variables and files given by a test or a library user.
#[derive(Debug, Clone, Default)]
pub struct FixedEnvironment {
    /// The variables that are set.
    pub variables: BTreeMap<String, String>,
    /// The files there are, by path.
    pub files: BTreeMap<String, String>,
}

impl Environment for FixedEnvironment {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.variables.get(name).cloned())
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let text = self.files.get(&*path.to_string_lossy()).ok_or("there is no such file")?;
        Ok(without_line_break(text).to_owned())
    }
}

fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
