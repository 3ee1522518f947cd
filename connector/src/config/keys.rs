//! Every key of the config file, stated once: the checks, the error messages, the nearest-key search and the
//! reference that `ottla check --keys` prints all read this table.
//!
//! `original` is the name of the setting in the form of the original connector.

mod login;

use std::fmt::Write as _;

/// A kind of table in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// The file itself.
    File,
    /// `[connections.NAME]`
    Connection,
    /// `auth` of a connection.
    Auth,
    /// `tls` of a connection.
    Tls,
    /// `[tasks.NAME]`
    Task,
}

impl Section {
    /// As spoken of in messages.
    pub(super) fn spoken(self) -> &'static str {
        match self {
            Self::File => "the file",
            Self::Connection => "a connection",
            Self::Auth => "`auth`",
            Self::Tls => "`tls`",
            Self::Task => "a task",
        }
    }
}

/// The kinds of connections, as far as keys depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KindName {
    /// `kind = "kafka"`
    Kafka,
    /// `kind = "jsonl"`
    Jsonl,
}

impl KindName {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Jsonl => "jsonl",
        }
    }
}

/// What happens when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// A mistake; the text is an example to write.
    Mistake(&'static str),
    /// A mistake for some; the texts are for which, and an example to write.
    MistakeFor(&'static str, &'static str),
    /// This, in words or as a value.
    Default(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table it stands in.
    pub section: Section,
    /// As written in the file.
    pub name: &'static str,
    /// The kinds of connections it applies to; empty means all.
    pub kinds: &'static [KindName],
    /// The setting's name in the original's form; empty where it has none.
    pub original: &'static str,
    /// The allowed words; empty for a free value.
    pub words: &'static [&'static str],
    /// What its absence means.
    pub absent: Absent,
    /// One sentence.
    pub about: &'static str,
    /// Other names people try: those of the original, of Kafka's own properties, of other tools.
    pub also: &'static [&'static str],
    /// Other spellings of the words, each with the word meant.
    pub also_words: &'static [(&'static str, &'static str)],
}

const KAFKA: &[KindName] = &[KindName::Kafka];
const JSONL: &[KindName] = &[KindName::Jsonl];
const ANY: &[KindName] = &[];

