//! Kerberos from the options to the first answer, over a socket: the ticket lies in a credential cache, the development broker
//! has the framing, and the service is of our own making. No KDC is there unless a test needs a dead one.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ottla_devbroker::{Builder, DevBroker, Fault, Release, TokenServer, TokenStep};
use ottla_protocol::{ApiKey, ErrorCode};
use tempfile::TempDir;

use crate::kerberos::ccache::CredentialCache;
use crate::kerberos::enctype::Enctype;
use crate::kerberos::gss::acceptor::{self, Acceptor, Manner};
use crate::kerberos::messages::{EncryptedData, Message as _, Ticket};
use crate::kerberos::principal::{Principal, PrincipalName};
use crate::kerberos::ticket::HeldTicket;
use crate::kerberos::time::KerberosTime;
use crate::{Client, ClientBuilder, Error, ErrorKind, KerberosOptions};

const REALM: &str = "TEST.LOCAL";
/// Raw tokens, and SaslAuthenticate.
const FRAMINGS: [Release; 2] = [Release::V0_11, Release::V2_3];
/// A Kafka broker's own words (`SaslServerAuthenticator.handleSaslToken`).
const REFUSAL: &str =
    "Authentication failed during authentication due to invalid credentials with SASL mechanism GSSAPI";

/// A ticket for a service of alice's realm, as a KDC would have given it now.
fn ticket_for(name: PrincipalName, enctype: Enctype) -> HeldTicket {
    let server = Principal::new(name, REALM);
    let enc_part = EncryptedData { enctype, kvno: Some(1), cipher: b"for the service alone".to_vec() };
    let now = KerberosTime::at(KerberosTime::from(SystemTime::now()).seconds);
    HeldTicket {
        ticket: Ticket { server: server.clone(), enc_part }.to_der().to_vec(),
        server,
        auth_time: now,
        start_time: now,
        end_time: now.plus_seconds(600),
        ..acceptor::held(enctype)
    }
}

fn for_broker(enctype: Enctype) -> HeldTicket {
    ticket_for(PrincipalName::service("kafka", "localhost"), enctype)
}

fn ended(ticket: HeldTicket) -> HeldTicket {
    let earlier = |time: KerberosTime| time.plus_seconds(-3600);
    HeldTicket { start_time: earlier(ticket.start_time), end_time: earlier(ticket.end_time), ..ticket }
}

/// A credential cache with some tickets.
struct Cache {
    directory: TempDir,
}

impl Cache {
    fn with(tickets: impl IntoIterator<Item = HeldTicket>) -> Self {
        let cache = Self { directory: tempfile::tempdir().unwrap() };
        let mut content = CredentialCache::new(acceptor::held(Enctype::AES256_SHA1).client);
        tickets.into_iter().for_each(|ticket| content.store(ticket));
        content.save(&cache.path()).unwrap();
        cache
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("cc")
    }

    /// The options that name it, and this KDC.
    fn options(&self, kdc: &str) -> KerberosOptions {
        let conf = format!(
            "[libdefaults]\ndefault_realm = {REALM}\ndns_canonicalize_hostname = false\n[realms]\n{REALM} = {{\nkdc = {kdc}\n}}\n"
        );
        KerberosOptions::credential_cache(self.path().to_str()).krb5_conf_text(&conf)
    }
}

/// What a service does otherwise than it should.
#[derive(Clone, Copy, Default)]
enum Fraud {
    #[default]
    None,
    /// Its answer is altered on the way.
    AlteredAnswer,
    /// It leaves its answer out and offers at once.
    NoAnswer,
    /// It answers with nothing.
    EmptyAnswer,
    /// It offers these layers.
    Layers(u8),
    /// A message of it is lost before the offer.
    Lost,
    /// It refuses this token of the client, counted from 1.
    Refuses(usize),
}

/// A broker's side of the mechanism.
struct Service {
    ticket: HeldTicket,
    manner: Manner,
    fraud: Fraud,
    context: Option<Acceptor>,
    tokens: usize,
}

impl Service {
    /// Its answer to the initial token.
    fn answer(&mut self, token: &[u8]) -> Vec<u8> {
        let (context, mut answer) = Acceptor::accept(self.manner.clone(), &self.ticket, token);
        self.context = Some(context);
        match self.fraud {
            Fraud::AlteredAnswer => *answer.last_mut().unwrap() ^= 1,
            Fraud::NoAnswer => answer = self.offer(),
            Fraud::EmptyAnswer => answer.clear(),
            _ => {}
        }
        answer
    }

    fn offer(&mut self) -> Vec<u8> {
        let context = self.context.as_mut().unwrap();
        if let Fraud::Lost = self.fraud {
            context.wrap(b"lost");
        }
        let layers = if let Fraud::Layers(layers) = self.fraud { layers } else { 1 };
        context.wrap(&[layers, 1, 0, 0])
    }
}

