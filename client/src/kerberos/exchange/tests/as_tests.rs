//! The log-in.

use super::super::super::error_code::KrbErrorCode;
use super::super::super::messages::{KdcReq, KdcReqBody, MethodData, PaData};
use super::super::testing::Account;
use super::*;

fn code_of(result: Result<Granted, KerberosError>) -> KrbErrorCode {
    result.unwrap_err().code().unwrap()
}

#[test]
fn a_password_proves_the_client_with_the_salt_and_iterations_that_the_kdc_names() {
    let mut world = World::new();
    world.alice().salt = Some("of her old name".to_owned());
    world.alice().params = Some(5000_u32.to_be_bytes().to_vec());
    for enctype in Enctype::DEFAULT {
        world.alice().enctypes = vec![enctype];
        let granted = log_in(&mut world, &config(""), password("secret")).unwrap();
        assert_eq!(granted.ticket.client, alice());
        assert_eq!(granted.ticket.server.to_string(), "krbtgt/R@R");
        assert_eq!(granted.ticket.end_time, NOON.plus_seconds(3600));
        assert_eq!(granted.clock, Clock::default());
    }
    assert_eq!(world.asked, ["AS alice@R"; 8]);
}

#[test]
fn a_client_of_which_no_proof_is_wanted_has_its_ticket_at_once() {
    let mut world = World::new();
    world.alice().wants_proof = false;
    log_in(&mut world, &config(""), password("secret")).unwrap();
    assert_eq!(world.asked, ["AS alice@R"]);
    // And nobody else opens it.
    let error = log_in(&mut world, &config(""), password("wrong")).unwrap_err();
    assert!(error.advice().unwrap().contains("wrong password"), "{error}");
}

#[test]
fn where_no_salt_is_named_it_is_realm_and_name() {
    let mut world = World::new();
    world.alice().wants_proof = false;
    world.lie = Some(Arc::new(|_, reply| reply.padata = MethodData::default()));
    log_in(&mut world, &config(""), password("secret")).unwrap();
    world.alice().salt = Some("other".to_owned());
    assert!(log_in(&mut world, &config(""), password("secret")).is_err());
    world.lie = Some(Arc::new(|_, reply| {
        reply.padata = MethodData(vec![PaData { kind: PaData::PW_SALT, value: b"other".to_vec() }]);
    }));
    log_in(&mut world, &config(""), password("secret")).unwrap();
}

#[test]
fn a_wrong_password_and_a_stale_key_are_told_with_what_was_tried() {
    let mut world = World::new();
    let error = log_in(&mut world, &config(""), password("hunter2")).unwrap_err();
    assert_eq!(error.to_string(), "the KDC does not take the password of alice@R: KDC_ERR_PREAUTH_FAILED (24)");
    assert!(!format!("{error:?}").contains("hunter2"));
    let stale = keytab(&[(3, Enctype::AES128_SHA2, "old")]);
    let error = log_in(&mut world, &config(""), stale).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the KDC does not take the keytab's aes128-cts-hmac-sha256-128 key of version 3 of alice@R: \
         KDC_ERR_PREAUTH_FAILED (24)"
    );
}

#[test]
fn a_keytab_asks_only_for_what_it_has_and_the_newest_key_proves() {
    let mut world = World::new();
    let secret = keytab(&[(1, Enctype::AES128_SHA2, "old"), (2, Enctype::AES128_SHA2, "secret")]);
    let mut exchange = AsExchange::new(config(""), alice(), secret.clone(), Clock::default()).unwrap();
    let Step::Send(request) = exchange.start(NOON, &chance()) else { panic!() };
    assert_eq!(KdcReq::from_der(&request.bytes).unwrap().body.enctypes, [Enctype::AES128_SHA2]);
    world.alice().kvno = 2;
    log_in(&mut world, &config(""), secret).unwrap();
}

#[test]
fn the_version_that_the_kdc_names_is_preferred_and_the_newest_serves_where_it_is_not_there() {
    let mut world = World::new();
    world.alice().wants_proof = false;
    let secret = || keytab(&[(1, Enctype::AES256_SHA1, "secret"), (2, Enctype::AES256_SHA1, "next")]);
    log_in(&mut world, &config(""), secret()).unwrap();
    world.alice().kvno = 7;
    assert!(log_in(&mut world, &config(""), secret()).is_err());
    world.alice().password = "next".to_owned();
    log_in(&mut world, &config(""), secret()).unwrap();
}

