//! The syntax of krb5.conf: sections, relations, nested braces, final marks and includes, read as MIT's library reads them
//! (`util/profile/prof_parse.c`, release 1.20). What the values mean is `config`'s business.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of settings is a few kilobytes; whatever is larger is something else.
const FILE_LIMIT: usize = 1024 * 1024;
/// All files together, with their includes.
const FILE_COUNT_LIMIT: usize = 256;
/// Lines that say something, in all files together. The largest `[domain_realm]` of a company has some thousand.
const LINE_COUNT_LIMIT: usize = 20_000;
/// Files that include files.
const INCLUDE_DEPTH_LIMIT: usize = 10;
/// Braces within braces. MIT's own settings need two.
const NESTING_LIMIT: usize = 16;

/// Where settings are read from. The parser itself touches no disk.
pub(crate) trait ConfigFiles {
    /// The bytes of a file. [`io::ErrorKind::NotFound`] says that there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names (not paths) of what is in a directory, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
}

/// The file system. Reads at most a little more than the parser takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk;

impl ConfigFiles for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(FILE_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }
}

/// A mistake in a settings file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The file's path, or empty if no one file is at fault.
    pub(crate) file: String,
    /// Counted from 1; 0 if the whole file is at fault.
    pub(crate) line: usize,
    /// The line as it stands there, without the spaces around it; empty if the whole file is at fault.
    pub(crate) text: String,
    /// What is wrong, and what was expected.
    pub(crate) problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if self.line > 0 {
                write!(f, ", line {}", self.line)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.problem)?;
        if !self.text.is_empty() {
            write!(f, ", at {:?}", shortened(&self.text))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A binary file given by mistake has lines of any length.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A relation's value with its place, so that a mistake in it can be named.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) text: String,
    file: Arc<str>,
    line: usize,
    source: String,
}

impl Value {
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError { file: self.file.to_string(), line: self.line, text: self.source.clone(), problem: problem.into() }
    }
}

#[derive(Debug, Clone)]
enum Content {
    Value(Value),
    Section(Section),
}

#[derive(Debug, Clone)]
struct Node {
    name: String,
    content: Content,
    /// Nothing later of the same name counts: neither in this file nor in those after it.
    last: bool,
}

/// Relations and sections in the order in which they stand. The first of a name is the one that counts, where one counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    nodes: Vec<Node>,
}

impl Section {
    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        self.sections().find(|(found, _)| *found == name).map(|(_, section)| section)
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.nodes.iter().filter_map(|node| match &node.content {
            Content::Section(section) => Some((&*node.name, section)),
            Content::Value(_) => None,
        })
    }

    pub(super) fn relations(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.nodes.iter().filter_map(|node| match &node.content {
            Content::Value(value) => Some((&*node.name, value)),
            Content::Section(_) => None,
        })
    }

    /// All values of a name, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.relations().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The value that counts.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.values(name).next()
    }

    /// The place of the section of this name, made if there is none; `None` if it is final and so takes nothing more.
    fn enter(&mut self, name: &str) -> Option<usize> {
        let is_it = |node: &Node| node.name == name && matches!(node.content, Content::Section(_));
        match self.nodes.iter().position(is_it) {
            Some(at) if self.nodes[at].last => None,
            Some(at) => Some(at),
            None => {
                let content = Content::Section(Self::default());
                self.nodes.push(Node { name: name.to_owned(), content, last: false });
                Some(self.nodes.len() - 1)
            }
        }
    }

    fn add(&mut self, name: &str, value: Value, last: bool) {
        if !self.nodes.iter().any(|node| node.name == name && node.last) {
            self.nodes.push(Node { name: name.to_owned(), content: Content::Value(value), last });
        }
    }
}

