//! What people write into krb5.conf, and what becomes of it.

use std::collections::BTreeMap;

use super::*;

/// Files by path, without a disk.
#[derive(Default)]
struct Fake(BTreeMap<String, Vec<u8>>);

impl Fake {
    fn with(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.0.insert(path.to_owned(), text.as_ref().to_vec());
        self
    }

    fn load(&self, path: &str) -> Result<Krb5Config, ConfigError> {
        Krb5Config::load(&Sources::Environment(Some(path.to_owned())), self)
    }
}

impl ConfigFiles for Fake {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path.to_str().unwrap()).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let prefix = format!("{}/", directory.display());
        let names: Vec<_> = self.0.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }
}

fn parsed(text: impl AsRef<[u8]>) -> Result<Krb5Config, ConfigError> {
    Fake::default().with("/krb5.conf", text).load("/krb5.conf")
}

const WHOLE: &str = r#"
# Ours.
; Also a comment.
[logging]
  default = FILE:/var/log/krb5libs.log
[libdefaults]
	default_realm = EXAMPLE.COM
  dns_lookup_kdc = no
  dns_lookup_realm = yes
  rdns = off
  dns_canonicalize_hostname = fallback
  udp_preference_limit = 1
  clockskew = 2m
  kdc_timesync = 0
  default_ccache_name = FILE:/run/user/%{uid}/krb5cc
  default_keytab_name = "FILE:/etc/our own.keytab"
  default_client_keytab_name = FILE:/var/keytabs/%{uid}
  ticket_lifetime = 1d2h
  renew_lifetime = 7d
  forwardable = true
  noaddresses = false
  pkinit_anchors = FILE:/etc/pki/tls/certs/ca-bundle.crt
  default_tkt_enctypes = aes256-cts
  default_tgs_enctypes = aes128-cts aes256-cts
  permitted_enctypes = aes
[realms]
  EXAMPLE.COM = {
    kdc = kdc1.example.com
    kdc = kdc2.example.com:8888
    kdc = [2001:db8::1]:88
    master_kdc = kdc1.example.com
    admin_server = kdc1.example.com
    default_domain = example.com
    auth_to_local_names = {
      alice = root
      deeper = {
        still = here
      }
    }
    kdc_timesync = 1
  }
  OTHER.ORG =
  {
    kdc = kdc.other.org
  }
[domain_realm]
  .example.com = EXAMPLE.COM
  Gateway.Example.com = OTHER.ORG
  other.org = OTHER.ORG
[capaths]
  EXAMPLE.COM = {
    FAR.NET = OTHER.ORG
    FAR.NET = HUB.NET
    OTHER.ORG = .
  }
"#;

#[test]
fn a_file_as_people_have_it_is_read_whole() {
    let config = parsed(WHOLE).unwrap();
    assert_eq!(config.default_realm.as_deref(), Some("EXAMPLE.COM"));
    assert!(!config.dns_lookup_kdc && config.dns_lookup_realm && !config.rdns && !config.kdc_timesync);
    assert!(config.forwardable && !config.noaddresses && !config.allow_rc4);
    assert_eq!(config.canonicalize, Canonicalize::Fallback);
    assert_eq!((config.udp_preference_limit, config.clockskew), (1, Duration::from_mins(2)));
    assert_eq!(config.ticket_lifetime, Duration::from_hours(26));
    assert_eq!(config.renew_lifetime, Some(Duration::from_hours(7 * 24)));
    assert_eq!(config.tkt_enctypes, [Enctype::AES256_SHA1]);
    assert_eq!(config.tgs_enctypes, [Enctype::AES128_SHA1, Enctype::AES256_SHA1]);
    assert_eq!(config.permitted_enctypes, Enctype::DEFAULT);
}

