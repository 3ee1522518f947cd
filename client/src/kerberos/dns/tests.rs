//! Answers as servers give them, and as nobody should.

use super::wire::*;
use super::*;

fn service(id: u16, name: &str) -> Question<'_> {
    Question { id, kind: Kind::Srv, name }
}

fn query(id: u16, name: &str) -> Result<Vec<u8>, Problem> {
    wire::query(&service(id, name))
}

fn answer(bytes: &[u8], id: u16, name: &str) -> Result<Answer, Problem> {
    wire::answer(bytes, &service(id, name))
}

const NAME: &str = "_kerberos._udp.EXAMPLE.COM";
const ID: u16 = 0x1234;

pub(in crate::kerberos) fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record of the Internet that holds for 300 s.
pub(in crate::kerberos) fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 1, 44]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn srv_data(priority: u16, weight: u16, port: u16, host: &[u8]) -> Vec<u8> {
    let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect();
    data.extend(host);
    data
}

/// An answer to the question, with a pointer to its name as owner of each SRV record.
fn message(flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = query(ID, NAME).unwrap();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    bytes.extend(records.concat());
    bytes
}

const OK: u16 = 0x8180;
const ASKED: [u8; 2] = [0xc0, 12];

fn two_hosts() -> Vec<u8> {
    // The second host's name ends in the question's EXAMPLE.COM, at byte 27.
    let mut second = vec![4, b'k', b'd', b'c', b'2'];
    second.extend([0xc0, 27]);
    message(
        OK,
        &[
            record(&ASKED, 33, &srv_data(1, 5, 88, &encoded("kdc1.example.com"))),
            record(&ASKED, 33, &srv_data(0, 0, 8888, &second)),
        ],
    )
}

fn found(bytes: &[u8]) -> Srv {
    match answer(bytes, ID, NAME) {
        Ok(Answer::Found(found)) => found.into(),
        other => panic!("{other:?}"),
    }
}

fn hosts(srv: &Srv) -> Vec<&str> {
    srv.targets.iter().map(|target| &*target.host).collect()
}

#[test]
fn an_answer_names_hosts_ports_and_for_how_long() {
    let srv = found(&two_hosts());
    assert_eq!(hosts(&srv), ["kdc1.example.com", "kdc2.EXAMPLE.COM"]);
    assert_eq!((srv.targets[1].port, srv.targets[1].priority, srv.targets[0].weight), (8888, 0, 5));
    assert_eq!(srv.ttl, Duration::from_mins(5));
}

#[test]
fn an_alias_is_followed_and_what_is_about_others_is_passed_over() {
    let alias = encoded("real.example.net");
    let srv = found(&message(
        OK,
        &[
            record(&encoded("_KERBEROS._udp.example.com"), 5, &alias),
            record(&ASKED, 33, &srv_data(0, 0, 1, &encoded("before.the.alias"))),
            record(&alias, 33, &srv_data(0, 0, 88, &encoded("kdc"))),
            record(&alias, 1, &[127, 0, 0, 1]),
            record(&encoded("evil.example"), 33, &srv_data(0, 0, 88, &encoded("evil"))),
        ],
    ));
    assert_eq!(hosts(&srv), ["kdc"]);
}

#[test]
fn no_such_name_and_a_host_of_a_dot_say_that_there_is_no_service() {
    assert!(found(&message(OK | 3, &[])).targets.is_empty());
    assert!(found(&message(OK, &[])).targets.is_empty());
    assert!(found(&message(OK, &[record(&ASKED, 33, &srv_data(0, 0, 0, &[0]))])).targets.is_empty());
}

#[test]
fn an_answer_that_was_cut_and_a_servers_failure_are_told_apart() {
    assert_eq!(answer(&message(OK | 0x0200, &[]), ID, NAME), Ok(Answer::Cut));
    assert_eq!(answer(&message(OK | 2, &[]), ID, NAME), Ok(Answer::Failed(2)));
    assert_eq!(answer(&message(OK | 5, &[]), ID, NAME), Ok(Answer::Failed(5)));
}

#[test]
fn an_answer_to_another_question_is_not_ours() {
    let bytes = two_hosts();
    assert_eq!(answer(&bytes, ID + 1, NAME), Err(Problem::NotOurs));
    assert_eq!(answer(&bytes, ID, "_kerberos._tcp.EXAMPLE.COM"), Err(Problem::NotOurs));
    assert!(answer(&bytes, ID, "_kerberos._UDP.example.com.").is_ok());
    assert_eq!(answer(&query(ID, NAME).unwrap(), ID, NAME), Err(Problem::NotOurs), "a question is no answer");
}

