//! Which version of an API two sides speak: the highest that both have.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use ottla_protocol::messages::{ApiVersionsResponse, Message};
use ottla_protocol::wire::DecodeError;
use ottla_protocol::{ApiKey, ErrorCode};

/// What a broker serves, as it said itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Sorted by key.
    ranges: Vec<(ApiKey, i16, i16)>,
}

/// Two sides without a version in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    api: ApiKey,
    ours: RangeInclusive<i16>,
    /// `None`: the broker lacks the API.
    theirs: Option<(i16, i16)>,
}

impl Versions {
    fn new(response: &ApiVersionsResponse) -> Self {
        let keys = response.api_keys.iter();
        let mut ranges: Vec<_> = keys.map(|key| (ApiKey(key.index), key.min_version, key.max_version)).collect();
        ranges.sort_unstable();
        Self { ranges }
    }

    /// What the broker offers of an API.
    pub(crate) fn offered(&self, api: ApiKey) -> Option<(i16, i16)> {
        let found = self.ranges.binary_search_by_key(&api, |range| range.0).ok()?;
        self.ranges.get(found).map(|range| (range.1, range.2))
    }

    /// The highest version in both ranges.
    pub(crate) fn pick(&self, api: ApiKey, ours: RangeInclusive<i16>) -> Result<i16, Mismatch> {
        let theirs = self.offered(api);
        let Some((min, max)) = theirs else { return Err(Mismatch { api, ours, theirs }) };
        let version = max.min(*ours.end());
        if version < min || version < *ours.start() {
            return Err(Mismatch { api, ours, theirs });
        }
        Ok(version)
    }
}

/// `the broker offers Fetch v12 to v17, this client v4 to v11; …`
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { api, ours: us, theirs } = self;
        let (ours, older) = (range(*us.start(), *us.end()), "the broker's release is too old for this");
        match theirs {
            None => write!(f, "the broker does not offer {api} at all, this client needs {ours}; {older}"),
            Some((min, max)) => {
                let advice = if max < us.start() { older } else { "the broker's release is too new for this client" };
                write!(f, "the broker offers {api} {}, this client {ours}; {advice}", range(*min, *max))
            }
        }
    }
}

fn range(min: i16, max: i16) -> String {
    if min == max { format!("v{min}") } else { format!("v{min} to v{max}") }
}

/// The exchange that finds out: ask in the highest version; a broker without it answers in version 0's layout with
/// error 35, and is then asked in version 0 (KIP-35, KIP-511).
#[derive(Debug)]
pub(crate) struct Negotiation {
    version: i16,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask again, in this version.
    Ask(i16),
    /// Agreed.
    Done(Versions),
}

/// Why there is no agreement.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The answer cannot be read.
    Unreadable(DecodeError),
    /// The broker's error, to version 0 too.
    Code(ErrorCode),
}

impl Negotiation {
    /// Starts with the highest version this client knows.
    pub(crate) fn highest() -> Self {
        Self { version: *ottla_protocol::messages::ApiVersionsRequest::VERSIONS.end() }
    }

    /// Starts with version 0, as is needed before SASL: an old broker takes what it cannot parse for a token.
    pub(crate) fn lowest() -> Self {
        Self { version: 0 }
    }

