//! `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` inside string values.
//!
//! It works on parsed strings, never on the file's text: a value with quotes, `#` or line breaks in it cannot change
//! the file's structure. What was put in is not searched again. `$${` stands for a plain `${`; any other `$` for itself.

use std::ops::Range;
use std::path::Path;

use super::environment::Environment;

/// A string value after all replacements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filled {
    /// The value to use.
    pub(super) value: String,
    /// Did any of it come from outside of the file? Then it must not be shown: it may be a secret.
    pub(super) from_outside: bool,
    /// Is `value` the text itself, byte for byte, so that positions in it are positions in the file?
    pub(super) verbatim: bool,
}

/// Something wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where in the string, in bytes.
    pub(super) at: Range<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

/// Replaces all references of `text`, or says what is wrong with each of them.
pub(super) fn fill(text: &str, environment: &dyn Environment) -> Result<Filled, Vec<Fault>> {
    let mut value = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut from_outside = false;
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[..start].ends_with('$') && start > at {
            value.push_str(&text[at..start - 1]);
            value.push_str("${");
            at = start + 2;
            continue;
        }
        value.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            faults.push(unclosed(start, text));
            return Err(faults);
        };
        at = start + length + 1;
        from_outside = true;
        match look_up(&text[start + 2..at - 1], environment) {
            Ok(found) => value.push_str(&found),
            Err((message, help)) => faults.push(Fault { at: start..at, message, help }),
        }
    }
    value.push_str(&text[at..]);
    if faults.is_empty() { Ok(Filled { verbatim: value == text, value, from_outside }) } else { Err(faults) }
}

/// Does the text take anything from outside of the file?
pub(super) fn has_reference(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

/// The paths of all `${file:PATH}`.
pub(super) fn files(text: &str) -> Vec<String> {
    let without_escapes = text.replace("$${", "");
    let references = without_escapes.split("${file:").skip(1);
    references.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
}

fn unclosed(start: usize, text: &str) -> Fault {
    Fault {
        at: start..text.len(),
        message: "this `${` has no closing `}`".to_owned(),
        help: "write `${env:NAME}` or `${file:PATH}`, or `$${` for a plain `${`".to_owned(),
    }
}

/// The value of one reference (without `${` and `}`), or message and help.
fn look_up(reference: &str, environment: &dyn Environment) -> Result<String, (String, String)> {
    if let Some(rest) = reference.strip_prefix("env:") {
        return variable(rest, environment);
    }
    if let Some(path) = reference.strip_prefix("file:") {
        if path.is_empty() {
            return Err(("this reference names no file".to_owned(), "write `${file:PATH}`".to_owned()));
        }
        return environment.file(Path::new(path)).map_err(|reason| {
            let message = format!("the file `{}` cannot be read: {reason}", super::mistake::shown(path));
            (message, "a relative path starts at the current directory".to_owned())
        });
    }
    // The reference itself is not repeated: in a password it may be a part of the password.
    let help = "write `${env:NAME}`, `${env:NAME:-default}` or `${file:PATH}`, or `$${` for a plain `${`";
    Err(("this is no reference that can be filled in".to_owned(), help.to_owned()))
}

fn variable(rest: &str, environment: &dyn Environment) -> Result<String, (String, String)> {
    let (name, default) = match rest.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (rest, None),
    };
    if !is_name(name) {
        let message = format!("`{}` is not the name of an environment variable", super::mistake::shown(name));
        return Err((message, "a name has letters, digits and `_` and does not begin with a digit".to_owned()));
    }
    let found = environment.variable(name).map_err(|reason| {
        (format!("the environment variable `{name}` cannot be used: {reason}"), format!("set {name} to UTF-8 text"))
    })?;
    match (found, default) {
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        (None, Some(default)) => Ok(default.to_owned()),
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set {name}, or give a default: `${{env:{name}:-default}}`"),
        )),
    }
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::environment::FixedEnvironment;
    use super::*;

    fn surroundings() -> FixedEnvironment {
        FixedEnvironment {
            variables: [("A", "1"), ("EMPTY", ""), ("TRICKY", "${env:A} \" # $${")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            files: [("/run/s".to_owned(), "s3cret\r\n".to_owned())].into(),
        }
    }

    fn filled(text: &str) -> String {
        fill(text, &surroundings()).unwrap().value
    }

    #[test]
    fn references_are_replaced_and_everything_else_stays() {
        assert_eq!(filled("plain"), "plain");
        assert_eq!(filled("a${env:A}b${file:/run/s}c"), "a1bs3cretc");
        assert_eq!(filled("${env:NONE:-x:-y}"), "x:-y");
        assert_eq!(filled("${env:EMPTY:-d}|${env:EMPTY}|${env:A:-d}"), "d||1");
        assert_eq!(filled("$5 $ $$ a$b orders$"), "$5 $ $$ a$b orders$");
    }

    #[test]
    fn a_doubled_dollar_is_a_plain_one_and_filled_text_is_not_searched_again() {
        assert_eq!(filled("$${env:A}"), "${env:A}");
        assert_eq!(filled("$$${env:A}"), "$${env:A}", "only the dollar next to the bracket is taken");
        assert_eq!(filled("${env:TRICKY}"), "${env:A} \" # $${");
    }

    #[test]
    fn every_bad_reference_is_reported_with_its_place() {
        let faults = fill("${env:NONE} ${nope} ${env:A} ${env:1x} ${file:} ${file:/none} ${env:A", &surroundings());
        let faults = faults.unwrap_err();
        let places: Vec<_> = faults.iter().map(|fault| fault.at.clone()).collect();
        assert_eq!(places, [0..11, 12..19, 29..38, 39..47, 48..61, 62..69]);
        assert_eq!(faults[0].message, "the environment variable `NONE` is not set");
    }
}
