//! SASL PLAIN in both framings, accepted and refused, and nowhere a password.

mod net_support;

use std::time::{Duration, Instant};

use net_support::{Conversation, OFFERED, Peer, offered};
use ottla_client::{Client, Error, ErrorKind, ScramHash, TopicPartition};
use ottla_devbroker::{DevBroker, Release};
use ottla_protocol::messages::{
    ApiVersionsResponse, FindCoordinatorResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};

const PASSWORD: &str = "open-sesame";

async fn connect(peer: &Peer) -> Result<Client, Error> {
    peer.builder().sasl_plain("etl", PASSWORD).connect().await
}

/// Answers ApiVersions (offering this SaslHandshake at most) and the handshake.
async fn shake_hands(talk: &mut Conversation, max: i16, answer: SaslHandshakeResponse) {
    let mut ranges = OFFERED.to_vec();
    ranges.retain(|range| range.0 != ApiKey::SASL_HANDSHAKE);
    ranges.push((ApiKey::SASL_HANDSHAKE, 0, max));
    let asked = talk.asked().await.unwrap();
    talk.answer(&asked, &ApiVersionsResponse { ..offered(&ranges) }).await;
    let asked = talk.asked().await.unwrap();
    assert_eq!(asked.api(), ApiKey::SASL_HANDSHAKE);
    talk.answer(&asked, &answer).await;
}

fn no_secret_in(error: &Error) {
    let mut texts = vec![error.to_string(), format!("{error:?}")];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        texts.push(format!("{cause} {cause:?}"));
        source = cause.source();
    }
    for text in texts {
        assert!(!text.contains(PASSWORD), "the password is in: {text}");
    }
}

#[tokio::test]
async fn after_a_handshake_of_version_1_the_token_travels_in_a_request() {
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 1, SaslHandshakeResponse::default()).await;
        let asked = talk.asked().await.unwrap();
        let token = asked.read::<SaslAuthenticateRequest>().auth_bytes.0;
        if token == format!("\0etl\0{PASSWORD}") {
            talk.answer(&asked, &SaslAuthenticateResponse::default()).await;
            while talk.next_special().await.is_some() {}
        }
    })
    .await;
    let client = connect(&peer).await.unwrap();
    assert!(!format!("{client:?}").contains(PASSWORD));
    let seen = peer.seen.lock().unwrap().clone();
    let expected = [
        // An old broker takes a higher version for a GSSAPI token.
        (0, ApiKey::API_VERSIONS, 0),
        (0, ApiKey::SASL_HANDSHAKE, 1),
        (0, ApiKey::SASL_AUTHENTICATE, 1),
        (0, ApiKey::API_VERSIONS, 2),
    ];
    assert_eq!(seen[..4], expected);
}

#[tokio::test]
async fn after_a_handshake_of_version_0_the_token_travels_raw_and_a_frame_of_nothing_accepts_it() {
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 0, SaslHandshakeResponse::default()).await;
        if talk.frame().await.unwrap() == format!("\0etl\0{PASSWORD}") {
            talk.raw(&[0, 0, 0, 0]).await;
            while talk.next_special().await.is_some() {}
        }
    })
    .await;
    connect(&peer).await.unwrap();
    assert_eq!(peer.seen.lock().unwrap()[2], (0, ApiKey::API_VERSIONS, 2));
}

#[tokio::test]
async fn a_refusal_in_version_1_is_told_in_the_brokers_words_and_once() {
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 1, SaslHandshakeResponse::default()).await;
        let asked = talk.asked().await.unwrap();
        let answer = SaslAuthenticateResponse {
            error_code: ErrorCode::SASL_AUTHENTICATION_FAILED,
            error_message: Some("Invalid username or password".to_owned()),
            ..SaslAuthenticateResponse::default()
        };
        talk.answer(&asked, &answer).await;
    })
    .await;
    let error = connect(&peer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(!error.is_retriable());
    assert!(error.to_string().contains("Invalid username or password") && error.to_string().contains(&peer.server()));
    assert_eq!(peer.count(ApiKey::SASL_AUTHENTICATE), 1, "more tries may lock the account");
    no_secret_in(&error);
}

