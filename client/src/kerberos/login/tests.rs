//! Logins with KDCs of the tests' own on loopback, and a clock that tests set.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::super::ccache::CredentialCache;
use super::super::exchange::testing::World;
use super::super::messages::{KdcReq, Message as _};
use super::*;

mod names;
mod primary;

/// Names are asked of nobody.
const AS_IT_STANDS: &str = "dns_canonicalize_hostname = false\nqualify_shortname = \"\"\n";

/// A world that answers at an address, at the time that the test's clock shows.
struct Kdc {
    world: Arc<Mutex<World>>,
    address: String,
    tasks: JoinSet<()>,
}

impl Kdc {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        let world = Arc::new(Mutex::new(World::new()));
        let mut tasks = JoinSet::new();
        let own = world.clone();
        tasks.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
                let reply = answer(&own, &buffer[..count]);
                // Long enough for others to come meanwhile.
                tokio::time::sleep(Duration::from_millis(10)).await;
                socket.send_to(&reply, peer).await.unwrap();
            }
        });
        let own = world.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; stream.read_u32().await.unwrap() as usize];
                stream.read_exact(&mut request).await.unwrap();
                let reply = answer(&own, &request);
                stream.write_u32(reply.len() as u32).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        Self { world, address: address.to_string(), tasks }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.world().asked)
    }

    fn options(&self, options: KerberosOptions) -> KerberosOptions {
        self.options_with(options, AS_IT_STANDS)
    }

    fn options_with(&self, options: KerberosOptions, settings: &str) -> KerberosOptions {
        options.krb5_conf_text(&format!(
            "[libdefaults]\ndefault_realm = R\ndefault_tkt_enctypes = aes128-cts\n{settings}\n[realms]\nR = {{\nkdc = {}\n}}\n",
            self.address
        ))
    }

    fn by_password(&self, password: &str) -> KerberosOptions {
        self.options(KerberosOptions::password("alice", password))
    }
}

fn answer(world: &Mutex<World>, request: &[u8]) -> Vec<u8> {
    let mut world = world.lock().unwrap();
    world.now = KerberosTime::from(SystemTime::now()).plus_seconds(world.ahead_seconds());
    let realm = KdcReq::from_der(request).unwrap().body.realm;
    world.answer(&realm, request)
}

fn login(options: &KerberosOptions) -> Arc<KerberosLogin> {
    KerberosLogin::new(options, Duration::from_secs(5)).unwrap()
}

const WALK_IN: [&str; 3] = ["AS alice@R", "AS alice@R", "TGS kafka/broker@R"];

#[tokio::test]
async fn one_login_serves_all_connections_however_many_ask_at_once() {
    let kdc = Kdc::start().await;
    let login = login(&kdc.by_password("secret"));
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let login = login.clone();
        tasks.spawn(async move { login.ticket_for("Broker").await.unwrap().ticket.server.to_string() });
    }
    assert!(tasks.join_all().await.iter().all(|server| server == "kafka/broker@R"));
    assert_eq!(kdc.asked(), WALK_IN);
    kdc.world().realm("R").services.push("kafka/other.example.com".to_owned());
    login.ticket_for("other.example.com.").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/other.example.com@R"]);
}

