//! Which versions of which APIs a Kafka release serves.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ottla_protocol::ApiKey;

use crate::Error;

/// The Kafka release that the broker plays: it advertises that release's versions and serves no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Release {
    /// 0.11, the first with record batches v2 and idempotence.
    V0_11,
    /// 1.0, the first with SaslAuthenticate.
    V1_0,
    /// 1.1, the first with fetch sessions.
    V1_1,
    /// 2.0.
    V2_0,
    /// 2.1, the first with zstd.
    V2_1,
    /// 2.2.
    V2_2,
    /// 2.3, the first with static members.
    #[default]
    V2_3,
}

/// An API and the last version that each release serves, in the order of [`Release::ALL`]; -1 for none. The first version
/// is 0 for every API up to 2.3. From `ApiVersionsResponse` of each release's code; 1.0, 2.1 and 2.2 from the KIPs that
/// brought the versions: 74, 107, 112 (1.0), 226, 227 (1.1), 219 (2.0), 110, 207, 211, 320 (2.1), 207, 368, 394 (2.2).
type Row = (ApiKey, [i16; 7]);

/// Only what this broker serves is in here, so nothing else is ever advertised.
const TABLE: &[Row] = &[
    (ApiKey::PRODUCE, [3, 5, 5, 6, 7, 7, 7]),
    (ApiKey::FETCH, [5, 6, 7, 8, 10, 10, 11]),
    (ApiKey::LIST_OFFSETS, [2, 2, 2, 3, 4, 5, 5]),
    (ApiKey::METADATA, [4, 5, 5, 6, 7, 7, 8]),
    (ApiKey::OFFSET_COMMIT, [3, 3, 3, 4, 6, 6, 7]),
    (ApiKey::OFFSET_FETCH, [3, 3, 3, 4, 5, 5, 5]),
    (ApiKey::FIND_COORDINATOR, [1, 1, 1, 2, 2, 2, 2]),
    (ApiKey::JOIN_GROUP, [2, 2, 2, 3, 3, 4, 5]),
    (ApiKey::HEARTBEAT, [1, 1, 1, 2, 2, 2, 3]),
    (ApiKey::LEAVE_GROUP, [1, 1, 1, 2, 2, 2, 2]),
    (ApiKey::SYNC_GROUP, [1, 1, 1, 2, 2, 2, 3]),
    (ApiKey::DESCRIBE_GROUPS, [1, 1, 1, 2, 2, 2, 3]),
    (ApiKey::SASL_HANDSHAKE, [0, 1, 1, 1, 1, 1, 1]),
    (ApiKey::API_VERSIONS, [1, 1, 1, 2, 2, 2, 2]),
    (ApiKey::CREATE_TOPICS, [2, 2, 2, 3, 3, 3, 3]),
    (ApiKey::INIT_PRODUCER_ID, [0, 0, 0, 1, 1, 1, 1]),
    (ApiKey::DESCRIBE_CONFIGS, [0, 0, 1, 2, 2, 2, 2]),
    (ApiKey::SASL_AUTHENTICATE, [-1, 0, 0, 0, 0, 1, 1]),
];

impl Release {
    /// Every release, the oldest first.
    pub const ALL: [Self; 7] = [Self::V0_11, Self::V1_0, Self::V1_1, Self::V2_0, Self::V2_1, Self::V2_2, Self::V2_3];

    /// The versions of an API that the release serves, or `None`.
    pub fn versions(self, api: ApiKey) -> Option<RangeInclusive<i16>> {
        self.all_versions().find(|(key, _)| *key == api).map(|(_, versions)| versions)
    }

    /// Every API that the release serves here, with its versions.
    pub fn all_versions(self) -> impl Iterator<Item = (ApiKey, RangeInclusive<i16>)> {
        TABLE.iter().map(move |(api, max)| (*api, 0..=max[self as usize])).filter(|(_, versions)| !versions.is_empty())
    }

    /// `2.3`, as it is parsed.
    pub fn name(self) -> &'static str {
        match self {
            Self::V0_11 => "0.11",
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
            Self::V2_2 => "2.2",
            Self::V2_3 => "2.3",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Takes `2.3` as well as `2.3.1`.
impl FromStr for Release {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let names = |release: &Self| {
            let rest = text.strip_prefix(release.name());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Self::ALL.into_iter().find(names).ok_or_else(|| Error::UnknownRelease(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_serves_what_2_3_serves() {
        let release = Release::default();
        assert_eq!(release.versions(ApiKey::FETCH), Some(0..=11));
        assert_eq!(release.versions(ApiKey::JOIN_GROUP), Some(0..=5));
        assert_eq!(release.versions(ApiKey::DESCRIBE_CONFIGS), Some(0..=2));
        assert_eq!(release.versions(ApiKey::CREATE_ACLS), None, "it is not served, so it is not advertised");
    }

    #[test]
    fn a_release_is_named_with_or_without_its_patch_number() {
        assert_eq!("2.3".parse::<Release>().unwrap(), Release::V2_3);
        assert_eq!("0.11.0.3".parse::<Release>().unwrap(), Release::V0_11);
        for text in ["", "2", "2.30", "3.9", "2.3-x"] {
            let error = text.parse::<Release>().unwrap_err().to_string();
            assert!(error.contains("0.11, 1.0, 1.1, 2.0, 2.1, 2.2, 2.3"), "{error}");
        }
    }

    #[test]
    fn before_1_0_there_is_no_sasl_authenticate() {
        assert_eq!(Release::V0_11.versions(ApiKey::SASL_AUTHENTICATE), None);
        assert_eq!(Release::V1_0.versions(ApiKey::SASL_AUTHENTICATE), Some(0..=0));
    }
}
