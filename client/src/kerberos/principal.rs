//! Names of users and services: `alice@REALM`, `kafka/broker.example.com@REALM`.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A name without its realm (RFC 4120 §5.2.2). Name types are hints and take no part in comparisons (§6.2).
#[derive(Clone, Debug)]
pub(crate) struct PrincipalName {
    /// What kind of name it is; one of the `NT_` constants or another number.
    pub(crate) name_type: i32,
    /// The parts between the slashes, at least one.
    pub(crate) components: Vec<String>,
}

impl PrincipalName {
    /// Not said.
    pub(crate) const NT_UNKNOWN: i32 = 0;
    /// A user.
    pub(crate) const NT_PRINCIPAL: i32 = 1;
    /// A service and an instance: `krbtgt/REALM`.
    pub(crate) const NT_SRV_INST: i32 = 2;
    /// A service on a host. Only for this type does a KDC of MIT refer to another realm.
    pub(crate) const NT_SRV_HST: i32 = 3;

    /// A name of these components.
    pub(crate) fn new<S: Into<String>>(name_type: i32, components: impl IntoIterator<Item = S>) -> Self {
        Self { name_type, components: components.into_iter().map(Into::into).collect() }
    }

    /// A service on a host, the host lower-cased: KDCs compare by case.
    pub(crate) fn service(service: &str, host: &str) -> Self {
        Self::new(Self::NT_SRV_HST, [service.to_owned(), host.to_lowercase()])
    }

    /// The ticket-granting service of a realm (RFC 4120 §7.3).
    pub(crate) fn krbtgt(realm: &str) -> Self {
        Self::new(Self::NT_SRV_INST, ["krbtgt", realm])
    }

    /// The realm whose ticket-granting service this is, if it is one.
    pub(crate) fn krbtgt_realm(&self) -> Option<&str> {
        match self.components.as_slice() {
            [service, realm] if service == "krbtgt" => Some(realm),
            _ => None,
        }
    }
}

impl PartialEq for PrincipalName {
    fn eq(&self, other: &Self) -> bool {
        self.components == other.components
    }
}

impl Eq for PrincipalName {}

impl Hash for PrincipalName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.components.hash(state);
    }
}

impl fmt::Display for PrincipalName {
    /// As MIT `krb5_unparse_name` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, component) in self.components.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            write_escaped(f, component)?;
        }
        Ok(())
    }
}

/// A name in a realm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Principal {
    /// Who.
    pub(crate) name: PrincipalName,
    /// Where.
    pub(crate) realm: String,
}

impl Principal {
    /// A name in a realm.
    pub(crate) fn new(name: PrincipalName, realm: impl Into<String>) -> Self {
        Self { name, realm: realm.into() }
    }

    /// Reads `name`, `service/host` or either with `@REALM`, with MIT's escapes (`krb5_parse_name`): a backslash takes away
    /// the meaning of `/`, `@` and itself, and `\n`, `\t`, `\b`, `\0` are the characters. Without a realm it is in
    /// `default_realm`; an error says what is wrong with the text.
    pub(crate) fn parse(text: &str, default_realm: Option<&str>) -> Result<Self, String> {
        let (components, realm) = split(text)?;
        let wrong = |problem: &str| Err(format!("the principal {text:?} {problem}"));
        if components.iter().all(String::is_empty) {
            return wrong("has no name");
        }
        let Some(realm) = realm.or_else(|| default_realm.map(str::to_owned)) else {
            return wrong("has no realm, and there is no default realm");
        };
        if realm.is_empty() {
            return wrong("has an empty realm");
        }
        let kind = if components.len() == 1 { PrincipalName::NT_PRINCIPAL } else { PrincipalName::NT_SRV_INST };
        Ok(Self::new(PrincipalName::new(kind, components), realm))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.name)?;
        write_escaped(f, &self.realm)
    }
}

/// The components and the realm, if there is one, with the escapes taken away.
fn split(text: &str) -> Result<(Vec<String>, Option<String>), String> {
    let mut components = vec![String::new()];
    let mut realm: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => unescape(characters.next()).ok_or_else(|| format!("the principal {text:?} ends in a backslash"))?,
            '/' | '@' if realm.is_some() => {
                return Err(format!("the principal {text:?} has a {character:?} in its realm; write \\{character}"));
            }
            '/' => {
                components.push(String::new());
                continue;
            }
            '@' => {
                realm = Some(String::new());
                continue;
            }
            other => other,
        };
        match (&mut realm, components.last_mut()) {
            (Some(realm), _) => realm.push(literal),
            (None, Some(component)) => component.push(literal),
            (None, None) => {}
        }
    }
    Ok((components, realm))
}

fn unescape(character: Option<char>) -> Option<char> {
    Some(match character? {
        'n' => '\n',
        't' => '\t',
        'b' => '\u{8}',
        '0' => '\0',
        other => other,
    })
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            '/' | '@' | '\\' => write!(f, "\\{character}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\u{8}' => f.write_str("\\b")?,
            '\0' => f.write_str("\\0")?,
            other => write!(f, "{other}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_read_as_mit_reads_it() {
        for (text, components, realm) in [
            ("alice@TEST.LOCAL", vec!["alice"], "TEST.LOCAL"),
            ("alice", vec!["alice"], "DEFAULT"),
            ("kafka/host.example.com@R", vec!["kafka", "host.example.com"], "R"),
            (r"a\/b\@c@R", vec!["a/b@c"], "R"),
            (r"tab\tend/x@R", vec!["tab\tend", "x"], "R"),
            ("用户@R", vec!["用户"], "R"),
        ] {
            let principal = Principal::parse(text, Some("DEFAULT")).unwrap();
            assert_eq!(principal.name.components, components, "{text}");
            assert_eq!(principal.realm, realm, "{text}");
            assert_eq!(Principal::parse(&principal.to_string(), None).unwrap(), principal, "{principal}");
        }
    }

    #[test]
    fn what_is_no_principal_is_refused_with_the_text() {
        for text in ["", "@R", "alice", "alice@", "a@b@c", "a@b/c", r"alice\"] {
            let problem = Principal::parse(text, None).unwrap_err();
            assert!(problem.contains(&format!("{text:?}")), "{problem}");
        }
    }

    #[test]
    fn a_name_type_takes_no_part_in_a_comparison() {
        let one = PrincipalName::service("kafka", "Broker.Example.COM");
        let other = PrincipalName::new(PrincipalName::NT_UNKNOWN, ["kafka", "broker.example.com"]);
        assert_eq!(one, other);
        let set: std::collections::HashSet<_> = [one, other].into_iter().collect();
        assert_eq!(set.len(), 1);
        assert_eq!(PrincipalName::krbtgt("R").krbtgt_realm(), Some("R"));
        assert_eq!(PrincipalName::service("kafka", "r").krbtgt_realm(), None);
    }
}
