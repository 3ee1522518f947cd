//! Values: words, addresses, topic expressions, references.

use super::reports;

#[test]
fn a_wrong_word_names_the_allowed_ones() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            acks = "majorty"
        "#,
        r#"
            error: `majorty` is no value of `acks`
             --> shop.toml:4:8
              |
            4 | acks = "majorty"
              |        ^^^^^^^^^
              = help: write "majority"
              = help: allowed are "none", "leader", "majority", "all"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_wrong_word_of_the_original_is_translated() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            compression = "uncompressed"
        "#,
        r#"
            error: `uncompressed` is no value of `compression`
             --> shop.toml:4:15
              |
            4 | compression = "uncompressed"
              |               ^^^^^^^^^^^^^^
              = help: write "none"
              = help: allowed are "none", "gzip", "snappy", "lz4", "zstd"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_number_for_a_word_is_translated() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            acks = -1
        "#,
        r#"
            error: `acks` has to be a word in quotes, not a number
             --> shop.toml:4:8
              |
            4 | acks = -1
              |        ^^
              = help: write "majority"
              = help: allowed are "none", "leader", "majority", "all"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_switch_of_the_original_is_translated() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            on_bad_message = true
        "#,
        r#"
            error: `on_bad_message` has to be a word in quotes, not true or false
             --> shop.toml:4:18
              |
            4 | on_bad_message = true
              |                  ^^^^
              = help: write "skip"
              = help: allowed are "stop", "skip"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn each_bad_address_is_named() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
        "#,
        r#"
            error: the address `localhost` is wrong: the port is missing
             --> shop.toml:3:14
              |
            3 | bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
              |              ^^^^^^^^^^^
              = help: write `localhost:9092`

            error: the address `h:0` is wrong: the port 0 is out of range
             --> shop.toml:3:27
              |
            3 | bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
              |                           ^^^^^
              = help: a port is a number from 1 to 65535; Kafka's usual one is 9092

            error: the address `h:70000` is wrong: the port 70000 is out of range
             --> shop.toml:3:34
              |
            3 | bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
              |                                  ^^^^^^^^^
              = help: a port is a number from 1 to 65535; Kafka's usual one is 9092

            error: the address `::1` is wrong: an IPv6 address needs brackets and a port
             --> shop.toml:3:45
              |
            3 | bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
              |                                             ^^^^^
              = help: write `[::1]:9092`

            error: the address `本地：9092` is wrong: it has a full-width sign (全角标点) in it
             --> shop.toml:3:52
              |
            3 | bootstrap = ["localhost", "h:0", "h:70000", "::1", "本地：9092", "b:9092"]
              |                                                    ^^^^^^^^^^^^
              = help: type it in half-width (半角): `本地:9092`

            error: 5 mistakes in shop.toml
        "#,
    );
}

#[test]
fn one_address_without_a_list_is_put_into_one() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = "a:9092,b:9092"
        "#,
        r#"
            error: `bootstrap` has to be a list of "host:port" or the word "embedded"
             --> shop.toml:3:13
              |
            3 | bootstrap = "a:9092,b:9092"
              |             ^^^^^^^^^^^^^^^
              = help: write ["a:9092", "b:9092"]

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_bad_expression_is_underlined_where_it_is_bad() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders-(a|b"
        "#,
        r#"
            error: the topic expression is not a valid regular expression: unclosed group
             --> shop.toml:4:18
              |
            4 | topics = "orders-(a|b"
              |                  ^
              = help: a topic expression is a regular expression; `\` before a sign takes it literally

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_star_alone_is_no_expression() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "*"
        "#,
        r#"
            error: the topic expression is not a valid regular expression: repetition operator missing expression
             --> shop.toml:4:11
              |
            4 | topics = "*"
              |           ^
              = help: in a regular expression, "anything" is `.*`, not `*`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_glob_gets_a_hint() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders*"
        "#,
        r#"
            warning: `s*` means any number of `s`, as in every regular expression
             --> shop.toml:4:16
              |
            4 | topics = "orders*"
              |                ^^
              = help: if any ending was meant, write "orders.*"
        "#,
    );
}

#[test]
fn a_comma_in_an_expression_gets_a_hint() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders,items"
        "#,
        r#"
            warning: no topic has a comma in its name, so this matches nothing
             --> shop.toml:4:17
              |
            4 | topics = "orders,items"
              |                 ^
              = help: join several names with `|`: "orders|items"
        "#,
    );
}

#[test]
fn a_list_of_topics_is_joined() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = ["orders", "items"]
        "#,
        r#"
            error: `topics` has to be one regular expression, not a list
             --> shop.toml:4:10
              |
            4 | topics = ["orders", "items"]
              |          ^^^^^^^^^^^^^^^^^^^
              = help: join several names with `|`: "orders|items"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn an_unset_variable_is_named_with_its_place() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders-${env:NOT_SET}"
        "#,
        r#"
            error: the environment variable `NOT_SET` is not set
             --> shop.toml:4:18
              |
            4 | topics = "orders-${env:NOT_SET}"
              |                  ^^^^^^^^^^^^^^
              = help: set NOT_SET, or give a default: `${env:NOT_SET:-default}`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_bad_reference_is_refused() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "${NOT_SET}"
        "#,
        r#"
            error: this is no reference that can be filled in
             --> shop.toml:4:11
              |
            4 | topics = "${NOT_SET}"
              |           ^^^^^^^^^^
              = help: write `${env:NAME}`, `${env:NAME:-default}` or `${file:PATH}`, or `$${` for a plain `${`

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn tabs_and_wide_characters_do_not_move_the_carets() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["地址",	"b:x"]
        "#,
        r#"
            error: the address `地址` is wrong: the port is missing
             --> shop.toml:3:14
              |
            3 | bootstrap = ["地址",    "b:x"]
              |              ^^^^^^
              = help: write `地址:9092`

            error: the address `b:x` is wrong: the port `x` is not a number
             --> shop.toml:3:20
              |
            3 | bootstrap = ["地址",    "b:x"]
              |                         ^^^^^
              = help: a port is a number from 1 to 65535; Kafka's usual one is 9092

            error: 2 mistakes in shop.toml
        "#,
    );
}
