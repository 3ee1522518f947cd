//! Syntax: what the TOML parser refuses, in the user's words.

use super::reports;

#[test]
fn duplicates_are_refused() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            acks = "all"
            acks = "all"

            [connections.shop]
            kind = "jsonl"
        "#,
        r#"
            error: `acks` is given twice
             --> shop.toml:5:1
              |
            5 | acks = "all"
              | ^^^^
              = help: keep one of the two; a second table of the same name needs another name

            error: `shop` is given twice
             --> shop.toml:7:14
              |
            7 | [connections.shop]
              |              ^^^^
              = help: keep one of the two; a second table of the same name needs another name

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_value_without_quotes_is_told_so() {
    reports(
        r#"
            [connections.shop]
            kind = kafka
            bootstrap = "embedded"
        "#,
        r#"
            error: a text value needs quotes
             --> shop.toml:2:8
              |
            2 | kind = kafka
              |        ^^^^^
              = help: put it in quotes: "…"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn chinese_punctuation_is_named() {
    reports(
        r#"
            [connections.shop]
            kind ＝ "kafka"
            bootstrap = [“localhost:9092”]
        "#,
        r#"
            error: `＝` is a full-width or curly sign (全角标点) that TOML does not know
             --> shop.toml:2:6
              |
            2 | kind ＝ "kafka"
              |      ^^
              = help: type the plain one: `=`

            error: `“` is a full-width or curly sign (全角标点) that TOML does not know
             --> shop.toml:3:14
              |
            3 | bootstrap = [“localhost:9092”]
              |              ^
              = help: type the plain one: `"`

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_backslash_in_double_quotes_is_explained() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders\.v1"
        "#,
        r#"
            error: `\` begins an escape sequence in "…"
             --> shop.toml:4:17
              |
            4 | topics = "orders\.v1"
              |                 ^
              = help: put regular expressions and Windows paths in single quotes: '…'

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn yaml_is_not_toml() {
    reports(
        "
            connections:
              shop:
                kind: kafka
        ",
        r#"
            error: a key is followed by `=`, not by `:`
             --> shop.toml:1:12
              |
            1 | connections:
              |            ^
              = help: write `key = "value"`

            error: a key is followed by `=`, not by `:`
             --> shop.toml:2:7
              |
            2 |   shop:
              |       ^
              = help: write `key = "value"`

            error: a key is followed by `=`, not by `:`
             --> shop.toml:3:9
              |
            3 |     kind: kafka
              |         ^
              = help: write `key = "value"`

            error: 3 mistakes in shop.toml
        "#,
    );
}

#[test]
fn an_open_quote_or_bracket_is_named() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka
            bootstrap = ["localhost:9092"
        "#,
        r#"
            error: the closing quote is missing
             --> shop.toml:2:14
              |
            2 | kind = "kafka
              |              ^
              = help: a text in one pair of quotes ends in its line

            error: the list is not closed
             --> shop.toml:3:30
              |
            3 | bootstrap = ["localhost:9092"
              |                              ^
              = help: write `]` after its last item

            error: 2 mistakes in shop.toml
        "#,
    );
}