impl TokenServer for Service {
    fn step(&mut self, token: &[u8]) -> TokenStep {
        self.tokens += 1;
        match (self.tokens, self.fraud) {
            (now, Fraud::Refuses(then)) if now == then => TokenStep::Refuse(REFUSAL.to_owned()),
            (1, _) => TokenStep::Continue(self.answer(token).into()),
            (2, _) if !token.is_empty() => TokenStep::Refuse("the second token is not empty".to_owned()),
            (2, _) => TokenStep::Continue(self.offer().into()),
            _ => {
                let choice = self.context.as_mut().unwrap().unwrap(token);
                assert_eq!(choice, [1, 0, 0, 0], "no layer, and nobody else's name");
                TokenStep::Done { token: None, principal: self.ticket.client.to_string() }
            }
        }
    }
}

/// A broker whose service holds the key of this ticket.
fn serving(ticket: &HeldTicket, manner: Manner, fraud: Fraud) -> Builder {
    serving_by_turns(ticket, manner, Arc::new(Mutex::new(fraud)))
}

/// One whose service changes its ways, from the next login on.
fn serving_by_turns(ticket: &HeldTicket, manner: Manner, fraud: Arc<Mutex<Fraud>>) -> Builder {
    let ticket = ticket.clone();
    let make = move || {
        let (ticket, manner, fraud) = (ticket.clone(), manner.clone(), *fraud.lock().unwrap());
        Box::new(Service { ticket, manner, fraud, context: None, tokens: 0 }) as Box<dyn TokenServer>
    };
    DevBroker::builder().listen("localhost:0").sasl_mechanism("GSSAPI", make)
}

/// A client of one with that cache.
fn client_of(broker: &DevBroker, cache: &Cache) -> ClientBuilder {
    // Nothing listens at port 1, and nobody is to ask.
    client(broker, cache.options("127.0.0.1:1"))
}

fn client(broker: &DevBroker, options: KerberosOptions) -> ClientBuilder {
    Client::builder()
        .bootstrap(broker.bootstrap())
        .sasl_kerberos(options)
        .connect_timeout(Duration::from_secs(30))
        .api_timeout(Duration::from_mins(1))
        .retry_backoff(Duration::from_millis(10), Duration::from_millis(50))
        .reconnect_backoff(Duration::from_millis(5), Duration::from_millis(20))
}

/// How a login fails with a good ticket and a service that is not as it should be. No secret is in the error.
async fn fails(release: Release, manner: Manner, fraud: Fraud) -> (Error, DevBroker) {
    let ticket = for_broker(Enctype::AES256_SHA1);
    let broker = serving(&ticket, manner, fraud).release(release).start().await.unwrap();
    let error = client_of(&broker, &Cache::with([ticket.clone()])).connect().await.unwrap_err();
    no_secret_in(&error, &ticket);
    (error, broker)
}

/// Neither the ticket nor its key nor a part of them is told, in whatever form.
fn no_secret_in(error: &Error, ticket: &HeldTicket) {
    let mut told = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        write!(told, " {cause} {cause:?} {cause:#?}").unwrap();
        source = cause.source();
    }
    let told: String = told.to_lowercase().split_whitespace().collect();
    for secret in [&ticket.session_key.bytes[..4], &ticket.ticket[..4], b"for the service alone"] {
        let hex: Vec<_> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = secret.iter().map(u8::to_string).collect();
        let text: String = String::from_utf8_lossy(secret).split_whitespace().collect();
        for form in [hex.concat(), list.join(","), text] {
            assert!(!told.contains(&form), "{form} is in {told}");
        }
    }
}

#[track_caller]
fn tells(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part:?} is missing in {error}");
    }
}

#[tokio::test]
async fn a_ticket_in_the_cache_lets_in_over_both_framings_whatever_the_services_manner() {
    for release in FRAMINGS {
        for enctype in Enctype::DEFAULT {
            let ticket = for_broker(enctype);
            let cache = Cache::with([ticket.clone()]);
            // Java 17; MIT and Java with an acceptor's subkey; a subkey of another type; none of a number; Windows.
            for manner in [
                Manner::java(),
                Manner { subkey: Some(enctype), ..Manner::java() },
                Manner { subkey: Some(Enctype::AES256_SHA2), ..Manner::java() },
                Manner { sequence: None, ..Manner::java() },
                Manner::windows(enctype, true),
            ] {
                let broker = serving(&ticket, manner, Fraud::None).release(release).start().await.unwrap();
                // A cluster that lists no topic is asked again for a second.
                broker.create_topic("t", 1).unwrap();
                let client = client_of(&broker, &cache).connect().await.unwrap();
                assert_eq!(client.topics().await.unwrap().len(), 1, "{release} {enctype}");
                let tokens = broker.requests(ApiKey::SASL_AUTHENTICATE) / broker.requests(ApiKey::SASL_HANDSHAKE);
                assert_eq!(tokens, if release == Release::V0_11 { 0 } else { 3 });
            }
        }
    }
}

