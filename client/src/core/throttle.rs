//! Client-side throttling (KIP-219): from certain versions on a broker over quota answers at once, stops reading, and
//! says how long. The client then keeps silent, or its requests would expire unread.

use std::time::Duration;

use ottla_protocol::ApiKey;

/// The longest silence taken from a broker. Quotas never ask for more than their window (a second, by default eleven);
/// a claim beyond this is a broken peer's.
const LIMIT: Duration = Duration::from_mins(1);

/// Where `throttle_time_ms` stands in an answer.
enum Place {
    First,
    Last,
}

/// From which version on the client throttles itself (`shouldClientThrottle` of each response class at 2.3.1).
fn rule(api: ApiKey) -> Option<(i16, Place)> {
    Some(match api {
        ApiKey::PRODUCE => (6, Place::Last),
        ApiKey::API_VERSIONS => (2, Place::Last),
        ApiKey::FETCH => (8, Place::First),
        ApiKey::METADATA => (6, Place::First),
        ApiKey::OFFSET_COMMIT | ApiKey::OFFSET_FETCH => (4, Place::First),
        ApiKey::LIST_OFFSETS | ApiKey::JOIN_GROUP | ApiKey::CREATE_TOPICS => (3, Place::First),
        ApiKey::FIND_COORDINATOR | ApiKey::HEARTBEAT | ApiKey::LEAVE_GROUP | ApiKey::SYNC_GROUP => (2, Place::First),
        ApiKey::INIT_PRODUCER_ID => (1, Place::First),
        _ => return None,
    })
}

/// How long an answer tells the client to keep silent; zero for not at all, or in a version where the broker has waited
/// already.
pub(crate) fn silence(api: ApiKey, version: i16, body: &[u8]) -> Duration {
    let field = match rule(api) {
        Some((from, Place::First)) if version >= from => body.first_chunk(),
        Some((from, Place::Last)) if version >= from => body.last_chunk(),
        _ => None,
    };
    let ms = field.map_or(0, |field| i32::from_be_bytes(*field));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LIMIT)
}

#[cfg(test)]
mod tests {
    use ottla_protocol::messages::{FetchResponse, Message, MetadataResponse, ProduceResponse};

    use super::*;

    fn body(message: &impl Message, version: i16) -> Vec<u8> {
        message.write(version).unwrap().concat()
    }

    #[test]
    fn the_silence_is_found_where_the_answer_has_it() {
        let ms = Duration::from_millis;
        let produce = body(&ProduceResponse { throttle_time_ms: 120, ..Default::default() }, 7);
        assert_eq!(silence(ApiKey::PRODUCE, 7, &produce), ms(120));
        let fetch = body(&FetchResponse { throttle_time_ms: 70, ..Default::default() }, 11);
        assert_eq!(silence(ApiKey::FETCH, 11, &fetch), ms(70));
    }

    #[test]
    fn an_older_version_does_not_silence_since_the_broker_has_waited() {
        let metadata = MetadataResponse { throttle_time_ms: 5000, ..Default::default() };
        assert_eq!(silence(ApiKey::METADATA, 5, &body(&metadata, 5)), Duration::ZERO);
        assert_eq!(silence(ApiKey::METADATA, 6, &body(&metadata, 6)), Duration::from_secs(5));
    }

    #[test]
    fn a_broken_peer_cannot_silence_for_long_or_for_less_than_nothing() {
        assert_eq!(silence(ApiKey::FETCH, 8, &i32::MAX.to_be_bytes()), LIMIT);
        assert_eq!(silence(ApiKey::FETCH, 8, &(-1_i32).to_be_bytes()), Duration::ZERO);
        assert_eq!(silence(ApiKey::FETCH, 8, &[1]), Duration::ZERO);
    }
}