#[test]
fn a_keytab_without_the_client_or_without_a_usable_key_says_what_it_has() {
    let other = Principal::parse("bob@R", None).unwrap();
    let secret = keytab(&[(3, Enctype::AES256_SHA1, "secret")]);
    let error = AsExchange::new(config(""), other, secret.clone(), Clock::default()).unwrap_err();
    assert_eq!(error.to_string(), "the keytab has no key of bob@R; it has alice@R (kvno 3: aes256-cts-hmac-sha1-96)");
    let narrow = config("permitted_enctypes = aes128-sha2");
    let error = AsExchange::new(narrow, alice(), secret, Clock::default()).unwrap_err();
    assert!(
        matches!(&error, KerberosError::NoEnctype { offered, .. } if offered == &[Enctype::AES256_SHA1]),
        "{error}"
    );
}

#[test]
fn every_refusal_is_told_in_either_state() {
    for code in [1, 6, 7, 9, 12, 14, 18, 21, 23, 29, 60, 68, 999] {
        let mut world = World::new();
        world.alice().refused = Some(code);
        let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
        assert_eq!(error.code(), Some(KrbErrorCode(code)), "{error}");
        assert_eq!(world.asked.len(), 1, "{code}");
        let mut world = World::new();
        world.alice().refused_after_proof = Some(code);
        let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
        assert_eq!(error.code(), Some(KrbErrorCode(code)), "{error}");
        assert_eq!(world.asked.len(), 2, "{code}");
    }
    let mut world = World::new();
    world.realm("R").accounts.clear();
    assert_eq!(code_of(log_in(&mut world, &config(""), password("secret"))), KrbErrorCode::C_PRINCIPAL_UNKNOWN);
}

#[test]
fn an_account_without_a_usable_key_is_not_a_wrong_password() {
    let mut world = World::new();
    world.alice().enctypes = vec![Enctype::RC4_HMAC];
    assert_eq!(code_of(log_in(&mut world, &config(""), password("secret"))), KrbErrorCode::ETYPE_NOSUPP);
    log_in(&mut world, &config("allow_rc4 = true"), password("secret")).unwrap();
}

#[test]
fn a_kdc_that_takes_other_proofs_only_says_which_and_is_not_asked_again() {
    let mut world = World::new();
    world.alice().takes = vec![PaData::FX_FAST, PaData::SPAKE];
    let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
    assert_eq!(error, KerberosError::NoPreauth { offered: vec![19, 136, 151] });
    assert_eq!(world.asked.len(), 1);
    // One that has the proof and still wants another.
    for code in [25, 91] {
        let mut world = World::new();
        world.alice().refused_after_proof = Some(code);
        let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
        assert!(matches!(error, KerberosError::NoPreauth { .. }), "{error}");
        assert_eq!(world.asked.len(), 2);
    }
}

#[test]
fn a_skewed_clock_is_corrected_by_the_kdcs_or_named_with_its_size() {
    for seconds in [-600, 600, 86_400] {
        let (mut world, local) = (World::new(), NOON.plus_seconds(seconds));
        let granted = log_in_at(&mut world, &config(""), password("secret"), local).unwrap();
        assert_eq!(granted.clock.at(local), NOON);
        assert_eq!(world.asked.len(), 3);

        let mut world = World::new();
        let error = log_in_at(&mut world, &config("kdc_timesync = 0"), password("secret"), local).unwrap_err();
        assert_eq!(error, KerberosError::ClockSkew { ours: local, theirs: NOON });
        assert!(error.to_string().contains(&format!("{} s", seconds.abs())), "{error}");
        assert_eq!(world.asked.len(), 2);
    }
}

#[test]
fn a_kdc_that_is_never_content_with_the_time_is_asked_once_more_and_no_further() {
    let mut world = World::new();
    world.alice().refused_after_proof = Some(37);
    let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
    assert!(matches!(error, KerberosError::ClockSkew { .. }), "{error}");
    assert_eq!(world.asked.len(), 3);
}

