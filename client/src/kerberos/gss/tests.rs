//! Contexts with a service of our own making, good and bad.

use super::acceptor::{Acceptor, Manner, NOW, fresh, held, token};
use super::*;
use crate::kerberos::error_code::KrbErrorCode;

const AES: [Enctype; 4] = Enctype::DEFAULT;

fn begun(enctype: Enctype, manner: Manner) -> (Pending, Acceptor, Vec<u8>) {
    let ticket = held(enctype);
    let (initial, started) = start(Crypto::allowing_rc4(), &ticket, Proof::Mutual, fresh()).unwrap();
    let Started::Pending(pending) = started else { panic!("the service has to answer") };
    let (acceptor, answer) = Acceptor::accept(manner, &ticket, &initial);
    (pending, acceptor, answer)
}

fn established(enctype: Enctype, manner: Manner) -> (GssContext, Acceptor) {
    let (pending, acceptor, answer) = begun(enctype, manner);
    (pending.accept(&answer).unwrap(), acceptor)
}

fn manners() -> impl Iterator<Item = (Enctype, Manner)> {
    AES.into_iter().flat_map(|enctype| {
        let other = if enctype == Enctype::AES256_SHA2 { Enctype::AES128_SHA1 } else { Enctype::AES256_SHA2 };
        let java = Manner::java();
        [
            java.clone(),
            Manner { sequence: None, ..java.clone() },
            Manner { sealed: true, filling: 7, ..java.clone() },
            Manner { rotation: 9_999, ..java.clone() },
            Manner { subkey: Some(other), ..java },
            Manner::windows(enctype, false),
            Manner::windows(enctype, true),
            Manner { rotation: 65_535, filling: 300, ..Manner::windows(other, true) },
        ]
        .map(|manner| (enctype, manner))
    })
}

