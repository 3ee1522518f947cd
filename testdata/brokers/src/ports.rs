//! Free ports on loopback.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// Below the range from which Linux takes local ports (32768 and up), for two reasons: no outgoing connection can take
/// the port of a broker that is down for a moment, and no client that dials that port again and again can end up
/// connected to itself.
const PORTS: Range<u16> = 12_000..32_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 on which nothing listens now and which this process did not hand out before.
pub fn free() -> Result<u16, Error> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_with(HashSet::new);
    for turn in 0..200_u32 {
        let span = u64::from(PORTS.end - PORTS.start);
        // Each `RandomState` is seeded afresh: chance enough to keep processes apart, without a dependency.
        let port = PORTS.start + (RandomState::new().hash_one(turn) % span) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && given.insert(port) {
            return Ok(port);
        }
    }
    Err(Error::Ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_never_given_out_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free().expect("a port")).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
