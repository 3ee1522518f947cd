//! Advice in errors names keys and flags that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla_connector::config::keys::{self, Section};

/// Settings of other programs that advice names: of krb5.conf, and a word of SASL's.
const OF_OTHERS: &[&str] = &[
    "allow_rc4",
    "capaths",
    "default_keytab_name",
    "default_realm",
    "dns_canonicalize_hostname",
    "dns_lookup_kdc",
    "domain_realm",
    "kdc_timesync",
    "permitted_enctypes",
];

/// The Rust files below a directory, without tests.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of ours") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !name.contains("tests") {
            found.push(path);
        }
    }
}

/// The string literals of a piece of Rust.
fn literals(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(start) = rest.find('"') {
        let mut literal = String::new();
        let mut chars = rest[start + 1..].char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = start + 1 + at + 1;
                    break;
                }
                '\\' => literal.extend(chars.next().map(|(_, escaped)| escaped)),
                c => literal.push(c),
            }
        }
        found.push(literal);
        rest = &rest[end..];
    }
    found
}

/// From an opening bracket to its closing one, as far as brackets in strings allow.
fn bracketed(code: &str, open: char, close: char) -> &str {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_text = !in_text,
            c if c == open && !in_text => depth += 1,
            c if c == close && !in_text => {
                depth -= 1;
                if depth == 0 {
                    return &code[..=at];
                }
            }
            _ => {}
        }
    }
    code
}

/// The texts of a file that tell a user what to do.
fn advice_in(code: &str) -> Vec<String> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for call in [".advice(", ".with_help(", ".help(", "wrong("] {
        for (at, _) in code.match_indices(call) {
            found.extend(literals(bracketed(&code[at + call.len() - 1..], '(', ')')));
        }
    }
    for (at, _) in code.match_indices("fn ") {
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if ["help", "advised", "advice", "passes_refused", "bad_message"].contains(&name.as_str())
            && let Some(body) = code[at..].find('{')
        {
            found.extend(literals(bracketed(&code[at + body..], '{', '}')));
        }
    }
    found
}

/// The words of a text that can only be names of settings: with an underscore in them.
fn settings(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '{' | '}');
    let words = text.split(|c| !is_part(c)).map(|word| word.trim_matches('.'));
    let is_setting = |word: &&str| {
        word.contains('_')
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && !word.contains(['.', '{', '}'])
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    words.filter(is_setting).collect()
}

/// The flags that a text names.
fn flags(text: &str) -> Vec<String> {
    // Those of other tools are not ours.
    let others = ["kafka-consumer-groups", "kafka-topics", "kafka-acls", "mlr "];
    let ours = others.iter().fold(text, |text, tool| text.split(tool).next().unwrap_or_default());
    let parts = ours.split("--").skip(1);
    let flag = |part: &str| part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect::<String>();
    parts.map(flag).filter(|flag| !flag.is_empty()).map(|flag| format!("--{flag}")).collect()
}

fn known_settings() -> BTreeSet<String> {
    let sections = [Section::File, Section::Connection, Section::Auth, Section::Tls, Section::Task];
    let of_file = sections.into_iter().flat_map(keys::of).map(|key| key.name.to_owned());
    of_file.chain(OF_OTHERS.iter().map(|name| (*name).to_owned())).collect()
}

/// The options of the client's builders: public fields and methods.
fn known_options(client: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(client, &mut files);
    let mut found = BTreeSet::new();
    for code in files.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        for line in code.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub ")) else { continue };
            found.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

fn known_flags() -> BTreeSet<String> {
    let help = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ottla")).args(args).output().expect("ottla runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut text = help(&["--help"]);
    for command in ["check", "copy", "demo", "dev", "run", "test"] {
        text.push_str(&help(&[command, "--help"]));
    }
    flags(&text).into_iter().collect()
}

#[test]
fn advice_names_keys_and_flags_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (ours, client) = (root.join("src"), root.join("../client/src"));
    let (known_settings, known_options, known_flags) = (known_settings(), known_options(&client), known_flags());
    let mut files = Vec::new();
    sources(&ours, &mut files);
    sources(&client, &mut files);
    let (mut unknown, mut looked_at) = (Vec::new(), 0);
    for path in files {
        let code = fs::read_to_string(&path).expect("a source of ours");
        for text in advice_in(&code) {
            looked_at += 1;
            let is_known = |name: &&str| {
                known_settings.contains(*name) || (path.starts_with(&client) && known_options.contains(*name))
            };
            let settings = settings(&text).into_iter().filter(|name| !is_known(name)).map(str::to_owned);
            let flags = flags(&text).into_iter().filter(|flag| !known_flags.contains(flag));
            unknown.extend(settings.chain(flags).map(|name| format!("{}: {name} in \"{text}\"", path.display())));
        }
    }
    assert!(looked_at > 100, "only {looked_at} texts found");
    assert!(unknown.is_empty(), "advice names what does not exist:\n{}", unknown.join("\n"));
}

#[test]
fn a_key_that_does_not_exist_is_noticed() {
    let code = r#"error.advice("raise max_reqest_bytes"); x.with_help("use --skip-bed"); fn help() { "set `no_such` = \"x\"" }"#;
    let texts = advice_in(code);
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(settings(&texts[0]), ["max_reqest_bytes"]);
    assert_eq!(flags(&texts[1]), ["--skip-bed"]);
    assert_eq!(settings(&texts[2]), ["no_such"]);
    assert!(!known_flags().contains("--skip-bed") && known_flags().contains("--skip-bad"));
}
