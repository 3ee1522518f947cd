//! The validator against examples, against every cut and damage, and against serde_json.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn fault(value: &[u8]) -> (usize, Fault) {
    let error = check(value).expect_err("not an object");
    (error.offset, error.fault)
}

#[test]
fn objects_of_every_shape_are_accepted() {
    for value in [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        r#"{"":{},"b":[],"c":[[],{}]}"#,
        r#"{"n":[0,-0,1.5,-1.25e+10,1E-7,123456789012345678901234567890,0.1e0]}"#,
        r#"{"s":"\"\\\/\b\f\n\r\té中文字符\ud800 \u00e9"}"#,
        r#"{"t":true,"f":false,"n":null}"#,
        r#"{"a":1,"a":2}"#,
        "{\"长的键名称在这里\" : \"七个字节以上的字符串\"}",
    ] {
        assert_eq!(check(value.as_bytes()), Ok(Layout { line_breaks: false }), "{value}");
    }
}

#[test]
fn line_breaks_between_tokens_are_seen() {
    assert_eq!(check(b"{\"a\":\n1}"), Ok(Layout { line_breaks: true }));
    assert_eq!(check(b"{}\r"), Ok(Layout { line_breaks: true }));
    assert_eq!(check(br#"{"a":"\n"}"#), Ok(Layout { line_breaks: false }));
}

#[test]
fn other_kinds_are_named() {
    for (value, kind) in [
        ("[1]", "an array"),
        ("\"x\"", "a string"),
        ("-1", "a number"),
        ("true", "a boolean"),
        ("false", "a boolean"),
        ("null", "null"),
    ] {
        assert_eq!(fault(value.as_bytes()), (0, Fault::OtherKind(kind)), "{value}");
    }
    assert_eq!(fault(b"hello"), (0, Fault::NotJson));
    assert_eq!(fault(b""), (0, Fault::Empty));
    assert_eq!(fault(b"  \n"), (3, Fault::Empty));
    assert_eq!(fault("\u{feff}{}".as_bytes()), (0, Fault::ByteOrderMark));
    assert_eq!(check(b"[1]").expect_err("array").to_string(), "the value is an array, not an object, at byte 0");
}

#[test]
fn a_fault_carries_its_byte() {
    for (value, offset, expected) in [
        ("{\"a\":1}x", 7, Fault::Trailing),
        ("{\"a\":1}{}", 7, Fault::Trailing),
        ("{\"a\":01}", 6, Fault::Number),
        ("{\"a\":-}", 6, Fault::Number),
        ("{\"a\":1.}", 7, Fault::Number),
        ("{\"a\":1e+}", 8, Fault::Number),
        ("{\"a\":\"\u{1}\"}", 6, Fault::ControlCharacter),
        ("{\"a\":\"\\x\"}", 6, Fault::Escape),
        ("{\"a\":\"\\u12g4\"}", 6, Fault::Escape),
        ("{\"a\":\"\\u12\"}", 6, Fault::Escape),
        ("{\"a\" 1}", 5, Fault::Expected("`:`")),
        ("{\"a\":1 \"b\":2}", 7, Fault::Expected("`,` or `}`")),
        ("{\"a\":[1 2]}", 8, Fault::Expected("`,` or `]`")),
        ("{a:1}", 1, Fault::Expected("a key in quotes")),
        ("{\"a\":1,}", 7, Fault::Expected("a key in quotes")),
        ("{\"a\":[1,]}", 8, Fault::Expected("a value")),
        ("{\"a\":tru}", 5, Fault::Expected("a value")),
        ("{\"a\":}", 5, Fault::Expected("a value")),
        ("{,}", 1, Fault::Expected("a key in quotes")),
        ("{\"a\":[}", 6, Fault::Expected("a value")),
        ("{\"a\":1]", 6, Fault::Expected("`,` or `}`")),
    ] {
        assert_eq!(fault(value.as_bytes()), (offset, expected), "{value}");
    }
    assert_eq!(fault(b"{\"a\":\"\xff\"}"), (6, Fault::Utf8));
}

#[test]
fn every_cut_of_an_object_is_truncated_at_its_end() {
    let value = r#" {"a":[1,-2.5e3,{"b":null,"t":true,"f":false}],"c":"xé\n€€€€"}"#.as_bytes();
    assert!(check(value).is_ok());
    for end in 2..value.len() {
        let cut = &value[..end];
        match check(cut) {
            Err(NotAnObject { offset, fault: Fault::Truncated }) => assert_eq!(offset, end),
            Err(NotAnObject { fault: Fault::Utf8, .. }) => assert!(std::str::from_utf8(cut).is_err()),
            other => panic!("{other:?} for the first {end} bytes"),
        }
    }
}

#[test]
fn the_depth_limit_holds_exactly() {
    let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth - 1), "{}", "}".repeat(depth - 1));
    assert!(check(nested(MAX_DEPTH as usize).as_bytes()).is_ok());
    let (offset, why) = fault(nested(MAX_DEPTH as usize + 1).as_bytes());
    assert_eq!((offset, why), (5 * MAX_DEPTH as usize, Fault::TooDeep));
    let arrays = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert_eq!(fault(arrays.as_bytes()).1, Fault::TooDeep);
}

/// What serde_json says, which has no depth limit for values it does not build.
fn oracle(value: &[u8]) -> bool {
    let object = value.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{');
    object && serde_json::from_slice::<&RawValue>(value).is_ok()
}

fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[a-z\\u{e9}\\u{4e2d}]{0,20}", r#"(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|x){0,6}"#];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        text.clone().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let space = "[ \t\r\n]{0,2}";
        let member = (text.clone(), space, inner.clone())
            .prop_map(|(key, space, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_agrees_with_serde_json_on_documents(document in json()) {
        prop_assert_eq!(check(document.as_bytes()).is_ok(), oracle(document.as_bytes()));
        let wrapped = format!("{{\"w\":{document}}}");
        prop_assert!(check(wrapped.as_bytes()).is_ok(), "{}", wrapped);
    }

    #[test]
    fn it_agrees_with_serde_json_on_damaged_documents(
        document in json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3, prop_oneof![
            prop::sample::select(br#"{}[]",:\0-+.eEu ntf"#.to_vec()), any::<u8>(),
        ]), 1..4),
    ) {
        let mut bytes = format!("{{\"w\":{document}}}").into_bytes();
        for (index, kind, byte) in damage {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let ours = check(&bytes);
        prop_assert_eq!(ours.is_ok(), oracle(&bytes), "{:?} {:?}", ours, String::from_utf8_lossy(&bytes));
        if let Err(error) = ours {
            prop_assert!(error.offset <= bytes.len());
        }
    }

    #[test]
    fn it_agrees_with_serde_json_on_noise(bytes in prop::collection::vec(
        prop::sample::select(b"{}[]\"\\,:0123456789-+.eEtruefalsn \xc3\xa9\xff\x1f".to_vec()), 0..40,
    )) {
        prop_assert_eq!(check(&bytes).is_ok(), oracle(&bytes));
    }

    #[test]
    fn the_scan_finds_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut scan = Scan { value: &bytes, at: 0, line_breaks: false };
        scan.plain_run();
        let expected = bytes.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        prop_assert_eq!(scan.at, expected.unwrap_or(bytes.len()));
    }
}