#[test]
fn a_realm_keeps_its_addresses_in_order_and_ends_at_its_own_brace() {
    let config = parsed(WHOLE).unwrap();
    let realm = config.realm("EXAMPLE.COM").unwrap();
    assert_eq!(realm.kdc, ["kdc1.example.com", "kdc2.example.com:8888", "[2001:db8::1]:88"]);
    assert_eq!(realm.master_kdc, ["kdc1.example.com"]);
    assert_eq!(realm.default_domain.as_deref(), Some("example.com"));
    assert!(config.follows_clock_of("EXAMPLE.COM") && !config.follows_clock_of("OTHER.ORG"));
    assert_eq!(config.realm("OTHER.ORG").unwrap().kdc, ["kdc.other.org"]);
    assert!(config.realm("example.com").is_none() && config.realm("auth_to_local_names").is_none());
}

#[test]
fn a_host_belongs_to_the_realm_of_its_longest_suffix() {
    let config = parsed(WHOLE).unwrap();
    for (host, realm) in [
        ("kafka.example.com", Some("EXAMPLE.COM")),
        ("a.b.Example.COM.", Some("EXAMPLE.COM")),
        ("gateway.example.com", Some("OTHER.ORG")),
        ("other.org", Some("OTHER.ORG")),
        ("kafka.other.org", Some("OTHER.ORG")),
        ("example.com", None),
        ("badexample.com", None),
        ("", None),
        ("..", None),
    ] {
        assert_eq!(config.realm_of_host(host), realm, "{host}");
    }
}

#[test]
fn the_way_to_another_realm_is_named_in_order() {
    let config = parsed(WHOLE).unwrap();
    assert_eq!(config.realms_between("EXAMPLE.COM", "FAR.NET").unwrap(), ["OTHER.ORG", "HUB.NET"]);
    assert!(config.realms_between("EXAMPLE.COM", "OTHER.ORG").unwrap().is_empty());
    assert_eq!(config.realms_between("OTHER.ORG", "EXAMPLE.COM"), None);
}

#[test]
fn names_of_caches_and_keytabs_come_from_the_environment_the_file_and_the_default_in_this_order() {
    let whose = Whose { uid: Some(7), ..Whose::default() };
    let config = parsed(WHOLE).unwrap();
    assert_eq!(config.ccache_name(Some("FILE:/x"), &whose).unwrap(), "FILE:/x");
    assert_eq!(config.ccache_name(Some(""), &whose).unwrap(), "FILE:/run/user/7/krb5cc");
    #[cfg(target_os = "linux")]
    assert_eq!(
        Whose::of_this_process(Some("etl")).uid,
        Some(std::os::unix::fs::MetadataExt::uid(&tempfile::tempfile().unwrap().metadata().unwrap()))
    );
    let config = Krb5Config::default();
    assert_eq!(config.ccache_name(None, &whose).unwrap(), "FILE:/tmp/krb5cc_7");
}

#[test]
fn a_default_keytab_is_the_clients_before_the_hosts_and_the_environments_before_the_files() {
    let whose = Whose { uid: Some(7), ..Whose::default() };
    let name = |config: &Krb5Config, variables: &[(&str, &str)], there: &str| {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        config.keytab_name(find, &whose, |name| name == there).unwrap()
    };
    let (client, host) = (("KRB5_CLIENT_KTNAME", "/client"), ("KRB5_KTNAME", "/host"));
    let config = parsed(WHOLE).unwrap();
    let of_the_client = "FILE:/var/keytabs/7";
    assert_eq!(name(&config, &[client, host], of_the_client), "/client");
    assert_eq!(name(&config, &[("KRB5_CLIENT_KTNAME", ""), host], of_the_client), of_the_client);
    assert_eq!(name(&config, &[host], "elsewhere"), "/host");
    assert_eq!(name(&config, &[], "elsewhere"), "FILE:/etc/our own.keytab");
    assert_eq!(name(&Krb5Config::default(), &[host], ""), "/host");
    assert_eq!(name(&Krb5Config::default(), &[], ""), "FILE:/etc/krb5.keytab");
}

