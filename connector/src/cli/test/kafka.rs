//! The steps for a Kafka cluster: names, ports, TLS, login, versions, metadata, topics, group coordinator, target.

use std::net::SocketAddr;
use std::time::Duration;

use ottla_client::{Client, Error, ErrorKind, Topic, TopicPartition};
use ottla_protocol::ErrorCode;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::steps::Steps;
use super::{Wanted, tls};
use crate::config::address;
use crate::config::{AckLevel, Auth, Kafka, TokenSource};
use crate::mode;

const DNS: &str = "DNS";
const TCP: &str = "TCP";
pub(super) const TLS: &str = "TLS";
const SASL: &str = "SASL";
const VERSIONS: &str = "ApiVersions";
const METADATA: &str = "metadata";
const BROKERS: &str = "brokers";
const TOPICS: &str = "topics";
const LEADERS: &str = "leaders";
const READ: &str = "read";
const GROUP: &str = "group";
const TARGET: &str = "target";
const WRITE: &str = "write";
const COMPRESSION: &str = "compression";
const ACKS: &str = "acks";

/// The steps that follow metadata.
const AFTER_METADATA: [&str; 9] = [BROKERS, TOPICS, LEADERS, READ, GROUP, TARGET, WRITE, COMPRESSION, ACKS];

pub(super) async fn test(steps: &mut Steps, kafka: &Kafka, servers: &[String], wanted: &Wanted<'_>, limit: Duration) {
    let resolved = resolve(steps, servers, limit).await;
    if steps.failed() {
        steps.skip_all(&[TCP, TLS, SASL, VERSIONS, METADATA]);
        return steps.skip_all(&AFTER_METADATA);
    }
    reach(steps, TCP, &resolved, limit).await;
    if steps.failed() {
        steps.skip_all(&[TLS, SASL, VERSIONS, METADATA]);
        return steps.skip_all(&AFTER_METADATA);
    }
    let protected = tls::protect(kafka.tls.as_deref(), servers, limit).await;
    if protected.failed() {
        steps.append(protected);
        steps.skip_all(&[SASL, VERSIONS, METADATA]);
        return steps.skip_all(&AFTER_METADATA);
    }
    let local = resolved.iter().all(|(_, found)| found.iter().all(|address| address.ip().is_loopback()));
    let Some(client) = log_in(steps, protected, kafka, servers, local, limit).await else {
        steps.skip_all(&[METADATA]);
        return steps.skip_all(&AFTER_METADATA);
    };
    let Some(topics) = metadata(steps, &client, limit).await else {
        return steps.skip_all(&AFTER_METADATA);
    };
    brokers(steps, &client, limit).await;
    let matching: Vec<_> =
        topics.into_iter().filter(|topic| !topic.internal && kafka.topics.matches(&topic.name)).collect();
    if wanted.reads {
        expression(steps, kafka, &matching);
        leaders(steps, &matching);
        read(steps, &client, &matching, limit).await;
        group(steps, &client, &matching, wanted, limit).await;
    }
    if wanted.writes {
        target(steps, kafka, &client, limit).await;
    }
}

/// A server as configured, with what its name stands for.
type Resolved = (String, Vec<SocketAddr>);

async fn resolve(steps: &mut Steps, servers: &[String], limit: Duration) -> Vec<Resolved> {
    const HELP: &str =
        "check the spelling, the DNS server and the search domain; `getent hosts NAME` asks the same way";
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for server in servers {
        match look_up(server, limit).await {
            Ok(addresses) => found.push((server.clone(), addresses)),
            Err(problem) => problems.push(format!("{server}: {problem}")),
        }
    }
    let shown = found.iter().map(|(server, addresses)| {
        let ips: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        format!("{server} -> {}", ips.join(", "))
    });
    let shown = shown.collect::<Vec<_>>().join("; ");
    if found.is_empty() {
        steps.fail(DNS, problems.join("; "), HELP);
    } else if problems.is_empty() {
        steps.pass(DNS, shown);
    } else {
        steps.warn(DNS, format!("{}; {shown}", problems.join("; ")), HELP);
    }
    found
}