/// The keys in the order of the reference, without those of a login.
const KEYS: &[Key] = &[
    Key {
        section: Section::File,
        name: "connections",
        kinds: ANY,
        original: "连接名称 (connection name)",
        words: &[],
        absent: Absent::Mistake("[connections.shop]"),
        about: "one table per connection, its name is the table's: `[connections.NAME]`",
        also: &["connection", "sources", "targets", "source", "target", "sinks"],
        also_words: &[],
    },
    Key {
        section: Section::File,
        name: "tasks",
        kinds: ANY,
        original: "任务 (task)",
        words: &[],
        absent: Absent::Default("no task: the file serves `check` and `test` only"),
        about: "one table per task: `[tasks.NAME]`",
        also: &["task", "jobs", "job", "pipelines", "pipeline"],
        also_words: &[],
    },
    Key {
        section: Section::File,
        name: "state_dir",
        kinds: ANY,
        original: "",
        words: &[],
        absent: Absent::Default("\".ottla\""),
        about: "the directory in which tasks keep the positions of file sources; a relative path from the config file's directory",
        also: &["state_directory", "data_dir", "state", "positions"],
        also_words: &[],
    },
    Key {
        section: Section::File,
        name: "shutdown_timeout",
        kinds: ANY,
        original: "",
        words: &[],
        absent: Absent::Default("\"25s\", less than the 30 s of Kubernetes"),
        about: "how long tasks may drain after the first signal, such as \"25s\" or \"2m\"; then the run ends and names what was not committed",
        also: &["shutdown", "drain_timeout", "grace_period", "stop_timeout"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "kind",
        kinds: ANY,
        original: "",
        words: &["kafka", "jsonl"],
        absent: Absent::Mistake("kind = \"kafka\""),
        about: "a Kafka cluster, or a file of JSON objects, one a line",
        also: &["type", "connector", "driver"],
        also_words: &[("json", "jsonl"), ("ndjson", "jsonl"), ("file", "jsonl"), ("jsonlines", "jsonl")],
    },
    Key {
        section: Section::Connection,
        name: "role",
        kinds: ANY,
        original: "连接类型 (connection type)",
        words: &["source", "target", "both"],
        absent: Absent::Default("\"both\""),
        about: "what tasks may use the connection for",
        also: &["connection_type", "连接类型"],
        also_words: &[("source_and_target", "both"), ("sink", "target"), ("源", "source"), ("目标", "target")],
    },
    Key {
        section: Section::Connection,
        name: "bootstrap",
        kinds: KAFKA,
        original: "数据库地址 (address)",
        words: &[],
        absent: Absent::Mistake("bootstrap = [\"localhost:9092\"]"),
        about: "a list of `host:port`, IPv6 addresses in brackets; or \"embedded\", the development broker in this process",
        also: &[
            "bootstrap.servers",
            "bootstrap_servers",
            "brokers",
            "servers",
            "address",
            "nameSrvAddr",
            "clusterURI",
            "数据库地址",
            "Kafka地址",
        ],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "topics",
        kinds: KAFKA,
        original: "主题表达式 (topic expression)",
        words: &[],
        absent: Absent::Default("all topics but Kafka's internal ones"),
        about: "a regular expression that matches the whole topic name, at most 256 characters; for a target, a plain name is the topic written to",
        also: &["topic", "topic_expression", "pattern", "mqTopicString", "主题表达式"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "acks",
        kinds: KAFKA,
        original: "ACK 确认机制 (acknowledgement)",
        words: &["none", "leader", "majority", "all"],
        absent: Absent::Default("\"majority\""),
        about: "which replicas must have a record before it counts as written: none = 0, leader = 1, majority and all = -1, which are the same on the wire",
        also: &["ack", "kafkaAcks", "acksType", "request.required.acks"],
        also_words: &[("0", "none"), ("1", "leader"), ("-1", "majority"), ("quorum", "majority")],
    },
    Key {
        section: Section::Connection,
        name: "compression",
        kinds: KAFKA,
        original: "消息压缩类型 (message compression)",
        words: &["none", "gzip", "snappy", "lz4", "zstd"],
        absent: Absent::Default("\"lz4\""),
        about: "how written batches are compressed; zstd needs Kafka 2.1 or later",
        also: &["compression.type", "compression_type", "codec", "kafkaCompressionType", "compressionType"],
        also_words: &[
            ("uncompressed", "none"),
            ("disable", "none"),
            ("off", "none"),
            ("gz", "gzip"),
            ("zstandard", "zstd"),
        ],
    },
    Key {
        section: Section::Connection,
        name: "partition_by",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("\"source\" for records of topics, \"spread\" for lines"),
        about: "which partition a record is written to: \"source\" (its own number, modulo the count), \"key\" (its key's hash), \"spread\" (batch by batch, in no order), \"first\" (all to 0, in order), \"key:/id\" (the hash of the value's member `id`, by a JSON pointer; records without it stay together)",
        also: &["partitioner", "partitioner.class", "partition", "partitioning", "distribution"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "max_request_bytes",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("a record may be as large as its topic takes (max.message.bytes)"),
        about: "how large a request that writes may be before compression, and so a record: a number of bytes from 256 to 104857600",
        also: &["max.request.size", "max_request_size", "max_message_bytes", "max.message.bytes", "message.max.bytes"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "auth",
        kinds: KAFKA,
        original: "账号 / 密码 / 加密方式 (login)",
        words: &[],
        absent: Absent::Default("no login"),
        about: "the login: `{ mechanism = \"plain\", username = \"etl\", password = \"${env:SHOP_PASSWORD}\" }`",
        also: &["sasl", "login", "credentials", "authentication"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "tls",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("plain TCP"),
        about: "TLS: `{ ca = \"ca.pem\" }`, or `{}` to trust the system's authorities; files are read again when they change",
        also: &["ssl", "security", "security_protocol", "encryption"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "path",
        kinds: JSONL,
        original: "",
        words: &[],
        absent: Absent::Mistake("path = \"orders.jsonl\""),
        about: "the file, a relative path from the current directory; \"-\" is standard input or output",
        also: &["file", "filename", "file_path"],
        also_words: &[],
    },
    Key {
        section: Section::Connection,
        name: "on_bad_message",
        kinds: ANY,
        original: "忽略非 JSON 对象格式消息 (ignore messages that are no JSON objects)",
        words: &["stop", "skip"],
        absent: Absent::Default("\"stop\""),
        about: "a message that is not a JSON object stops the task before its position, or is counted, logged and passed",
        also: &["kafkaIgnoreInvalidRecord", "on_invalid_message", "bad_message"],
        also_words: &[("ignore", "skip"), ("fail", "stop"), ("true", "skip"), ("false", "stop")],
    },
    Key {
        section: Section::Connection,
        name: "on_push_error",
        kinds: ANY,
        original: "忽略推送消息异常 (ignore push errors)",
        words: &["stop", "skip"],
        absent: Absent::Default("\"stop\""),
        about: "a record that the target refuses stops the task before its position, or is counted, logged and passed",
        also: &["kafkaIgnorePushError", "on_write_error", "push_error"],
        also_words: &[("ignore", "skip"), ("fail", "stop"), ("true", "skip"), ("false", "stop")],
    },
    Key {
        section: Section::Tls,
        name: "ca",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("the system's authorities"),
        about: "whose word counts for a broker: a PEM file, a directory of them, or the PEM text itself",
        also: &["ca_file", "cacert", "truststore", "ssl.truststore.location", "ssl.ca.location", "root_ca"],
        also_words: &[],
    },
    Key {
        section: Section::Tls,
        name: "cert",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("no certificate is shown"),
        about: "the certificate shown to brokers that ask for one, followed by its issuers: a PEM file or the text",
        also: &[
            "certificate",
            "cert_file",
            "client_cert",
            "keystore",
            "ssl.keystore.location",
            "ssl.certificate.location",
        ],
        also_words: &[],
    },
    Key {
        section: Section::Tls,
        name: "key",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("no certificate is shown"),
        about: "its private key, PKCS#8, PKCS#1 or SEC1: a PEM file, or the text by `${env:NAME}` or `${file:PATH}`",
        also: &["key_file", "private_key", "client_key", "ssl.key.location", "ssl.keystore.key"],
        also_words: &[],
    },
    Key {
        section: Section::Tls,
        name: "key_password",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("the key is not encrypted"),
        about: "the password of an encrypted PKCS#8 key, best kept out of the file: `${env:NAME}`; never shown",
        also: &["key_pass", "ssl.key.password", "passphrase"],
        also_words: &[],
    },
    Key {
        section: Section::Tls,
        name: "server_name",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("the host of each broker's address"),
        about: "the name that every broker's certificate has to be for",
        also: &["sni", "hostname", "servername", "ssl.server.name"],
        also_words: &[],
    },
    Key {
        section: Section::Tls,
        name: "min_version",
        kinds: KAFKA,
        original: "",
        words: &["1.2", "1.3"],
        absent: Absent::Default("\"1.2\""),
        about: "the lowest version of TLS that is taken",
        also: &["min_tls_version", "ssl.enabled.protocols", "version"],
        also_words: &[("TLSv1.2", "1.2"), ("TLSv1.3", "1.3"), ("1_2", "1.2"), ("1_3", "1.3")],
    },
    Key {
        section: Section::Tls,
        name: "max_version",
        kinds: KAFKA,
        original: "",
        words: &["1.2", "1.3"],
        absent: Absent::Default("\"1.3\""),
        about: "the highest version of TLS that is taken",
        also: &["max_tls_version"],
        also_words: &[("TLSv1.2", "1.2"), ("TLSv1.3", "1.3"), ("1_2", "1.2"), ("1_3", "1.3")],
    },
    Key {
        section: Section::Tls,
        name: "insecure_skip_verification",
        kinds: KAFKA,
        original: "",
        words: &[],
        absent: Absent::Default("false"),
        about: "true believes any certificate, so that anyone on the way can read and change everything; warned of at each start",
        also: &["insecure", "insecure_skip_verify", "skip_verification", "tls_insecure"],
        also_words: &[],
    },
    Key {
        section: Section::Task,
        name: "source",
        kinds: ANY,
        original: "源 (source)",
        words: &[],
        absent: Absent::Mistake("source = \"NAME\""),
        about: "the connection to read from",
        also: &["from", "input", "in"],
        also_words: &[],
    },
    Key {
        section: Section::Task,
        name: "target",
        kinds: ANY,
        original: "目标 (target)",
        words: &[],
        absent: Absent::Mistake("target = \"NAME\""),
        about: "the connection to write to",
        also: &["to", "output", "out", "sink", "destination"],
        also_words: &[],
    },
    Key {
        section: Section::Task,
        name: "mode",
        kinds: ANY,
        original: "同步方式 (sync mode): 仅全量, 仅增量, 全量+增量",
        words: &["full", "incremental", "full+incremental"],
        absent: Absent::Mistake("mode = \"full\""),
        about: "what is there at the start; what comes after it; both",
        also: &["sync", "sync_mode", "type", "同步方式"],
        also_words: &[
            ("initial_sync", "full"),
            ("snapshot", "full"),
            ("仅全量", "full"),
            ("cdc", "incremental"),
            ("stream", "incremental"),
            ("仅增量", "incremental"),
            ("initial_sync+cdc", "full+incremental"),
            ("incremental+full", "full+incremental"),
            ("full_incremental", "full+incremental"),
            ("both", "full+incremental"),
            ("全量+增量", "full+incremental"),
        ],
    },
    Key {
        section: Section::Task,
        name: "group",
        kinds: ANY,
        original: "",
        words: &[],
        absent: Absent::Default("\"ottla-NAME\", NAME being the task's"),
        about: "the consumer group under which the task's positions are kept; tasks of different files need different groups",
        also: &["group_id", "group.id", "consumer_group", "groupId", "消费者组"],
        also_words: &[],
    },
    Key {
        section: Section::Task,
        name: "on_unavailable",
        kinds: ANY,
        original: "",
        words: &["continue", "stop"],
        absent: Absent::Default("\"continue\""),
        about: "an incremental task goes on with its other partitions while one has no leader, and says so, or stops after two minutes",
        also: &["on_leaderless", "unavailable", "on_offline"],
        also_words: &[("skip", "continue"), ("ignore", "continue"), ("fail", "stop"), ("wait", "continue")],
    },
    Key {
        section: Section::Task,
        name: "allow_empty",
        kinds: ANY,
        original: "",
        words: &[],
        absent: Absent::Default("false"),
        about: "true lets a task of mode full be complete when no topic matches; else it fails, since the name may be misspelled",
        also: &["empty", "allow_no_topics", "optional", "ignore_missing"],
        also_words: &[],
    },
];

/// Settings of the original that this version does not have yet, so that they are not taken for typing errors.
pub(super) const LATER: &[(Section, &str)] = &[
    (Section::Connection, "shared_mining"),
    (Section::Connection, "agent"),
    (Section::Connection, "schema_refresh"),
    (Section::Task, "start"),
];

/// The key of that name in that section.
pub fn find(section: Section, name: &str) -> Option<&'static Key> {
    of(section).find(|key| key.name == name)
}

/// All keys of a section, in the order of the reference.
pub fn of(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(login::KEYS).filter(move |key| key.section == section)
}

impl Key {
    /// Does it apply to connections of this kind?
    pub fn applies_to(&self, kind: KindName) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// The reference of all keys, as plain text.
pub fn reference() -> String {
    let mut out = String::new();
    for (section, title) in [
        (Section::File, "The file"),
        (Section::Connection, "[connections.NAME]"),
        (Section::Auth, "auth = { … } of a connection"),
        (Section::Tls, "tls = { … } of a connection"),
        (Section::Task, "[tasks.NAME]"),
    ] {
        let _ = writeln!(out, "{title}\n");
        of(section).for_each(|key| describe(key, &mut out));
    }
    out.push_str(
        "Inside string values: ${env:NAME}, ${env:NAME:-default} and ${file:PATH} are replaced after the file was\n\
         parsed; an unset variable is a mistake; $${ stands for a plain ${.\n",
    );
    out
}

fn describe(key: &Key, out: &mut String) {
    let _ = write!(out, "  {}", key.name);
    if let [only] = key.kinds {
        let _ = write!(out, "  (kind = \"{}\")", only.name());
    }
    if !key.original.is_empty() {
        let _ = write!(out, "  {}", key.original);
    }
    let _ = writeln!(out, "\n      {}", key.about);
    if !key.words.is_empty() {
        let _ = writeln!(out, "      one of: {}", key.words.join(", "));
    }
    let _ = match key.absent {
        Absent::Mistake(example) => writeln!(out, "      required, for example: {example}\n"),
        Absent::MistakeFor(whom, example) => writeln!(out, "      required for {whom}, for example: {example}\n"),
        Absent::Default(meaning) => writeln!(out, "      absent: {meaning}\n"),
    };
}