#[test]
fn where_no_proof_is_wanted_the_sealed_time_tells_the_skew() {
    let local = NOON.plus_seconds(-600);
    let mut world = World::new();
    world.alice().wants_proof = false;
    let granted = log_in_at(&mut world, &config(""), password("secret"), local).unwrap();
    assert_eq!(granted.clock.at(local), NOON);
    let error = log_in_at(&mut world, &config("kdc_timesync = no"), password("secret"), local).unwrap_err();
    assert!(matches!(error, KerberosError::ClockSkew { .. }), "{error}");
    let within = NOON.plus_seconds(-200);
    assert_eq!(log_in_at(&mut world, &config(""), password("secret"), within).unwrap().clock, Clock::default());
}

#[test]
fn a_reply_to_another_question_is_refused_and_the_field_is_named() {
    type Lie = fn(&mut EncKdcRepPart, &mut KdcRep);
    let lies: [(&str, Lie); 7] = [
        ("nonce", |part, _| part.nonce ^= 1),
        ("crealm or cname", |_, reply| reply.client.name.components[0] = "bob".to_owned()),
        ("crealm or cname", |_, reply| reply.client.realm = "S".to_owned()),
        ("the ticket's realm or sname", |part, _| part.server.name.components[0] = "kafka".to_owned()),
        ("the ticket's realm or sname", |_, reply| reply.ticket = ticket_of("krbtgt/S@R")),
        ("srealm or sname", |part, reply| {
            part.server = Principal::parse("krbtgt/S@R", None).unwrap();
            reply.ticket = ticket_of("krbtgt/S@R");
        }),
        ("srealm or sname", |part, reply| {
            part.server = Principal::parse("krbtgt/R@S", None).unwrap();
            reply.ticket = ticket_of("krbtgt/R@S");
        }),
    ];
    for (field, lie) in lies {
        for wants_proof in [true, false] {
            let mut world = World::new();
            world.alice().wants_proof = wants_proof;
            world.lie = Some(Arc::new(lie));
            let error = log_in(&mut world, &config(""), password("secret")).unwrap_err();
            assert_eq!(error, KerberosError::WrongReply { field });
        }
    }
}

fn ticket_of(server: &str) -> Vec<u8> {
    use super::super::super::messages::{EncryptedData, Ticket};
    let enc_part = EncryptedData { enctype: Enctype::AES128_SHA1, kvno: None, cipher: vec![0; 30] };
    Ticket { server: Principal::parse(server, None).unwrap(), enc_part }.to_der().to_vec()
}

#[test]
fn the_ticket_is_asked_for_as_krb5_conf_says() {
    let settings =
        "forwardable = true\nrenew_lifetime = 7d\nticket_lifetime = 1h\ndefault_tkt_enctypes = aes128-cts aes256-cts";
    let mut exchange = AsExchange::new(config(settings), alice(), password("x"), Clock::default()).unwrap();
    let Step::Send(request) = exchange.start(NOON, &chance()) else { panic!() };
    let body = KdcReq::from_der(&request.bytes).unwrap().body;
    assert_eq!(body.options, KdcReqBody::FORWARDABLE | KdcReqBody::RENEWABLE);
    assert_eq!(body.till, NOON.plus_seconds(3600));
    assert_eq!(body.renew_till, Some(NOON.plus_seconds(7 * 86_400)));
    assert_eq!(body.enctypes, [Enctype::AES128_SHA1, Enctype::AES256_SHA1]);
    let mut plain = AsExchange::new(config(""), alice(), password("x"), Clock::default()).unwrap();
    let Step::Send(request) = plain.start(NOON, &chance()) else { panic!() };
    let body = KdcReq::from_der(&request.bytes).unwrap().body;
    assert_eq!((body.options, body.renew_till), (0, None));
}

#[test]
fn neither_a_second_reply_nor_one_out_of_turn_is_taken() {
    let mut world = World::new();
    world.alice().wants_proof = false;
    let mut exchange = AsExchange::new(config(""), alice(), password("secret"), Clock::default()).unwrap();
    assert!(exchange.handle(NOON, &chance(), b"").is_err());
    let Step::Send(request) = exchange.start(NOON, &chance()) else { panic!() };
    let reply = world.answer("R", &request.bytes);
    exchange.handle(NOON, &chance(), &reply).unwrap();
    assert!(exchange.handle(NOON, &chance(), &reply).is_err());
}

#[test]
fn secrets_are_never_shown() {
    let exchange = AsExchange::new(config(""), alice(), password("hunter2"), Clock::default()).unwrap();
    let shown = format!("{exchange:?} {:#?}", Account::new("x").enctypes);
    assert!(shown.contains("alice") && !shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}
