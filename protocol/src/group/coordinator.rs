//! Who coordinates a group or a transactional producer.

/// The partition of `__consumer_offsets` that keeps a group, or of `__transaction_state` that keeps a transactional id; its
/// leader is the coordinator (`GroupMetadataManager.partitionFor`, `TransactionStateManager.partitionFor`). `partitions` is
/// how many that topic has, 50 unless it is set otherwise; 0 if it is not positive.
pub fn coordinator_partition(id: &str, partitions: i32) -> i32 {
    // `Utils.abs`: -2^31 has no positive counterpart and counts as 0.
    let hash = hash_code(id).checked_abs().unwrap_or(0);
    if partitions > 0 { hash % partitions } else { 0 }
}

/// Java's `String.hashCode`: over UTF-16 units, not over bytes.
fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas_beyond_ascii_too() {
        // From the JDK's `String.hashCode`.
        for (text, hash) in
            [("", 0), ("a", 97), ("hello", 99_162_322), ("😀", 1_772_899), ("polygenelubricants", i32::MIN)]
        {
            assert_eq!(hash_code(text), hash, "{text}");
        }
    }
}
