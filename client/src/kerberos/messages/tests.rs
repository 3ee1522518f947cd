//! Every message, in both directions, and against whoever would break its reader.

use super::super::crypto::testing::unhex;
use super::super::enctype::Enctype;
use super::super::error::{KerberosError, Peer};
use super::super::error_code::KrbErrorCode;
use super::super::key::Key;
use super::super::principal::{Principal, PrincipalName};
use super::super::time::KerberosTime;
use super::*;

/// The principal, time and key of MIT's own ASN.1 tests (`tests/asn.1/ktest.c`), so that its bytes can be compared.
const WHO: &str = "a1101b0e415448454e412e4d49542e454455 a21a3018a003020101a111300f1b066866747361691b056578747261";
const WHEN: &str = "180f31393934303631303036303331375a";
const KEY: &str = "3011a003020101a10a04083132333435363738";
const SEALED: &str = "3023a003020100a103020105a21704156b726241534e2e312074657374206d657373616765";

fn who() -> Principal {
    Principal::new(PrincipalName::new(1, ["hftsai", "extra"]), "ATHENA.MIT.EDU")
}

fn when() -> KerberosTime {
    KerberosTime { seconds: 771_228_197, micros: 123_456 }
}

fn key() -> Key {
    Key::new(Enctype(1), b"12345678".to_vec())
}

fn sealed() -> EncryptedData {
    EncryptedData { enctype: Enctype(0), kvno: Some(5), cipher: b"krbASN.1 test message".to_vec() }
}

fn ticket() -> Vec<u8> {
    Ticket { server: who(), enc_part: sealed() }.to_der().to_vec()
}

fn padata() -> MethodData {
    MethodData(vec![PaData { kind: 13, value: b"pa-data".to_vec() }, PaData { kind: 13, value: b"pa-data".to_vec() }])
}

fn authenticator() -> Authenticator {
    let checksum = Some(Checksum { kind: 1, bytes: b"1234".to_vec() });
    Authenticator { client: who(), checksum, time: when(), subkey: Some(key()), sequence: Some(17) }
}

fn request() -> KdcReq {
    KdcReq {
        exchange: Exchange::As,
        padata: padata(),
        body: KdcReqBody {
            options: KdcReqBody::CANONICALIZE | KdcReqBody::FORWARDABLE,
            client: Some(who().name),
            realm: "ATHENA.MIT.EDU".to_owned(),
            server: Some(PrincipalName::krbtgt("ATHENA.MIT.EDU")),
            till: KerberosTime::at(771_228_197),
            renew_till: Some(KerberosTime::at(771_228_198)),
            nonce: 42,
            enctypes: Enctype::DEFAULT.to_vec(),
        },
    }
}

fn reply() -> KdcRep {
    KdcRep { exchange: Exchange::As, padata: padata(), client: who(), ticket: ticket(), enc_part: sealed() }
}

fn reply_part() -> EncKdcRepPart {
    let time = KerberosTime::at(771_228_197);
    EncKdcRepPart {
        key: key(),
        nonce: 42,
        key_expiration: Some(time),
        flags: 0xFEDC_BA98,
        auth_time: time,
        start_time: Some(time),
        end_time: time,
        renew_till: Some(time),
        server: who(),
    }
}

fn refusal() -> KrbError {
    KrbError {
        server_time: when(),
        code: KrbErrorCode::GENERIC,
        client_realm: Some("ATHENA.MIT.EDU".to_owned()),
        client_name: Some(who().name),
        server: who(),
        text: Some(b"krb5data".to_vec()),
        data: Some(b"krb5data".to_vec()),
    }
}

fn etype_info() -> EtypeInfo2 {
    let full = EtypeInfo2Entry {
        enctype: Enctype::AES256_SHA1,
        salt: Some(b"Rsalt".to_vec()),
        s2kparams: Some(vec![0, 0, 16, 0]),
    };
    EtypeInfo2(vec![full, EtypeInfo2Entry { enctype: Enctype::RC4_HMAC, salt: None, s2kparams: None }])
}

/// Reads, and writes again what was read.
type Rewrite = fn(&[u8]) -> Result<Vec<u8>, Malformed>;

fn rewrite<M: Message>(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    M::from_der(bytes).map(|message| message.to_der().to_vec())
}

fn sample<M: Message>(message: &M) -> (&'static str, Vec<u8>, Rewrite) {
    (M::NAME, message.to_der().to_vec(), rewrite::<M>)
}

