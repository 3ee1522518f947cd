//! Names with a DNS of the tests' own on loopback, which says what a zone says, and counts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::super::dns::tests::{encoded, record};
use super::*;

/// A server that answers from lines such as `broker.test CNAME real.test` and `real.test A 127.0.0.5`.
struct Dns {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// It hears and says nothing.
    is_dead: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Dns {
    async fn start(zone: &'static [&'static str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, is_dead) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (heard, silent, mut task) = (asked.clone(), is_dead.clone(), JoinSet::new());
        task.spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
                let (name, kind) = question(&buffer[..count]);
                heard.lock().unwrap().push(format!("{name} {kind}"));
                if !silent.load(Ordering::SeqCst) && !zone.contains(&&*format!("{name} {kind} SILENCE")) {
                    socket.send_to(&answer(zone, &buffer[..count], name, kind), peer).await.unwrap();
                }
            }
        });
        Self { address, asked, is_dead, _task: task }
    }

    /// What was asked since the last time; questions at one time are in no order.
    fn asked(&self) -> HashSet<String> {
        std::mem::take(&mut *self.asked.lock().unwrap()).into_iter().collect()
    }

    fn times(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn question(query: &[u8]) -> (String, &'static str) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let kind = match query[at + 2] {
        1 => "A",
        12 => "PTR",
        28 => "AAAA",
        other => panic!("nobody asks for {other}"),
    };
    (labels.join("."), kind)
}

fn answer(zone: &[&str], query: &[u8], mut name: String, kind: &str) -> Vec<u8> {
    let mut records = Vec::new();
    let mut is_known = false;
    for line in zone {
        let [owner, is, value] = *line.split(' ').collect::<Vec<_>>() else { panic!("{line}") };
        if owner != name {
            continue;
        }
        is_known = true;
        let owner = encoded(owner);
        match (is, value.parse()) {
            ("CNAME", _) => {
                records.push(record(&owner, 5, &encoded(value)));
                value.clone_into(&mut name);
            }
            ("PTR", _) if kind == is => records.push(record(&owner, 12, &encoded(value))),
            ("A", Ok(IpAddr::V4(v4))) if kind == is => records.push(record(&owner, 1, &v4.octets())),
            ("AAAA", Ok(IpAddr::V6(v6))) if kind == is => records.push(record(&owner, 28, &v6.octets())),
            _ => {}
        }
    }
    let mut bytes = query.to_vec();
    bytes[2..4].copy_from_slice(&[0x81, if is_known { 0x80 } else { 0x83 }]);
    bytes[7] = records.len() as u8;
    bytes.extend(records.concat());
    bytes
}

/// One file of hosts, one server, and as much of krb5.conf and resolv.conf as is given.
struct Names {
    names: HostNames,
    _directory: TempDir,
}

impl Names {
    fn new(dns: &Dns, hosts: &str, krb5_conf: &str, resolv_conf: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        std::fs::write(&path, hosts).unwrap();
        let config = Krb5Config::from_text(&format!("[libdefaults]\n{krb5_conf}\n")).unwrap();
        let resolv_conf = ResolvConf { servers: vec![dns.address], ..ResolvConf::parse(resolv_conf) };
        let service = NameService { hosts: path, resolv_conf };
        Self { names: HostNames::new(&config, service, Duration::from_secs(2)), _directory: directory }
    }

    async fn first(&self, host: &str) -> String {
        self.names.first(host).await
    }
}

fn set<const N: usize>(asked: [&str; N]) -> HashSet<String> {
    asked.map(str::to_owned).into()
}

const ZONE: &[&str] = &[
    "broker.test CNAME alias.test",
    "alias.test CNAME Real.test",
    "Real.test A 127.0.0.5",
    "5.0.0.127.in-addr.arpa PTR Rack-7.example.com",
    "lonely.test A 127.0.0.6",
    "six.test AAAA ::1",
    "short.search.test A 127.0.0.6",
    "evil.test A 127.0.0.7",
    "7.0.0.127.in-addr.arpa PTR kafka/other@R",
    "half.test A 127.0.0.6",
    "half.test AAAA SILENCE",
];

