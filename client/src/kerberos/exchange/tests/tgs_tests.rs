//! Tickets for services, through realms.

use super::super::super::error_code::KrbErrorCode;
use super::super::super::principal::PrincipalName;
use super::*;
use crate::kerberos::messages::KdcReq;

fn broker() -> PrincipalName {
    PrincipalName::service("kafka", "broker")
}

fn ask(world: &mut World, config: &Arc<Krb5Config>, realm: Option<&str>) -> Result<Granted, KerberosError> {
    let tgt = tgt(world);
    world.asked.clear();
    ask_with(world, config, tgt, realm, NOON)
}

fn ask_with(
    world: &mut World,
    config: &Arc<Krb5Config>,
    tgt: HeldTicket,
    realm: Option<&str>,
    now: KerberosTime,
) -> Result<Granted, KerberosError> {
    let mut exchange = TgsExchange::service(config.clone(), tgt, broker(), realm, Clock::default());
    let first = exchange.start(now, &chance())?;
    drive(world, now, first, |now, chance, reply| exchange.handle(now, chance, reply))
}

/// Realms R, S, T and so on; each refers to the next one for the broker, which is in the last.
fn chain(names: &[&str]) -> World {
    let mut world = World::new();
    world.realm("R").services.clear();
    for pair in names.windows(2) {
        world.realm(pair[0]).referrals.push(("kafka/broker".to_owned(), pair[1].to_owned()));
    }
    world.realm(names[names.len() - 1]).services.push("kafka/broker".to_owned());
    world
}

#[test]
fn a_ticket_gets_one_for_the_service() {
    for enctype in Enctype::DEFAULT {
        let mut world = World::new();
        world.alice().enctypes = vec![enctype];
        for realm in [None, Some("R")] {
            let granted = ask(&mut world, &config(""), realm).unwrap();
            assert_eq!(granted.ticket.server.to_string(), "kafka/broker@R");
            assert_eq!(granted.ticket.client, alice());
            assert_eq!(world.asked, ["TGS kafka/broker@R"]);
        }
    }
}

#[test]
fn rc4_is_asked_for_only_where_it_is_allowed() {
    for (settings, allowed) in [("", false), ("allow_rc4 = true", true)] {
        let tgt = tgt(&mut World::new());
        let mut exchange = TgsExchange::service(config(settings), tgt, broker(), None, Clock::default());
        let Step::Send(request) = exchange.start(NOON, &chance()).unwrap() else { panic!() };
        let enctypes = KdcReq::from_der(&request.bytes).unwrap().body.enctypes;
        assert_eq!(enctypes.contains(&Enctype::RC4_HMAC), allowed, "{settings}");
    }
}

#[test]
fn a_kdc_that_seals_with_the_session_key_is_understood() {
    let mut world = World::new();
    world.realm("R").without_subkey = true;
    ask(&mut world, &config(""), None).unwrap();
}

#[test]
fn referrals_lead_through_realms_to_the_service() {
    let mut world = chain(&["R", "S", "T"]);
    let granted = ask(&mut world, &config(""), None).unwrap();
    assert_eq!(granted.ticket.server.to_string(), "kafka/broker@T");
    assert_eq!(world.asked, ["TGS kafka/broker@R", "TGS kafka/broker@S", "TGS kafka/broker@T"]);
}

#[test]
fn a_known_realm_is_gone_to_directly_or_by_way_of_those_in_capaths() {
    let mut world = chain(&["R", "T"]);
    world.realm("R").services = vec!["krbtgt/T".to_owned(), "krbtgt/S".to_owned()];
    world.realm("S").services = vec!["krbtgt/T".to_owned()];
    ask(&mut world, &config(""), Some("T")).unwrap();
    assert_eq!(world.asked, ["TGS krbtgt/T@R", "TGS kafka/broker@T"]);

    let by_way_of_s = config("[capaths]\nR = {\nT = S\n}");
    ask(&mut world, &by_way_of_s, Some("T")).unwrap();
    assert_eq!(world.asked, ["TGS krbtgt/S@R", "TGS krbtgt/T@S", "TGS kafka/broker@T"]);

    // MIT's KDCs answer with a realm that is nearer.
    world.realm("R").services.clear();
    world.realm("R").referrals = vec![("krbtgt/T".to_owned(), "S".to_owned())];
    ask(&mut world, &config(""), Some("T")).unwrap();
    assert_eq!(world.asked, ["TGS krbtgt/T@R", "TGS krbtgt/T@S", "TGS kafka/broker@T"]);
}

