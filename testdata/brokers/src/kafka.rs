//! A running cluster.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::guard::Guarded;
use crate::listeners::Ports;
use crate::room::Room;
use crate::{Admin, Error, KafkaOptions, Listener, Release, Tools, files, jaas, ports, run};

/// From start to ready. A broker needs 2 to 6 s by itself; a loaded machine and three of them need patience.
const READY: Duration = Duration::from_mins(2);
/// From TERM to KILL.
const STOP: Duration = Duration::from_secs(15);
/// Starts that another process took a port away from.
const TRIES: usize = 3;
/// Any 22 characters of URL-safe Base64 that make 16 bytes.
const CLUSTER_ID: &str = "Q2x1c3Rlci1mb3ItdGVzdA";

/// A real Kafka cluster on loopback, ready for use.
///
/// All methods take `&self`, so that the tests of one binary can share one cluster in a `static`. Dropping it, or ending
/// the process in whatever way, kills all its processes and removes its data; with the environment variable
/// `OTTLA_KAFKA_KEEP` set, or while the thread that drops it is panicking, the data and logs stay and their place is
/// printed.
#[derive(Debug)]
pub struct Kafka {
    release: Release,
    options: KafkaOptions,
    tools: Tools,
    ports: Vec<Ports>,
    zookeeper_port: Option<u16>,
    brokers: Vec<Mutex<Option<Guarded>>>,
    zookeeper: Option<Guarded>,
    /// Last, so that it goes when all processes are gone.
    room: Room,
}

impl Kafka {
    /// Starts one broker of a release and waits until it answers.
    pub fn start(release: Release) -> Result<Self, Error> {
        Self::start_with(release, KafkaOptions::default())
    }

    /// Starts a cluster and waits until every broker answers and knows all the others.
    #[expect(clippy::needless_pass_by_value, reason = "each try copies them; callers make them for this call")]
    pub fn start_with(release: Release, options: KafkaOptions) -> Result<Self, Error> {
        let tools = Tools::of(&release)?;
        let mut tries = 1;
        loop {
            let mut kafka = Self::laid_out(&release, &options, &tools)?;
            match kafka.launch() {
                Ok(()) => return Ok(kafka),
                Err(Error::NotReady { tail, .. }) if tries < TRIES && is_port_clash(&tail) => tries += 1,
                Err(error) => {
                    kafka.room.keep();
                    return Err(error);
                }
            }
        }
    }

