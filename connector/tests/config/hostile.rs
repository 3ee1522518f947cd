//! Whatever the file holds: an answer, never a panic, never a secret.

use ottla_connector::config::{Paint, Severity, check_text};
use proptest::prelude::*;

use super::{PLANTED, check, surroundings};

/// Parts of config files, so that arbitrary text comes near to real ones.
const PARTS: &[&str] = &[
    "[connections.shop]\n",
    "[connections.\"订单\"]\n",
    "[tasks.a]\n",
    "[[connections.x]]\n",
    "kind = ",
    "\"kafka\"",
    "\"jsonl\"",
    "\n",
    "bootstrap = [",
    "\"localhost:9092\"",
    ", ",
    "]",
    "topics = ",
    "'a('",
    "\"*\"",
    "auth = { ",
    "password = ",
    "\"hunter2-planted\"",
    "username = \"u\", ",
    " }",
    "${env:SECRET}",
    "\"${env:SECRET}\"",
    "\"${file:/run/secrets/shop}\"",
    "\"${",
    "\"",
    "'''",
    "\"\"\"",
    "\\",
    "＝",
    "“",
    ":",
    "=",
    "#",
    "\t",
    "\r\n",
    "\u{feff}",
    "\u{202e}",
    "\0",
    "acks = -1\n",
    "acks = ",
    "a.b.c = 1\n",
    "source = \"shop\"\n",
    "target = \"shop\"\n",
    "mode = \"full\"\n",
    "1e400",
    "2024-01-01",
    "true",
    "😀",
];

fn looks_like_a_file() -> impl Strategy<Value = String> {
    let part = prop_oneof![4 => proptest::sample::select(PARTS).prop_map(str::to_owned), 1 => "\\PC{0,8}"];
    proptest::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_answered_without_a_panic(text in any::<String>()) {
        let checked = check(&text);
        prop_assert_eq!(checked.config.is_none(), checked.report.has_errors());
        checked.report.render(Paint::Ansi);
    }

    #[test]
    fn broken_files_are_answered_without_a_panic_and_with_true_places(text in looks_like_a_file()) {
        let checked = check(&text);
        checked.report.render(Paint::Plain);
        for mistake in checked.report.mistakes() {
            prop_assert!(!mistake.message.is_empty());
            if let Some(place) = checked.report.place(mistake) {
                let line = text.split('\n').nth(place.line - 1).unwrap_or_default();
                prop_assert!(place.column >= 1 && place.column <= line.chars().count() + 1, "{:?} in {:?}", place, line);
            }
        }
    }

    #[test]
    fn a_password_given_as_one_is_never_printed(before in looks_like_a_file(), after in looks_like_a_file()) {
        let before = before.replace(PLANTED, "x");
        let after = after.replace(PLANTED, "x");
        let text = format!("{before}\npassword = \"{PLANTED}\"{after}");
        let checked = check(&text);
        let printed = format!("{}{:?}", checked.report.render(Paint::Plain), checked);
        prop_assert!(!printed.contains(PLANTED), "{}", printed);
    }
}

#[test]
fn large_and_deep_files_are_answered_in_bounded_space() {
    for text in [
        "[".repeat(300_000),
        format!("a = {}", "[".repeat(300_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        "k = 1\n".repeat(100_000),
        "x".repeat(900_000),
        format!("a = \"{}", "\\".repeat(500_000)),
    ] {
        let checked = check(&text);
        assert!(checked.config.is_none());
        assert!(checked.report.render(Paint::Plain).len() < 100_000);
    }
}

#[test]
fn nothing_of_the_text_moves_the_terminal() {
    let text = "[connections.a]\nkind = \"\\u001b[31mkafka\"\n\"\u{202e}key\" = 1\n";
    let report = check(text).report.render(Paint::Plain);
    assert!(!report.contains(['\u{1b}', '\u{202e}']), "{report:?}");
}

#[test]
fn every_mistake_of_a_file_is_found_in_one_run() {
    let text = include_str!("many-mistakes.toml");
    let checked = check_text("many-mistakes.toml".as_ref(), text, &surroundings());
    // Every line with a mistake says how many it has.
    let marked = |line: &str| line.rsplit_once("# mistakes: ").map_or(0, |(_, count)| count.parse().unwrap());
    for (index, line) in text.lines().enumerate() {
        let at_line = |mistake: &&ottla_connector::config::Mistake| {
            checked.report.place(mistake).is_some_and(|place| place.line == index + 1)
        };
        let found: Vec<_> = checked.report.mistakes().iter().filter(at_line).map(|mistake| &mistake.message).collect();
        assert_eq!(found.len(), marked(line), "line {}: {line}\n{found:?}", index + 1);
    }
    assert_eq!(checked.report.count(Severity::Error), text.lines().map(marked).sum::<usize>());
}