    /// The version to ask in now.
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Takes the answer to what was asked last.
    pub(crate) fn handle_answer(&mut self, body: &Bytes) -> Result<Step, Refusal> {
        let (_, answer) = ApiVersionsResponse::read_answer(self.version, body.clone()).map_err(Refusal::Unreadable)?;
        match answer.error_code {
            ErrorCode::NONE => Ok(Step::Done(Versions::new(&answer))),
            ErrorCode::UNSUPPORTED_VERSION if self.version > 0 => {
                self.version = 0;
                Ok(Step::Ask(0))
            }
            code => Err(Refusal::Code(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::messages::ApiVersionsResponseKey;

    use super::*;

    fn answer(version: i16, error_code: ErrorCode, keys: &[(i16, i16, i16)]) -> Bytes {
        let key = |&(index, min_version, max_version)| ApiVersionsResponseKey { index, min_version, max_version };
        let response =
            ApiVersionsResponse { error_code, api_keys: keys.iter().map(key).collect(), throttle_time_ms: 0 };
        response.write(version).unwrap().concat().into()
    }

    fn versions(keys: &[(i16, i16, i16)]) -> Versions {
        match Negotiation::highest().handle_answer(&answer(2, ErrorCode::NONE, keys)).unwrap() {
            Step::Done(versions) => versions,
            Step::Ask(version) => panic!("asked again in version {version}"),
        }
    }

    #[test]
    fn every_pair_of_ranges_meets_at_the_highest_common_version_or_says_why_not() {
        for (a, b, c, d) in (0..=4)
            .flat_map(|a| (a..=4).map(move |b| (a, b)))
            .flat_map(|(a, b)| (0..=4).flat_map(move |c| (c..=4).map(move |d| (a, b, c, d))))
        {
            let common = (0..=4).rev().find(|v| (a..=b).contains(v) && (c..=d).contains(v));
            let picked = versions(&[(1, c, d)]).pick(ApiKey::FETCH, a..=b);
            assert_eq!(picked.clone().ok(), common, "ours {a}..={b}, theirs {c}..={d}");
            if let Err(mismatch) = picked {
                let text = mismatch.to_string();
                assert!(
                    text.contains("Fetch") && text.contains(&format!("v{a}")) && text.contains(&format!("v{d}")),
                    "{text}"
                );
                assert_eq!(text.contains("too old"), d < a, "{text}");
            }
        }
    }

    #[test]
    fn a_missing_api_is_named() {
        let mismatch = versions(&[(0, 0, 7)]).pick(ApiKey::INIT_PRODUCER_ID, 0..=1).unwrap_err();
        assert!(mismatch.to_string().contains("does not offer InitProducerId"), "{mismatch}");
    }

    #[test]
    fn unknown_apis_and_any_order_are_taken() {
        let versions = versions(&[(9999, 3, 4), (3, 0, 12), (-5, 0, 0), (0, 3, 12)]);
        assert_eq!(versions.pick(ApiKey::METADATA, 0..=8), Ok(8));
        assert_eq!(versions.pick(ApiKey::PRODUCE, 0..=7), Ok(7));
    }

    #[test]
    fn an_old_broker_is_asked_again_in_version_0() {
        let mut negotiation = Negotiation::highest();
        assert_eq!(negotiation.version(), 2);
        // KIP-35: an empty list; KIP-511: the API's own range. Both in version 0's layout.
        for keys in [&[][..], &[(18, 0, 0)][..]] {
            negotiation.version = 2;
            let step = negotiation.handle_answer(&answer(0, ErrorCode::UNSUPPORTED_VERSION, keys)).unwrap();
            assert_eq!((step, negotiation.version()), (Step::Ask(0), 0));
        }
        let done = negotiation.handle_answer(&answer(0, ErrorCode::NONE, &[(3, 0, 2)])).unwrap();
        assert_eq!(done, Step::Done(Versions { ranges: vec![(ApiKey::METADATA, 0, 2)] }));
    }

    #[test]
    fn error_35_to_version_0_ends_it() {
        let refusal = Negotiation::lowest().handle_answer(&answer(0, ErrorCode::UNSUPPORTED_VERSION, &[]));
        assert!(matches!(refusal, Err(Refusal::Code(ErrorCode::UNSUPPORTED_VERSION))), "{refusal:?}");
    }

    #[test]
    fn rubbish_is_an_addressed_error() {
        let refusal = Negotiation::highest().handle_answer(&Bytes::from_static(&[0, 0, 0, 0, 0, 9, 1]));
        let Err(Refusal::Unreadable(error)) = refusal else { panic!("{refusal:?}") };
        assert!(error.to_string().contains("api_keys"), "{error}");
    }
}
