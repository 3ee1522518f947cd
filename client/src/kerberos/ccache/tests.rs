//! Credential caches byte by byte, in all four versions.

use super::*;

/// Writes a version's bytes by its own rules, independently of the writer under test.
struct Old {
    version: u8,
    out: Vec<u8>,
}

impl Old {
    fn new(version: u8, owner: &[&str]) -> Self {
        let mut old = Self { version, out: vec![5, version] };
        if version == 4 {
            // A field of another kind, then the clock.
            old.out.extend([0, 18, 0, 9, 0, 2, 7, 7, 0, 1, 0, 8]);
            old.out.extend((-30_i32).to_be_bytes());
            old.out.extend(250_000_i32.to_be_bytes());
        }
        old.principal("R", owner);
        old
    }

    fn u16(&mut self, n: u16) {
        self.out.extend(if self.version < 3 { n.to_ne_bytes() } else { n.to_be_bytes() });
    }

    fn u32(&mut self, n: u32) {
        self.out.extend(if self.version < 3 { n.to_ne_bytes() } else { n.to_be_bytes() });
    }

    fn counted(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.out.extend(bytes);
    }

    fn principal(&mut self, realm: &str, name: &[&str]) {
        if self.version > 1 {
            self.u32(1);
        }
        self.u32(name.len() as u32 + u32::from(self.version == 1));
        self.counted(realm.as_bytes());
        for component in name {
            self.counted(component.as_bytes());
        }
    }

    fn entry(&mut self, server: (&str, &[&str]), end: u32, ticket: &[u8], is_skey: bool) {
        self.principal("R", &["alice"]);
        self.principal(server.0, server.1);
        self.u16(18);
        if self.version == 3 {
            self.u16(18);
        }
        self.counted(&[0xa5; 32]);
        // Older programs leave the start out; then it is the time of proof.
        let start = if self.version == 4 { 1000 } else { 0 };
        for time in [1000, start, end, 0] {
            self.u32(time);
        }
        self.out.push(is_skey.into());
        self.u32(0x5080_0000);
        self.u32(1);
        self.u16(2);
        self.counted(&[127, 0, 0, 1]);
        self.u32(1);
        self.u16(1);
        self.counted(b"auth");
        self.counted(ticket);
        self.counted(b"second");
    }
}

const KRBTGT: (&str, &[&str]) = ("R", &["krbtgt", "R"]);
const KAFKA: (&str, &[&str]) = ("S", &["kafka", "host"]);

fn whole(version: u8) -> Vec<u8> {
    let mut old = Old::new(version, &["alice"]);
    old.entry(("X-CACHECONF:", &["krb5_ccache_conf_data", "pa_type", "krbtgt/R@R"]), 0, b"2", false);
    old.entry(KRBTGT, 5000, b"older", false);
    old.entry(KRBTGT, 6000, b"newer", false);
    old.entry(("R", &["krbtgt", "S"]), 7000, b"to S", false);
    old.entry(KRBTGT, 9000, b"user to user", true);
    old.entry(KAFKA, 5500, b"service", false);
    old.out
}

#[test]
fn every_version_is_read() {
    for version in 1..=4 {
        let cache = CredentialCache::parse(&whole(version)).unwrap();
        assert_eq!(cache.principal.to_string(), "alice@R", "version {version}");
        assert_eq!(cache.kdc_offset, (version == 4).then_some((-30, 250_000)), "version {version}");
        let tgt = cache.tgt().unwrap();
        assert_eq!(tgt.ticket, b"newer", "version {version}");
        assert_eq!((tgt.session_key.enctype, tgt.session_key.bytes.len()), (Enctype::AES256_SHA1, 32));
        assert_eq!((tgt.auth_time, tgt.start_time), (KerberosTime::at(1000), KerberosTime::at(1000)));
        assert_eq!((tgt.end_time, tgt.renew_till), (KerberosTime::at(6000), None));
        assert_eq!(tgt.flags & HeldTicket::RENEWABLE, HeldTicket::RENEWABLE);
        let service = cache.service(&PrincipalName::service("kafka", "HOST")).unwrap();
        assert_eq!((service.ticket.as_slice(), service.server.realm.as_str()), (&b"service"[..], "S"));
    }
}

#[test]
fn notes_and_tickets_of_other_kinds_are_no_tickets() {
    let cache = CredentialCache::parse(&whole(4)).unwrap();
    let tickets: Vec<_> = cache.tickets().map(|ticket| ticket.ticket.as_slice()).collect();
    assert_eq!(tickets, [&b"older"[..], b"newer", b"to S", b"service"]);
}

#[test]
fn a_ticket_of_somebody_else_is_not_the_owners() {
    let mut old = Old::new(4, &["bob"]);
    old.entry(KRBTGT, 5000, b"alice's", false);
    let cache = CredentialCache::parse(&old.out).unwrap();
    assert_eq!(cache.tickets().count(), 1);
    assert!(cache.tgt().is_none());
}