#[test]
fn referrals_in_a_circle_or_without_an_end_are_given_up() {
    let mut world = chain(&["R", "S", "R", "T"]);
    let error = ask(&mut world, &config(""), None).unwrap_err();
    assert_eq!(error, KerberosError::Astray { way: ["R", "S", "R"].map(str::to_owned).into() });

    let names: Vec<_> = ["R".to_owned()].into_iter().chain((1..20).map(|number| format!("R{number}"))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let error = ask(&mut chain(&names), &config(""), None).unwrap_err();
    assert!(matches!(&error, KerberosError::Astray { way } if way.len() == 11), "{error}");
    ask(&mut chain(&names[..10]), &config(""), None).unwrap();
}

#[test]
fn every_refusal_is_told_with_what_was_asked() {
    for code in [7, 12, 14, 20, 29, 31, 32, 44, 60, 999] {
        let mut world = World::new();
        world.realm("R").tgs_refuses = Some((code, 9));
        let error = ask(&mut world, &config(""), None).unwrap_err();
        assert_eq!(error.code(), Some(KrbErrorCode(code)));
        assert!(error.to_string().contains("asked by alice@R for kafka/broker@R"), "{error}");
        assert_eq!(world.asked.len(), 1);
    }
    let mut world = World::new();
    world.realm("R").services.clear();
    let error = ask(&mut world, &config(""), None).unwrap_err();
    assert_eq!(error.code(), Some(KrbErrorCode::S_PRINCIPAL_UNKNOWN));
    assert!(error.advice().unwrap().contains("host name"));
}

#[test]
fn a_skewed_clock_is_corrected_once_where_that_is_allowed() {
    let mut world = World::new();
    let (tgt, local) = (tgt(&mut world), NOON.plus_seconds(-600));
    let granted = ask_with(&mut world, &config(""), tgt.clone(), None, local).unwrap();
    assert_eq!(granted.clock.at(local), NOON);
    let error = ask_with(&mut world, &config("kdc_timesync = 0"), tgt.clone(), None, local).unwrap_err();
    assert_eq!(error, KerberosError::ClockSkew { ours: local, theirs: NOON });
    world.asked.clear();
    world.realm("R").tgs_refuses = Some((37, 99));
    assert!(ask_with(&mut world, &config(""), tgt, None, local).is_err());
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn a_reply_to_another_question_is_refused_and_the_field_is_named() {
    type Lie = fn(&mut EncKdcRepPart, &mut KdcRep);
    let lies: [(&str, Lie); 6] = [
        ("nonce", |part, _| part.nonce ^= 1),
        ("crealm or cname", |_, reply| reply.client.name.components[0] = "bob".to_owned()),
        ("the ticket's realm or sname", |part, _| part.server.name.components[1] = "other".to_owned()),
        ("sname", |part, reply| instead(part, reply, "http/broker@R")),
        ("sname", |part, reply| instead(part, reply, "kafka@R")),
        ("srealm", |part, reply| instead(part, reply, "kafka/broker@S")),
    ];
    for (field, lie) in lies {
        let mut world = World::new();
        let tgt = tgt(&mut world);
        world.lie = Some(Arc::new(lie));
        let error = ask_with(&mut world, &config(""), tgt, None, NOON).unwrap_err();
        assert_eq!(error, KerberosError::WrongReply { field });
    }
}

/// A ticket that is consistent in itself, and for another service.
fn instead(part: &mut EncKdcRepPart, reply: &mut KdcRep, server: &str) {
    let mut ticket = Ticket::from_der(&reply.ticket).unwrap();
    ticket.server = Principal::parse(server, None).unwrap();
    part.server = ticket.server.clone();
    reply.ticket = ticket.to_der().to_vec();
}

#[test]
fn another_name_of_the_service_will_do() {
    let mut world = World::new();
    world.realm("R").services.clear();
    world.realm("R").aliases.push(("kafka/broker".to_owned(), "kafka/broker.example.com".to_owned()));
    let granted = ask(&mut world, &config(""), None).unwrap();
    assert_eq!(granted.ticket.server.to_string(), "kafka/broker.example.com@R");
}

#[test]
fn an_as_reply_is_no_answer_here_and_a_tgs_reply_none_there() {
    let mut world = World::new();
    world.lie = Some(Arc::new(|_, reply| {
        reply.exchange = match reply.exchange {
            Exchange::As => Exchange::Tgs,
            Exchange::Tgs => Exchange::As,
        };
    }));
    let wrong = KerberosError::WrongReply { field: "msg-type" };
    assert_eq!(log_in(&mut world, &config(""), password("secret")).unwrap_err(), wrong);
    let lie = world.lie.take();
    let tgt = tgt(&mut world);
    world.lie = lie;
    assert_eq!(ask_with(&mut world, &config(""), tgt, None, NOON).unwrap_err(), wrong);
}

#[test]
fn a_ticket_is_renewed_and_nothing_else_is_taken_for_it() {
    let mut world = World::new();
    let tgt = tgt(&mut world);
    world.now = NOON.plus_seconds(1800);
    let renew = |world: &mut World| {
        let mut exchange = TgsExchange::renewal(config(""), tgt.clone(), Clock::default());
        let first = exchange.start(NOON, &chance())?;
        drive(world, NOON, first, |now, chance, reply| exchange.handle(now, chance, reply))
    };
    let renewed = renew(&mut world).unwrap().ticket;
    assert_eq!(renewed.server, tgt.server);
    assert_eq!(renewed.end_time, NOON.plus_seconds(1800 + 3600));
    world.lie = Some(Arc::new(|part, reply| instead(part, reply, "krbtgt/S@R")));
    assert_eq!(renew(&mut world).unwrap_err(), KerberosError::WrongReply { field: "sname" });
    world.lie = Some(Arc::new(|part, reply| instead(part, reply, "kafka/broker@R")));
    assert_eq!(renew(&mut world).unwrap_err(), KerberosError::WrongReply { field: "sname" });
}

#[test]
fn a_session_key_that_may_not_be_used_is_refused_before_anything_is_sent() {
    let mut world = World::new();
    let mut tgt = tgt(&mut world);
    tgt.session_key = super::super::super::key::Key::new(Enctype::RC4_HMAC, vec![1; 16]);
    let error = ask_with(&mut world, &config(""), tgt, None, NOON).unwrap_err();
    assert!(matches!(error, KerberosError::NoEnctype { .. }), "{error}");
    assert!(!Crypto::default().permits(Enctype::RC4_HMAC));
}