#[tokio::test]
async fn a_broker_that_repeats_the_password_or_steers_the_terminal_is_shown_without_either() {
    // The last one is the PLAIN message in base64.
    let said = [
        format!("no such user: \0etl\0{PASSWORD}"),
        format!("\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}{PASSWORD}"),
        "AGV0bABvcGVuLXNlc2FtZQ==".to_owned(),
        format!("{}{PASSWORD}", "x".repeat(100_000)),
    ];
    for words in said {
        let answer = SaslAuthenticateResponse {
            error_code: ErrorCode::SASL_AUTHENTICATION_FAILED,
            error_message: Some(words),
            ..SaslAuthenticateResponse::default()
        };
        let peer = Peer::start(move |mut talk| {
            let answer = answer.clone();
            async move {
                shake_hands(&mut talk, 1, SaslHandshakeResponse::default()).await;
                let asked = talk.asked().await.unwrap();
                talk.answer(&asked, &answer).await;
            }
        })
        .await;
        let error = connect(&peer).await.unwrap_err();
        no_secret_in(&error);
        let text = error.to_string();
        assert!(!text.contains("b3Blbi1zZXNhbW"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}') && text.len() < 1000, "{text:?}");
    }
}

#[tokio::test]
async fn mechanisms_with_escape_sequences_are_shown_without_them() {
    let peer = Peer::start(|mut talk| async move {
        let mechanisms = vec!["\u{1b}[31mSCRAM".to_owned(); 1000];
        let error_code = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
        shake_hands(&mut talk, 1, SaslHandshakeResponse { error_code, mechanisms }).await;
        talk.asked().await;
    })
    .await;
    let text = connect(&peer).await.unwrap_err().to_string();
    assert!(text.contains("\\u{1b}[31mSCRAM") && !text.contains('\u{1b}') && text.len() < 1000, "{text}");
}

#[tokio::test]
async fn a_refusal_in_version_0_is_a_close_and_told_as_what_it_is() {
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 0, SaslHandshakeResponse::default()).await;
        talk.frame().await;
    })
    .await;
    let error = connect(&peer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("check user name and password"), "{error}");
    no_secret_in(&error);
}

#[tokio::test]
async fn a_mechanism_that_is_not_enabled_is_told_with_those_that_are() {
    let peer = Peer::start(|mut talk| async move {
        let mechanisms = vec!["GSSAPI".to_owned(), "SCRAM-SHA-256".to_owned()];
        let error_code = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
        shake_hands(&mut talk, 1, SaslHandshakeResponse { error_code, mechanisms }).await;
        talk.asked().await;
    })
    .await;
    let error = connect(&peer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("asked for PLAIN, the broker has GSSAPI, SCRAM-SHA-256"), "{error}");
}

#[tokio::test]
async fn a_broker_without_sasl_says_so() {
    let peer = Peer::start(|mut talk| async move {
        let error_code = ErrorCode::ILLEGAL_SASL_STATE;
        shake_hands(&mut talk, 1, SaslHandshakeResponse { error_code, ..SaslHandshakeResponse::default() }).await;
        talk.asked().await;
    })
    .await;
    let error = connect(&peer).await.unwrap_err();
    assert!(error.to_string().contains("connect without credentials"), "{error}");
}

#[tokio::test]
async fn a_session_near_its_end_is_not_used_for_new_requests() {
    // Each connection is good for 200 ms; after that a broker would close it on the next request (KIP-368).
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 1, SaslHandshakeResponse::default()).await;
        let start = Instant::now();
        let asked = talk.asked().await.unwrap();
        let answer = SaslAuthenticateResponse { session_lifetime_ms: 200, ..SaslAuthenticateResponse::default() };
        talk.answer(&asked, &answer).await;
        loop {
            let Some(asked) = talk.next_special().await else { return };
            if start.elapsed() > Duration::from_millis(200) {
                return;
            }
            let error_code = ErrorCode::INVALID_GROUP_ID;
            talk.answer(&asked, &FindCoordinatorResponse { error_code, ..FindCoordinatorResponse::default() }).await;
        }
    })
    .await;
    let client = connect(&peer).await.unwrap();
    let (start, place) = (Instant::now(), [TopicPartition::new("t", 0)]);
    while peer.count(ApiKey::SASL_AUTHENTICATE) < 4 {
        assert!(start.elapsed() < Duration::from_mins(1), "no new login");
        // The answer's error ends the call at once; a closed connection would be another error, or a pause.
        let error = client.committed("g", &place).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_GROUP_ID), "{error}");
    }
}