#[test]
fn what_was_read_is_written_back_with_nothing_lost() {
    let cache = CredentialCache::parse(&whole(4)).unwrap();
    // Only the header's unknown field goes, as with MIT's library.
    let mut expected = whole(4);
    expected.splice(2..10, [0, 12]);
    assert!(*cache.to_bytes() == expected);
    let bare = CredentialCache::new(cache.principal.clone()).to_bytes();
    assert_eq!(CredentialCache::parse(&bare).unwrap().kdc_offset, None);
}

#[test]
fn writing_takes_the_room_it_asked_for_and_leaves_no_copy_behind() {
    let cache = CredentialCache::parse(&whole(4)).unwrap();
    let bytes = cache.to_bytes();
    let room: usize = cache.entries.iter().map(Entry::room).sum::<usize>() + principal_room(&cache.principal) + 64;
    assert!(bytes.len() <= room && bytes.capacity() == room, "{} of {room}", bytes.len());
}

#[test]
fn a_stored_ticket_takes_its_elders_place_and_no_others() {
    let mut cache = CredentialCache::parse(&whole(4)).unwrap();
    let mut ticket = cache.tgt().unwrap().clone();
    (ticket.end_time, ticket.ticket) = (KerberosTime::at(1), b"stored".to_vec());
    ticket.renew_till = Some(KerberosTime::at(99));
    cache.store(ticket);
    let again = CredentialCache::parse(&cache.to_bytes()).unwrap();
    let tickets: Vec<_> = again.tickets().map(|ticket| ticket.ticket.as_slice()).collect();
    assert_eq!(tickets, [&b"to S"[..], b"service", b"stored"]);
    assert_eq!(again.tgt().unwrap().renew_till, Some(KerberosTime::at(99)));
    assert_eq!(again.entries.len(), 5, "the note and the other kind stay");
}

#[test]
fn times_beyond_32_bits_end_at_their_edge() {
    let mut cache = CredentialCache::parse(&whole(4)).unwrap();
    let mut ticket = cache.tgt().unwrap().clone();
    (ticket.start_time, ticket.end_time) = (KerberosTime::at(-5), KerberosTime::at(i64::MAX));
    cache.store(ticket);
    let again = CredentialCache::parse(&cache.to_bytes()).unwrap();
    assert_eq!(again.tgt().unwrap().end_time, KerberosTime::at(u32::MAX.into()));
}

#[test]
fn no_key_is_ever_shown() {
    let shown = format!("{:?}", CredentialCache::parse(&whole(4)).unwrap());
    assert!(!shown.contains("165, 165"), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_saved_cache_is_its_owners_alone_and_leaves_nothing_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cc");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let cache = CredentialCache::parse(&whole(4)).unwrap();
    cache.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(CredentialCache::load(&path).unwrap().tickets().count(), 4);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    let blocked = directory.path().join("sub");
    fs::create_dir_all(blocked.join("in the way")).unwrap();
    let error = cache.save(&blocked).unwrap_err().to_string();
    assert!(error.contains("sub cannot be written"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "the file beside it is gone");
}

#[test]
fn a_cache_that_is_no_file_is_refused_by_name_with_what_to_do() {
    for (name, path) in [("/run/cc", "/run/cc"), ("FILE:/cc", "/cc"), ("DIR::/d/tkt1", "/d/tkt1"), ("a:b", "a:b")] {
        assert_eq!(ccache_path(name).unwrap(), PathBuf::from(path));
    }
    for (name, words) in [
        ("KEYRING:persistent:0", "kinit -c FILE:"),
        ("KCM:", "kinit -c FILE:"),
        ("API:x", "kinit -c FILE:"),
        ("MSLSA:", "kinit -c FILE:"),
        ("DIR:/d", "DIR::PATH"),
    ] {
        let error = ccache_path(name).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
}

#[test]
fn a_cache_cut_anywhere_has_fewer_tickets_or_is_an_error_with_an_address() {
    for version in 1..=4 {
        let whole = whole(version);
        let mut readable = 0;
        for cut in 0..whole.len() {
            match CredentialCache::parse(&whole[..cut]) {
                Ok(cache) => {
                    assert_eq!(cache.entries.len(), readable, "{cut}");
                    readable += 1;
                }
                Err(KerberosError::Malformed(place)) => {
                    assert!(place.what == WHAT && place.at <= cut, "{cut}: {place}");
                }
                Err(other) => panic!("{cut}: {other}"),
            }
        }
        assert_eq!(readable, 6, "cut at the ends of the owner and of five of the six entries");
    }
}

#[test]
fn no_bytes_are_a_panic_and_no_count_takes_memory() {
    let mut chance = fastrand::Rng::with_seed(12);
    for version in 1..=4 {
        let whole = whole(version);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = CredentialCache::parse(&bytes);
        }
        for at in 2..whole.len() - 4 {
            let mut bytes = whole.clone();
            bytes[at..at + 4].fill(0xff);
            let _ = CredentialCache::parse(&bytes);
        }
        for _ in 0..2000 {
            let mut bytes: Vec<u8> = (0..chance.usize(..200)).map(|_| chance.u8(..)).collect();
            bytes.splice(0..0, [5, version]);
            let _ = CredentialCache::parse(&bytes);
        }
    }
    for version in [0, 5, 255] {
        assert!(CredentialCache::parse(&[5, version, 0, 0]).unwrap_err().to_string().contains("no credential cache"));
    }
}