/// Reads these files into one tree, the first file's settings first. A file that does not exist is passed over, as MIT does
/// with the list in `KRB5_CONFIG`; the number of files read comes back too.
pub(super) fn read(paths: &[PathBuf], files: &dyn ConfigFiles) -> Result<(Section, usize), ConfigError> {
    let mut reader = Reader { files, root: Section::default(), count: 0, lines: 0, within: Vec::new() };
    let mut found = 0;
    for path in paths {
        match files.read(path) {
            Ok(bytes) => reader.file(path, &bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(whole_file(path, format!("cannot be read: {e}"))),
        }
        found += 1;
    }
    Ok((reader.root, found))
}

fn whole_file(path: &Path, problem: String) -> ConfigError {
    ConfigError { file: path.display().to_string(), line: 0, text: String::new(), problem }
}

struct Reader<'a> {
    files: &'a dyn ConfigFiles,
    root: Section,
    count: usize,
    lines: usize,
    /// The files that are being read, each included by the one before it.
    within: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ConfigError> {
        self.count += 1;
        if self.count > FILE_COUNT_LIMIT {
            return Err(whole_file(path, format!("more than {FILE_COUNT_LIMIT} files of settings")));
        }
        if bytes.len() > FILE_LIMIT {
            return Err(whole_file(path, format!("is larger than {FILE_LIMIT} bytes, so it is no krb5.conf")));
        }
        self.within.push(path.to_owned());
        let name: Arc<str> = path.display().to_string().into();
        let mut place = Place::default();
        for (index, line) in bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || matches!(line[0], b'#' | b';') {
                continue;
            }
            let at = At { file: &name, line: index + 1, bytes: line };
            self.lines += 1;
            if self.lines > LINE_COUNT_LIMIT {
                return Err(at.wrong(format!("more than {LINE_COUNT_LIMIT} lines of settings")));
            }
            let text = std::str::from_utf8(line).map_err(|_| at.wrong("not UTF-8"))?;
            match directive(text) {
                Some(directive) => self.include(directive, &at)?,
                None => place.line(text, &mut self.root, &at)?,
            }
        }
        self.within.pop();
        Ok(())
    }

    /// An included file stands on its own: it begins outside of all sections, and leaves the one that includes it as it was.
    fn include(&mut self, directive: Include<'_>, at: &At<'_>) -> Result<(), ConfigError> {
        if self.within.len() > INCLUDE_DEPTH_LIMIT {
            return Err(at.wrong(format!("includes deeper than {INCLUDE_DEPTH_LIMIT} files")));
        }
        for path in self.included(directive, at)? {
            if self.within.contains(&path) {
                return Err(at.wrong(format!("{} includes itself", path.display())));
            }
            let bytes = self
                .files
                .read(&path)
                .map_err(|e| at.wrong(format!("the included {} cannot be read: {e}", path.display())))?;
            self.file(&path, &bytes)?;
        }
        Ok(())
    }

    fn included(&self, directive: Include<'_>, at: &At<'_>) -> Result<Vec<PathBuf>, ConfigError> {
        let directory = match directive {
            Include::File(path) => return Ok(vec![PathBuf::from(path)]),
            Include::Directory(directory) => Path::new(directory),
        };
        let names = self
            .files
            .list(directory)
            .map_err(|e| at.wrong(format!("the included directory {} cannot be read: {e}", directory.display())))?;
        let names: BTreeSet<_> = names.into_iter().filter(|name| counts_in_directory(name)).collect();
        Ok(names.into_iter().map(|name| directory.join(name)).collect())
    }
}

/// Names of letters, digits, dashes and underscores, and visible names that end in `.conf` (krb5.conf(5)): what editors and
/// packages leave behind (`x.conf~`, `x.rpmsave`) does not count.
fn counts_in_directory(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let visible = name.strip_suffix(".conf").is_some_and(|stem| !name.starts_with('.') && !stem.is_empty());
    visible || (!name.is_empty() && name.chars().all(plain))
}

#[derive(Clone, Copy)]
enum Include<'a> {
    File(&'a str),
    Directory(&'a str),
}

fn directive(line: &str) -> Option<Include<'_>> {
    let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace())?;
    match word {
        "include" => Some(Include::File(rest.trim_ascii())),
        "includedir" => Some(Include::Directory(rest.trim_ascii())),
        _ => None,
    }
}

/// The line that is being read.
struct At<'a> {
    file: &'a Arc<str>,
    line: usize,
    bytes: &'a [u8],
}

impl At<'_> {
    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes).into_owned()
    }

    fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError { file: self.file.to_string(), line: self.line, text: self.text(), problem: problem.into() }
    }
}

/// Where in the tree a file's next line belongs.
#[derive(Default)]
struct Place {
    /// From the root; empty before the first section, where MIT passes over whatever stands there.
    path: Vec<usize>,
    /// Open sections that do not count because a final one came before, and the sections in them.
    ignored: usize,
    /// After `name =` with nothing behind it, the brace is on the next line.
    wants_brace: bool,
}

