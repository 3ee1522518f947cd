use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn logins(max_reauth: Option<Duration>) -> Logins {
    Logins { plain: Users::new(&[("etl", "secret"), ("ops", "other")]), max_reauth, ..Logins::default() }
}

fn at(now: Duration) -> Moment {
    Moment { now, unix: now + 1_700_000_000 * SECOND }
}

/// A connection on which a PLAIN token is awaited.
fn at_token() -> Sasl {
    let logins = logins(None);
    let mut sasl = Sasl::new(&logins);
    sasl.handshake(&logins, 1, "PLAIN", Duration::ZERO).unwrap();
    sasl
}

fn renew(sasl: &mut Sasl, logins: &Logins, token: &'static str, now: Duration) -> Result<Answer, Refusal> {
    sasl.handshake(logins, 1, "PLAIN", now).map_err(|code| (code, String::new()))?;
    sasl.token(logins, &Bytes::from(token), at(now))
}

#[test]
fn without_users_everything_is_served_and_a_handshake_is_out_of_place() {
    let logins = Logins::default();
    let mut sasl = Sasl::new(&logins);
    assert_eq!(sasl.gate(ApiKey::PRODUCE, SECOND), Gate::Serve);
    assert_eq!(sasl.handshake(&logins, 1, "PLAIN", SECOND), Err(ErrorCode::ILLEGAL_SASL_STATE));
    let token = Bytes::from("\0etl\0secret");
    assert_eq!(sasl.token(&logins, &token, at(SECOND)).unwrap_err().0, ErrorCode::ILLEGAL_SASL_STATE);
}

#[test]
fn before_the_token_only_the_way_to_it_is_open() {
    let logins = logins(None);
    let mut sasl = Sasl::new(&logins);
    assert_eq!(sasl.gate(ApiKey::API_VERSIONS, SECOND), Gate::Serve);
    assert!(matches!(sasl.gate(ApiKey::METADATA, SECOND), Gate::Close(_)));
    assert!(matches!(sasl.gate(ApiKey::SASL_AUTHENTICATE, SECOND), Gate::Close(_)));
    sasl.handshake(&logins, 1, "PLAIN", SECOND).unwrap();
    assert_eq!(sasl.gate(ApiKey::METADATA, SECOND), Gate::Refuse(ErrorCode::ILLEGAL_SASL_STATE));
    assert_eq!(sasl.gate(ApiKey::SASL_AUTHENTICATE, SECOND), Gate::Serve);
    let answer = sasl.token(&logins, &Bytes::from("\0etl\0secret"), at(SECOND)).unwrap();
    assert_eq!(answer, Answer { token: Some(Bytes::new()), lifetime: None });
    assert_eq!(sasl.gate(ApiKey::METADATA, 1_000_000 * SECOND), Gate::Serve);
}

#[test]
fn a_handshake_of_version_0_asks_for_a_raw_token() {
    let logins = logins(None);
    let mut sasl = Sasl::new(&logins);
    sasl.handshake(&logins, 0, "PLAIN", SECOND).unwrap();
    assert_eq!(sasl.stage(), Stage::Raw);
    sasl.token(&logins, &Bytes::from("etl\0etl\0secret"), at(SECOND)).unwrap();
    assert_eq!(sasl.stage(), Stage::Open);
}

#[test]
fn another_mechanism_is_refused_and_those_there_are_can_be_named() {
    let mut logins = logins(None);
    let refused = Sasl::new(&logins).handshake(&logins, 1, "SCRAM-SHA-256", SECOND);
    assert_eq!(refused, Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
    assert_eq!(logins.mechanisms(), ["PLAIN"]);
    logins.scram_sha_256 = Verifiers::new(Hash::Sha256, &[("etl", "secret")], 4096);
    logins.oauthbearer = true;
    assert_eq!(logins.mechanisms(), ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"]);
}

#[test]
fn a_wrong_token_opens_nothing_and_is_not_repeated() {
    for token in
        ["", "etl", "\0etl\0wrong", "\0third\0secret", "root\0etl\0secret", "\0\0", "\0etl\0", "\0etl\0secret\0"]
    {
        let mut sasl = at_token();
        let (error, why) = sasl.token(&logins(None), &Bytes::from(token), at(SECOND)).unwrap_err();
        assert_eq!(error, ErrorCode::SASL_AUTHENTICATION_FAILED, "{token:?}");
        assert!(!why.contains("secret") && !why.contains("wrong"));
        assert_eq!(sasl.stage(), Stage::Token);
    }
    assert!(at_token().token(&logins(None), &Bytes::from_static(b"\0etl\0\xff"), at(SECOND)).is_err());
}

#[test]
fn a_login_that_is_not_renewed_ends_and_a_renewed_one_goes_on() {
    let logins = logins(Some(10 * SECOND));
    let mut sasl = Sasl::new(&logins);
    let answer = renew(&mut sasl, &logins, "\0etl\0secret", SECOND).unwrap();
    assert_eq!(answer.lifetime, Some(10 * SECOND));
    assert_eq!(sasl.gate(ApiKey::FETCH, 10 * SECOND), Gate::Serve);
    assert!(matches!(sasl.gate(ApiKey::FETCH, 11 * SECOND), Gate::Close(_)));
    // Even then the way back is open, as in Kafka.
    assert_eq!(sasl.gate(ApiKey::SASL_HANDSHAKE, 12 * SECOND), Gate::Serve);
    renew(&mut sasl, &logins, "\0etl\0secret", 12 * SECOND).unwrap();
    assert_eq!(sasl.gate(ApiKey::FETCH, 21 * SECOND), Gate::Serve);
}

#[test]
fn while_a_login_is_renewed_nothing_else_is_served() {
    let logins = logins(Some(10 * SECOND));
    let mut sasl = Sasl::new(&logins);
    renew(&mut sasl, &logins, "\0etl\0secret", SECOND).unwrap();
    sasl.handshake(&logins, 1, "PLAIN", 3 * SECOND).unwrap();
    assert_eq!(sasl.gate(ApiKey::FETCH, 3 * SECOND), Gate::Refuse(ErrorCode::ILLEGAL_SASL_STATE));
}

#[test]
fn a_login_is_renewed_at_most_once_a_second_and_only_by_the_same_user() {
    let logins = logins(Some(10 * SECOND));
    let mut sasl = Sasl::new(&logins);
    renew(&mut sasl, &logins, "\0etl\0secret", SECOND).unwrap();
    let soon = renew(&mut sasl, &logins, "\0etl\0secret", SECOND * 3 / 2).unwrap_err();
    assert_eq!(soon.0, ErrorCode::ILLEGAL_SASL_STATE);
    let other = renew(&mut sasl, &logins, "\0ops\0other", 3 * SECOND).unwrap_err();
    assert!(other.1.contains("the user may not change"), "{}", other.1);
}

#[test]
fn without_a_lifetime_a_second_handshake_is_out_of_place() {
    let logins = logins(None);
    let mut sasl = Sasl::new(&logins);
    renew(&mut sasl, &logins, "\0etl\0secret", SECOND).unwrap();
    let again = renew(&mut sasl, &logins, "\0etl\0secret", 100 * SECOND).unwrap_err();
    assert_eq!(again.0, ErrorCode::ILLEGAL_SASL_STATE);
}
