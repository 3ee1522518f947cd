//! Programs that run for a bounded time: kcat, Python, Java tools, and whatever a test drives.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Error;

/// A program that ran to its end.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its command line, for messages.
    pub program: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as text.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself if the program ended well, [`Error::Failed`] with all it printed if not.
    pub fn success(self) -> Result<Self, Error> {
        if self.status.success() {
            return Ok(self);
        }
        let output = format!("{}{}", self.text(), self.stderr);
        Err(Error::Failed { program: self.program, status: self.status.to_string(), output })
    }
}

/// Runs a command to its end, with `input` as its standard input, and gathers what it prints.
///
/// It is killed and [`Error::TooSlow`] returned when it takes longer than `limit`.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished, Error> {
    let program = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Program { program: program.clone(), source })?;
    let feeder = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A program may end without reading all of its input; what it says then is in its status.
        thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = child.stdout.take().map(gather);
    let stderr = child.stderr.take().map(gather);
    let status = wait_until(&mut child, Instant::now() + limit).map_err(Error::file(&program))?;
    if status.is_none() {
        child.kill().and_then(|()| child.wait()).map_err(Error::file(&program))?;
    }
    feeder.map(JoinHandle::join);
    let (stdout, stderr) = (joined(stdout), String::from_utf8_lossy(&joined(stderr)).into_owned());
    match status {
        Some(status) => Ok(Finished { program, status, stdout, stderr }),
        None => Err(Error::TooSlow { program, limit, output: format!("{}{stderr}", String::from_utf8_lossy(&stdout)) }),
    }
}

/// Runs `kcat` with these arguments and this standard input for at most 60 seconds.
///
/// As a producer it is made idempotent: without that, librdkafka writes a first batch that a new topic's leader refuses
/// behind those that came after it.
pub fn kcat<A: AsRef<OsStr>>(args: &[A], input: &[u8]) -> Result<Finished, Error> {
    let mut command = Command::new("kcat");
    if args.iter().any(|arg| arg.as_ref() == "-P") {
        command.args(["-X", "enable.idempotence=true"]);
    }
    run(command.args(args), input, Duration::from_mins(1))?.success()
}

/// Runs a script with Debian's Python (where `python3-kafka` is installed) for at most 60 seconds. The arguments are
/// the script's `sys.argv[1:]`.
pub fn python<A: AsRef<OsStr>>(script: &str, args: &[A]) -> Result<Finished, Error> {
    let interpreter = Path::new("/usr/bin/python3");
    run(Command::new(interpreter).arg("-c").arg(script).args(args), &[], Duration::from_mins(1))?.success()
}

/// Where a program is, or [`Error::Missing`] with the package that has it. Servers lie in directories that are on the
/// path of root only.
pub(crate) fn find(program: &str, package: &str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(beside).map(|directory| directory.join(program));
    let missing = || Error::Missing { program: program.to_owned(), package: package.to_owned() };
    places.find(|place| place.is_file()).ok_or_else(missing)
}

/// Waits for a process until a deadline; `None` = it still runs.
pub(crate) fn wait_until(child: &mut std::process::Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn gather(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks has said what it said.
        drop(stream.read_to_end(&mut bytes));
        bytes
    })
}

fn joined(gatherer: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    gatherer.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(400) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_its_input_and_its_output_is_kept() {
        let done = run(&mut Command::new("cat"), b"one\ntwo\n", Duration::from_secs(20)).expect("cat runs");
        assert_eq!(done.success().expect("cat ends well").text(), "one\ntwo\n");
    }

    #[test]
    fn a_program_that_is_not_here_is_missed_by_the_name_of_its_package() {
        let text = find("no-such-program", "its-package").expect_err("it does not exist").to_string();
        assert!(text.contains("no-such-program") && text.contains("its-package"), "{text}");
        assert!(find("sh", "dash").is_ok());
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let slow = run(Command::new("sleep").arg("600"), &[], Duration::from_millis(50));
        assert!(matches!(slow, Err(Error::TooSlow { .. })), "{slow:?}");
    }

    #[test]
    fn a_failing_program_says_what_it_printed() {
        let done = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), &[], Duration::from_secs(20));
        let text = done.expect("sh runs").success().expect_err("it failed").to_string();
        assert!(text.contains("why") && text.contains('3'), "{text}");
    }
}