async fn look_up(server: &str, limit: Duration) -> Result<Vec<SocketAddr>, String> {
    let address = address::parse(server).map_err(|error| error.problem)?;
    let found = timeout(limit, lookup_host((address.host.as_str(), address.port))).await;
    let found: Vec<_> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(format!("the name cannot be resolved: {error}")),
        Err(_) => return Err(format!("no answer from DNS within {limit:?}")),
    };
    if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found) }
}

/// Connects to each server at the first of its addresses that answers.
async fn reach(steps: &mut Steps, step: &'static str, servers: &[Resolved], limit: Duration) {
    const HELP: &str = "is the broker running, is the port right, and does a firewall stand between?";
    let mut open = Vec::new();
    let mut problems = Vec::new();
    for (server, addresses) in servers {
        match connect(addresses, limit).await {
            Ok(()) => open.push(server.as_str()),
            Err(problem) => problems.push(format!("{server}: {problem}")),
        }
    }
    if open.is_empty() {
        steps.fail(step, problems.join("; "), HELP);
    } else if problems.is_empty() {
        steps.pass(step, format!("{} reached", open.join(", ")));
    } else {
        steps.warn(step, format!("{}; {} reached", problems.join("; "), open.join(", ")), HELP);
    }
}

async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<(), String> {
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = format!("no answer within {limit:?}"),
        }
    }
    Err(last)
}

/// Login and version negotiation are one exchange in the client; its error says which of them failed.
async fn log_in(
    steps: &mut Steps,
    protected: Steps,
    kafka: &Kafka,
    servers: &[String],
    local: bool,
    limit: Duration,
) -> Option<Client> {
    let auth = kafka.auth.as_ref();
    let builder = Client::builder().bootstrap(servers).connect_timeout(limit).request_timeout(limit).api_timeout(limit);
    let builder = match auth {
        Some(auth) => auth.apply(builder),
        None => builder,
    };
    let builder = match &kafka.tls {
        Some(tls) => builder.tls(tls.as_ref().clone()),
        None => builder,
    };
    let connected = within(limit, builder.connect()).await;
    if let Err(problem) = &connected
        && problem.kind == Some(ErrorKind::Tls)
        && !problem.login
    {
        // In TLS 1.3 a broker refuses a client's certificate only after the handshake. During the login it is a token endpoint.
        steps.fail(TLS, problem.text.clone(), tls::help(kafka.tls.is_some()));
        steps.skip_all(&[SASL, VERSIONS]);
        return None;
    }
    steps.append(protected);
    match (&connected, auth) {
        (Err(problem), Some(auth)) if is_of_login(problem) => {
            steps.fail(SASL, problem.text.clone(), login_help(auth, problem));
            steps.skip_all(&[VERSIONS]);
            return None;
        }
        (_, None) => steps.skip(SASL, "no login is configured"),
        (Err(_), Some(_)) => steps.skip(SASL, "the broker did not get as far as the login"),
        (Ok(_), Some(auth)) => logged_in(steps, auth, local || kafka.tls.is_some()),
    }
    match connected {
        Ok(client) => {
            steps.pass(VERSIONS, "this client and the cluster have versions in common");
            Some(client)
        }
        Err(problem) => {
            steps.fail(VERSIONS, problem.text, no_versions_help(problem.kind, auth.is_some()));
            None
        }
    }
}

/// Servers and `tls` were good before, so options that cannot be used are those of the login.
fn is_of_login(problem: &Problem) -> bool {
    problem.login || matches!(problem.kind, Some(ErrorKind::Authentication | ErrorKind::Config))
}

fn logged_in(steps: &mut Steps, auth: &Auth, unread: bool) {
    let detail = format!("logged in with {} {}", auth.mechanism().name(), auth.who());
    if unread || matches!(auth, Auth::Scram(..) | Auth::Kerberos(_)) {
        steps.pass(SASL, detail);
    } else {
        let what = if matches!(auth, Auth::OauthBearer(_)) { "token" } else { "password" };
        let help =
            "anyone on the way can read it; use it in trusted networks only, or scram-sha-256 if the cluster has it";
        steps.warn(SASL, format!("{detail}; the {what} went over the network unencrypted"), help);
    }
}

