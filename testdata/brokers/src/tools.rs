//! Kafka's own command-line tools, run from a release's jars.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{Error, Finished, Kafka, Release, jars, run};

const PATIENCE: Duration = Duration::from_mins(2);

/// The command-line tools of one release. They need no broker of this crate: any `host:port` will do.
#[derive(Debug, Clone)]
pub struct Tools {
    release: Release,
    jars: PathBuf,
}

impl Tools {
    /// The tools of a release, whose jars are fetched if they are not there.
    pub fn of(release: &Release) -> Result<Self, Error> {
        Ok(Self { release: release.clone(), jars: jars::directory(release)? })
    }

    /// Runs one of the release's Java classes with these arguments and this standard input, for at most two minutes.
    pub fn run(&self, class: &str, args: &[&str], input: &[u8]) -> Result<Finished, Error> {
        let mut command = Command::new("java");
        // Compiled quickly rather than well: a tool lives for a second.
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.sasl.client=false"]);
        command.arg("-cp").arg(format!("{}/*", self.jars.display())).arg(class).args(args);
        run(&mut command, input, PATIENCE)?.success()
    }

    /// `kafka-console-producer`: each line of `input` becomes a record of the topic.
    pub fn console_producer(
        &self,
        bootstrap: &str,
        topic: &str,
        args: &[&str],
        input: &[u8],
    ) -> Result<Finished, Error> {
        let class = self.class(&["kafka.tools.ConsoleProducer", "org.apache.kafka.tools.ConsoleProducer"])?;
        let option = if self.release.at_least(2, 5) { "--bootstrap-server" } else { "--broker-list" };
        self.run(class, &[&[option, bootstrap, "--topic", topic], args].concat(), input)
    }

    /// `kafka-console-consumer` from the beginning, until it has read `count` records or waited 30 seconds for one.
    pub fn console_consumer(
        &self,
        bootstrap: &str,
        topic: &str,
        count: usize,
        args: &[&str],
    ) -> Result<Finished, Error> {
        let class = self.class(&["kafka.tools.ConsoleConsumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"])?;
        let count = count.to_string();
        let fixed = ["--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning", "--max-messages", &count];
        self.run(class, &[&fixed[..], &["--timeout-ms", "30000"], args].concat(), &[])
    }

    /// `kafka-consumer-groups`. It says refusals on standard output and ends with 0.
    pub fn consumer_groups(&self, bootstrap: &str, args: &[&str]) -> Result<Finished, Error> {
        let names = ["kafka.admin.ConsumerGroupCommand", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"];
        self.run(self.class(&names)?, &[&["--bootstrap-server", bootstrap], args].concat(), &[])
    }

    /// The first of the names that this release has: tools moved from package to package.
    fn class<'a>(&self, names: &[&'a str]) -> Result<&'a str, Error> {
        names
            .iter()
            .copied()
            .find(|name| jars::has_class(&self.jars, name))
            .ok_or_else(|| Error::NoSuchTool { release: self.release.to_string(), class: names.join(" or ") })
    }

    pub(crate) fn jars(&self) -> &std::path::Path {
        &self.jars
    }
}

impl Kafka {
    /// `kafka-topics` with its address argument added (`--zookeeper` before 2.2, `--bootstrap-server` after).
    pub fn topics_tool(&self, args: &[&str]) -> Result<Finished, Error> {
        let class = self.tools().class(&["kafka.admin.TopicCommand", "org.apache.kafka.tools.TopicCommand"])?;
        let brokers = self.release().tools_use_bootstrap_server();
        let (option, address) = self.cluster_argument(brokers);
        self.tools().run(class, &[&[option, &address], args].concat(), &[])
    }

    /// `kafka-configs` with its address argument added (`--zookeeper` before 2.7, which could not make SCRAM users over
    /// brokers, KIP-554; `--bootstrap-server` after).
    pub(crate) fn configs_tool(&self, args: &[&str]) -> Result<Finished, Error> {
        let class = self.tools().class(&["kafka.admin.ConfigCommand", "org.apache.kafka.tools.ConfigCommand"])?;
        let brokers = self.release().at_least(2, 7);
        let (option, address) = self.cluster_argument(brokers);
        self.tools().run(class, &[&[option, &address], args].concat(), &[])
    }

    /// How a tool is told where the cluster is: by its brokers, or by its ZooKeeper.
    fn cluster_argument(&self, brokers: bool) -> (&'static str, String) {
        match self.zookeeper_port() {
            Some(port) if !brokers => ("--zookeeper", format!("127.0.0.1:{port}")),
            _ => ("--bootstrap-server", self.bootstrap()),
        }
    }

    /// `kafka-delegation-tokens --create` (KIP-48, from 1.1 on): a token's id and its HMAC in base64, made for whom a file of
    /// client properties logs in at this address. The brokers need a [`KafkaOptions::delegation_tokens`].
    ///
    /// [`KafkaOptions::delegation_tokens`]: crate::KafkaOptions::delegation_tokens
    pub fn create_delegation_token(&self, bootstrap: &str, properties: &str) -> Result<(String, String), Error> {
        let file = self.directory().join("delegation-token.properties");
        std::fs::write(&file, properties).map_err(Error::file(&file))?;
        let names = ["kafka.admin.DelegationTokenCommand", "org.apache.kafka.tools.DelegationTokenCommand"];
        let class = self.tools().class(&names)?;
        let file = file.display().to_string();
        let args =
            ["--bootstrap-server", bootstrap, "--command-config", &file, "--create", "--max-life-time-period", "-1"];
        let printed = self.tools().run(class, &args, &[])?.text();
        // A heading, and under it, in 4.x after an empty line, the token: id, HMAC, owner, …
        let mut rows = printed.lines().skip_while(|line| !line.starts_with("TOKENID")).skip(1);
        let row = rows.find(|row| !row.trim().is_empty()).unwrap_or_default();
        let mut columns = row.split_whitespace().map(str::to_owned);
        if let (Some(id), Some(hmac)) = (columns.next(), columns.next()) {
            return Ok((id, hmac));
        }
        let status = "success, but printed no token".to_owned();
        Err(Error::Failed { program: class.to_owned(), status, output: printed })
    }

    /// `kafka-dump-log` of every segment of a partition on a broker: an independent reading of the record batches.
    pub fn dump_log(&self, index: usize, topic: &str, partition: i32, args: &[&str]) -> Result<Finished, Error> {
        let directory = self.partition_directory(index, topic, partition);
        let entries = std::fs::read_dir(&directory).map_err(Error::file(&directory))?;
        let mut segments: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        segments.sort();
        let files = segments.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(",");
        let class = self.tools().class(&["kafka.tools.DumpLogSegments", "org.apache.kafka.tools.DumpLogSegments"])?;
        self.tools().run(class, &[&["--files", &files], args].concat(), &[])
    }
}