impl Place {
    fn line(&mut self, line: &str, root: &mut Section, at: &At<'_>) -> Result<(), ConfigError> {
        if std::mem::take(&mut self.wants_brace) {
            return if line.starts_with('{') { Ok(()) } else { Err(at.wrong("an empty value, or a `{` is missing")) };
        }
        if let Some(header) = line.strip_prefix('[') {
            return self.header(header, root, at);
        }
        if self.depth() == 0 {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix('}') {
            return self.leave(rest.starts_with('*'), root, at);
        }
        self.relation(line, root, at)
    }

    fn depth(&self) -> usize {
        self.path.len() + self.ignored
    }

    fn header(&mut self, header: &str, root: &mut Section, at: &At<'_>) -> Result<(), ConfigError> {
        if self.depth() > 1 {
            return Err(at.wrong("a section begins, but a `}` is missing before it"));
        }
        let (name, rest) = header.split_once(']').ok_or_else(|| at.wrong("a section's `]` is missing"))?;
        let (last, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
        if !rest.trim_ascii().is_empty() {
            return Err(at.wrong("something stands behind a section's `]`"));
        }
        *self = Self::default();
        self.enter(name, last, root);
        Ok(())
    }

    /// Goes into a section; `last` makes it final as soon as this file leaves it.
    fn enter(&mut self, name: &str, last: bool, root: &mut Section) {
        let entered = if self.ignored > 0 { None } else { self.here(root).and_then(|here| here.enter(name)) };
        match entered {
            Some(at) => self.path.push(at),
            None => self.ignored += 1,
        }
        if last && entered.is_some() {
            self.seal(root);
        }
    }

    fn leave(&mut self, last: bool, root: &mut Section, at: &At<'_>) -> Result<(), ConfigError> {
        if self.depth() < 2 {
            return Err(at.wrong("a `}` without a `{` before it"));
        }
        if self.ignored > 0 {
            self.ignored -= 1;
            return Ok(());
        }
        if last {
            self.seal(root);
        }
        self.path.pop();
        Ok(())
    }

    fn relation(&mut self, line: &str, root: &mut Section, at: &At<'_>) -> Result<(), ConfigError> {
        let (name, value) = line.split_once('=').ok_or_else(|| at.wrong("neither a section nor `name = value`"))?;
        let name = name.trim_ascii();
        if name.is_empty() || name.contains(|c: char| c.is_ascii_whitespace()) {
            return Err(at.wrong("`name = value` needs one name, without spaces in it"));
        }
        let (name, last) = name.split_once('*').map_or((name, false), |(name, _)| (name, true));
        let value = value.trim_ascii();
        if value.is_empty() || value.strip_prefix('{').is_some_and(|rest| rest.trim_ascii().is_empty()) {
            if self.depth() >= NESTING_LIMIT {
                return Err(at.wrong(format!("braces deeper than {NESTING_LIMIT}")));
            }
            self.wants_brace = value.is_empty();
            self.enter(name, last, root);
        } else if self.ignored == 0
            && let Some(here) = self.here(root)
        {
            let text = value.strip_prefix('"').map_or_else(|| value.to_owned(), unquoted);
            here.add(name, Value { text, file: at.file.clone(), line: at.line, source: at.text() }, last);
        }
        Ok(())
    }

    fn here<'a>(&self, root: &'a mut Section) -> Option<&'a mut Section> {
        self.path.iter().try_fold(root, |section, at| match &mut section.nodes.get_mut(*at)?.content {
            Content::Section(section) => Some(section),
            Content::Value(_) => None,
        })
    }

    /// Marks the section that is open as final. What this file still adds to it while it is open counts.
    fn seal(&self, root: &mut Section) {
        let Some((at, above)) = self.path.split_last() else { return };
        let above = Self { path: above.to_vec(), ..Self::default() };
        if let Some(node) = above.here(root).and_then(|section| section.nodes.get_mut(*at)) {
            node.last = true;
        }
    }
}

/// What stands between the quotes; anything behind the second one is passed over, as MIT does.
fn unquoted(rest: &str) -> String {
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('b') => text.push('\u{8}'),
                Some(other) => text.push(other),
                None => break,
            },
            c => text.push(c),
        }
    }
    text
}
