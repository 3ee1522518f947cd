//! How a cluster is to be started.

/// What to start. `KafkaOptions::default()` is one broker without security.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Number of brokers, 1 or more.
    pub brokers: usize,
    /// Broker properties, laid over the ones this crate chooses.
    pub properties: Vec<(String, String)>,
    /// Users of a second listener with SASL PLAIN; without any there is no such listener.
    pub sasl_plain: Vec<SaslUser>,
    /// The largest heap of a broker's JVM, in MiB.
    pub heap_mib: u32,
    /// Further arguments of a broker's JVM.
    pub jvm: Vec<String>,
}

/// A user name and its password.
#[derive(Debug, Clone)]
pub struct SaslUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { brokers: 1, properties: Vec::new(), sasl_plain: Vec::new(), heap_mib: 384, jvm: Vec::new() }
    }
}

impl KafkaOptions {
    /// As many brokers.
    #[must_use]
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers.max(1);
        self
    }

    /// One more broker property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more user of the SASL PLAIN listener.
    #[must_use]
    pub fn sasl_plain(mut self, name: &str, password: &str) -> Self {
        self.sasl_plain.push(SaslUser { name: name.to_owned(), password: password.to_owned() });
        self
    }
}