/// What to do about a login that failed; the reason stands beside it.
fn login_help(auth: &Auth, problem: &Problem) -> &'static str {
    match (problem.code, auth) {
        (Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM), _) => {
            "set `auth.mechanism` to one that the broker has, or have the cluster's owner enable this one"
        }
        (Some(ErrorCode::ILLEGAL_SASL_STATE), _) => {
            "this listener takes no login: leave `auth` out, or use the port of a SASL listener"
        }
        (_, Auth::Plain(_)) => "check `username` and `password` with the cluster's owner",
        (_, Auth::Scram(..)) => {
            "check `username` and `password`; `kafka-configs --describe --entity-type users` shows which SCRAM hashes a user has"
        }
        (_, Auth::OauthBearer(oauth)) => token_help(&oauth.source, problem.kind),
        (_, Auth::Kerberos(_)) => {
            "with the same krb5.conf, `kinit` (`kinit -kt KEYTAB PRINCIPAL`) shows whether the login is at fault, `kvno kafka/HOST` whether the broker's principal is"
        }
    }
}

/// The broker is connected by then: whatever cannot be reached or believed is the token endpoint.
fn token_help(source: &TokenSource, kind: Option<ErrorKind>) -> &'static str {
    match (source, kind) {
        (TokenSource::Endpoint { ca: None, .. }, Some(ErrorKind::Tls | ErrorKind::Config)) => {
            "if the endpoint's authority is not one of the system's, add `token_endpoint_ca = \"ca.pem\"` to `auth`; else ask the endpoint's owner"
        }
        (TokenSource::Endpoint { .. }, Some(ErrorKind::Tls | ErrorKind::Config)) => {
            "check `token_endpoint` and `token_endpoint_ca` of `auth` with the endpoint's owner"
        }
        (TokenSource::Endpoint { .. }, Some(ErrorKind::Resolve | ErrorKind::Connect)) => {
            "check `token_endpoint` of `auth`, and that this machine can reach the endpoint"
        }
        _ => "check where the token comes from, that it is for this cluster, and this machine's clock",
    }
}

fn no_versions_help(kind: Option<ErrorKind>, logs_in: bool) -> &'static str {
    match kind {
        Some(ErrorKind::Versions | ErrorKind::Unsupported) => "Kafka 0.11 or later is needed",
        Some(ErrorKind::Protocol) => "name the port of a Kafka listener in `bootstrap`",
        Some(ErrorKind::Disconnected) if !logs_in => {
            "the port answers but not in Kafka's protocol without a login: does the listener ask for SASL (add `auth`) or TLS (add `tls`)?"
        }
        _ => "is this the port of a Kafka listener, and does `tls` say whether it speaks TLS?",
    }
}

/// What went wrong in a step: the client's error, or no end in time.
struct Problem {
    kind: Option<ErrorKind>,
    code: Option<ErrorCode>,
    login: bool,
    text: String,
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
    // The client has deadlines of its own; this one holds even if it tries several servers in turn.
    match timeout(limit.saturating_mul(2), work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Problem {
            kind: Some(error.kind()),
            code: error.code(),
            login: error.is_from_login(),
            text: error.to_string(),
        }),
        Err(_) => {
            let text = format!("no end within {:?}", limit.saturating_mul(2));
            Err(Problem { kind: None, code: None, login: false, text })
        }
    }
}