/// A broker that takes every mechanism with a user and a password.
async fn broker_of(release: Release) -> DevBroker {
    let users = [("etl", PASSWORD), ("o=d,d", "п\u{e4}ss=,")];
    let builder = DevBroker::builder().release(release).sasl_plain(&users);
    builder.sasl_scram_sha_256(&users).sasl_scram_sha_512(&users).start().await.unwrap()
}

#[tokio::test]
async fn scram_logs_in_with_both_hashes_over_both_framings_and_with_odd_names() {
    for release in [Release::V0_11, Release::V1_0, Release::V2_3] {
        let broker = broker_of(release).await;
        // A cluster that lists no topic is asked again for a second.
        broker.create_topic("t", 1).unwrap();
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            for (user, password) in [("etl", PASSWORD), ("o=d,d", "п\u{e4}ss=,")] {
                let builder = net_support::builder(broker.bootstrap()).sasl_scram(hash, user, password);
                let client = builder.connect().await.unwrap();
                assert_eq!(client.topics().await.unwrap().len(), 1, "{release} {hash:?} {user}");
            }
        }
    }
}

#[tokio::test]
async fn scram_with_a_wrong_password_or_user_is_refused_with_advice_and_without_the_password() {
    for release in [Release::V0_11, Release::V2_3] {
        let broker = broker_of(release).await;
        for (user, password) in [("etl", "wrong-one"), ("nobody", PASSWORD)] {
            let builder = net_support::builder(broker.bootstrap()).sasl_scram(ScramHash::Sha256, user, password);
            let error = builder.connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
            assert!(error.to_string().contains("SCRAM credential"), "{error}");
            assert!(!error.to_string().contains("wrong-one"));
            no_secret_in(&error);
        }
    }
}

#[tokio::test]
async fn a_broker_whose_iteration_count_is_out_of_bounds_is_not_computed_for() {
    // The other bound would take this broker seconds to hash; the mechanism's own test has it.
    for (iterations, part) in [(1000, "1000 iterations")] {
        let builder = DevBroker::builder().scram_iterations(iterations);
        let broker = builder.sasl_scram_sha_256(&[("etl", PASSWORD)]).start().await.unwrap();
        let builder = net_support::builder(broker.bootstrap()).sasl_scram(ScramHash::Sha256, "etl", PASSWORD);
        let error = builder.connect().await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(broker.requests(ApiKey::SASL_AUTHENTICATE), 1, "no proof was sent");
    }
}

#[tokio::test]
async fn a_server_that_accepts_without_proving_itself_is_refused() {
    let peer = Peer::start(|mut talk| async move {
        shake_hands(&mut talk, 1, SaslHandshakeResponse::default()).await;
        let asked = talk.asked().await.unwrap();
        let first = asked.read::<SaslAuthenticateRequest>().auth_bytes.0;
        let nonce = String::from_utf8(first.to_vec()).unwrap().split("r=").nth(1).unwrap().to_owned();
        let token = |text: String| SaslAuthenticateResponse {
            auth_bytes: bytes::Bytes::from(text).into(),
            ..SaslAuthenticateResponse::default()
        };
        talk.answer(&asked, &token(format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096"))).await;
        let asked = talk.asked().await.unwrap();
        talk.answer(&asked, &token("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned())).await;
        while talk.next_special().await.is_some() {}
    })
    .await;
    let error = peer.builder().sasl_scram(ScramHash::Sha256, "etl", PASSWORD).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("could not prove"), "{error}");
    no_secret_in(&error);
}

#[tokio::test]
async fn a_delegation_token_says_that_it_is_one() {
    let broker = broker_of(Release::V2_3).await;
    let builder = net_support::builder(broker.bootstrap());
    let error = builder.sasl_delegation_token(ScramHash::Sha256, "etl", PASSWORD).connect().await.unwrap_err();
    assert!(error.to_string().contains("no delegation tokens here"), "{error}");
}

#[tokio::test]
async fn the_development_broker_takes_the_right_password_and_no_other() {
    for release in [Release::V0_11, Release::V2_3] {
        let broker = DevBroker::builder().release(release).sasl_plain(&[("etl", PASSWORD)]).start().await.unwrap();
        let builder = || net_support::builder(broker.bootstrap());
        let client = builder().sasl_plain("etl", PASSWORD).connect().await.unwrap();
        assert!(client.topics().await.unwrap().is_empty());
        let error = builder().sasl_plain("etl", "wrong-one").connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(!error.to_string().contains("wrong-one"));
        let error = builder().connect().await.unwrap_err();
        assert!(error.to_string().contains("SASL"), "{error}");
    }
}
