//! Being written.
/// .
pub fn murmur2(_: &[u8]) -> i32 {
    0
}
/// .
pub fn partition_for_key(_: &[u8], _: i32) -> i32 {
    0
}
