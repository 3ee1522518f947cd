//! Tasks: what they ask of their connections.

use super::reports;

#[test]
fn an_unknown_connection_names_the_nearest_one() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"

            [tasks.copy]
            source = "shpo"
            target = "file"
            mode = "full"
        "#,
        r#"
            error: there is no connection `shpo`
             --> shop.toml:9:10
              |
            9 | source = "shpo"
              |          ^^^^^^
              = help: write "shop"

            error: there is no connection `file`
              --> shop.toml:10:10
               |
            10 | target = "file"
               |          ^^^^^^
               = help: write "files"

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_role_forbids_the_wrong_side() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            role = "target"
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"
            role = "source"

            [tasks.copy]
            source = "shop"
            target = "files"
            mode = "full"
        "#,
        r#"
            error: the connection `shop` has role "target" and cannot be a source
              --> shop.toml:11:10
               |
            11 | source = "shop"
               |          ^^^^^^
               = help: give it role = "both" or "source"

            error: the connection `files` has role "source" and cannot be a target
              --> shop.toml:12:10
               |
            12 | target = "files"
               |          ^^^^^^^
               = help: give it role = "both" or "target"

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn a_task_cannot_feed_its_own_source() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            topics = "orders.*"

            [connections.same]
            kind = "kafka"
            bootstrap = ["LOCALHOST:9092"]
            topics = "orders-copy"

            [tasks.loop]
            source = "shop"
            target = "same"
            mode = "full"

            [tasks.itself]
            source = "shop"
            target = "shop"
            mode = "full"
        "#,
        r#"
            error: the task would read the topic it writes, `orders-copy`, on the same cluster
              --> shop.toml:13:10
               |
            13 | target = "same"
               |          ^^^^^^
               = help: write to a topic that the source's `topics` does not match

            error: source and target are the same cluster, and every record would go back into its own topic
              --> shop.toml:18:10
               |
            18 | target = "shop"
               |          ^^^^^^
               = help: give the target a connection of its own with a plain topic name: topics = "orders-copy"

            error: 2 mistakes in shop.toml
        "#,
    );
}

#[test]
fn lines_need_a_topic_to_go_to() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"

            [tasks.load]
            source = "files"
            target = "shop"
            mode = "full"
        "#,
        r#"
            error: lines have no topic, and `topics` of `shop` does not name one
              --> shop.toml:10:10
               |
            10 | target = "shop"
               |          ^^^^^^
               = help: give the target connection a plain topic name: topics = "orders"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_file_is_not_written_by_two_tasks_nor_by_its_own_reader() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"

            [tasks.a]
            source = "shop"
            target = "files"
            mode = "full"

            [tasks.b]
            source = "shop"
            target = "files"
            mode = "full"

            [tasks.c]
            source = "files"
            target = "files"
            mode = "full"
        "#,
        r#"
            error: the task `a` writes the same file `out.jsonl`
              --> shop.toml:15:10
               |
            15 | target = "files"
               |          ^^^^^^^
               = help: give each task a file of its own

            error: the task would write the file it reads: `out.jsonl`
              --> shop.toml:20:10
               |
            20 | target = "files"
               |          ^^^^^^^
               = help: write to another file

            error: the task `b` writes the same file `out.jsonl`
              --> shop.toml:20:10
               |
            20 | target = "files"
               |          ^^^^^^^
               = help: give each task a file of its own

            error: 3 mistakes in shop.toml
        "#,
    );
}

#[test]
fn two_tasks_never_share_a_group() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.one]
            kind = "jsonl"
            path = "one.jsonl"
            [connections.two]
            kind = "jsonl"
            path = "two.jsonl"

            [tasks.one]
            source = "shop"
            target = "one"
            mode = "full"
            [tasks.two]
            source = "shop"
            target = "two"
            mode = "full"
            group = "ottla-one"
        "#,
        r#"
            error: the group `ottla-one` keeps the positions of the task `one` already
              --> shop.toml:15:1
               |
            15 | [tasks.two]
               | ^^^^^^^^^^^
               = help: give each task a group of its own: group = "ottla-two"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn a_group_a_flag_and_a_time_of_the_wrong_form_say_what_to_write() {
    reports(
        r#"
            shutdown_timeout = 25
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"

            [tasks.copy]
            source = "shop"
            target = "files"
            mode = "full"
            group = "two words"
            allow_empty = "yes"
        "#,
        r#"
            error: `shutdown_timeout` has to be a time with its unit, in quotes, not a number
             --> shop.toml:1:20
              |
            1 | shutdown_timeout = 25
              |                    ^^
              = help: write "25s" for 25 seconds

            error: `two words` cannot be the name of a group
              --> shop.toml:13:9
               |
            13 | group = "two words"
               |         ^^^^^^^^^^^
               = help: write a name without blanks: group = "ottla-orders"

            error: `allow_empty` has to be true or false, not a text
              --> shop.toml:14:15
               |
            14 | allow_empty = "yes"
               |               ^^^^^

            error: 3 mistakes in shop.toml
        "#,
    );
    reports(
        "shutdown_timeout = \"25 sec\"\n[connections.files]\nkind = \"jsonl\"\npath = \"out.jsonl\"\n",
        r#"
            error: `25 sec` is no value of `shutdown_timeout`: a whole number and one of the units ms, s, m, h are expected
             --> shop.toml:1:20
              |
            1 | shutdown_timeout = "25 sec"
              |                    ^^^^^^^^
              = help: write a number and a unit: "500ms", "25s", "2m", "1h"

            error: 1 mistake in shop.toml
        "#,
    );
}

#[test]
fn the_group_is_the_tasks_own_or_the_one_it_names() {
    let text = r#"
        shutdown_timeout = "2m"
        [connections.shop]
        kind = "kafka"
        bootstrap = ["localhost:9092"]
        [connections.files]
        kind = "jsonl"
        path = "out.jsonl"
        [connections.others]
        kind = "jsonl"
        path = "others.jsonl"
        [tasks.copy]
        source = "shop"
        target = "files"
        mode = "full"
        [tasks.other]
        source = "shop"
        target = "others"
        mode = "full"
        group = "etl:orders"
        allow_empty = true
    "#;
    let config = super::check(text).config.expect("a good file");
    let (copy, other) = (&config.tasks["copy"], &config.tasks["other"]);
    assert_eq!((copy.group.as_str(), copy.allow_empty), ("ottla-copy", false));
    assert_eq!((other.group.as_str(), other.allow_empty), ("etl:orders", true));
    assert_eq!(config.shutdown_timeout, Some(std::time::Duration::from_mins(2)));
}

#[test]
fn a_wrong_word_for_partitions_that_cannot_be_read_is_told_with_the_right_ones() {
    reports(
        r#"
            [connections.shop]
            kind = "kafka"
            bootstrap = ["localhost:9092"]
            [connections.files]
            kind = "jsonl"
            path = "out.jsonl"

            [tasks.copy]
            source = "shop"
            target = "files"
            mode = "incremental"
            on_unavailable = "skip"
        "#,
        r#"
            error: `skip` is no value of `on_unavailable`
              --> shop.toml:12:18
               |
            12 | on_unavailable = "skip"
               |                  ^^^^^^
               = help: write "continue"
               = help: allowed are "continue", "stop"

            error: 1 mistake in shop.toml
        "#,
    );
}
