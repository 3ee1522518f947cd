//! The property files that ZooKeeper, brokers and their loggers are started with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::listeners::{self, Ports};
use crate::{KafkaOptions, Release};

/// Broker log on standard output, at a level that shows why a start failed.
pub(crate) const LOG4J: &str = "log4j.rootLogger=INFO,out\n\
    log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n\n";

/// The same for the logger of 4.x.
pub(crate) const LOG4J2: &str = "rootLogger.level=info\n\
    rootLogger.appenderRef.out.ref=out\n\
    appender.out.type=Console\nappender.out.name=out\n\
    appender.out.layout.type=PatternLayout\n\
    appender.out.layout.pattern=[%d] %p %m (%c)%n\n";

pub(crate) fn zookeeper(data: &Path, port: u16) -> String {
    // Short ticks, since the shortest session is two of them.
    format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n\
         tickTime=1000\n",
        data.display()
    )
}

/// The properties of broker `index` (from 0; its id is one more).
pub(crate) fn broker(
    release: &Release,
    options: &KafkaOptions,
    index: usize,
    all: &[Ports],
    zookeeper_port: Option<u16>,
    data: &Path,
) -> String {
    let mut set = Properties::default();
    let replicas = all.len().min(3);
    set.put("log.dirs", data.display());
    set.put("offsets.topic.replication.factor", replicas);
    set.put("transaction.state.log.replication.factor", replicas);
    set.put("transaction.state.log.min.isr", 1);
    set.put("offsets.topic.num.partitions", 4);
    set.put("transaction.state.log.num.partitions", 4);
    set.put("group.initial.rebalance.delay.ms", 0);
    // Not 1: a topic that was made on demand by the broker differs from one that a client asked for.
    set.put("num.partitions", 2);
    set.put("num.network.threads", 2);
    set.put("num.io.threads", 4);
    set.put("controlled.shutdown.enable", all.len() > 1);
    if let Some(ports) = all.get(index) {
        listeners::put(&mut set, options, ports, zookeeper_port.is_none());
    }
    match zookeeper_port {
        Some(port) => {
            set.put("broker.id", index + 1);
            set.put("zookeeper.connect", format!("127.0.0.1:{port}"));
            // A killed broker's id is free again after this long.
            set.put("zookeeper.session.timeout.ms", 6000);
            set.put("zookeeper.connection.timeout.ms", 60_000);
        }
        None => kraft(&mut set, release, index, all),
    }
    for (name, value) in &options.properties {
        set.put(name, value);
    }
    set.text()
}

fn kraft(set: &mut Properties, release: &Release, index: usize, all: &[Ports]) {
    let voters: Vec<_> =
        all.iter().enumerate().map(|(at, ports)| format!("{}@127.0.0.1:{}", at + 1, ports.controller)).collect();
    set.put("process.roles", "broker,controller");
    set.put("node.id", index + 1);
    set.put("controller.quorum.voters", voters.join(","));
    if release.at_least(4, 0) {
        let replicas = all.len().min(3);
        set.put("share.coordinator.state.topic.replication.factor", replicas);
        set.put("share.coordinator.state.topic.min.isr", 1);
    }
}

/// Ordered and without repetition: a later value replaces an earlier one.
#[derive(Default)]
pub(crate) struct Properties(BTreeMap<String, String>);

impl Properties {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts read better without a reference")]
    pub(crate) fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={value}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listener;

    fn text(release: &str, options: &KafkaOptions, zookeeper: Option<u16>) -> String {
        let ports = [Ports { listeners: [(Listener::Plaintext, 9092)].into(), controller: 9094 }];
        broker(&release.parse().expect("a release"), options, 0, &ports, zookeeper, Path::new("data"))
    }

    #[test]
    fn what_the_caller_sets_replaces_what_this_crate_chose() {
        let options = KafkaOptions::default().property("num.partitions", "7");
        let text = text("2.3.1", &options, Some(2181));
        assert!(text.contains("num.partitions=7\n") && !text.contains("num.partitions=2\n"), "{text}");
    }

    #[test]
    fn a_release_gets_zookeeper_or_a_quorum_but_never_both() {
        let options = KafkaOptions::default().sasl_plain("alice", "secret");
        let (old, new) = (text("2.3.1", &options, Some(2181)), text("4.3.1", &options, None));
        assert!(old.contains("zookeeper.connect=127.0.0.1:2181") && !old.contains("CONTROLLER"), "{old}");
        assert!(new.contains("controller.quorum.voters=1@127.0.0.1:9094") && !new.contains("zookeeper"), "{new}");
    }
}
