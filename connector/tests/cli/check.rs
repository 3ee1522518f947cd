use std::io::ErrorKind;
use std::net::TcpListener;

use super::{finish, ottla, run, with_config};

const GOOD: &str = r#"
[connections.shop]
kind = "kafka"
bootstrap = ["localhost:9092"]
topics = "orders.*"

[connections.files]
kind = "jsonl"
role = "target"
path = "out.jsonl"

[tasks.shop-to-file]
source = "shop"
target = "files"
mode = "full"
"#;

#[test]
fn a_good_file_is_summed_up_on_standard_output() {
    let directory = with_config(GOOD);
    let ended = run(directory.path(), &["check", "shop.toml"]).ends_with(0);
    let expected = "\
shop.toml: 2 connections, 1 task, no mistakes
  connection files: jsonl, target, out.jsonl, bad message: stop, push error: stop
  connection shop: kafka, both, localhost:9092, topics orders.*, acks majority (-1, the same on the wire as all), \
compression lz4, no login, bad message: stop, push error: stop
  task shop-to-file: shop -> files, full
";
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn check_says_that_majority_and_all_are_the_same_on_the_wire() {
    for (level, said) in [("majority", "the same on the wire as all"), ("all", "the same on the wire as majority")] {
        let config = format!("[connections.a]\nkind = \"kafka\"\nbootstrap = \"embedded\"\nacks = \"{level}\"\n");
        let directory = with_config(&config);
        let ended = run(directory.path(), &["check", "shop.toml"]).ends_with(0);
        assert!(ended.stdout.contains(said), "{}", ended.stdout);
    }
}

#[test]
fn all_mistakes_go_to_standard_error_and_end_with_2() {
    let directory = with_config("[connections.shop]\nkind = \"kafka\"\nbootsrap = []\nacks = \"al\"\n");
    let ended = run(directory.path(), &["check", "shop.toml"]).ends_with(2);
    let expected = "\
error: unknown key `bootsrap` in a connection of kind \"kafka\"
 --> shop.toml:3:1
  |
3 | bootsrap = []
  | ^^^^^^^^
  = help: write `bootstrap`

error: `al` is no value of `acks`
 --> shop.toml:4:8
  |
4 | acks = \"al\"
  |        ^^^^
  = help: write \"all\"
  = help: allowed are \"none\", \"leader\", \"majority\", \"all\"

error: 2 mistakes in shop.toml
";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", expected));
}

#[test]
fn run_and_test_refuse_a_wrong_file_like_check_does() {
    let directory = with_config("[connections.shop]\nkind = \"kafka\"\nbootsrap = []\nacks = \"al\"\n");
    let said = run(directory.path(), &["check", "shop.toml"]).stderr;
    for command in ["run", "test"] {
        let ended = run(directory.path(), &[command, "shop.toml"]).ends_with(2);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", said.as_str()), "{command}");
    }
}

#[test]
fn mistakes_are_also_there_as_json() {
    let directory = with_config("[connections.shop]\nkind = \"kafka\"\nbootstrap = \"embedded\"\nacks = \"al\"\n");
    let ended = run(directory.path(), &["check", "shop.toml", "--output", "json"]).ends_with(2);
    let result: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(result["ok"], false);
    let mistake = &result["result"]["mistakes"][0];
    assert_eq!((&mistake["line"], &mistake["column"]), (&4.into(), &8.into()));
    assert_eq!(mistake["help"][0], "write \"all\"");

    let directory = with_config(GOOD);
    let ended = run(directory.path(), &["check", "shop.toml", "--output", "json"]).ends_with(0);
    let result: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&result["ok"], &result["result"]["tasks"][0]["mode"]), (&true.into(), &"full".into()));
}

#[test]
fn check_never_opens_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = listener.local_addr().unwrap();
    let directory = with_config(&format!("[connections.a]\nkind = \"kafka\"\nbootstrap = [\"{server}\"]\n"));
    run(directory.path(), &["check", "shop.toml"]).ends_with(0);
    // The process has ended: a connection it opened would wait here, even if it was closed since.
    assert_eq!(listener.accept().map_err(|error| error.kind()).err(), Some(ErrorKind::WouldBlock));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = with_config("");
    let said = |args: &[&str]| run(directory.path(), args).ends_with(2).stderr;
    assert!(said(&["check", "none.toml"]).starts_with("error: the config file `none.toml` cannot be read: "));
    assert!(said(&["check", "."]).starts_with("error: `.` is a directory\n"));
    std::fs::write(directory.path().join("gbk.toml"), b"[connections.a]\n# \xb6\xa9\xb5\xa5\n").unwrap();
    assert!(said(&["check", "gbk.toml"]).starts_with("error: gbk.toml:2:3: the file is not UTF-8 text (byte 0xb6)\n"));
    std::fs::write(directory.path().join("big.toml"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(said(&["check", "big.toml"]).contains("is larger than 1048576 bytes"));
}

#[test]
fn secrets_of_the_environment_and_of_the_file_are_never_printed() {
    let config = "[connections.a]\nkind = \"kafka\"\nbootstrap = [\"localhost:9092\"]\nacks = \"${env:PLANTED}\"\n\
                  topics = \"(${env:PLANTED}\"\nauth = { mechanism = \"plain\", username = \"u\", password = \"in-clear\" }\n\
                  [connections.b]\nkind = \"kafka\"\nbootstrap = [\"${env:PLANTED}\"]\n\
                  auth = { mechanism = \"plain\", username = \"u\", password = \"${env:PLANTED}\" }\n\
                  [tasks.t]\nsource = \"${env:PLANTED}\"\ntarget = \"a\"\nmode = \"full\"\n";
    let directory = with_config(config);
    for args in
        [vec!["check", "shop.toml"], vec!["-vvv", "check", "shop.toml"], vec!["check", "shop.toml", "--output", "json"]]
    {
        let ended = finish(ottla(directory.path()).args(&args).env("PLANTED", "s3cret-planted")).ends_with(2);
        let printed = format!("{}{}", ended.stdout, ended.stderr);
        assert!(printed.contains("the filled-in"), "{printed}");
        assert!(!printed.contains("s3cret-planted") && !printed.contains("in-clear"), "{printed}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let directory = with_config("x = 1\n");
    let ended = run(directory.path(), &["check", "shop.toml"]).ends_with(2);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

#[test]
fn the_reference_of_keys_names_the_originals_settings() {
    let directory = with_config("");
    let reference = run(directory.path(), &["check", "--keys"]).ends_with(0).stdout;
    for said in [
        "主题表达式",
        "忽略非 JSON 对象格式消息",
        "ACK 确认机制",
        "消息压缩类型",
        "忽略推送消息异常",
        "仅全量",
        "${file:PATH}",
        "on_push_error",
    ] {
        assert!(reference.contains(said), "{said}\n{reference}");
    }
}
