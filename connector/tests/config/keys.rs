//! Keys: unknown, misplaced, missing, given in the words of the original.

use super::reports;

#[test]
fn an_unknown_key_names_the_nearest_one() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            compresion = "lz4"
        "#,
        r#"
            error: unknown key `compresion` in a connection of kind "kafka"
             --> shop.toml:4:1
              |
            4 | compresion = "lz4"
              | ^^^^^^^^^^
              = help: write `compression`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_key_of_the_original_is_recognised() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            kafkaAcks = "all"
        "#,
        r#"
            error: unknown key `kafkaAcks` in a connection of kind "kafka"
             --> shop.toml:4:1
              |
            4 | kafkaAcks = "all"
              | ^^^^^^^^^
              = help: write `acks`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn an_unknown_key_without_a_near_one_lists_the_keys() {
    reports(
        r#"
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"
            colour = "red"
        "#,
        r#"
            error: unknown key `colour` in a connection of kind "jsonl"
             --> shop.toml:4:1
              |
            4 | colour = "red"
              | ^^^^^^
              = help: the keys are `kind`, `role`, `path`, `on_bad_message`, `on_push_error`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_key_of_another_kind_is_refused() {
    reports(
        r#"
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"
            topics = "orders"
        "#,
        r#"
            error: `topics` does not apply to a connection of kind "jsonl"
             --> shop.toml:4:1
              |
            4 | topics = "orders"
              | ^^^^^^
              = help: its keys are `kind`, `role`, `path`, `on_bad_message`, `on_push_error`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_key_that_comes_later_is_no_typing_error() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            agent = true
        "#,
        "
            error: `agent` is not supported by this version yet
             --> shop.toml:4:1
              |
            4 | agent = true
              | ^^^^^
              = help: leave it out

            error: 1 mistake in shop.toml
        ",
    );
}

#[test]
fn missing_keys_are_named_with_an_example() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"

            [connections.files]
            kind = "jsonl"

            [tasks.copy]
        "#,
        r#"
            error: the key `bootstrap` is missing
             --> shop.toml:1:1
              |
            1 | [connections.shop]
              | ^^^^^^^^^^^^^^^^^^
              = help: add `bootstrap = ["localhost:9092"]`

            error: the key `path` is missing
             --> shop.toml:4:1
              |
            4 | [connections.files]
              | ^^^^^^^^^^^^^^^^^^^
              = help: add `path = "orders.jsonl"`

            error: the key `mode` is missing
             --> shop.toml:7:1
              |
            7 | [tasks.copy]
              | ^^^^^^^^^^^^
              = help: add `mode = "full"`

            error: the key `source` is missing
             --> shop.toml:7:1
              |
            7 | [tasks.copy]
              | ^^^^^^^^^^^^
              = help: add `source = "NAME"`

            error: the key `target` is missing
             --> shop.toml:7:1
              |
            7 | [tasks.copy]
              | ^^^^^^^^^^^^
              = help: add `target = "NAME"`

            error: 5 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_missing_kind_is_named() {
    reports(
        r#"
            [connections.shop]
            bootstrap = "embedded"
        "#,
        r#"
            error: the key `kind` is missing
             --> shop.toml:1:1
              |
            1 | [connections.shop]
              | ^^^^^^^^^^^^^^^^^^
              = help: add `kind = "kafka"`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_wrong_table_name_is_corrected() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]

            [task.copy]
            source = "shop"
        "#,
        "
            error: unknown key `task` in the file
             --> shop.toml:5:2
              |
            5 | [task.copy]
              |  ^^^^
              = help: write `[tasks.NAME]`

            error: 1 mistake in shop.toml
        ",
    );
}

#[test]
fn an_empty_file_has_no_connection() {
    reports(
        "",
        "
            error: the file has no connection
             --> shop.toml
              = help: add a table [connections.NAME]; `ottla check --keys` lists all keys

            error: 1 mistake in shop.toml
        ",
    );
}

#[test]
fn a_name_has_letters_digits_and_little_else() {
    reports(
        r#"
            [connections."my shop"]
            kind = "jsonl"
            path = "-"

            [connections."订单库"]
            kind = "jsonl"
            path = "-"
        "#,
        r#"
            error: `my shop` cannot be a name
             --> shop.toml:1:14
              |
            1 | [connections."my shop"]
              |              ^^^^^^^^^
              = help: a name has letters (Chinese ones too), digits, `_` and `-`

            error: 1 mistake in shop.toml
        "#,
    );
}
