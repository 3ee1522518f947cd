//! The whole exchange with a service of our own making.

use super::*;
use crate::kerberos::enctype::Enctype;
use crate::kerberos::gss::acceptor::{Acceptor, Manner, fresh, held};

fn exchange(enctype: Enctype, proof: Proof, authzid: &str) -> Gssapi {
    Gssapi::new(Crypto::default(), held(enctype), proof, authzid, fresh())
}

/// Up to where the client waits for the offer.
fn introduced(enctype: Enctype, manner: Manner) -> (Gssapi, Acceptor) {
    let mut client = exchange(enctype, Proof::Mutual, "");
    let initial = client.step(None).unwrap().unwrap();
    let (service, answer) = Acceptor::accept(manner, &held(enctype), &initial);
    assert_eq!(client.step(Some(&answer)).unwrap().as_deref(), Some(&b""[..]));
    (client, service)
}

#[test]
fn a_login_takes_three_tokens_and_ends_without_a_layer() {
    for enctype in Enctype::DEFAULT {
        for manner in [Manner::java(), Manner::windows(enctype, false), Manner::windows(enctype, true)] {
            let (mut client, mut service) = introduced(enctype, manner);
            assert!(!client.is_finished());
            let choice = client.step(Some(&service.wrap(&[1, 1, 0, 0]))).unwrap().unwrap();
            assert_eq!(service.unwrap(&choice), [1, 0, 0, 0], "no layer, no size, no authzid");
            assert!(client.is_finished());
            assert_eq!(client.step(Some(b"")).unwrap(), None);
        }
    }
}

#[test]
fn without_mutual_proof_the_offer_comes_at_once_and_the_authzid_goes_out() {
    let mut client = exchange(Enctype::AES256_SHA1, Proof::OneWay, "ålice");
    let initial = client.step(None).unwrap().unwrap();
    let (mut service, answer) = Acceptor::accept(Manner::java(), &held(Enctype::AES256_SHA1), &initial);
    assert!(answer.is_empty());
    let choice = client.step(Some(&service.wrap(&[1, 1, 0, 0]))).unwrap().unwrap();
    assert_eq!(service.unwrap(&choice), ["\u{1}\0\0\0".as_bytes(), "ålice".as_bytes()].concat());
    assert!(client.is_finished());
}

#[test]
fn a_service_that_skips_its_proof_is_refused_and_the_exchange_is_over() {
    let mut client = exchange(Enctype::AES128_SHA1, Proof::Mutual, "");
    let initial = client.step(None).unwrap().unwrap();
    let (mut service, answer) = Acceptor::accept(Manner::java(), &held(Enctype::AES128_SHA1), &initial);
    let offer = service.wrap(&[1, 1, 0, 0]);
    assert!(matches!(client.step(Some(&offer)).unwrap_err(), KerberosError::ServerNotProven(_)));
    assert!(client.step(Some(&answer)).is_err(), "a failed exchange stays failed");
    assert!(!client.is_finished());
}

#[test]
fn a_service_that_insists_on_a_layer_is_refused_with_what_it_offers() {
    for layers in [0, 2, 4, 6] {
        let (mut client, mut service) = introduced(Enctype::AES128_SHA2, Manner::java());
        let error = client.step(Some(&service.wrap(&[layers, 1, 0, 0]))).unwrap_err();
        assert_eq!(error, KerberosError::NoLayer { offered: layers });
    }
    let (mut client, mut service) = introduced(Enctype::AES128_SHA2, Manner::java());
    assert!(client.step(Some(&service.wrap(&[7, 1, 0, 0]))).is_ok(), "the one without is among them");
}

#[test]
fn an_offer_of_another_size_is_refused() {
    for offer in [&b""[..], &[1], &[1, 1, 0], &[1, 1, 0, 0, 0]] {
        let (mut client, mut service) = introduced(Enctype::AES256_SHA2, Manner::java());
        let error = client.step(Some(&service.wrap(offer))).unwrap_err();
        assert!(error.to_string().contains("four octets"), "{error}");
    }
}

#[test]
fn an_offer_that_is_altered_repeated_or_missing_is_refused() {
    let (mut client, mut service) = introduced(Enctype::AES256_SHA1, Manner::java());
    let mut altered = service.wrap(&[6, 1, 0, 0]);
    altered[16] = 1;
    assert!(client.step(Some(&altered)).unwrap_err().to_string().contains("checksum"));

    let (mut client, mut service) = introduced(Enctype::AES256_SHA1, Manner::java());
    let _lost = service.wrap(&[1, 1, 0, 0]);
    let error = client.step(Some(&service.wrap(&[1, 1, 0, 0]))).unwrap_err();
    assert!(error.to_string().contains("sequence"), "{error}");

    let (mut client, _) = introduced(Enctype::AES256_SHA1, Manner::java());
    assert!(client.step(Some(b"")).is_err() && client.step(None).is_err());
}

#[test]
fn a_token_before_the_first_or_after_the_last_is_refused() {
    assert!(exchange(Enctype::AES128_SHA1, Proof::Mutual, "").step(Some(b"hello")).is_err());
    let (mut client, mut service) = introduced(Enctype::AES128_SHA1, Manner::java());
    client.step(Some(&service.wrap(&[1, 1, 0, 0]))).unwrap();
    assert!(client.step(Some(&service.wrap(b"more"))).is_err());
}