fn samples() -> Vec<(&'static str, Vec<u8>, Rewrite)> {
    let request = request();
    vec![
        sample(&Ticket { server: who(), enc_part: sealed() }),
        sample(&request.body),
        sample(&KdcReq { exchange: Exchange::Tgs, ..request.clone() }),
        sample(&request),
        sample(&reply()),
        sample(&KdcRep { exchange: Exchange::Tgs, padata: MethodData::default(), ..reply() }),
        sample(&reply_part()),
        sample(&refusal()),
        sample(&sealed()),
        sample(&padata()),
        sample(&etype_info()),
        sample(&PaEncTimestamp(when())),
        sample(&ApReq { options: ApReq::MUTUAL_REQUIRED, ticket: ticket(), authenticator: sealed() }),
        sample(&authenticator()),
        sample(&ApRep { enc_part: sealed() }),
        sample(&EncApRepPart { time: when(), subkey: Some(key()), sequence: Some(u32::MAX) }),
    ]
}

/// Written from `tests/asn.1/reference_encode.out` of MIT krb5.
#[test]
fn messages_have_the_bytes_that_mit_gives_them() {
    let golden = |name: &str, ours: &[u8], hex: &str| assert_eq!(ours, unhex(hex), "{name}");
    let ticket_hex = format!("615c305a a003020105 {WHO} a325{SEALED}");
    golden("Ticket", &ticket(), &ticket_hex);
    golden(
        "Authenticator",
        &Authenticator { checksum: None, subkey: None, sequence: None, ..authenticator() }.to_der(),
        &format!("624f304d a003020105 {WHO} a405020301e240 a511{WHEN}"),
    );
    golden(
        "AP-REQ",
        &ApReq { options: 0xFEDC_BA98, ticket: ticket(), authenticator: sealed() }.to_der(),
        &format!("6e819d30819a a003020105 a10302010e a207030500fedcba98 a35e{ticket_hex} a425{SEALED}"),
    );
    golden("AP-REP", &ApRep { enc_part: sealed() }.to_der(), &format!("6f333031 a003020105 a10302010f a225{SEALED}"));
    golden(
        "EncAPRepPart",
        &EncApRepPart { time: when(), subkey: Some(key()), sequence: Some(17) }.to_der(),
        &format!("7b363034 a011{WHEN} a105020301e240 a213{KEY} a303020111"),
    );
    golden(
        "AS-REP",
        &reply().to_der(),
        &format!(
            "6b81ea3081e7 a003020105 a10302010b a2263024 3010a10302010da209040770612d64617461 3010a10302010da209040770612d64617461 \
             {} a55e{ticket_hex} a625{SEALED}",
            WHO.replace("a21a", "a41a").replace("a110", "a310"),
        ),
    );
}

#[test]
fn a_reply_part_of_mit_with_everything_in_it_is_read() {
    let request_of = "3018a0030201fba111";
    let name = WHO.replace("a21a", "aa1a").replace("a110", "a910");
    let address = "300da003020102a106040412d00023";
    let hex = format!(
        "7a82010e3082010a a013{KEY} a1363034{request_of}{WHEN}{request_of}{WHEN} a20302012a a311{WHEN} a407030500fedcba98 \
         a511{WHEN} a611{WHEN} a711{WHEN} a811{WHEN} {name} ab20301e{address}{address}"
    );
    let part = EncKdcRepPart::from_der(&unhex(&hex)).unwrap();
    assert_eq!(*part.to_der(), *reply_part().to_der());
}

#[test]
fn what_is_written_is_read_back_equal() {
    for (name, bytes, rewrite) in samples() {
        assert_eq!(rewrite(&bytes).unwrap(), bytes, "{name}");
    }
    assert_eq!(KdcReq::from_der(&request().to_der()).unwrap(), request());
    assert_eq!(KrbError::from_der(&refusal().to_der()).unwrap(), refusal());
    assert_eq!(EtypeInfo2::from_der(&etype_info().to_der()).unwrap(), etype_info());
}

#[test]
fn a_message_cut_anywhere_or_with_something_behind_it_is_an_error_that_names_it() {
    for (name, bytes, rewrite) in samples() {
        for cut in 0..bytes.len() {
            let error = rewrite(&bytes[..cut]).unwrap_err();
            assert_eq!(error.what, name, "cut to {cut}");
            assert!(error.at <= cut, "{error}, cut to {cut}");
        }
        assert!(rewrite(&[&bytes[..], &[0]].concat()).is_err(), "{name}");
    }
}

