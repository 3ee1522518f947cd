//! The tool itself: lines in, lines out, an exit code.

pub(crate) mod check;
mod frame;
mod line;
mod print;
mod records;

use std::io::{self, BufRead, Write};

use frame::Framed;

pub(crate) const HELP: &str = "\
Shows Kafka 2.3 frames field by field, with byte offsets.

Usage: decode [--check] < FRAMES

Each line of standard input is a frame without its length prefix, header included, in one of two forms:

  api_key<TAB>version<TAB>request|response<TAB>hex
  hex                                                a request, whose header says what it is

Empty lines and lines that begin with # are passed over. Record data is shown down to records, keys and values; SASL
tokens only by their length.

  --check   encode each frame again instead; print a line for each that does not decode or does not come back
            equal, and a count at the end
  --help    this text

Exit code: 0, or 1 if a line was wrong, or 2 if the arguments were.
";

/// Runs the tool with these arguments. Gives the exit code; an error is one of reading, writing or the arguments.
pub(crate) fn run(args: impl Iterator<Item = String>, input: impl BufRead, mut out: impl Write) -> io::Result<u8> {
    let mut check = false;
    for arg in args {
        match arg.as_str() {
            "--check" => check = true,
            "--help" | "-h" => {
                write!(out, "{HELP}")?;
                return Ok(0);
            }
            other => {
                let error = format!("there is no argument {other:?}; --help says what there is");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
        }
    }
    let wrong = if check { check_all(input, &mut out)? } else { print_all(input, &mut out)? };
    out.flush()?;
    Ok(u8::from(wrong > 0))
}

fn print_all(input: impl BufRead, out: &mut impl Write) -> io::Result<usize> {
    let mut wrong = 0;
    each(input, |number, framed| {
        let good = match framed {
            Ok(framed) => print::frame(out, number, &framed)?,
            Err(error) => writeln!(out, "line {number}: error: {error}").map(|()| false)?,
        };
        wrong += usize::from(!good);
        Ok(())
    })?;
    Ok(wrong)
}

fn check_all(input: impl BufRead, out: &mut impl Write) -> io::Result<usize> {
    let (mut frames, mut wrong) = (0, 0);
    each(input, |number, framed| {
        frames += 1;
        let Err(error) = framed.and_then(|framed| check::frame(&framed)) else { return Ok(()) };
        wrong += 1;
        writeln!(out, "line {number}: {error}")
    })?;
    writeln!(out, "{frames} frames, {wrong} wrong")?;
    Ok(wrong)
}

/// Goes through the lines that are frames, with their numbers, counted from 1.
fn each(input: impl BufRead, mut work: impl FnMut(usize, Result<Framed, String>) -> io::Result<()>) -> io::Result<()> {
    for (i, line) in input.split(b'\n').enumerate() {
        // A line that is not UTF-8 is an error of that line, not of the rest.
        let line = String::from_utf8_lossy(&line?).into_owned();
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            work(i + 1, line::parse(line).and_then(Framed::new))?;
        }
    }
    Ok(())
}