#[tokio::test]
async fn each_context_has_a_time_of_its_own() {
    let kdc = Kdc::start().await;
    let login = login(&kdc.by_password("secret"));
    let mut times = Vec::new();
    for _ in 0..50 {
        times.push(login.ticket_for("broker").await.unwrap().fresh().unwrap().now);
    }
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_the_turn_to_the_next() {
    let kdc = Kdc::start().await;
    let login = login(&kdc.by_password("secret"));
    for wait in [0, 5, 15, 25] {
        let given_up = tokio::time::timeout(Duration::from_millis(wait), login.ticket_for("broker")).await;
        assert!(given_up.is_err() || wait > 0);
    }
    login.ticket_for("broker").await.unwrap();
}

#[tokio::test]
async fn a_ticket_that_the_kdc_does_not_take_any_more_is_replaced_once() {
    for code in [31, 32, 44] {
        let kdc = Kdc::start().await;
        let login = login(&kdc.by_password("secret"));
        kdc.world().realm("R").tgs_refuses = Some((code, 1));
        login.ticket_for("broker").await.unwrap();
        assert_eq!(kdc.asked(), [&WALK_IN[..], &WALK_IN[..]].concat());
        login.forget_service_tickets();
        kdc.world().realm("R").tgs_refuses = Some((code, 9));
        let error = login.ticket_for("broker").await.unwrap_err();
        assert_eq!(error.code(), Some(KrbErrorCode(code)));
        assert_eq!(kdc.asked(), [&WALK_IN[2..], &WALK_IN[..]].concat());
    }
    let kdc = Kdc::start().await;
    kdc.world().realm("R").tgs_refuses = Some((7, 9));
    login(&kdc.by_password("secret")).ticket_for("broker").await.unwrap_err();
    assert_eq!(kdc.asked(), WALK_IN);
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_anew_with_the_same_login() {
    let kdc = Kdc::start().await;
    let login = login(&kdc.by_password("secret"));
    login.ticket_for("broker").await.unwrap();
    login.forget_service_tickets();
    kdc.asked();
    login.ticket_for("broker").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/broker@R"]);
}

/// A clock for one test; the KDCs' stands still beside it.
macro_rules! clock {
    ($name:ident) => {
        static AHEAD: AtomicI64 = AtomicI64::new(0);
        fn $name() -> SystemTime {
            SystemTime::now() + Duration::from_secs(AHEAD.load(Ordering::SeqCst) as u64)
        }
    };
}

#[tokio::test]
async fn a_ticket_is_replaced_when_four_fifths_of_its_life_are_over() {
    clock!(clock);
    let kdc = Kdc::start().await;
    let login = KerberosLogin::with_clock(&kdc.by_password("secret"), Duration::from_secs(5), clock).unwrap();
    let walk_to = |seconds: i64| {
        AHEAD.store(seconds, Ordering::SeqCst);
        kdc.world().set_ahead(seconds);
        login.forget_service_tickets();
        kdc.asked();
    };
    login.ticket_for("broker").await.unwrap();
    walk_to(2870);
    login.ticket_for("broker").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/broker@R"]);
    walk_to(3070);
    login.ticket_for("broker").await.unwrap();
    assert_eq!(kdc.asked(), WALK_IN);
    walk_to(3071);
    login.ticket_for("broker").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/broker@R"]);
}

#[tokio::test]
async fn tickets_of_30_seconds_serve_and_are_replaced_before_they_end() {
    clock!(clock);
    let kdc = Kdc::start().await;
    kdc.world().life_seconds = 30;
    let login = KerberosLogin::with_clock(&kdc.by_password("secret"), Duration::from_secs(5), clock).unwrap();
    for seconds in 0..100 {
        AHEAD.store(seconds, Ordering::SeqCst);
        kdc.world().set_ahead(seconds);
        let ticket = login.ticket_for("broker").await.unwrap().ticket;
        assert!(ticket.end_time > KerberosTime::from(clock()).plus_seconds(4), "after {seconds} s");
    }
    let logins = kdc.asked().iter().filter(|asked| asked.starts_with("AS")).count() / 2;
    assert!((4..=6).contains(&logins), "{logins} logins");
}

#[tokio::test]
async fn a_refused_replacement_is_not_tried_again_while_the_old_ticket_serves() {
    clock!(clock);
    let kdc = Kdc::start().await;
    let login = KerberosLogin::with_clock(&kdc.by_password("secret"), Duration::from_secs(5), clock).unwrap();
    login.ticket_for("broker").await.unwrap();
    kdc.world().alice().password = "changed".to_owned();
    kdc.asked();
    for seconds in [3100, 3200, 3300, 3550, 3590] {
        AHEAD.store(seconds, Ordering::SeqCst);
        kdc.world().set_ahead(seconds);
        login.forget_service_tickets();
        login.ticket_for("broker").await.unwrap();
    }
    assert_eq!(kdc.asked().iter().filter(|asked| asked.starts_with("AS")).count(), 2);
    AHEAD.store(3700, Ordering::SeqCst);
    kdc.world().set_ahead(3700);
    login.forget_service_tickets();
    let error = login.ticket_for("broker").await.unwrap_err();
    assert!(matches!(error, KerberosError::WrongKey { .. }), "{error}");
}

#[tokio::test]
async fn an_unreachable_kdc_is_told_with_its_address_and_the_old_ticket_serves_meanwhile() {
    clock!(clock);
    let mut kdc = Kdc::start().await;
    let login = KerberosLogin::with_clock(&kdc.by_password("secret"), Duration::from_secs(2), clock).unwrap();
    login.ticket_for("broker").await.unwrap();
    kdc.tasks.shutdown().await;
    // The service's ticket is good for as long as it was.
    AHEAD.store(3100, Ordering::SeqCst);
    login.ticket_for("broker").await.unwrap();
    login.forget_service_tickets();
    let error = login.ticket_for("broker").await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains(&kdc.address), "{error}");
}

#[tokio::test]
async fn the_kdcs_clock_is_followed_in_every_context_or_the_skew_is_named() {
    clock!(clock);
    AHEAD.store(600, Ordering::SeqCst);
    let kdc = Kdc::start().await;
    let login = KerberosLogin::with_clock(&kdc.by_password("secret"), Duration::from_secs(5), clock).unwrap();
    let ticket = login.ticket_for("broker").await.unwrap();
    let off = ticket.fresh().unwrap().now.seconds.abs_diff(KerberosTime::from(SystemTime::now()).seconds);
    assert!(off <= 2, "{off} s off");
    let strict =
        kdc.options_with(KerberosOptions::password("alice", "secret"), &format!("{AS_IT_STANDS}kdc_timesync = 0"));
    let strict = KerberosLogin::with_clock(&strict, Duration::from_secs(5), clock).unwrap();
    let error = strict.ticket_for("broker").await.unwrap_err();
    assert!(matches!(error, KerberosError::ClockSkew { .. }), "{error}");
}

#[tokio::test]
async fn the_realm_of_a_host_is_as_set_or_by_domain_realm_or_as_the_kdc_says() {
    let kdc = Kdc::start().await;
    {
        let mut world = kdc.world();
        world.realm("R").services = vec!["krbtgt/S".to_owned()];
        world.realm("R").referrals = vec![("kafka/a.referred.com".to_owned(), "S".to_owned())];
        for host in ["a.referred.com", "b.mapped.com", "c.com"] {
            world.realm("S").services.push(format!("kafka/{host}"));
        }
    }
    let settings =
        format!("{AS_IT_STANDS}[domain_realm]\n.mapped.com = S\n[realms]\nS = {{\nkdc = {}\n}}", kdc.address);
    let options = kdc.options_with(KerberosOptions::password("alice", "secret"), &settings);
    let login = login(&options);
    login.ticket_for("a.referred.com").await.unwrap();
    assert_eq!(kdc.asked()[2..], ["TGS kafka/a.referred.com@R", "TGS kafka/a.referred.com@S"]);
    login.ticket_for("b.mapped.com").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS krbtgt/S@R", "TGS kafka/b.mapped.com@S"]);
    assert!(login.ticket_for("c.com").await.is_err());
    kdc.asked();
    let set = KerberosLogin::new(&options.service_realm("S"), Duration::from_secs(5)).unwrap();
    set.ticket_for("c.com").await.unwrap();
    assert_eq!(kdc.asked()[2..], ["TGS krbtgt/S@R", "TGS kafka/c.com@S"]);
}

/// A cache file with the ticket that a login got.
async fn cache_of(kdc: &Kdc, directory: &tempfile::TempDir) -> std::path::PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let login = login(&kdc.by_password("secret"));
    login.ticket_for("broker").await.unwrap();
    let tgt = login.held().tgt.clone().unwrap();
    let mut cache = CredentialCache::new(tgt.client.clone());
    cache.store(tgt);
    let path = directory.path().join(format!("cc{}", COUNT.fetch_add(1, Ordering::SeqCst)));
    cache.save(&path).unwrap();
    kdc.asked();
    path
}

