//! What a coordinator looks after.

use crate::wire::codes::codes;

codes! {
    /// Whose coordinator is asked for (`FindCoordinatorRequest.CoordinatorType`, KIP-98).
    CoordinatorType {
        /// A group's. The only one before version 1 of FindCoordinator.
        GROUP = 0,
        /// A transactional id's.
        TRANSACTION = 1,
    }
}
