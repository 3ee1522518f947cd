//! Config files: every mistake is found in one run and shown with its place, its line and what to write instead.

mod auth;
mod good;
mod hostile;
mod kerberos;
mod keys;
mod secrets;
mod syntax;
mod tasks;
mod tls;
mod values;

use std::path::Path;

use ottla_connector::config::{Checked, FixedEnvironment, Paint, check_text};

/// What a password in a test is; it must never be printed.
const PLANTED: &str = "hunter2-planted";

/// The surroundings of all tests here: one variable, one file.
fn surroundings() -> FixedEnvironment {
    FixedEnvironment {
        variables: [("SECRET".to_owned(), PLANTED.to_owned())].into(),
        files: [("/run/secrets/shop".to_owned(), format!("{PLANTED}\n"))].into(),
    }
}

fn check(text: &str) -> Checked {
    check_text(Path::new("shop.toml"), text, &surroundings())
}

/// Asserts the whole report on a file. Both texts are moved left to their first line's column.
#[track_caller]
fn reports(text: &str, expected: &str) {
    let checked = check(&dedented(text));
    assert_eq!(checked.config.is_none(), checked.report.has_errors());
    let report = checked.report.render(Paint::Plain);
    assert_eq!(report.trim_end(), dedented(expected).trim_end(), "\n--- reported:\n{report}");
}

fn dedented(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let indent = text.len() - text.trim_start_matches(' ').len();
    let lines = text.lines().map(|line| line.get(indent..).unwrap_or_default());
    lines.flat_map(|line| [line, "\n"]).collect()
}