#[test]
fn what_short_names_get_is_as_it_says_and_may_be_nothing() {
    let of = |text: &str| parsed(format!("[libdefaults]\n{text}\n")).unwrap().qualify_shortname;
    assert_eq!(of("rdns = off"), None);
    assert_eq!(of("qualify_shortname = example.com").as_deref(), Some("example.com"));
    assert_eq!(of("qualify_shortname = \"\"").as_deref(), Some(""));
}

#[test]
fn the_first_of_a_relation_counts_and_the_first_file_goes_before_the_second() {
    let files = Fake::default()
        .with("/a", "[libdefaults]\ndefault_realm = A\ndefault_realm = B\n[realms]\nR = {\nkdc = a\n}\n")
        .with("/b", "[libdefaults]\ndefault_realm = C\nrdns = no\n[realms]\nR = {\nkdc = b\n}\n");
    let config = files.load("/missing:/a:/b").unwrap();
    assert_eq!(config.default_realm.as_deref(), Some("A"));
    assert!(!config.rdns);
    assert_eq!(config.realm("R").unwrap().kdc, ["a", "b"]);
}

#[test]
fn what_is_final_takes_nothing_more() {
    let later = "[libdefaults]\nrdns = no\n[realms]\nR = {\nkdc = b\ndefault_domain = d\n}\nS = {\nkdc = s\n}\n";
    for (first, kdc, rdns, domain, other) in [
        ("[realms]\nR = {\nkdc* = a\n}\n", vec!["a"], false, Some("d"), true),
        ("[realms]\nR = {\nkdc = a\n}*\n", vec!["a"], false, None, true),
        ("[realms]\nR* = {\nkdc = a\n}\n", vec!["a"], false, None, true),
        ("[realms]*\nR = {\nkdc = a\n}\n", vec!["a"], false, None, false),
        ("[libdefaults]*\n[realms]\nR = {\nkdc = a\n}\n", vec!["a", "b"], true, Some("d"), true),
    ] {
        let config = Fake::default().with("/a", first).with("/b", later).load("/a:/b").unwrap();
        let realm = config.realm("R").unwrap();
        assert_eq!(realm.kdc, kdc, "{first}");
        assert_eq!((config.rdns, realm.default_domain.as_deref()), (rdns, domain), "{first}");
        assert_eq!(config.realm("S").is_some(), other, "{first}");
    }
}

#[test]
fn a_section_that_is_passed_over_still_ends_where_it_ends() {
    let text = "[realms]\nR = {\nkdc = a\n}*\nR = {\nsub = {\nkdc = x\n}\nkdc = y\n}\nS = {\nkdc = s\n}\n";
    let config = parsed(text).unwrap();
    assert_eq!(config.realm("R").unwrap().kdc, ["a"]);
    assert_eq!(config.realm("S").unwrap().kdc, ["s"]);
}

#[test]
fn an_included_file_stands_on_its_own() {
    let files = Fake::default()
        .with("/main", "[libdefaults]\ninclude /part\nrdns = no\nincludedir /parts\n")
        .with("/part", "passed over\n[realms]\nR = {\nkdc = one\n}\n")
        .with("/parts/b.conf", "[libdefaults]\ndefault_realm = B\n")
        .with("/parts/a-1", "[libdefaults]\ndefault_realm = A\n")
        .with("/parts/.hidden.conf", "nonsense = {\n[x\n")
        .with("/parts/a.conf.rpmsave", "[x\n")
        .with("/parts/a~", "[x\n");
    let config = files.load("/main").unwrap();
    assert_eq!(config.default_realm.as_deref(), Some("A"));
    assert_eq!(config.realm("R").unwrap().kdc, ["one"]);
    assert!(!config.rdns);
}

#[test]
fn an_include_that_cannot_be_read_is_an_error_at_the_line_that_asks_for_it() {
    for (text, named) in [("[a]\ninclude /gone\n", "/gone"), ("\nincludedir /gone/too\n", "/gone/too")] {
        let error = parsed(text).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("/krb5.conf", 2), "{error}");
        assert!(error.problem.contains(named), "{error}");
    }
}