#[tokio::test]
async fn a_login_is_renewed_on_the_connection_by_a_new_context() {
    let ticket = for_broker(Enctype::AES128_SHA2);
    let builder = serving(&ticket, Manner::java(), Fraud::None).max_reauth(Duration::from_secs(6));
    let (broker, cache) = (builder.start().await.unwrap(), Cache::with([ticket]));
    let client = client_of(&broker, &cache).connect().await.unwrap();
    client.topics().await.unwrap();
    let asked = || (broker.requests(ApiKey::API_VERSIONS), broker.requests(ApiKey::SASL_HANDSHAKE));
    let (connected, before) = asked();
    let start = tokio::time::Instant::now();
    while asked().1 < before + 2 {
        assert!(start.elapsed() < Duration::from_mins(1), "no login is renewed");
        client.topics().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.topics().await.unwrap();
    assert_eq!(asked().0, connected, "a new connection asks for versions");
}

#[tokio::test]
async fn a_service_that_does_not_prove_itself_is_not_trusted_and_the_reason_is_told() {
    let honest = Manner::java();
    let subkey = Manner { subkey: Some(Enctype::AES256_SHA1), ..Manner::java() };
    for release in FRAMINGS {
        for (manner, fraud, why) in [
            (Manner { echo_off: 1, ..honest.clone() }, Fraud::None, "its answer is to another authenticator"),
            (honest.clone(), Fraud::AlteredAnswer, "its answer is not sealed with the ticket's session key"),
            (honest.clone(), Fraud::NoAnswer, "a wrapped message came in place of its answer"),
            (honest.clone(), Fraud::EmptyAnswer, "its answer is empty"),
            (subkey.clone(), Fraud::AlteredAnswer, "its answer is not sealed with the ticket's session key"),
        ] {
            let (error, broker) = fails(release, manner, fraud).await;
            let advice = "do not trust this address";
            tells(&error, ErrorKind::Authentication, &["the service did not prove itself", why, advice, "localhost:"]);
            assert!(!error.is_retriable());
            assert!(broker.requests(ApiKey::SASL_AUTHENTICATE) <= 1, "nothing more is said to it");
        }
    }
}

#[tokio::test]
async fn a_service_that_offers_no_plain_traffic_or_counts_wrongly_is_refused() {
    for release in FRAMINGS {
        for layers in [0, 2, 4, 6] {
            let (error, _broker) = fails(release, Manner::java(), Fraud::Layers(layers)).await;
            let offered = format!("it offers layers {layers:#04x}");
            tells(&error, ErrorKind::Authentication, &["nothing without a security layer", &offered, "\"auth\""]);
            assert!(!error.is_retriable());
        }
        let (error, broker) = fails(release, Manner::java(), Fraud::Lost).await;
        tells(&error, ErrorKind::Authentication, &["the service's token is refused", "sequence number"]);
        assert!(!error.is_retriable());
        assert!(broker.requests(ApiKey::SASL_AUTHENTICATE) <= 2, "no choice is sent");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_brokers_words_with_where_to_look() {
    for token in 1..=3 {
        let (error, broker) = fails(Release::V2_3, Manner::java(), Fraud::Refuses(token)).await;
        tells(&error, ErrorKind::Authentication, &[REFUSAL, "the broker's log says why", "localhost:"]);
        assert_eq!(error.code(), Some(ErrorCode::SASL_AUTHENTICATION_FAILED));
        assert!(!error.is_retriable());
        assert_eq!(broker.requests(ApiKey::SASL_AUTHENTICATE), token as u64);
    }
}

#[tokio::test]
async fn a_close_after_a_raw_token_is_told_as_the_refusal_that_it_is() {
    for token in 1..=3 {
        let (error, _broker) = fails(Release::V0_11, Manner::java(), Fraud::Refuses(token)).await;
        tells(&error, ErrorKind::Authentication, &["how brokers before 1.0 refuse", "the broker's log says why"]);
        assert!(!error.is_retriable());
    }
}

#[tokio::test]
async fn a_client_that_was_let_in_before_and_is_refused_now_does_not_hammer() {
    let ticket = for_broker(Enctype::AES256_SHA1);
    let cache = Cache::with([ticket.clone()]);
    for (release, token) in FRAMINGS.into_iter().flat_map(|release| (1..=3).map(move |token| (release, token))) {
        let fraud = Arc::new(Mutex::new(Fraud::None));
        let builder = serving_by_turns(&ticket, Manner::java(), fraud.clone());
        let broker = builder.release(release).start().await.unwrap();
        let client = client_of(&broker, &cache).connect().await.unwrap();
        *fraud.lock().unwrap() = Fraud::Refuses(token);
        broker.kill_node(0).await.unwrap();
        broker.restart_node(0).await.unwrap();
        let before = broker.requests(ApiKey::SASL_HANDSHAKE);
        for _ in 0..3 {
            let error = client.topics().await.unwrap_err();
            tells(&error, ErrorKind::Authentication, &["the broker's log says why"]);
        }
        assert_eq!(broker.requests(ApiKey::SASL_HANDSHAKE) - before, 1, "{release}, token {token}");
    }
}

#[tokio::test]
async fn a_broker_without_the_mechanism_is_told_with_those_that_it_has() {
    for release in FRAMINGS {
        let users = [("etl", "open-sesame")];
        let builder = DevBroker::builder().listen("localhost:0").release(release).sasl_plain(&users);
        let broker = builder.sasl_scram_sha_256(&users).start().await.unwrap();
        let error = client_of(&broker, &Cache::with([for_broker(Enctype::AES256_SHA1)])).connect().await.unwrap_err();
        tells(&error, ErrorKind::Authentication, &["asked for GSSAPI, the broker has PLAIN, SCRAM-SHA-256"]);
        assert!(!error.is_retriable());
    }
}

#[tokio::test]
async fn a_close_without_an_answer_is_no_refusal_and_the_login_is_tried_again() {
    // So brokers treat a replay, or a ticket that is not valid yet (`KerberosError.isRetriable`).
    let ticket = for_broker(Enctype::AES256_SHA1);
    let cache = Cache::with([ticket.clone()]);
    let broker = serving(&ticket, Manner::java(), Fraud::None).start().await.unwrap();
    let client = client_of(&broker, &cache).connect().await.unwrap();
    // More often than the refusals that would end all trying.
    for token in [0, 1, 2, 0, 1, 2] {
        broker.kill_node(0).await.unwrap();
        broker.restart_node(0).await.unwrap();
        let fault = broker.inject(Fault::close_before(ApiKey::SASL_AUTHENTICATE).after(token).times(1));
        client.topics().await.unwrap();
        assert_eq!(fault.hits(), 1, "the next try got in");
    }

    broker.inject(Fault::close_before(ApiKey::SASL_AUTHENTICATE));
    let error = client_of(&broker, &cache).connect().await.unwrap_err();
    tells(&error, ErrorKind::Disconnected, &["SaslAuthenticate to server localhost:", "closed the connection"]);
    assert!(error.is_retriable() && error.code().is_none());
    no_secret_in(&error, &ticket);
}

#[tokio::test]
async fn without_the_brokers_ticket_and_without_a_kdc_every_address_that_was_tried_is_named() {
    let tgt = ticket_for(PrincipalName::krbtgt(REALM), Enctype::AES256_SHA1);
    let broker = serving(&for_broker(Enctype::AES256_SHA1), Manner::java(), Fraud::None).start().await.unwrap();
    // Bound and let go of: nothing listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = client(&broker, Cache::with([tgt.clone()]).options(&dead)).connect().await.unwrap_err();
    tells(&error, ErrorKind::Connect, &["no KDC of realm TEST.LOCAL answers", &dead, "UDP", "TCP", "[realms]"]);
    assert!(error.is_retriable());
    assert_eq!(broker.requests(ApiKey::SASL_HANDSHAKE), 0, "the broker heard nothing of it");
    no_secret_in(&error, &tgt);
}

#[tokio::test]
async fn a_cache_whose_tickets_have_ended_is_told_with_its_path_and_what_to_run() {
    let tgt = || ticket_for(PrincipalName::krbtgt(REALM), Enctype::AES256_SHA1);
    let ticket = for_broker(Enctype::AES256_SHA1);
    let broker = serving(&ticket, Manner::java(), Fraud::None).start().await.unwrap();
    let end = ended(tgt()).end_time.to_string();
    for (cache, why) in [
        (Cache::with([ended(ticket.clone())]), "has no ticket for other tickets"),
        (Cache::with([ended(ticket.clone()), ended(tgt())]), &*format!("has a ticket that ended at {end}")),
        (Cache::with([]), "has no ticket for other tickets"),
    ] {
        let error = client_of(&broker, &cache).connect().await.unwrap_err();
        let path = cache.path();
        tells(&error, ErrorKind::Config, &[path.to_str().unwrap(), "of alice@TEST.LOCAL", why, "run kinit"]);
        assert!(!error.is_retriable());
        no_secret_in(&error, &ticket);
    }
}