#[tokio::test]
async fn a_host_is_called_what_its_address_is_called_or_with_rdns_off_what_it_is_an_alias_of() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "", "", "");
    assert_eq!(names.first("Unknown.TEST.").await, "unknown.test");
    assert_eq!(names.first("broker.test").await, "rack-7.example.com");
    let names = Names::new(&dns, "", "rdns = false", "");
    dns.asked();
    assert_eq!(names.first("broker.test").await, "real.test");
    assert_eq!(dns.asked(), set(["broker.test A", "broker.test AAAA"]), "no address is asked about");
}

#[tokio::test]
async fn an_address_without_a_name_leaves_the_hosts_canonical_one() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "", "", "");
    assert_eq!(names.first("lonely.test").await, "lonely.test");
    assert!(dns.asked().contains("6.0.0.127.in-addr.arpa PTR"));
    assert_eq!(names.first("six.test").await, "six.test");
}

#[tokio::test]
async fn an_address_in_place_of_a_name_is_called_what_it_is_called_and_with_rdns_off_itself() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "127.0.0.1 localhost\n::1 six\n", "", "search search.test\n");
    for (address, name) in
        [("127.0.0.5", "rack-7.example.com"), ("127.0.0.1", "localhost"), ("127.0.0.6", "127.0.0.6"), ("::1", "six")]
    {
        assert_eq!(names.first(address).await, name, "{address}");
    }
    dns.asked();
    let names = Names::new(&dns, "127.0.0.1 localhost\n", "rdns = false", "search search.test\n");
    assert_eq!((names.first("127.0.0.1").await, names.first("::1").await), ("127.0.0.1".into(), "::1".into()));
    assert!(dns.asked().is_empty());
}

#[tokio::test]
async fn the_file_of_hosts_goes_before_dns_on_both_ways() {
    let dns = Dns::start(ZONE).await;
    let hosts = "127.0.0.5 First.example.org broker.test b\n127.0.0.9 nine lonely.test\n127.0.0.6 there\n";
    let names = Names::new(&dns, hosts, "", "search search.test\n");
    assert_eq!(names.first("b").await, "first.example.org");
    assert_eq!(names.first("BROKER.test.").await, "first.example.org");
    assert_eq!(names.first("lonely.test").await, "nine", "a name that was found is not lengthened");
    assert!(dns.asked().is_empty());
    assert_eq!(names.first("short").await, "there", "DNS gives the address, the file its name");
}

#[tokio::test]
async fn a_short_name_is_looked_for_in_the_domains_and_gets_the_first_if_nobody_knows_it() {
    let dns = Dns::start(ZONE).await;
    let names = |krb5_conf: &str| Names::new(&dns, "", krb5_conf, "search nowhere.test search.test\n");
    assert_eq!(names("").first("short").await, "short.search.test");
    assert_eq!(names("").first("unknown").await, "unknown.nowhere.test");
    assert_eq!(names("qualify_shortname = \"\"").first("unknown").await, "unknown");
    assert_eq!(names("").first("un.known").await, "un.known");
}

#[tokio::test]
async fn switched_off_nobody_is_asked_and_only_short_names_change() {
    let dns = Dns::start(ZONE).await;
    let hosts = "127.0.0.5 first.example.org b\n";
    let names = |also: &str| {
        let conf = format!("dns_canonicalize_hostname = false\n{also}");
        Names::new(&dns, hosts, &conf, "search search.test two.test\n")
    };
    for (host, name) in [("broker.test", "broker.test"), ("b", "b.search.test"), ("b.", "b"), ("::1", "::1")] {
        assert_eq!(names("").first(host).await, name, "{host}");
        assert_eq!(names("").names.second(host).await, None, "{host}");
    }
    assert_eq!(names("qualify_shortname = x.test").first("b").await, "b.x.test");
    assert_eq!(names("qualify_shortname = \"\"").first("b").await, "b");
    assert!(dns.asked().is_empty());
}