#[test]
fn includes_end_however_files_include_each_other() {
    let itself = parsed("include /krb5.conf\n").unwrap_err();
    assert!(itself.to_string().contains("/krb5.conf includes itself"), "{itself}");
    let circle = Fake::default().with("/a", "include /b\n").with("/b", "include /a\n").load("/a").unwrap_err();
    assert!(circle.to_string().starts_with("/b, line 1: /a includes itself"), "{circle}");

    let mut deep = Fake::default();
    for n in 0..20 {
        deep = deep.with(&format!("/{n}"), format!("include /{}\n", n + 1));
    }
    let error = deep.load("/0").unwrap_err();
    assert!(error.problem.contains("deeper"), "{error}");

    // Without a bound on the count this would be 9^9 files.
    let mut wide = Fake::default();
    for n in 0..9 {
        wide = wide.with(&format!("/{n}"), format!("include /{}\n", n + 1).repeat(9));
    }
    let error = wide.with("/9", "").load("/0").unwrap_err();
    assert!(error.problem.contains("files"), "{error}");
}

#[test]
fn a_directory_may_have_many_files_but_not_any_number() {
    for (count, is_taken) in [(255, true), (256, false)] {
        let mut files = Fake::default().with("/main", "includedir /parts\n");
        for n in 0..count {
            files = files.with(&format!("/parts/{n}"), "");
        }
        assert_eq!(files.load("/main").is_ok(), is_taken, "{count}");
    }
}

#[test]
fn a_syntax_error_names_file_line_and_text() {
    for (text, line, shown, problem) in [
        ("[libdefaults]\n default_realm EXAMPLE\n", 2, "default_realm EXAMPLE", "name = value"),
        ("[libdefaults]\n default realm = A\n", 2, "default realm = A", "spaces"),
        ("[libdefaults]\n = A\n", 2, "= A", "one name"),
        ("[libdefaults\n", 1, "[libdefaults", "`]`"),
        ("[libdefaults] x\n", 1, "[libdefaults] x", "behind"),
        ("[libdefaults]\n}\n", 2, "}", "`{`"),
        ("[libdefaults]\n default_realm =\n rdns = no\n", 3, "rdns = no", "empty value"),
        ("[realms]\nR = {\nkdc = a\n\n[domain_realm]\n", 5, "[domain_realm]", "`}` is missing"),
        ("[libdefaults]\n rdns = maybe\n", 2, "rdns = maybe", "true or false"),
        ("[libdefaults]\n clockskew = banana\n", 2, "clockskew = banana", "1d2h"),
        ("[libdefaults]\n udp_preference_limit = -1\n", 2, "udp_preference_limit = -1", "bytes"),
        ("[libdefaults]\n permitted_enctypes = rc4\n", 2, "permitted_enctypes = rc4", "allow_rc4"),
    ] {
        let error = parsed(text).unwrap_err();
        assert_eq!((&*error.file, error.line, &*error.text), ("/krb5.conf", line, shown), "{text}");
        assert!(error.problem.contains(problem), "{error}");
    }
    let error = parsed("[libdefaults]\n rdns = maybe\n").unwrap_err();
    assert_eq!(error.to_string(), "/krb5.conf, line 2: neither yes nor no; write true or false, at \"rdns = maybe\"");
}

#[test]
fn what_mit_takes_is_taken() {
    for text in [
        "module /usr/lib/x.so:y\n[libdefaults]\ndefault_realm = A\n",
        "\u{feff}[libdefaults]\r\n\tdefault_realm\t=\tA  \r\n",
        "[libdefaults]  \ndefault_realm=A\n[realms]\nA = {\nkdc = unclosed at the end\n",
        "[libdefaults]\ndefault_realm = \"A\" and more\n[realms]\nA = { kdc = on one line }\n",
        "[libdefaults]\ndefault_realm = A\n[realms]\nR = {\n} junk\n",
        "[x]\ny = {\n",
    ] {
        let config = parsed(text).unwrap();
        assert!(config.default_realm.is_none_or(|realm| realm == "A"), "{text}");
    }
    let quoted = parsed(
        r#"[libdefaults]
default_realm = "a\"b\\c\td"
"#,
    );
    assert_eq!(quoted.unwrap().default_realm.as_deref(), Some("a\"b\\c\td"));
    let hash = parsed("[libdefaults]\ndefault_realm = A # no comment\n").unwrap();
    assert_eq!(hash.default_realm.as_deref(), Some("A # no comment"));
}