#[tokio::test]
async fn a_credential_cache_serves_without_a_login_and_is_renewed_in_memory() {
    clock!(clock);
    let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
    let path = cache_of(&kdc, &directory).await;
    let options = kdc.options(KerberosOptions::credential_cache(path.to_str()));
    let login = KerberosLogin::with_clock(&options, Duration::from_secs(5), clock).unwrap();
    login.ticket_for("broker").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/broker@R"]);
    for seconds in [3100, 6200, 9300] {
        AHEAD.store(seconds, Ordering::SeqCst);
        kdc.world().set_ahead(seconds);
        login.forget_service_tickets();
        login.ticket_for("broker").await.unwrap();
        assert_eq!(kdc.asked(), ["TGS krbtgt/R@R", "TGS kafka/broker@R"]);
    }
    AHEAD.store(36_000, Ordering::SeqCst);
    let error = login.ticket_for("broker").await.unwrap_err().to_string();
    assert!(error.contains("ended at") && error.ends_with("run kinit"), "{error}");
    assert!(kdc.asked().is_empty());
}

#[tokio::test]
async fn a_cache_is_written_back_if_asked_and_only_then() {
    for write_back in [false, true] {
        clock!(clock);
        AHEAD.store(0, Ordering::SeqCst);
        let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
        let path = cache_of(&kdc, &directory).await;
        let before = std::fs::read(&path).unwrap();
        let options = kdc.options(KerberosOptions::credential_cache(path.to_str()).write_back(write_back));
        let login = KerberosLogin::with_clock(&options, Duration::from_secs(5), clock).unwrap();
        login.ticket_for("broker").await.unwrap();
        let ends = |cache: &CredentialCache| cache.tgt().unwrap().end_time;
        let got = CredentialCache::load(&path).unwrap();
        assert_eq!(got.service(&PrincipalName::service("kafka", "broker")).is_some(), write_back);
        AHEAD.store(3100, Ordering::SeqCst);
        kdc.world().set_ahead(3100);
        login.tgt().await.unwrap();
        let renewed = CredentialCache::load(&path).unwrap();
        assert_eq!(ends(&renewed) > ends(&got), write_back, "the renewed ticket");
        assert_eq!(std::fs::read(&path).unwrap() == before, !write_back);
        // Another login finds all of it there and asks nobody.
        kdc.asked();
        let other = KerberosLogin::with_clock(&options, Duration::from_secs(5), clock).unwrap();
        other.ticket_for("broker").await.unwrap();
        assert_eq!(kdc.asked().is_empty(), write_back);
    }
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_no_failure() {
    let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
    let path = cache_of(&kdc, &directory).await;
    let options = kdc.options(KerberosOptions::credential_cache(path.to_str()).write_back(true));
    let login = login(&options);
    login.ticket_for("broker").await.unwrap();
    // What is written beside and renamed cannot take a directory's place.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    login.put_into_cache(&login.held().tgt.clone().unwrap());
    login.ticket_for("broker").await.unwrap();
}

#[tokio::test]
async fn a_cache_that_kinit_filled_again_is_found() {
    clock!(clock);
    let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
    let path = cache_of(&kdc, &directory).await;
    let options = kdc.options(KerberosOptions::credential_cache(path.to_str()));
    let login = KerberosLogin::with_clock(&options, Duration::from_secs(5), clock).unwrap();
    login.ticket_for("broker").await.unwrap();
    AHEAD.store(3700, Ordering::SeqCst);
    kdc.world().set_ahead(3700);
    assert!(login.ticket_for("broker").await.unwrap_err().to_string().ends_with("run kinit"));
    let mut cache = CredentialCache::load(&path).unwrap();
    let mut tgt = cache.tgt().unwrap().clone();
    tgt.end_time = tgt.end_time.plus_seconds(7200);
    cache.store(tgt);
    cache.save(&path).unwrap();
    login.ticket_for("broker").await.unwrap();
}

#[tokio::test]
async fn a_cache_may_hold_the_services_ticket_itself() {
    let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
    let by_password = login(&kdc.by_password("secret"));
    let ticket = by_password.ticket_for("broker").await.unwrap().ticket;
    let mut cache = CredentialCache::new(ticket.client.clone());
    cache.store(ticket);
    let path = directory.path().join("cc");
    cache.save(&path).unwrap();
    kdc.asked();
    let login = login(&kdc.options(KerberosOptions::credential_cache(path.to_str())));
    login.ticket_for("broker").await.unwrap();
    assert!(kdc.asked().is_empty());
    let error = login.ticket_for("other").await.unwrap_err().to_string();
    assert!(error.contains("has no ticket for other tickets"), "{error}");
}

#[tokio::test]
async fn a_cache_of_somebody_else_or_of_nobody_is_told() {
    let (kdc, directory) = (Kdc::start().await, tempfile::tempdir().unwrap());
    let path = cache_of(&kdc, &directory).await;
    let options = kdc.options(KerberosOptions::credential_cache(path.to_str()).principal("bob"));
    let error = login(&options).ticket_for("broker").await.unwrap_err().to_string();
    assert!(error.contains("is alice@R's, not bob@R's"), "{error}");
    let nowhere = kdc.options(KerberosOptions::credential_cache(Some("FILE:/nonexistent/cc")));
    let error = login(&nowhere).ticket_for("broker").await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/cc") && error.ends_with("run kinit"), "{error}");
}

#[test]
fn what_is_missing_or_wrong_is_told_before_anything_is_asked() {
    let conf = |options: KerberosOptions| options.krb5_conf_text("[libdefaults]\ndefault_realm = R\n");
    for (options, part) in [
        (conf(KerberosOptions::password("alice", "")), "password is empty"),
        (conf(KerberosOptions::password("", "x")), "has no name"),
        (KerberosOptions::password("alice", "x").krb5_conf_text(""), "no default realm"),
        (conf(KerberosOptions::keytab("/nonexistent/alice.keytab")), "/nonexistent/alice.keytab"),
        (conf(KerberosOptions::keytab("MEMORY:x")), "MEMORY"),
        (
            KerberosOptions::default_keytab().krb5_conf_text(
                "[libdefaults]\ndefault_realm = R\ndefault_keytab_name = /nonexistent/%{null}default\n",
            ),
            "/nonexistent/default",
        ),
        (conf(KerberosOptions::keytab_bytes(&[5, 2])), "name the principal"),
        (
            conf(KerberosOptions::keytab_bytes(&[5, 2]).principal("alice")),
            "the keytab has no key of alice@R; it has no entry",
        ),
        (conf(KerberosOptions::keytab_bytes(b"junk")), "this is no keytab"),
        (conf(KerberosOptions::keytab_base64("?")), "not base64"),
        (conf(KerberosOptions::credential_cache(Some("KCM:1000"))), "KCM"),
        (KerberosOptions::credential_cache(None).krb5_conf("/nonexistent/krb5.conf"), "/nonexistent/krb5.conf"),
        (KerberosOptions::credential_cache(None).krb5_conf_text("[libdefaults]\nclockskew = banana\n"), "line 2"),
    ] {
        let error = KerberosLogin::new(&options, Duration::from_secs(1)).err().unwrap().to_string();
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}

#[test]
fn a_mistake_says_which_setting_it_is_about() {
    let conf = |options: KerberosOptions| options.krb5_conf_text("[libdefaults]\ndefault_realm = R\n");
    for (options, setting) in [
        (conf(KerberosOptions::keytab("/nonexistent")), KerberosSetting::Keytab),
        (conf(KerberosOptions::keytab_bytes(&[5, 2])), KerberosSetting::Principal),
        (conf(KerberosOptions::keytab_bytes(&[5, 2]).principal("alice")), KerberosSetting::Principal),
        (conf(KerberosOptions::password("@", "x")), KerberosSetting::Principal),
        (conf(KerberosOptions::password("alice", "")), KerberosSetting::Password),
        (conf(KerberosOptions::credential_cache(Some("KCM:"))), KerberosSetting::Cache),
        (KerberosOptions::password("a@R", "x").krb5_conf("/nonexistent"), KerberosSetting::Krb5Conf),
    ] {
        assert_eq!(options.check().unwrap_err().setting, setting, "{options:?}");
    }
    conf(KerberosOptions::password("alice", "x")).check().unwrap();
    // [libdefaults]\ndefault_realm = R\n
    let encoded = "W2xpYmRlZmF1bHRz\n XQpkZWZhdWx0X3JlYWxtID0gUgo=";
    KerberosOptions::password("alice", "x").krb5_conf_base64(encoded).check().unwrap();
    let mistake = KerberosOptions::password("alice", "x").krb5_conf_base64("?").check().unwrap_err();
    assert_eq!((mistake.setting, mistake.to_string().contains("not base64")), (KerberosSetting::Krb5Conf, true));
    conf(KerberosOptions::credential_cache(Some("/nonexistent"))).check().unwrap();
}

#[test]
fn options_show_no_secret() {
    for options in [
        KerberosOptions::password("alice", "hunter2"),
        KerberosOptions::keytab_base64("hunter2"),
        KerberosOptions::keytab_bytes(b"hunter2"),
    ] {
        let shown = format!("{options:?} {options:#?}");
        assert!(!shown.contains("hunter2") && !shown.contains("104, 117") && shown.contains("kafka"), "{shown}");
    }
}