#[test]
fn names_that_point_at_themselves_forward_or_at_each_other_are_refused() {
    let at = message(OK, &[]).len() as u8;
    for owner in [vec![0xc0, at], vec![0xc0, at + 2], vec![1, b'a', 0xc0, at], vec![0xff, 0xff]] {
        let result = answer(&message(OK, &[record(&owner, 33, &srv_data(0, 0, 88, &encoded("kdc")))]), ID, NAME);
        assert!(matches!(result, Err(Problem::Malformed(what)) if what.contains("points")), "{owner:?}: {result:?}");
    }
    // The first record's data points to the second's owner, which points back.
    let there = at + 2 + 10 + 8;
    let bytes =
        message(OK, &[record(&ASKED, 33, &srv_data(0, 0, 88, &[0xc0, there])), record(&[0xc0, there - 2], 33, &[])]);
    assert!(matches!(answer(&bytes, ID, NAME), Err(Problem::Malformed(_))));
}

#[test]
fn a_name_stays_below_its_limit_however_it_is_put_together() {
    // A text record's data: labels of 63 bytes, each with a pointer to the one before behind it.
    let data_at = message(OK, &[]).len() + ASKED.len() + 10;
    let mut chain = encoded(&"a".repeat(63));
    for link in 1..10_usize {
        let previous = data_at + if link == 1 { 0 } else { 65 + (link - 2) * 66 };
        chain.extend(encoded(&"a".repeat(63)).iter().take(64));
        chain.extend((0xc000 | previous as u16).to_be_bytes());
    }
    let pointer = |link: usize| (0xc000 | (data_at + 65 + (link - 1) * 66) as u16).to_be_bytes();
    let with_owner = |owner: [u8; 2]| message(OK, &[record(&ASKED, 16, &chain), record(&owner, 33, &[])]);
    assert!(found(&with_owner(pointer(2))).targets.is_empty(), "three labels fit");
    let result = answer(&with_owner(pointer(9)), ID, NAME);
    assert!(matches!(result, Err(Problem::Malformed(what)) if what.contains("255")), "{result:?}");
}

#[test]
fn strange_characters_in_a_host_are_refused() {
    for host in [&b"\x04a.b\x07\x00"[..], b"\x03a\nb\x00", b"\x02\xc3\xa4\x00"] {
        let result = answer(&message(OK, &[record(&ASKED, 33, &srv_data(0, 0, 88, host))]), ID, NAME);
        assert!(matches!(result, Err(Problem::Malformed(what)) if what.contains("strange")), "{result:?}");
    }
}

#[test]
fn a_record_whose_size_lies_is_refused() {
    for extra in [&b"x"[..], b"\0\0\0\0"] {
        let data = [&srv_data(0, 0, 88, &encoded("kdc"))[..], extra].concat();
        let result = answer(&message(OK, &[record(&ASKED, 33, &data)]), ID, NAME);
        assert!(matches!(result, Err(Problem::Malformed(what)) if what.contains("size")), "{result:?}");
    }
}

#[test]
fn an_answer_cut_anywhere_is_an_error_and_no_bytes_are_a_panic() {
    let whole = two_hosts();
    for cut in 0..whole.len() {
        assert!(matches!(answer(&whole[..cut], ID, NAME), Err(Problem::Malformed(_))), "{cut}");
    }
    let mut chance = fastrand::Rng::with_seed(13);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = answer(&bytes, ID, NAME);
    }
    for _ in 0..20_000 {
        let mut bytes = message(OK, &[]);
        bytes[7] = chance.u8(..);
        bytes.extend((0..chance.usize(..80)).map(|_| *chance.choice(&[0, 1, 12, 33, 0xc0, 0xff, b'a']).unwrap()));
        let _ = answer(&bytes, ID, NAME);
    }
}