#[test]
fn a_comment_in_another_encoding_is_passed_over_and_a_relation_in_it_is_refused() {
    assert!(parsed(b"# Schl\xfcssel\n[libdefaults]\nrdns = no\n").is_ok());
    let error = parsed(b"[libdefaults]\ndefault_realm = M\xfcNCHEN\n").unwrap_err();
    assert_eq!((error.line, &*error.problem), (2, "not UTF-8"));
}

#[test]
fn rc4_takes_part_only_where_it_is_allowed() {
    assert!(!Krb5Config::default().permitted_enctypes.contains(&Enctype::RC4_HMAC));
    for switch in ["allow_rc4", "allow_weak_crypto"] {
        let config = parsed(format!("[libdefaults]\n{switch} = true\n")).unwrap();
        assert!(config.allow_rc4 && config.tkt_enctypes.contains(&Enctype::RC4_HMAC), "{switch}");
    }
    let config = parsed("[libdefaults]\ndefault_tkt_enctypes = rc4 aes\n").unwrap();
    assert_eq!(config.tkt_enctypes, Enctype::DEFAULT);
}

#[test]
fn files_that_were_asked_for_by_name_have_to_be_there() {
    let missing = Sources::Files(vec!["/gone".into()]);
    let error = Krb5Config::load(&missing, &Fake::default()).unwrap_err();
    assert_eq!(error.to_string(), "/gone: there is no such file");
    let nothing = Krb5Config::load(&Sources::Environment(None), &Fake::default()).unwrap();
    assert!(nothing.default_realm.is_none() && nothing.dns_lookup_kdc);
}

#[test]
fn no_file_is_a_panic_or_an_endless_wait() {
    let mut chance = fastrand::Rng::with_seed(5);
    let whole = WHOLE.as_bytes();
    for cut in 0..whole.len() {
        let _ = parsed(&whole[..cut]);
    }
    for _ in 0..2000 {
        let mut bytes = whole.to_vec();
        for _ in 0..chance.usize(1..8) {
            let at = chance.usize(..bytes.len());
            match chance.u8(..3) {
                0 => bytes[at] = chance.u8(..),
                1 => bytes.insert(at, *chance.choice(b"[]{}=*\"\\\n#").unwrap()),
                _ => drop(bytes.remove(at)),
            }
        }
        let _ = parsed(&bytes);
    }
    let _ = parsed("[a]\n".repeat(10_000));
    assert!(parsed("[a]\n".to_owned() + &"b = {\n".repeat(10_000)).unwrap_err().problem.contains("deeper"));
    assert!(parsed("[a]\n".to_owned() + &"b = c\n".repeat(20_000)).unwrap_err().problem.contains("20000 lines"));
    assert!(parsed("#\n".repeat(100_000)).is_ok());
    assert!(parsed(vec![b'x'; 1024 * 1024 + 1]).unwrap_err().problem.contains("larger"));
}

#[test]
fn a_text_is_read_as_a_file_is_but_includes_nothing() {
    let config = Krb5Config::from_text("[libdefaults]\ndefault_realm = R\n").unwrap();
    assert_eq!(config.default_realm.as_deref(), Some("R"));
    let error = Krb5Config::from_text("include /etc/passwd\n").unwrap_err().to_string();
    assert!(error.contains("the inline krb5.conf") && error.contains("cannot include"), "{error}");
}