#[tokio::test]
async fn as_a_fallback_the_canonical_name_comes_second_and_only_if_it_is_another() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "", "dns_canonicalize_hostname = fallback", "search search.test\n");
    assert_eq!(
        (names.first("broker.test").await, names.first("short").await),
        ("broker.test".into(), "short.search.test".into())
    );
    assert!(dns.asked().is_empty(), "not before it is needed");
    assert_eq!(names.names.second("broker.test").await.as_deref(), Some("rack-7.example.com"));
    for same in ["lonely.test", "short", "unknown.test", "127.0.0.6"] {
        assert_eq!(names.names.second(same).await, None, "{same}");
    }
    let always = Names::new(&dns, "", "", "");
    assert_eq!(always.names.second("broker.test").await, None);
}

#[tokio::test]
async fn a_name_that_no_host_can_have_is_taken_from_nobody() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "127.0.0.8 a/b@C\n", "", "");
    assert_eq!(names.first("evil.test").await, "evil.test");
    assert_eq!(names.first("127.0.0.8").await, "127.0.0.8");
    assert_eq!(names.first("a/b@C").await, "a/b@c");
    for odd in ["", ".", "..", "a..b", &"x".repeat(300), "ä.test", "%eth0"] {
        names.first(odd).await;
    }
}

#[tokio::test]
async fn many_at_once_ask_once_and_again_after_a_minute() {
    let dns = Dns::start(ZONE).await;
    let names = Arc::new(Names::new(&dns, "", "", ""));
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let names = names.clone();
        tasks.spawn(async move { names.first("broker.test").await });
    }
    assert!(tasks.join_all().await.iter().all(|name| name == "rack-7.example.com"));
    assert_eq!(dns.times(), 3);
    later(59).await;
    names.first("BROKER.test").await;
    assert_eq!(dns.times(), 3, "it is the same host");
    later(2).await;
    names.first("broker.test").await;
    assert_eq!(dns.times(), 6);
}

async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_dead_dns_holds_nobody_up_for_long_and_is_left_alone_for_a_minute() {
    let dns = Dns::start(ZONE).await;
    dns.is_dead.store(true, Ordering::SeqCst);
    let names = Names::new(&dns, "", "", "search search.test\n");
    let start = tokio::time::Instant::now();
    tokio::time::pause();
    assert_eq!(names.first("broker.test").await, "broker.test");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    tokio::time::resume();
    assert!(!dns.asked().is_empty());
    dns.is_dead.store(false, Ordering::SeqCst);
    assert_eq!(names.first("broker.test").await, "broker.test");
    assert!(dns.asked().is_empty(), "what was not found is remembered, too");
    later(61).await;
    assert_eq!(names.first("broker.test").await, "rack-7.example.com");
}

#[tokio::test]
async fn a_dns_that_is_silent_about_one_kind_of_address_does_not_hide_the_other() {
    let dns = Dns::start(ZONE).await;
    assert_eq!(Names::new(&dns, "127.0.0.6 by-address\n", "", "").first("half.test").await, "by-address");
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_question_to_the_next() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "", "", "");
    dns.is_dead.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_millis(50), names.first("broker.test")).await.unwrap_err();
    dns.is_dead.store(false, Ordering::SeqCst);
    assert_eq!(names.first("broker.test").await, "rack-7.example.com");
}

#[tokio::test]
async fn hosts_without_number_take_no_memory_without_bound() {
    let dns = Dns::start(ZONE).await;
    let names = Names::new(&dns, "", "rdns = false", "");
    for number in 0..=(HOSTS as u32 * 2) {
        let address = std::net::Ipv4Addr::from(number).to_string();
        assert_eq!(names.first(&address).await, address);
    }
    assert!(names.names.known.lock().unwrap().len() <= HOSTS);
}
