//! Up to where a reader sees.

use crate::wire::codes::codes;

codes! {
    /// Up to where a reader sees (`IsolationLevel`, KIP-98).
    IsolationLevel {
        /// Up to the high watermark, aborted transactions and open ones included.
        READ_UNCOMMITTED = 0,
        /// Up to the last stable offset, with a list of the aborted transactions.
        READ_COMMITTED = 1,
    }
}