#[test]
fn more_hosts_than_anyone_has_are_left_out() {
    let records = vec![record(&ASKED, 33, &srv_data(0, 0, 88, &encoded("kdc"))); 1000];
    assert_eq!(found(&message(OK, &records)).targets.len(), 32);
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    for name in ["", ".", "a..b", &"x".repeat(64), &["abcdefg"; 40].join(".")] {
        assert_eq!(query(ID, name), Err(Problem::BadName), "{name}");
    }
    assert_eq!(query(7, "a.bc.").unwrap(), *b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x21\0\x01");
}

fn target(priority: u16, weight: u16, host: &str) -> Target {
    Target { priority, weight, port: 88, host: host.to_owned() }
}

#[test]
fn a_lower_priority_comes_first_whatever_the_weights() {
    let mut targets = [target(20, 100, "c"), target(0, 1, "a"), target(10, 50, "b"), target(20, 0, "d")];
    for chosen in [0, u32::MAX] {
        put_in_order(&mut targets, |limit| chosen.min(limit));
        let priorities: Vec<_> = targets.iter().map(|target| target.priority).collect();
        assert_eq!(priorities, [0, 10, 20, 20]);
    }
}

#[test]
fn among_equals_the_first_comes_by_chance_according_to_weight() {
    let mut chance = fastrand::Rng::with_seed(14);
    let mut first = std::collections::HashMap::<String, u32>::new();
    for _ in 0..10_000 {
        let mut targets = [target(0, 1, "one"), target(0, 3, "three"), target(0, 6, "six"), target(0, 0, "none")];
        put_in_order(&mut targets, |limit| chance.u32(0..=limit));
        let names: std::collections::HashSet<_> = targets.iter().map(|target| &target.host).collect();
        assert_eq!(names.len(), 4, "nobody is lost");
        *first.entry(targets[0].host.clone()).or_default() += 1;
    }
    let share = |name: &str| first.get(name).copied().unwrap_or(0);
    assert!((800..=1000).contains(&share("one")), "{first:?}");
    assert!((2500..=3000).contains(&share("three")), "{first:?}");
    assert!((5100..=5800).contains(&share("six")), "{first:?}");
    assert!((700..=1100).contains(&share("none")), "chance says 0 in one of eleven cases: {first:?}");
}

/// An answer about a host, with `C0 0C` for the name that was asked about.
fn host_answer(kind: Kind, name: &str, records: &[Vec<u8>]) -> Result<Answer, Problem> {
    let question = Question { id: ID, kind, name };
    let mut bytes = wire::query(&question).unwrap();
    bytes[2..4].copy_from_slice(&OK.to_be_bytes());
    bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    bytes.extend(records.concat());
    wire::answer(&bytes, &question)
}

fn host_found(kind: Kind, records: &[Vec<u8>]) -> Found {
    match host_answer(kind, "b.test", records) {
        Ok(Answer::Found(found)) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hosts_addresses_come_with_the_name_at_the_end_of_its_aliases() {
    let (first, second) = (encoded("one.test"), encoded("two.test"));
    let aliases = [record(&ASKED, 5, &first), record(&encoded("ONE.test"), 5, &second)];
    let v4 = [record(&second, 1, &[127, 0, 0, 5]), record(&ASKED, 1, &[9; 4]), record(&second, 28, &[9; 16])];
    let found = host_found(Kind::A, &[&aliases[..], &v4[..]].concat());
    assert_eq!(found.name, "two.test");
    assert_eq!(found.addresses().collect::<Vec<_>>(), [IpAddr::from([127, 0, 0, 5])], "those of the last name alone");
    let v6 = host_found(Kind::Aaaa, &[record(&ASKED, 28, &Ipv6Addr::LOCALHOST.octets())]);
    assert_eq!((&*v6.name, v6.addresses().next()), ("b.test", Some(Ipv6Addr::LOCALHOST.into())));
    let back = host_found(Kind::Ptr, &[record(&ASKED, 5, &first), record(&first, 12, &encoded("Host.test"))]);
    assert_eq!(back.host(), Some("Host.test"), "as RFC 2317 has it");
}

#[test]
fn an_address_of_another_length_and_aliases_without_an_end_are_refused() {
    for (kind, number, size) in [(Kind::A, 1, 3), (Kind::A, 1, 16), (Kind::Aaaa, 28, 4), (Kind::Aaaa, 28, 17)] {
        let result = host_answer(kind, "b.test", &[record(&ASKED, number, &vec![1; size])]);
        assert!(matches!(result, Err(Problem::Malformed(_))), "{kind:?} {size}: {result:?}");
    }
    let (this, that) = (encoded("this"), encoded("that"));
    let circle = [record(&this, 5, &that), record(&that, 5, &this)];
    let start = [record(&ASKED, 5, &this)];
    let round = || circle.iter().cloned();
    let endless: Vec<_> = start.into_iter().chain((0..20).flat_map(|_| round())).collect();
    let result = host_answer(Kind::A, "b.test", &endless);
    assert!(matches!(result, Err(Problem::Malformed(what)) if what.contains("alias")), "{result:?}");
}

#[test]
fn more_records_than_anyone_needs_are_left_out() {
    let found = host_found(Kind::A, &vec![record(&ASKED, 1, &[127, 0, 0, 1]); 2000]);
    assert_eq!(found.data.len(), 32);
}

#[test]
fn an_answer_about_another_kind_is_not_ours() {
    let question = Question { id: ID, kind: Kind::A, name: "b.test" };
    let mut bytes = wire::query(&Question { kind: Kind::Aaaa, ..question }).unwrap();
    bytes[2] |= 0x80;
    assert_eq!(wire::answer(&bytes, &question), Err(Problem::NotOurs));
}

#[test]
fn an_address_is_asked_for_backwards() {
    let name = |address: &str| wire::reverse_name(address.parse().unwrap());
    assert_eq!(name("192.0.2.10"), "10.2.0.192.in-addr.arpa");
    // RFC 3596 §2.5.
    let v6 = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert_eq!(name("4321:0:1:2:3:4:567:89ab"), v6);
}

#[test]
fn a_short_name_is_tried_with_the_domains_first_and_a_long_one_as_it_stands() {
    let conf = ResolvConf::parse("domain old.test\nsearch a.test b.test. . 9221.0.. a..b\n");
    assert_eq!(conf.candidates("broker"), ["broker.a.test", "broker.b.test", "broker"]);
    assert_eq!(conf.candidates("broker.x"), ["broker.x", "broker.x.a.test", "broker.x.b.test"]);
    assert_eq!(conf.candidates("broker."), ["broker"]);
    let dots = ResolvConf::parse("search a.test\noptions ndots:2\n");
    assert_eq!(dots.candidates("broker.x"), ["broker.x.a.test", "broker.x"]);
    let last = ResolvConf::parse("search a.test b.test\ndomain c.test d.test\n");
    assert_eq!(last.search, ["c.test"]);
    let many = ["d.test"; 100].join(" ");
    assert_eq!(ResolvConf::parse(&format!("search {many}\n")).search.len(), 6);
}

#[test]
fn resolv_conf_is_read_as_the_c_library_reads_it() {
    let conf = ResolvConf::parse(
        "# comment\nsearch example.com\nnameserver 10.0.0.1\nnameserver nonsense\n nameserver fe80::1%eth0\n\
         nameserver ::1\noptions ndots:5 timeout:1 attempts:99 rotate\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n",
    );
    let servers: Vec<_> = conf.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "10.0.0.2:53"]);
    assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 5));
    assert_eq!(ResolvConf::parse(""), ResolvConf::default());
}