    /// The release that runs.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// All brokers without security, as `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        (0..self.ports.len()).map(|index| self.address(index)).collect::<Vec<_>>().join(",")
    }

    /// All brokers' SASL_PLAINTEXT listeners, if [`KafkaOptions::sasl_plain`] named users or the cluster is secured.
    pub fn sasl_bootstrap(&self) -> Option<String> {
        self.bootstrap_of(Listener::SaslPlaintext)
    }

    /// One listener of all brokers, as `host:port,host:port`; `None` if they do not have it.
    pub fn bootstrap_of(&self, listener: Listener) -> Option<String> {
        let addresses: Option<Vec<_>> = (0..self.ports.len()).map(|index| self.address_of(index, listener)).collect();
        addresses.map(|addresses| addresses.join(","))
    }

    /// One listener of one broker (from 0), as `host:port`; `None` if there is no such broker or listener. The host of a
    /// secured cluster's listeners is `localhost`, as their certificates and principals say, except for PLAINTEXT's.
    pub fn address_of(&self, index: usize, listener: Listener) -> Option<String> {
        let port = self.ports.get(index)?.listeners.get(&listener)?;
        Some(format!("{}:{port}", listener.host(&self.options)))
    }

    /// The `host:port` of one broker (from 0; its id in the cluster is one more).
    ///
    /// # Panics
    ///
    /// When there is no such broker.
    pub fn address(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.ports[index].plain())
    }

    /// Quick administrative requests, sent to a broker that runs.
    pub fn admin(&self) -> Result<Admin, Error> {
        let alive = (0..self.brokers.len()).find(|index| self.slot(*index).is_some());
        Ok(Admin::new(&self.address(alive.unwrap_or(0))))
    }

    /// The release's command-line tools.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Where data and logs lie while the cluster runs.
    pub fn directory(&self) -> &Path {
        self.room.path()
    }

    /// The directory of a partition's segment files on a broker.
    pub fn partition_directory(&self, index: usize, topic: &str, partition: i32) -> PathBuf {
        self.directory().join(format!("data-{index}")).join(format!("{topic}-{partition}"))
    }

    /// Kills a broker with SIGKILL. It is gone when this returns.
    pub fn kill(&self, index: usize) {
        if let Some(process) = self.slot(index).take() {
            process.kill();
        }
    }

    /// Stops a broker in order. It is gone when this returns.
    pub fn stop(&self, index: usize) {
        let process = self.slot(index).take();
        if let Some(process) = process {
            process.stop(STOP);
        }
    }

    /// Freezes a broker with SIGSTOP: it does nothing more, while its connections stay open and the cluster counts it among
    /// the living until its session times out (6 s, unless a property says otherwise). Ending it is all that can be done
    /// with it after that.
    pub fn freeze(&self, index: usize) {
        if let Some(process) = &mut *self.slot(index) {
            process.freeze();
        }
    }

    /// Starts a killed or stopped broker again, on the same port and the same data, and waits until it answers and all
    /// of its topics have leaders.
    pub fn start_again(&self, index: usize) -> Result<(), Error> {
        let deadline = Instant::now() + READY;
        loop {
            if self.slot(index).is_none() {
                let process = self.spawn_broker(index)?;
                *self.slot(index) = Some(process);
            }
            match self.await_broker(index, 1, deadline) {
                // ZooKeeper still holds the killed process's registration until its session times out.
                Err(Error::NotReady { tail, .. }) if is_still_registered(&tail) && Instant::now() < deadline => {
                    self.kill(index);
                    thread::sleep(Duration::from_millis(500));
                }
                outcome => return outcome,
            }
        }
    }

    /// One listener of all brokers by number instead of name, as this crate's own requests want it.
    pub(crate) fn loopback_addresses(&self, listener: Listener) -> Vec<String> {
        let ports = self.ports.iter().filter_map(|ports| ports.listeners.get(&listener));
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    pub(crate) fn zookeeper_port(&self) -> Option<u16> {
        self.zookeeper_port
    }

    fn laid_out(release: &Release, options: &KafkaOptions, tools: &Tools) -> Result<Self, Error> {
        let room = Room::new(&format!("ottla-kafka-{release}-"), &format!("Kafka {release}"))?;
        let count = options.brokers.max(1);
        let ports = (0..count).map(|_| Ports::free(release, options)).collect::<Result<Vec<_>, Error>>()?;
        let zookeeper_port = if release.uses_zookeeper() { Some(ports::free()?) } else { None };
        Ok(Self {
            release: release.clone(),
            options: options.clone(),
            tools: tools.clone(),
            ports,
            zookeeper_port,
            brokers: (0..count).map(|_| Mutex::new(None)).collect(),
            zookeeper: None,
            room,
        })
    }

    fn launch(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY;
        self.write_files()?;
        if self.zookeeper_port.is_some() {
            self.zookeeper = Some(self.spawn_zookeeper()?);
        } else {
            self.format_storage()?;
        }
        for index in 0..self.brokers.len() {
            let process = self.spawn_broker(index)?;
            *self.slot(index) = Some(process);
        }
        (0..self.brokers.len()).try_for_each(|index| self.await_broker(index, self.brokers.len(), deadline))?;
        if self.options.security.is_some() { self.make_scram_users(&self.options.sasl_plain) } else { Ok(()) }
    }

    fn write_files(&self) -> Result<(), Error> {
        self.room.write("log4j.properties", files::LOG4J)?;
        self.room.write("log4j2.properties", files::LOG4J2)?;
        self.room.write("jaas.conf", &jaas::file(&self.options))?;
        if let Some(port) = self.zookeeper_port {
            self.room.write("zookeeper.properties", &files::zookeeper(&self.directory().join("zookeeper"), port))?;
        }
        for index in 0..self.ports.len() {
            let data = self.directory().join(format!("data-{index}"));
            let (release, options, ports) = (&self.release, &self.options, &self.ports);
            let text = files::broker(release, options, index, ports, self.zookeeper_port, &data);
            self.room.write(&format!("broker-{index}.properties"), &text)?;
        }
        Ok(())
    }

    fn format_storage(&self) -> Result<(), Error> {
        for index in 0..self.ports.len() {
            let file = self.directory().join(format!("broker-{index}.properties"));
            let mut words = self.java("kafka.tools.StorageTool", 128);
            words.extend(["format", "-t", CLUSTER_ID, "-c"].map(OsString::from));
            words.push(file.into());
            let mut command = std::process::Command::new(&words[0]);
            run(command.args(&words[1..]), &[], READY)?.success()?;
        }
        Ok(())
    }

    fn spawn_zookeeper(&self) -> Result<Guarded, Error> {
        let mut words = self.java("org.apache.zookeeper.server.quorum.QuorumPeerMain", 128);
        words.push(self.directory().join("zookeeper.properties").into());
        Guarded::spawn(&words, &self.directory().join("zookeeper.log"))
    }

    fn spawn_broker(&self, index: usize) -> Result<Guarded, Error> {
        let mut words = self.java("kafka.Kafka", self.options.heap_mib);
        words.push(self.directory().join(format!("broker-{index}.properties")).into());
        self.set_old_log_aside(index)?;
        Guarded::spawn(&words, &self.log(index))
    }

    /// `java`, its flags and the class to run.
    fn java(&self, class: &str, heap_mib: u32) -> Vec<OsString> {
        let directory = self.directory().display();
        let mut words: Vec<OsString> = vec!["java".into(), format!("-Xmx{heap_mib}m").into()];
        words.extend(["-XX:+UseSerialGC", "-Dzookeeper.sasl.client=false"].map(OsString::from));
        words.push(format!("-Dlog4j.configuration=file:{directory}/log4j.properties").into());
        words.push(format!("-Dlog4j2.configurationFile={directory}/log4j2.properties").into());
        if self.options.has_sasl() && !self.release.at_least(1, 1) {
            words.push(format!("-Djava.security.auth.login.config={directory}/jaas.conf").into());
        }
        if let Some(security) = &self.options.security {
            words.push(format!("-Djava.security.krb5.conf={}", security.krb5_conf.display()).into());
        }
        words.extend(self.options.jvm.iter().map(OsString::from));
        words.extend(["-cp".into(), format!("{}/*", self.tools.jars().display()).into(), class.into()]);
        words
    }

    fn log(&self, index: usize) -> PathBuf {
        self.directory().join(format!("broker-{index}.log"))
    }

    /// Each start has a log of its own, so that an earlier start's errors are not taken for this one's.
    fn set_old_log_aside(&self, index: usize) -> Result<(), Error> {
        let log = self.log(index);
        if !log.exists() {
            return Ok(());
        }
        let mut turn = 1_u32;
        while log.with_extension(format!("{turn}.log")).exists() {
            turn += 1;
        }
        fs::rename(&log, log.with_extension(format!("{turn}.log"))).map_err(Error::file(&log))
    }

    /// Waits until a broker answers Metadata with a controller and at least `expected` brokers, itself among them.
    fn await_broker(&self, index: usize, expected: usize, deadline: Instant) -> Result<(), Error> {
        let (id, admin) = (index as i32 + 1, Admin::new(&self.address(index)));
        loop {
            // Until it is up, every answer but the right one means "not yet".
            let cluster = admin.cluster().ok();
            if cluster.is_some_and(|seen| {
                let known = seen.brokers.len() >= expected && seen.brokers.contains_key(&id);
                known && seen.controller >= 0 && seen.leads_all(&self.topics_on_disk(index))
            }) {
                return Ok(());
            }
            if let Some(status) = self.slot(index).as_mut().and_then(Guarded::ended) {
                return Err(self.not_ready(index, &format!("ended with {status}")));
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(index, &format!("was not ready after {READY:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The topics a broker has from before: a broker that starts again knows none of them for a moment.
    fn topics_on_disk(&self, index: usize) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.directory().join(format!("data-{index}"))) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let partitions = names.filter_map(|name| {
            let (topic, partition) = name.rsplit_once('-')?;
            partition.parse::<u32>().ok().map(|_| topic.to_owned())
        });
        partitions.filter(|topic| topic != "__cluster_metadata").collect()
    }

    fn not_ready(&self, index: usize, how: &str) -> Error {
        let log = self.log(index);
        let tail = telling_lines(&fs::read_to_string(&log).unwrap_or_default());
        let what = format!("broker {} of Kafka {}", index + 1, self.release);
        Error::NotReady { what, how: how.to_owned(), log, tail }
    }

    fn slot(&self, index: usize) -> std::sync::MutexGuard<'_, Option<Guarded>> {
        self.brokers[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a log that say why a start failed, and its end.
fn telling_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let (before, end) = lines.split_at(lines.len().saturating_sub(15));
    let tells = |line: &&&str| ["ERROR", "FATAL", "Exception"].iter().any(|word| line.contains(word));
    let errors = before.iter().filter(tells).take(20);
    errors.chain(end).copied().collect::<Vec<_>>().join("\n")
}

fn is_still_registered(log: &str) -> bool {
    log.contains("NodeExists") || log.contains("already registered")
}

fn is_port_clash(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("failed to bind")
}
