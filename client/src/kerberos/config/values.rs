//! What the values of krb5.conf may look like: booleans, spans of time, lists of encryption types, names with `%{}` in them.

use std::time::Duration;

use crate::kerberos::enctype::Enctype;

/// All of MIT's spellings (`_krb5_conf_boolean`), in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(["y", "yes", "true", "t", "1", "on"]) {
        Some(true)
    } else if is(["n", "no", "false", "nil", "0", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A span of time in MIT's forms (`krb5_string_to_deltat`): seconds, `1d2h3m4s` with any of its parts and spaces between
/// them, `h:m`, `h:m:s`, `d-h:m:s`. None is negative.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let seconds = if text.contains(':') { clock(text.trim_ascii())? } else { units(text)? };
    // MIT counts in 32 bits; longer spans would overflow the arithmetic of tickets.
    u32::try_from(seconds).ok().map(|seconds| Duration::from_secs(seconds.into()))
}

fn clock(text: &str) -> Option<u64> {
    let (days, rest) = text.split_once('-').map_or((Some(0), text), |(days, rest)| (number(days), rest));
    let parts: Vec<_> = rest.split(':').map(number).collect::<Option<_>>()?;
    let seconds = match parts.as_slice() {
        [hours, minutes] if !text.contains('-') => sum(&[(*hours, 3600), (*minutes, 60)]),
        [hours, minutes, seconds] => sum(&[(*hours, 3600), (*minutes, 60), (*seconds, 1)]),
        _ => None,
    };
    sum(&[(days?, 86_400), (seconds?, 1)])
}

fn units(text: &str) -> Option<u64> {
    const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
    let mut rest = text.trim_ascii();
    if let Some(seconds) = number(rest) {
        return Some(seconds);
    }
    let mut parts = Vec::new();
    for (unit, seconds) in UNITS {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if rest[digits..].starts_with(unit) {
            parts.push((number(&rest[..digits])?, seconds));
            rest = rest[digits + 1..].trim_ascii_start();
        }
    }
    if parts.is_empty() || !rest.is_empty() { None } else { sum(&parts) }
}

fn sum(parts: &[(u64, u64)]) -> Option<u64> {
    parts.iter().try_fold(0_u64, |sum, (count, seconds)| sum.checked_add(count.checked_mul(*seconds)?))
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// A list of encryption types as MIT reads it (`krb5int_parse_enctype_list`): names and families, separated by spaces or
/// commas, `-` before one takes it out, `DEFAULT` stands for the default list. Names that are not known are passed over;
/// what cannot be used here, and RC4 unless it is allowed, is left out.
pub(super) fn enctypes(text: &str, allow_rc4: bool) -> Vec<Enctype> {
    let mut list = Vec::new();
    for word in text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty()) {
        let (take_out, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        for enctype in family(name) {
            list.retain(|known| !take_out || *known != enctype);
            if !take_out && !list.contains(&enctype) {
                list.push(enctype);
            }
        }
    }
    list.retain(|enctype| enctype.is_supported() && (allow_rc4 || !enctype.is_weak()));
    list
}

fn family(name: &str) -> Vec<Enctype> {
    match &*name.to_ascii_lowercase() {
        // MIT's own default had RC4 at its end before 1.21, and the switch brings it back.
        "default" => Enctype::DEFAULT.into_iter().chain([Enctype::RC4_HMAC]).collect(),
        "aes" => Enctype::DEFAULT.into(),
        "rc4" => vec![Enctype::RC4_HMAC],
        name => Enctype::from_name(name).into_iter().collect(),
    }
}

/// Whose names of files are meant: what `%{uid}` and the like stand for (krb5.conf(5), "Parameter expansion").
#[derive(Debug, Clone, Default)]
pub(crate) struct Whose {
    /// The user's number; `None` if the system does not say.
    pub(crate) uid: Option<u32>,
    /// The user's name.
    pub(crate) username: Option<String>,
    /// Where temporary files go, without a slash at its end; `None` stands for `/tmp`.
    pub(crate) temporary: Option<String>,
}

impl Whose {
    /// The user that this process runs as, with the name that the environment gives. Only Linux says the number without
    /// the C library, as the owner of `/proc/self`.
    pub(crate) fn of_this_process(username: Option<&str>) -> Self {
        #[cfg(target_os = "linux")]
        let uid = std::fs::metadata("/proc/self").ok().map(|own| std::os::unix::fs::MetadataExt::uid(&own));
        #[cfg(not(target_os = "linux"))]
        let uid = None;
        Self { uid, username: username.map(str::to_owned), temporary: None }
    }
}

/// Puts in what `%{…}` stands for. An error names what cannot be put in.
pub(super) fn expanded(text: &str, whose: &Whose) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("the `}}` after `%{{` is missing in {text:?}"))?;
        let value = match name {
            "uid" | "euid" | "USERID" => whose.uid.map(|uid| uid.to_string()),
            "username" => whose.username.clone(),
            "TEMP" => Some(whose.temporary.clone().unwrap_or_else(|| "/tmp".to_owned())),
            "null" => Some(String::new()),
            _ => None,
        };
        let value = value.ok_or_else(|| format!("nothing to put in for %{{{name}}} in {text:?}; write it out"))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_boolean_is_read_and_no_other() {
        for text in ["y", "YES", "True", "t", "1", "on"] {
            assert_eq!(boolean(text), Some(true), "{text}");
        }
        for text in ["n", "NO", "False", "nil", "0", "Off"] {
            assert_eq!(boolean(text), Some(false), "{text}");
        }
        for text in ["", "2", "maybe", "yes ", "truee"] {
            assert_eq!(boolean(text), None, "{text}");
        }
    }

    #[test]
    fn every_form_of_a_span_of_time_is_read() {
        for (text, seconds) in [
            ("300", 300),
            (" 300 ", 300),
            ("1d2h", 93_600),
            ("1d 2h 3m 4s", 93_784),
            ("7d", 604_800),
            ("10h", 36_000),
            ("90m", 5400),
            ("5m30s", 330),
            ("45s", 45),
            ("10:30", 37_800),
            ("10:30:15", 37_815),
            ("2-10:30:15", 210_615),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_of_time_is_refused() {
        for text in [
            "",
            "banana",
            "-5",
            "5x",
            "2h1d",
            "1d1d",
            "d",
            "10:",
            ":30",
            "1:2:3:4",
            "1-10:30",
            "1.5h",
            "5 m x",
            "4294967296",
            "99999999999999999999",
            "99999999999999999d",
            "18446744073709551615:0",
            "１h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn families_stand_for_their_types_in_order_and_a_minus_takes_them_out() {
        let aes = Enctype::DEFAULT.to_vec();
        assert_eq!(enctypes("aes", false), aes);
        assert_eq!(enctypes("DEFAULT", false), aes);
        assert_eq!(enctypes("aes256-cts aes128-cts,AES256-SHA2", false), [18, 17, 20].map(Enctype));
        assert_eq!(enctypes("aes -aes128-cts -aes128-sha2", false), [18, 20].map(Enctype));
        assert_eq!(enctypes("aes128-cts aes", false), [17, 18, 20, 19].map(Enctype));
        assert_eq!(enctypes("-aes +aes256-cts", false), [18].map(Enctype));
    }

    #[test]
    fn rc4_and_what_is_unknown_or_unsupported_are_left_out() {
        assert_eq!(enctypes("rc4 des3 camellia256-cts nonsense aes256-cts", false), [18].map(Enctype));
        assert_eq!(enctypes("rc4 des3 aes256-cts", true), [23, 18].map(Enctype));
        assert_eq!(enctypes("DEFAULT", true), [18, 17, 20, 19, 23].map(Enctype));
        assert_eq!(enctypes("DEFAULT -rc4", true), Enctype::DEFAULT);
        assert!(enctypes("des3-cbc-sha1 rc4-hmac", false).is_empty());
    }

    #[test]
    fn a_name_says_whose_it_is_or_what_is_missing() {
        let whose = Whose { uid: Some(1000), username: Some("etl".to_owned()), temporary: None };
        assert_eq!(expanded("FILE:%{TEMP}/krb5cc_%{uid}", &whose).unwrap(), "FILE:/tmp/krb5cc_1000");
        assert_eq!(expanded("/home/%{username}/%{null}cc.%{euid}", &whose).unwrap(), "/home/etl/cc.1000");
        assert_eq!(expanded("100%", &whose).unwrap(), "100%");
        for (text, named) in [("%{LIBDIR}/x", "%{LIBDIR}"), ("%{uid", "missing")] {
            assert!(expanded(text, &whose).unwrap_err().contains(named));
        }
        assert!(expanded("%{uid}", &Whose::default()).unwrap_err().contains("%{uid}"));
    }
}