/// Both kinds of socket on one port: another test may have the one that the system gave for the first.
pub(in crate::kerberos) async fn bind_both() -> (UdpSocket, tokio::net::TcpListener) {
    loop {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

/// A server that answers each datagram with all of these, and a question over TCP with `over_tcp`.
async fn server(answers: Vec<Vec<u8>>, over_tcp: Option<Vec<u8>>) -> SocketAddr {
    let (udp, listener) = bind_both().await;
    let address = udp.local_addr().unwrap();
    if let Some(bytes) = over_tcp {
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let size = stream.read_u16().await.unwrap();
            let mut query = vec![0; size.into()];
            stream.read_exact(&mut query).await.unwrap();
            let mut answer = (bytes.len() as u16).to_be_bytes().to_vec();
            answer.extend(&bytes);
            answer[2..4].copy_from_slice(&query[..2]);
            stream.write_all(&answer).await.unwrap();
        });
    }
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer).await {
            for mut answer in answers.clone() {
                // The id of an answer that begins so is replaced by the question's.
                if answer.starts_with(&ID.to_be_bytes()) {
                    answer[..2].copy_from_slice(&buffer[..2]);
                } else {
                    answer[0] = buffer[0] ^ 0xff;
                }
                udp.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    address
}

fn asking(servers: Vec<SocketAddr>) -> ResolvConf {
    ResolvConf { servers, timeout: Duration::from_millis(700), attempts: 1, ..ResolvConf::default() }
}

#[tokio::test]
async fn a_made_up_answer_does_not_hide_the_true_one() {
    let mut forged = message(OK, &[record(&ASKED, 33, &srv_data(0, 0, 88, &encoded("evil")))]);
    forged[0] ^= 0xff;
    let server = server(vec![forged, two_hosts()], None).await;
    let srv = srv(&asking(vec![server]), NAME).await.unwrap();
    assert_eq!(hosts(&srv), ["kdc2.EXAMPLE.COM", "kdc1.example.com"], "in the order of priority");
}

#[tokio::test]
async fn what_did_not_fit_is_asked_for_over_tcp() {
    let server = server(vec![message(OK | 0x0200, &[])], Some(two_hosts())).await;
    assert_eq!(srv(&asking(vec![server]), NAME).await.unwrap().targets.len(), 2);
}

#[tokio::test]
async fn a_server_that_fails_or_is_silent_is_passed_over() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let failing = server(vec![message(OK | 2, &[])], None).await;
    let good = server(vec![two_hosts()], None).await;
    let conf = asking(vec![silent.local_addr().unwrap(), failing, good]);
    assert_eq!(srv(&conf, NAME).await.unwrap().targets.len(), 2);
}

#[tokio::test]
async fn when_no_server_answers_each_is_named_with_what_came_of_it() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().map(|address| (silent, address)).unwrap();
    let failing = server(vec![message(OK | 2, &[])], None).await;
    let error = srv(&asking(vec![silent.1, failing]), NAME).await.unwrap_err();
    assert!(error.contains(&format!("{}: no answer within", silent.1)), "{error}");
    assert!(error.contains(&format!("{failing}: DNS error 2")) && error.contains(NAME), "{error}");
}
