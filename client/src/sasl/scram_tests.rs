use super::*;

const USER: &str = "user";
const PASSWORD: &str = "pencil";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
/// RFC 7677 §3.
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn exchange(hash: ScramHash, nonce: &str) -> Exchange {
    Scram::new(hash, USER, PASSWORD).exchange(Nonce(nonce.to_owned()))
}

fn said(token: Option<Token>) -> String {
    String::from_utf8(token.unwrap().to_vec()).unwrap()
}

/// An exchange whose first message is out.
fn waiting() -> Exchange {
    let mut exchange = exchange(ScramHash::Sha256, NONCE);
    exchange.step(None).unwrap();
    exchange
}

/// An exchange whose proof is out.
fn proving() -> Exchange {
    let mut exchange = waiting();
    exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap();
    exchange
}

fn error_of_first(message: &str) -> String {
    let error = waiting().step(Some(message.as_bytes())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    error.to_string()
}

#[test]
fn the_exchange_of_rfc_7677_is_replayed_to_the_letter() {
    let mut exchange = exchange(ScramHash::Sha256, NONCE);
    assert_eq!(said(exchange.step(None).unwrap()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert_eq!(
        said(exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap()),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    assert_eq!(exchange.step(Some(SERVER_FINAL.as_bytes())).unwrap(), None);
    assert_eq!(exchange.step(Some(b"more")).unwrap(), None);
}

#[test]
fn the_exchange_of_rfc_5802_is_replayed_to_the_letter() {
    let mut exchange = exchange(ScramHash::Sha1, "fyko+d2lbbFgONRv9qkxdawL");
    assert_eq!(said(exchange.step(None).unwrap()), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
    let first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
    assert_eq!(
        said(exchange.step(Some(first.as_bytes())).unwrap()),
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    );
    assert_eq!(exchange.step(Some(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")).unwrap(), None);
}

/// No RFC has a vector for SHA-512; these values are of Python's `hashlib`.
#[test]
fn sha_512_with_odd_text_and_a_delegation_token_is_as_python_computes_it() {
    let scram = Scram::new(ScramHash::Sha512, "=a,用", "пароль ä").delegation_token();
    let mut exchange = scram.exchange(Nonce(NONCE.to_owned()));
    assert_eq!(said(exchange.step(None).unwrap()), format!("n,,n==3Da=2C用,r={NONCE},tokenauth=true"));
    let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=c2FsdC1vZi1zaXh0ZWVuIQ==,i=8192";
    let last = said(exchange.step(Some(first.as_bytes())).unwrap());
    assert!(
        last.ends_with(",p=cvsboNzWwgPQZmv9bn9vx/NJRzgdMHkRFvzPCfM0AtupJ8WbdDXSEbySgwrdCz14jR6g2a0HzcMjE7lYNdtOAQ==")
    );
    let signature = "v=krzIOlYghSbp5u4FCAiTjJKuOTe3aN3AnUciX7GkbyJX/W0q/Xy1XhcOS1G72xExGFNFemTZAFRY0mCs58NslA==";
    assert_eq!(exchange.step(Some(signature.as_bytes())).unwrap(), None);
}

#[test]
fn a_server_without_the_right_signature_is_not_believed() {
    for last in
        ["", "v=", "v=AAAA", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=***", "x=1", "e", SERVER_FIRST]
    {
        let error = proving().step(Some(last.as_bytes())).unwrap_err();
        assert!(error.to_string().contains("could not prove"), "{last:?}: {error}");
    }
    let long = format!("{SERVER_FINAL}AAAA");
    proving().step(Some(long.as_bytes())).unwrap_err();
}

#[test]
fn every_bit_of_the_signature_counts() {
    let signature = BASE64.decode(&SERVER_FINAL[2..]).unwrap();
    for bit in 0..signature.len() * 8 {
        let mut wrong = signature.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let message = format!("v={}", BASE64.encode(wrong));
        assert!(verify(&signature, message.as_bytes(), &PeerText::default()).is_err(), "bit {bit}");
    }
    verify(&signature, format!("{SERVER_FINAL},x=later").as_bytes(), &PeerText::default()).unwrap();
}

#[test]
fn an_answer_to_another_exchange_is_not_taken_by_its_nonce() {
    for nonce in ["", "rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkqx%hv", "xrOprNGfwEbeRWgbNEkqO", "other"] {
        let error = error_of_first(&format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        assert!(error.contains("nonce"), "{nonce}: {error}");
    }
}

#[test]
fn an_iteration_count_out_of_bounds_is_refused_before_it_costs_anything() {
    for count in ["0", "1", "4095", "1000001", "4294967295", "4294967296", "99999999999999999999"] {
        let start = std::time::Instant::now();
        let error = error_of_first(&format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}"));
        assert!(error.contains(&format!("{count} iterations")) && error.contains("4096 to 1000000"), "{error}");
        // Four thousand million of them take an hour.
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{count} was computed");
    }
    for count in ["", "-4096", "+4096", "4096.0", " 4096", "0x1000", "999999999999999999999999"] {
        let error = error_of_first(&format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}"));
        assert!(error.contains("no number"), "{count}: {error}");
    }
    assert_eq!((bounded("4096").unwrap(), bounded("1000000").unwrap()), (4096, 1_000_000));
}

#[test]
fn a_malformed_first_message_is_refused_by_what_it_lacks() {
    for (message, part) in [
        ("", "no nonce"),
        ("r=x", "no salt"),
        ("r=x,s=QQ==", "no iteration count"),
        ("s=QQ==,r=x,i=4096", "no nonce"),
        ("r=x,s=,i=4096", "salt"),
        ("r=x,s=Q,i=4096", "salt"),
        ("m=ext,r=x,s=QQ==,i=4096", "extension"),
    ] {
        let error = error_of_first(message);
        assert!(error.contains(part), "{message}: {error}");
    }
    assert!(waiting().step(Some(b"\xff")).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn the_servers_own_refusal_is_told_and_made_harmless() {
    let error = proving().step(Some(b"e=unknown-user\x1b[2J")).unwrap_err().to_string();
    assert!(error.contains("unknown-user\\u{1b}[2J"), "{error}");
    let long = format!("e={}", "x".repeat(100_000));
    assert!(proving().step(Some(long.as_bytes())).unwrap_err().to_string().len() < 300);
}

#[test]
fn a_message_cut_or_bent_anywhere_never_proves_the_server_and_never_panics() {
    for len in 0..SERVER_FIRST.len() {
        // A cut count may be refused or be another valid count; the rest cannot be whole.
        let _ = waiting().step(Some(&SERVER_FIRST.as_bytes()[..len]));
    }
    let mut random = fastrand::Rng::with_seed(7677);
    for _ in 0..20_000 {
        let mut last = SERVER_FINAL.as_bytes().to_vec();
        let at = random.usize(..last.len());
        last[at] ^= 1 << random.u8(..8);
        // The last character but one carries two bits beyond the signature, which the decoder refuses.
        assert!(verify(&BASE64.decode(&SERVER_FINAL[2..]).unwrap(), &last, &PeerText::default()).is_err(), "{last:?}");
    }
    for len in 0..SERVER_FINAL.len() {
        assert!(proving_quick(&SERVER_FINAL.as_bytes()[..len]).is_err(), "cut at {len}");
    }
}

fn proving_quick(last: &[u8]) -> Result<(), Error> {
    verify(&BASE64.decode(&SERVER_FINAL[2..]).unwrap(), last, &PeerText::default())
}

#[test]
fn out_of_step_calls_are_errors() {
    assert!(waiting().step(None).is_err());
    assert!(proving().step(None).is_err());
    assert!(exchange(ScramHash::Sha256, NONCE).step(Some(b"")).is_err());
}

#[test]
fn a_nonce_is_long_printable_and_never_the_same() {
    let nonces: std::collections::HashSet<_> = (0..100).map(|_| Nonce::random().unwrap().0).collect();
    assert_eq!(nonces.len(), 100);
    assert!(nonces.iter().all(|nonce| nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',')));
}

#[test]
fn no_password_is_shown() {
    let exchange = proving();
    let shown = format!("{exchange:?} {:?}", exchange.scram);
    assert!(shown.contains("user") && !shown.contains(PASSWORD), "{shown}");
}
