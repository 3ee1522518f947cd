//! The demo's orders are those of `testdata/orders.jsonl`, and have in them what their description promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

#[path = "../src/orders.rs"]
mod orders;

/// The file that the tests compare with.
static SHIPPED: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl");
    std::fs::read_to_string(path).expect("the shipped orders")
});

#[test]
fn the_shipped_orders_are_exactly_what_the_program_writes() {
    // Not assert_eq: a difference would print megabytes.
    let made = orders::orders();
    let differs = made.lines().zip(SHIPPED.lines()).position(|(made, shipped)| made != shipped);
    assert_eq!(differs, None, "first different line, from 0");
    assert_eq!(made.len(), SHIPPED.len());
}

#[test]
fn every_line_is_one_json_object_of_200_to_1024_bytes() {
    let lines: Vec<_> = SHIPPED.lines().collect();
    assert_eq!(lines.len(), orders::ORDERS as usize);
    assert!(SHIPPED.ends_with('\n') && !SHIPPED.contains('\r'));
    for line in &lines {
        assert!((200..=1024).contains(&line.len()), "{} bytes: {line}", line.len());
        // Not as numbers: some are beyond what a double holds.
        serde_json::from_str::<BTreeMap<String, &serde_json::value::RawValue>>(line)
            .unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), 10_000, "no line is there twice");
}

#[test]
fn the_orders_hold_what_careless_json_handling_breaks() {
    for promised in [
        "9007199254740993",
        "18446744073709551616",
        "12345678901234567890.123456789012345678901234567890",
        "\\ud83d\\ude00",
        "😀",
        "\\u0000",
        "\\\"hello\\\" \\/",
        "C:\\\\orders",
        "line one\\nline two",
        "请在工作日送货",
        "\"\":null",
        "\"备注\":\"\"",
        ":null",
        ":[]",
        "{}",
        "\" : ",
        ",\t ",
        "1E400",
        "\"层\":{\"",
    ] {
        assert!(SHIPPED.contains(promised), "{promised}");
    }
    let first_keys: BTreeSet<_> = SHIPPED.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(first_keys.len() >= 7, "keys come in changing order: {first_keys:?}");
}