async fn metadata(steps: &mut Steps, client: &Client, limit: Duration) -> Option<Vec<Topic>> {
    match within(limit, client.topics()).await {
        Ok(topics) => {
            let brokers = client.brokers().len();
            let visible = topics.iter().filter(|topic| !topic.internal).count();
            steps.pass(METADATA, format!("{}, {}", count(brokers, "broker"), count(visible, "topic")));
            Some(topics)
        }
        Err(problem) => {
            steps.fail(METADATA, problem.text, "may this user describe the cluster's topics?");
            None
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Clients go to the addresses that the brokers advertise, not to those of the config.
async fn brokers(steps: &mut Steps, client: &Client, limit: Duration) {
    let mut resolved = Vec::new();
    let mut problems = Vec::new();
    for broker in client.brokers() {
        let advertised = address::Address { host: broker.host.to_string(), port: 0 }.to_string();
        let named = format!("{}:{}", advertised.strip_suffix(":0").unwrap_or(&advertised), broker.port);
        match look_up(&named, limit).await {
            Ok(found) => resolved.push((named, found)),
            Err(problem) => problems.push(format!("{named}, advertised by broker {}: {problem}", broker.id)),
        }
    }
    let mut tried = Steps::default();
    reach(&mut tried, BROKERS, &resolved, limit).await;
    if problems.is_empty() && tried.all_pass() {
        return steps.append(tried);
    }
    problems.extend(tried.details());
    steps.fail(
        BROKERS,
        format!("not every advertised address can be reached: {}", problems.join("; ")),
        "the brokers' `advertised.listeners` must name addresses that this machine can reach",
    );
}

fn expression(steps: &mut Steps, kafka: &Kafka, matching: &[Topic]) {
    const SHOWN: usize = 5;
    if matching.is_empty() && kafka.topics.is_all() {
        let detail = "the cluster has no topic, or none that this user may see";
        return steps.warn(TOPICS, detail, "there is nothing to read yet");
    }
    if matching.is_empty() {
        let help = "the expression must match the whole name: `orders.*` for names that begin with `orders`";
        return steps.warn(TOPICS, format!("`{}` matches no topic", kafka.topics), help);
    }
    let mut names: Vec<_> = matching.iter().take(SHOWN).map(|topic| topic.name.to_string()).collect();
    if matching.len() > SHOWN {
        names.push("…".to_owned());
    }
    let partitions = matching.iter().map(|topic| topic.partitions.len()).sum();
    steps.pass(
        TOPICS,
        format!("{}, {}: {}", count(matching.len(), "topic"), count(partitions, "partition"), names.join(", ")),
    );
}

/// A partition without a leader is not read until it has one.
fn leaders(steps: &mut Steps, matching: &[Topic]) {
    const SHOWN: usize = 5;
    const HELP: &str = "are brokers down? `kafka-topics --describe --unavailable-partitions` lists all of them";
    let partitions = || matching.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (&topic.name, p)));
    let without = partitions().filter(|(_, partition)| partition.leader.is_none());
    let without: Vec<_> = without.map(|(topic, partition)| format!("{topic}-{}", partition.id)).collect();
    let all = partitions().count();
    if all == 0 {
        return steps.skip(LEADERS, "there is no partition");
    }
    if without.is_empty() {
        return steps.pass(LEADERS, format!("{} with a leader", count(all, "partition")));
    }
    let more = if without.len() > SHOWN { ", …" } else { "" };
    let names = without.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let detail = format!("{} of {} without a leader: {names}{more}", without.len(), count(all, "partition"));
    if without.len() == all { steps.fail(LEADERS, detail, HELP) } else { steps.warn(LEADERS, detail, HELP) }
}

/// Topics that a user may describe are listed; whether they may be read shows only in a fetch.
async fn read(steps: &mut Steps, client: &Client, matching: &[Topic], limit: Duration) {
    let led = |topic: &Topic| topic.partitions.iter().find(|p| p.leader.is_some()).map(|p| p.id);
    let places = matching.iter().filter_map(|topic| Some(TopicPartition::new(topic.name.clone(), led(topic)?)));
    let places: Vec<_> = places.collect();
    if places.is_empty() {
        return steps.skip(READ, "there is no partition with a leader");
    }
    match within(limit, client.check_read(&places)).await {
        Ok(()) => steps.pass(READ, format!("{} may be read", count(places.len(), "topic"))),
        Err(problem) => {
            let help = "give this user the right to read: `kafka-acls --add --allow-principal User:NAME --operation Read --topic NAME`";
            steps.fail(READ, problem.text, help);
        }
    }
}

/// Asks the coordinator of each reading task's group for its positions; asking creates nothing.
async fn group(steps: &mut Steps, client: &Client, matching: &[Topic], wanted: &Wanted<'_>, limit: Duration) {
    let partitions = matching.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(topic.name.clone(), partition.id))
    });
    let partitions: Vec<_> = partitions.collect();
    if partitions.is_empty() {
        return steps.skip(GROUP, "there is no partition to ask for");
    }
    let mut groups: Vec<_> = wanted.readers.iter().map(|task| task.group.clone()).collect();
    if groups.is_empty() {
        groups.push(mode::group("test"));
    }
    let mut found = Vec::new();
    for group in groups {
        match within(limit, client.committed(&group, &partitions)).await {
            Ok(positions) => {
                found.push(format!(
                    "{group} has positions for {} of {}",
                    positions.len(),
                    count(partitions.len(), "partition")
                ));
            }
            Err(problem) => {
                let help = match problem.code {
                    Some(ErrorCode::GROUP_AUTHORIZATION_FAILED) => format!(
                        "give this user the right to use the group: `kafka-acls --add --allow-principal User:NAME --operation \
                         Read --group {group}`"
                    ),
                    Some(ErrorCode::COORDINATOR_NOT_AVAILABLE) => {
                        "is `offsets.topic.replication.factor` at most the number of brokers, and do all partitions of \
                         __consumer_offsets have a leader?"
                            .to_owned()
                    }
                    _ => format!("may this user read with the group `{group}`?"),
                };
                return steps.fail(GROUP, problem.text, help);
            }
        }
    }
    steps.pass(GROUP, found.join("; "));
}

