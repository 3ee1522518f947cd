//! Keytabs byte by byte: as MIT writes them, as older programs did, and as nobody should.

use super::*;

/// An entry's bytes behind its size, in version 2, the long key version left out.
fn entry_bytes(name: &[&str], realm: &str, kvno: u8, enctype: u16, key: &[u8]) -> Vec<u8> {
    let mut out = (name.len() as u16).to_be_bytes().to_vec();
    for text in [realm].iter().chain(name) {
        out.extend((text.len() as u16).to_be_bytes());
        out.extend(text.as_bytes());
    }
    out.extend(1_u32.to_be_bytes());
    out.extend(1_700_000_000_u32.to_be_bytes());
    out.push(kvno);
    out.extend(enctype.to_be_bytes());
    out.extend((key.len() as u16).to_be_bytes());
    out.extend(key);
    out
}

fn file(parts: &[(i32, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![5, 2];
    for (size, bytes) in parts {
        out.extend(size.to_be_bytes());
        out.extend(bytes);
    }
    out
}

fn sized(bytes: Vec<u8>) -> (i32, Vec<u8>) {
    (bytes.len() as i32, bytes)
}

fn with_long(mut bytes: Vec<u8>, kvno: u32) -> Vec<u8> {
    bytes.extend(kvno.to_be_bytes());
    bytes
}

fn alice() -> Principal {
    Principal::parse("alice@R", None).unwrap()
}

const KEY: [u8; 32] = [0xa5; 32];

#[test]
fn an_entry_is_read_whole() {
    let bytes = file(&[sized(entry_bytes(&["kafka", "b.example.com"], "EXAMPLE.COM", 3, 18, &KEY))]);
    let keytab = Keytab::parse(&bytes).unwrap();
    let [entry] = keytab.entries() else { panic!("{keytab}") };
    assert_eq!(entry.principal.to_string(), "kafka/b.example.com@EXAMPLE.COM");
    assert_eq!((entry.kvno, entry.timestamp, entry.key.enctype), (3, 1_700_000_000, Enctype::AES256_SHA1));
    assert_eq!(*entry.key.bytes, KEY);
    assert_eq!(keytab.to_string(), "kafka/b.example.com@EXAMPLE.COM (kvno 3: aes256-cts-hmac-sha1-96)");
}

#[test]
fn version_1_counts_the_realm_and_has_this_machines_byte_order() {
    let mut entry = 3_u16.to_ne_bytes().to_vec();
    for text in ["R", "kafka", "host"] {
        entry.extend((text.len() as u16).to_ne_bytes());
        entry.extend(text.as_bytes());
    }
    entry.extend(9_u32.to_ne_bytes());
    entry.push(7);
    entry.extend(17_u16.to_ne_bytes());
    entry.extend(16_u16.to_ne_bytes());
    entry.extend([1; 16]);
    let mut bytes = vec![5, 1];
    bytes.extend((entry.len() as i32).to_ne_bytes());
    bytes.extend(entry);
    let keytab = Keytab::parse(&bytes).unwrap();
    let kafka = Principal::parse("kafka/host@R", None).unwrap();
    let found = keytab.find(&kafka, Enctype::AES128_SHA1, None).unwrap();
    assert_eq!((found.kvno, found.timestamp), (7, 9));
}

#[test]
fn a_key_version_beyond_8_bits_is_the_long_one() {
    let long = with_long(entry_bytes(&["alice"], "R", 44, 18, &KEY), 300);
    let keytab = Keytab::parse(&file(&[sized(long)])).unwrap();
    assert_eq!(keytab.entries()[0].kvno, 300);
    assert!(keytab.find(&alice(), Enctype::AES256_SHA1, Some(300)).is_ok());
    // 44 is what the 8 bits say; the key is not of that version.
    assert!(keytab.find(&alice(), Enctype::AES256_SHA1, Some(44)).is_err());
}

#[test]
fn a_long_version_of_zero_is_none_and_less_than_four_bytes_are_no_version() {
    for tail in [vec![0, 0, 0, 0], vec![9, 9, 9], vec![]] {
        let mut bytes = entry_bytes(&["alice"], "R", 5, 18, &KEY);
        bytes.extend(&tail);
        let keytab = Keytab::parse(&file(&[sized(bytes)])).unwrap();
        assert_eq!(keytab.entries()[0].kvno, 5, "{tail:?}");
    }
}

#[test]
fn a_file_with_room_for_8_bits_still_has_the_key_of_a_higher_version() {
    let keytab = Keytab::parse(&file(&[sized(entry_bytes(&["alice"], "R", 44, 18, &KEY))])).unwrap();
    assert!(keytab.find(&alice(), Enctype::AES256_SHA1, Some(300)).is_ok());
    assert!(keytab.find(&alice(), Enctype::AES256_SHA1, Some(301)).is_err());
}

#[test]
fn the_newest_key_is_found_unless_a_version_is_asked_for() {
    let keytab = Keytab::parse(&file(&[
        sized(entry_bytes(&["alice"], "R", 2, 18, &[2; 32])),
        sized(with_long(entry_bytes(&["alice"], "R", 3, 18, &[3; 32]), 3)),
        sized(entry_bytes(&["alice"], "R", 1, 18, &[1; 32])),
        sized(entry_bytes(&["alice"], "R", 9, 17, &[9; 16])),
        sized(entry_bytes(&["bob"], "R", 8, 18, &[8; 32])),
        sized(entry_bytes(&["alice"], "S", 7, 18, &[7; 32])),
    ]))
    .unwrap();
    let first_byte = |kvno| keytab.find(&alice(), Enctype::AES256_SHA1, kvno).unwrap().key.bytes[0];
    assert_eq!((first_byte(None), first_byte(Some(1)), first_byte(Some(2))), (3, 1, 2));
    assert_eq!(keytab.enctypes(&alice()), [Enctype::AES256_SHA1, Enctype::AES128_SHA1]);
}

#[test]
fn what_stands_behind_a_hole_is_found() {
    let old = entry_bytes(&["old"], "R", 1, 18, &KEY);
    let hole = (-(old.len() as i32), old);
    let keytab = Keytab::parse(&file(&[
        hole.clone(),
        sized(entry_bytes(&["alice"], "R", 1, 18, &KEY)),
        hole,
        sized(entry_bytes(&["bob"], "R", 1, 18, &KEY)),
    ]))
    .unwrap();
    let names: Vec<_> = keytab.entries().iter().map(|entry| entry.principal.to_string()).collect();
    assert_eq!(names, ["alice@R", "bob@R"]);
}

#[test]
fn a_size_of_zero_ends_the_file() {
    let keytab = Keytab::parse(&file(&[sized(entry_bytes(&["alice"], "R", 1, 18, &KEY)), (0, vec![1, 2, 3])])).unwrap();
    assert_eq!(keytab.entries().len(), 1);
}

#[test]
fn a_missing_key_is_named_with_what_is_there_instead() {
    let keytab = Keytab::parse(&file(&[
        sized(entry_bytes(&["alice"], "R", 2, 18, &KEY)),
        sized(entry_bytes(&["alice"], "R", 2, 16, &[1; 24])),
    ]))
    .unwrap();
    assert_eq!(
        keytab.find(&alice(), Enctype::AES256_SHA1, Some(3)).unwrap_err().to_string(),
        "the keytab has no aes256-cts-hmac-sha1-96 key of version 3 for alice@R; it has alice@R (kvno 2: \
         aes256-cts-hmac-sha1-96), alice@R (kvno 2: des3-cbc-sha1)"
    );
    let empty = Keytab::parse(&[5, 2]).unwrap().find(&alice(), Enctype::AES256_SHA1, None).unwrap_err();
    assert!(empty.to_string().ends_with("it has no entry"), "{empty}");
    let many = file(&vec![sized(entry_bytes(&["alice"], "R", 2, 18, &KEY)); 25]);
    assert!(Keytab::parse(&many).unwrap().to_string().ends_with("and 5 more"));
}

#[test]
fn a_key_of_the_wrong_length_is_refused_by_its_length() {
    let keytab = Keytab::parse(&file(&[sized(entry_bytes(&["alice"], "R", 1, 18, &[0xa5; 16]))])).unwrap();
    let error = keytab.find(&alice(), Enctype::AES256_SHA1, None).unwrap_err().to_string();
    assert!(error.contains("16 bytes instead of 32"), "{error}");
}

#[test]
fn no_key_is_ever_shown() {
    let keytab = Keytab::parse(&file(&[sized(entry_bytes(&["alice"], "R", 1, 18, &KEY))])).unwrap();
    let shown = format!("{keytab} {keytab:?} {keytab:#?}");
    assert!(!shown.contains("165") && !shown.to_lowercase().contains("a5"), "{shown}");
    for encoded in ["c2VjcmV0!", "c2VjcmV0c2VjcmV0"] {
        let error = Keytab::from_base64(encoded).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c2Vj"), "{error}");
    }
}

#[test]
fn inline_base64_is_the_file() {
    let bytes = file(&[sized(entry_bytes(&["alice"], "R", 1, 18, &KEY))]);
    let mut encoded = STANDARD.encode(&bytes);
    encoded.insert_str(10, "\n  ");
    encoded.push('\n');
    assert_eq!(Keytab::from_base64(&encoded).unwrap().to_string(), Keytab::parse(&bytes).unwrap().to_string());
    assert!(Keytab::from_base64("").is_err());
}

#[test]
fn a_keytab_that_is_no_file_is_refused_by_name() {
    for (name, path) in [("/etc/x.keytab", "/etc/x.keytab"), ("FILE:/k", "/k"), ("WRFILE:/k", "/k"), ("a:b", "a:b")] {
        assert_eq!(keytab_path(name).unwrap(), PathBuf::from(path));
    }
    let error = keytab_path("MEMORY:x").unwrap_err().to_string();
    assert!(error.contains("MEMORY:"), "{error}");
    let gone = Keytab::load(Path::new("no/such.keytab")).unwrap_err().to_string();
    assert!(gone.contains("no/such.keytab"), "{gone}");
}

#[test]
fn a_keytab_cut_anywhere_has_fewer_entries_or_is_an_error_with_an_address() {
    let entry = || sized(with_long(entry_bytes(&["kafka", "host"], "R", 1, 18, &KEY), 1));
    let hole = (-8, vec![0; 8]);
    let whole = file(&[entry(), hole, entry()]);
    let between = [2, 2 + 4 + entry().1.len(), 2 + 4 + entry().1.len() + 12];
    for cut in 0..whole.len() {
        match Keytab::parse(&whole[..cut]) {
            Ok(keytab) => assert!(between.contains(&cut) && keytab.entries().len() < 2, "{cut}"),
            Err(KerberosError::Malformed(place)) => {
                assert!(!between.contains(&cut) && place.what == WHAT && place.at <= cut, "{cut}: {place}");
            }
            Err(other) => panic!("{cut}: {other}"),
        }
    }
}

#[test]
fn absurd_lengths_are_refused_before_memory_is_taken() {
    for size in [i32::MIN, i32::MIN + 1, i32::MAX, -5, 5] {
        let error = Keytab::parse(&file(&[(size, vec![0; 4])])).unwrap_err();
        assert!(matches!(error, KerberosError::Malformed(_)), "{size}: {error}");
    }
    let components = file(&[sized(vec![0xff; 64])]);
    assert!(Keytab::parse(&components).is_err());
    for version in [[5, 0], [5, 3], [4, 2]] {
        assert!(Keytab::parse(&version).unwrap_err().to_string().contains("no keytab"));
    }
}

#[test]
fn no_bytes_are_a_panic() {
    let mut chance = fastrand::Rng::with_seed(11);
    let entry = || sized(with_long(entry_bytes(&["kafka", "host"], "R", 1, 18, &KEY), 1));
    for version in [1, 2] {
        let mut whole = file(&[entry(), (-8, vec![0; 8]), entry()]);
        whole[1] = version;
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Keytab::parse(&bytes);
        }
        for _ in 0..5000 {
            let mut bytes: Vec<u8> = (0..chance.usize(..100)).map(|_| chance.u8(..)).collect();
            bytes.splice(0..0, [5, version]);
            let _ = Keytab::parse(&bytes);
        }
    }
}