fn refused(error: &KerberosError, words: &str) {
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn messages_go_both_ways_with_every_type_and_manner_of_service() {
    for (enctype, manner) in manners() {
        let (mut context, mut acceptor) = established(enctype, manner);
        for message in [&b""[..], b"x", b"sixteen letters.", &[7; 1000]] {
            let wrapped = acceptor.wrap(message);
            assert_eq!(**context.unwrap(&wrapped).unwrap(), *message, "{enctype}");
            let wrapped = context.wrap(message, Seal::Authenticated).unwrap();
            assert_eq!(acceptor.unwrap(&wrapped), message);
            let wrapped = context.wrap(message, Seal::Encrypted([8; 16])).unwrap();
            assert_eq!(acceptor.unwrap(&wrapped), message);
        }
    }
}

#[test]
fn without_an_answer_both_count_from_the_clients_number() {
    let ticket = held(Enctype::AES256_SHA1);
    let (initial, started) = start(Crypto::default(), &ticket, Proof::OneWay, fresh()).unwrap();
    let Started::Ready(mut context) = started else { panic!("no answer was asked for") };
    let (mut acceptor, answer) = Acceptor::accept(Manner::java(), &ticket, &initial);
    assert!(answer.is_empty());
    assert_eq!(acceptor.sequence, 0x1234, "its highest bits were dropped");
    let wrapped = acceptor.wrap(b"offer");
    assert_eq!(**context.unwrap(&wrapped).unwrap(), *b"offer");
    assert_eq!(acceptor.unwrap(&context.wrap(b"choice", Seal::Authenticated).unwrap()), b"choice");
}

#[test]
fn a_service_that_echoes_another_time_has_not_proven_itself() {
    for echo_off in [1, 100_000] {
        let (pending, _, answer) = begun(Enctype::AES128_SHA1, Manner { echo_off, ..Manner::java() });
        let error = pending.accept(&answer).err().unwrap();
        assert_eq!(error, KerberosError::ServerNotProven("its answer is to another authenticator"));
    }
}

#[test]
fn a_service_without_the_tickets_session_key_has_not_proven_itself() {
    for enctype in AES {
        let (pending, _, _) = begun(enctype, Manner::java());
        let mut other = held(enctype).session_key;
        other.bytes[0] ^= 1;
        let part = EncApRepPart { time: NOW, subkey: None, sequence: None };
        let enc_part = EncryptedData::seal(Crypto::default(), &other, Usage::AP_REP, &[3; 16], &part).unwrap();
        let error = pending.accept(&token([2, 0], &ApRep { enc_part }.to_der())).err().unwrap();
        assert_eq!(error, KerberosError::ServerNotProven("its answer is not sealed with the ticket's session key"));
    }
}

#[test]
fn an_answer_that_is_no_answer_is_refused_with_the_reason() {
    let accept = |answer: &[u8]| begun(Enctype::AES128_SHA1, Manner::java()).0.accept(answer).err().unwrap();
    let (_, mut acceptor, answer) = begun(Enctype::AES128_SHA1, Manner::java());
    refused(&accept(b""), "its answer is empty");
    refused(&accept(&acceptor.wrap(b"offer")), "in place of its answer");
    refused(&accept(&token([1, 0], b"")), "neither an answer nor an error");
    refused(&accept(&[&answer[..], &[0]].concat()), "something follows it");
    let mut other = answer.clone();
    other[10] ^= 1;
    refused(&accept(&other), "not Kerberos 5");
}

#[test]
fn an_error_of_the_service_is_told_with_its_code() {
    let error = |code| {
        let refusal = KrbError {
            server_time: NOW.plus_seconds(-600),
            code,
            client_realm: None,
            client_name: None,
            server: held(Enctype::AES128_SHA1).server,
            text: None,
            data: None,
        };
        begun(Enctype::AES128_SHA1, Manner::java()).0.accept(&token([3, 0], &refusal.to_der())).err().unwrap()
    };
    let old_keytab = error(KrbErrorCode(41));
    refused(&old_keytab, "the service refuses with KRB_AP_ERR_MODIFIED (41), asked for kafka/broker@TEST.LOCAL");
    assert!(old_keytab.advice().unwrap().contains("keytab"));
    refused(&error(KrbErrorCode::SKEW), "the clocks differ by 600 s");
    assert!(error(KrbErrorCode::REPEAT).is_retriable());
}

#[test]
fn an_answer_cut_anywhere_or_with_any_bit_flipped_is_refused() {
    for enctype in [Enctype::AES256_SHA1, Enctype::AES128_SHA2] {
        let (_, _, answer) = begun(enctype, Manner::windows(enctype, false));
        let accept = |answer: &[u8]| begun(enctype, Manner::java()).0.accept(answer);
        assert!(accept(&answer).is_ok());
        for cut in 0..answer.len() {
            assert!(accept(&answer[..cut]).is_err(), "cut to {cut}");
        }
        for bit in 0..answer.len() * 8 {
            let mut flipped = answer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(accept(&flipped).is_err(), "{enctype} bit {bit}");
        }
    }
}

#[test]
fn a_subkey_that_we_would_not_use_is_refused() {
    let ticket = held(Enctype::AES128_SHA1);
    for (subkey, words) in [
        (Key::new(Enctype::RC4_HMAC, vec![0; 16]), "arcfour-hmac"),
        (Key::new(Enctype(16), vec![0; 24]), "des3"),
        (Key::new(Enctype::AES256_SHA1, vec![0; 16]), "length"),
    ] {
        let part = EncApRepPart { time: NOW, subkey: Some(subkey), sequence: None };
        let crypto = Crypto::default();
        let enc_part = EncryptedData::seal(crypto, &ticket.session_key, Usage::AP_REP, &[3; 16], &part).unwrap();
        let (pending, _, _) = begun(Enctype::AES128_SHA1, Manner::java());
        refused(&pending.accept(&token([2, 0], &ApRep { enc_part }.to_der())).err().unwrap(), words);
    }
}

#[test]
fn a_session_key_of_rc4_is_refused_before_anything_is_sent_unless_it_is_allowed() {
    let error = start(Crypto::default(), &held(Enctype::RC4_HMAC), Proof::Mutual, fresh()).err().unwrap();
    refused(&error, "arcfour-hmac");
    assert!(start(Crypto::allowing_rc4(), &held(Enctype::RC4_HMAC), Proof::Mutual, fresh()).is_ok());
}

#[test]
fn under_rc4_messages_go_both_ways_authenticated_and_in_their_order_only() {
    for sequence in [Some(77), None, Some(u32::MAX)] {
        let (mut context, mut acceptor) = established(Enctype::RC4_HMAC, Manner { sequence, ..Manner::java() });
        for message in [&b""[..], b"x", &[1; 8], &[7; 1000]] {
            let wrapped = acceptor.wrap(message);
            assert_eq!(**context.unwrap(&wrapped).unwrap(), *message);
            refused(&context.unwrap(&wrapped).unwrap_err(), "sequence number");
            assert_eq!(acceptor.unwrap(&context.wrap(message, Seal::Authenticated).unwrap()), message);
        }
        let [_lost, next] = [b"1", b"2"].map(|message| acceptor.wrap(message));
        refused(&context.unwrap(&next).unwrap_err(), "sequence number");
        assert!(context.wrap(b"x", Seal::Encrypted([8; 16])).is_err(), "RC4 seals nothing");
    }
}

#[test]
fn under_rc4_a_message_cut_bent_or_sent_back_is_refused() {
    let (mut context, mut acceptor) =
        established(Enctype::RC4_HMAC, Manner { sequence: Some(0x1234), ..Manner::java() });
    let ours = context.wrap(&[1, 1, 0, 0], Seal::Authenticated).unwrap();
    refused(&context.unwrap(&ours).unwrap_err(), "not from the service");
    let wrapped = acceptor.wrap(&[1, 1, 0, 0]);
    for cut in 0..wrapped.len() {
        assert!(context.unwrap(&wrapped[..cut]).is_err(), "cut to {cut}");
    }
    for bit in 0..wrapped.len() * 8 {
        let mut flipped = wrapped.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(context.unwrap(&flipped).is_err(), "bit {bit}");
    }
    for body in [&[][..], &[0x11, 0, 0xFF, 0xFF, 0xFF, 0xFF], &wrapped[15..39], &[0x11, 0, 0x10, 0, 0xFF, 0xFF]] {
        refused(&context.unwrap(&token([2, 1], body)).unwrap_err(), "shorter");
    }
    assert_eq!(**context.unwrap(&wrapped).unwrap(), [1, 1, 0, 0], "the context is as it was");
}

#[test]
fn a_message_cut_anywhere_or_with_any_bit_flipped_is_refused() {
    for manner in
        [Manner::java(), Manner::windows(Enctype::AES256_SHA2, false), Manner::windows(Enctype::AES128_SHA1, true)]
    {
        let (mut context, mut acceptor) = established(Enctype::AES128_SHA1, manner);
        let wrapped = acceptor.wrap(&[1, 1, 0, 0]);
        for cut in 0..wrapped.len() {
            assert!(context.unwrap(&wrapped[..cut]).is_err(), "cut to {cut}");
        }
        for bit in 0..wrapped.len() * 8 {
            let mut flipped = wrapped.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Rotations that are equal modulo the length leave the same message: `RRC` is not authenticated.
            if !matches!(bit / 8, 6 | 7) {
                assert!(context.unwrap(&flipped).is_err(), "bit {bit}");
            }
        }
        assert_eq!(**context.unwrap(&wrapped).unwrap(), [1, 1, 0, 0], "the context is as it was");
    }
}

#[test]
fn a_message_that_is_repeated_lost_or_out_of_order_is_refused() {
    for (enctype, manner) in manners() {
        let (mut context, mut acceptor) = established(enctype, manner);
        let [first, second, third] = [b"1", b"2", b"3"].map(|message| acceptor.wrap(message));
        refused(&context.unwrap(&second).unwrap_err(), "sequence number");
        context.unwrap(&first).unwrap();
        refused(&context.unwrap(&first).unwrap_err(), "sequence number");
        refused(&context.unwrap(&third).unwrap_err(), "sequence number");
        context.unwrap(&second).unwrap();
    }
}

#[test]
fn our_own_message_sent_back_is_refused() {
    let (mut context, _) = established(Enctype::AES128_SHA1, Manner { sequence: Some(0x1234), ..Manner::java() });
    let ours = context.wrap(b"x", Seal::Authenticated).unwrap();
    refused(&context.unwrap(&ours).unwrap_err(), "not from the service");
    let mut marked = ours;
    marked[2] |= 1;
    refused(&context.unwrap(&marked).unwrap_err(), "checksum does not fit");
}

#[test]
fn flags_that_do_not_fit_what_was_agreed_are_refused_though_authentic() {
    for (manner, flags, words) in [
        (Manner::java(), 5, "another key"),
        (Manner::java(), 0, "not from the service"),
        (Manner::windows(Enctype::AES128_SHA1, false), 1, "another key"),
    ] {
        let (mut context, mut acceptor) = established(Enctype::AES128_SHA1, manner);
        acceptor.flags = flags;
        refused(&context.unwrap(&acceptor.wrap(b"x")).unwrap_err(), words);
    }
}

#[test]
fn a_checksum_of_a_length_of_its_own_choice_is_refused() {
    let (mut context, mut acceptor) = established(Enctype::AES128_SHA1, Manner::java());
    let wrapped = acceptor.wrap(b"payload");
    for length in [0, 1, 11, 13, 16, 19, 20, 255] {
        let mut other = wrapped.clone();
        other[5] = length;
        refused(&context.unwrap(&other).unwrap_err(), "wrong length");
    }
}

#[test]
fn a_sealed_message_whose_inner_header_differs_is_refused() {
    let (mut context, acceptor) = established(Enctype::AES128_SHA2, Manner { sealed: true, ..Manner::java() });
    let header = |sequence| [&[5, 4, 3, 0xFF, 0, 0, 0, 0], &u64::to_be_bytes(sequence)[..]].concat();
    for (inner, words) in [(header(78), "sealed header differs"), (vec![], "sealed header differs")] {
        let plain = [&b"message of any length"[..], &inner].concat();
        let cipher = Crypto::default().encrypt(&acceptor.key, Usage::ACCEPTOR_SEAL, &[4; 16], &plain).unwrap();
        refused(&context.unwrap(&[header(77), cipher].concat()).unwrap_err(), words);
    }
}

#[test]
fn random_tokens_are_never_a_panic() {
    let mut chance = fastrand::Rng::with_seed(0x6551_0BAD);
    let (mut context, mut acceptor) = established(Enctype::AES256_SHA2, Manner::windows(Enctype::AES256_SHA2, true));
    let (_, _, answer) = begun(Enctype::AES256_SHA2, Manner::java());
    for _ in 0..2_000 {
        let mut noise = if chance.bool() { acceptor.wrap(b"x") } else { answer.clone() };
        noise.truncate(chance.usize(..=noise.len()));
        for byte in &mut noise {
            if chance.u8(..8) == 0 {
                *byte = chance.u8(..);
            }
        }
        let _ = unframed(&noise);
        let _ = context.unwrap(&noise);
    }
}