/// A message that reads the same with a bit flipped has a byte that nobody looked at.
#[test]
fn no_flipped_bit_is_a_panic_and_none_is_overlooked() {
    for (name, bytes, rewrite) in samples() {
        let overlooked: Vec<_> = (0..bytes.len() * 8)
            .filter(|bit| {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                rewrite(&flipped).is_ok_and(|again| again == bytes)
            })
            .map(|bit| bit / 8)
            .collect();
        // The only one: how many bits the flags leave out, of which there are 32 all the same.
        assert!(overlooked.iter().all(|at| bytes[at - 2..=*at] == [3, 5, 0]), "{name}: {overlooked:?}");
    }
}

#[test]
fn a_field_of_absurd_length_is_refused_without_memory_for_it() {
    for (name, bytes, rewrite) in samples() {
        for at in 1..bytes.len() {
            for length in [&[0x84, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0x84, 0x7F, 0xFF, 0xFF, 0xFF], &[0x80], &[0xFF]] {
                let absurd = [&bytes[..at], length, &bytes[at + 1..]].concat();
                let _ = rewrite(&absurd);
            }
        }
        let absurd = [&bytes[..1], &[0x84, 0xFF, 0xFF, 0xFF, 0xFF], &bytes[2..]].concat();
        assert!(rewrite(&absurd).unwrap_err().problem.contains("longer than what is there"), "{name}");
    }
}

#[test]
fn random_bytes_are_never_a_panic() {
    let mut chance = fastrand::Rng::with_seed(0x0DE5_0BAD);
    for (_, bytes, rewrite) in samples() {
        for _ in 0..2_000 {
            let mut noise = bytes.clone();
            for _ in 0..chance.usize(1..8) {
                let at = chance.usize(..noise.len());
                noise[at] = chance.u8(..);
            }
            let _ = rewrite(&noise);
        }
    }
}

#[test]
fn another_version_or_type_is_refused() {
    let mut bytes = ApRep { enc_part: sealed() }.to_der();
    bytes[8] = 4;
    assert_eq!(ApRep::from_der(&bytes).unwrap_err().field, "pvno");
    let mut bytes = ApRep { enc_part: sealed() }.to_der();
    bytes[13] = 14;
    assert_eq!(ApRep::from_der(&bytes).unwrap_err().field, "msg-type");
}

#[test]
fn what_a_later_edition_adds_is_skipped_but_has_to_be_well_formed() {
    let bytes = unhex(&format!("7b3b3039 a011{WHEN} a105020301e240 a213{KEY} a303020111 a903020101"));
    assert_eq!(EncApRepPart::from_der(&bytes).unwrap().sequence, Some(17));
    let mut lying = bytes;
    let last = lying.len() - 4;
    lying[last] = 0x7F;
    assert!(EncApRepPart::from_der(&lying).is_err());
}

#[test]
fn a_peers_words_are_cleaned_and_cut_and_a_skew_is_told_by_its_size() {
    let mut noisy = refusal();
    noisy.text = Some([b"a\nb\x1b[31m\xFF", "x".repeat(9_000).as_bytes(), b"\0\0"].concat());
    let error = noisy.into_error(Peer::Kdc, when());
    let shown = error.to_string();
    assert!(shown.contains("a\\nb\\u{1b}[31m\u{FFFD}x") && !shown.contains('\n') && shown.len() < 500, "{shown}");

    let skewed = KrbError { code: KrbErrorCode::SKEW, ..refusal() };
    let error = skewed.into_error(Peer::Kdc, when().plus_seconds(600));
    assert!(matches!(error, KerberosError::ClockSkew { .. }) && error.to_string().contains("600 s"), "{error}");
}

#[test]
fn keys_in_messages_are_never_shown() {
    let key = || Some(Key::new(Enctype::AES128_SHA1, vec![0xAB; 16]));
    let shown = format!(
        "{:?} {:?} {:?}",
        Authenticator { subkey: key(), ..authenticator() },
        EncApRepPart { time: when(), subkey: key(), sequence: None },
        EncKdcRepPart { key: key().unwrap(), ..reply_part() },
    );
    assert!(shown.contains("aes128") && !shown.contains("171"), "{shown}");
}