async fn target(steps: &mut Steps, kafka: &Kafka, client: &Client, limit: Duration) {
    match kafka.topics.literal() {
        None => steps.skip(TARGET, "records go to topics of the source's names, created when missing"),
        Some(name) => match within(limit, client.topic(&name)).await {
            Ok(Some(topic)) => {
                steps.pass(
                    TARGET,
                    format!("the topic {name} exists with {}", count(topic.partitions.len(), "partition")),
                );
                write(steps, client, &name, limit).await;
            }
            Ok(None) => {
                steps.pass(
                    TARGET,
                    format!("the topic {name} does not exist; the first run creates it with 1 partition and 1 replica"),
                );
            }
            Err(problem) => {
                steps.fail(TARGET, problem.text, format!("may this user describe and write the topic {name}?"));
            }
        },
    }
    match within(limit, client.check_compression(kafka.compression)).await {
        Ok(()) => steps.pass(COMPRESSION, format!("every broker takes {}", kafka.compression)),
        Err(problem) => {
            steps.fail(COMPRESSION, problem.text, "choose another `compression`: lz4 is taken by every release");
        }
    }
    acks(steps, kafka.acks);
}

/// Kafka 2.3 and later say what a user may do with a topic; before, only a record that is written shows it.
async fn write(steps: &mut Steps, client: &Client, topic: &str, limit: Duration) {
    match within(limit, client.may_write(topic)).await {
        Ok(Some(true)) => steps.pass(WRITE, format!("the topic {topic} may be written")),
        Ok(Some(false)) => steps.fail(
            WRITE,
            format!("this user may describe the topic {topic}, but not write to it"),
            format!("give this user the right: `kafka-acls --add --allow-principal User:NAME --operation Write --topic {topic}`"),
        ),
        Ok(None) => steps.skip(WRITE, "brokers before Kafka 2.3 do not say whether a topic may be written"),
        Err(problem) => steps.fail(WRITE, problem.text, format!("may this user describe and write the topic {topic}?")),
    }
}

fn acks(steps: &mut Steps, level: AckLevel) {
    match level {
        AckLevel::None => steps.warn(
            ACKS,
            "none: nobody confirms a record, so a lost one goes unnoticed",
            "write acks = \"majority\" unless losses do not matter",
        ),
        AckLevel::Leader => steps.warn(
            ACKS,
            "leader: a record that only the leader has is lost with it",
            "write acks = \"majority\" unless losses do not matter",
        ),
        AckLevel::Majority | AckLevel::All => {
            steps.pass(
                ACKS,
                format!("{level}: all in-sync replicas confirm (-1; majority and all are the same on the wire)"),
            );
        }
    }
}
