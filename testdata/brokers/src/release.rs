//! Kafka releases: what each is made of and how it is spoken to.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One Apache Kafka release, such as 2.3.1 or 0.11.0.3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    text: String,
    major: u16,
    minor: u16,
}

/// A Maven artifact by group, name and version.
pub(crate) type Artifact = (&'static str, String, String);

impl Release {
    /// The release named by the environment variable `OTTLA_KAFKA`, or the reference release 2.3.1.
    pub fn from_env() -> Result<Self, Error> {
        std::env::var("OTTLA_KAFKA").unwrap_or_else(|_| "2.3.1".to_owned()).parse()
    }

    /// Whether it is `major.minor` or later.
    pub fn at_least(&self, major: u16, minor: u16) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// Whether its brokers accept zstd (2.1 or later, KIP-110).
    pub fn accepts_zstd(&self) -> bool {
        self.at_least(2, 1)
    }

    /// Whether it runs on ZooKeeper here. Releases from 3.3 on run as KRaft.
    pub fn uses_zookeeper(&self) -> bool {
        !self.at_least(3, 3)
    }

    /// Whether its `TopicCommand` speaks to brokers rather than to ZooKeeper (KIP-377).
    pub(crate) fn tools_use_bootstrap_server(&self) -> bool {
        self.at_least(2, 2)
    }

    pub(crate) fn log4j2(&self) -> bool {
        self.at_least(4, 0)
    }

    /// What its class path is resolved from.
    pub(crate) fn artifacts(&self) -> Vec<Artifact> {
        let scala = match (self.at_least(2, 5), self.at_least(2, 0)) {
            (true, _) => "2.13",
            (false, true) => "2.12",
            (false, false) => "2.11",
        };
        let mut artifacts: Vec<Artifact> = vec![("org.apache.kafka", format!("kafka_{scala}"), self.text.clone())];
        if !self.uses_zookeeper() {
            artifacts.push(("org.apache.kafka", "kafka-tools".to_owned(), self.text.clone()));
        }
        if self.log4j2() {
            for name in ["log4j-slf4j-impl", "log4j-core"] {
                artifacts.push(("org.apache.logging.log4j", name.to_owned(), "2.25.1".to_owned()));
            }
        } else {
            artifacts.push(("org.slf4j", "slf4j-log4j12".to_owned(), "1.7.36".to_owned()));
        }
        if !self.at_least(1, 0) {
            artifacts.push(("javax.xml.bind", "jaxb-api".to_owned(), "2.3.1".to_owned()));
        }
        artifacts
    }
}

impl FromStr for Release {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Release(text.to_owned());
        let parts: Vec<u16> = text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let wanted = if parts.first() == Some(&0) { 4 } else { 3 };
        if parts.len() != wanted || (parts[0], parts[1]) < (0, 11) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), major: parts[0], minor: parts[1] })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart_by_their_numbers_not_their_letters() {
        let old: Release = "0.11.0.3".parse().expect("a release");
        let reference: Release = "2.3.1".parse().expect("a release");
        let new: Release = "4.3.1".parse().expect("a release");
        assert!(!old.at_least(1, 0) && old.uses_zookeeper() && !old.accepts_zstd());
        assert!(reference.accepts_zstd() && reference.uses_zookeeper() && reference.tools_use_bootstrap_server());
        assert!(new.at_least(4, 3) && !new.at_least(10, 0) && !new.uses_zookeeper());
    }

    #[test]
    fn what_is_no_release_is_refused() {
        for text in ["", "2.3", "2.3.x", "0.10.2.2", "0.11.0", "2.3.1.1", "v2.3.1"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
    }
}
