//! The SCRAM users of a secured cluster.

use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Body, Wire, broken};
use crate::{Error, Kafka, Listener, SaslUser};

const SASL_HANDSHAKE: i16 = 17;
const MECHANISMS: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
/// From the change to the day that every broker has heard of it.
const PATIENCE: Duration = Duration::from_mins(1);

impl Kafka {
    /// Makes all users of the SASL listeners known to SCRAM, and returns once every broker knows them.
    pub(crate) fn make_scram_users(&self, users: &[SaslUser]) -> Result<(), Error> {
        for user in users {
            let settings = MECHANISMS.map(|mechanism| format!("{mechanism}=[password={}]", user.password));
            // Brokers that keep them in a quorum take one mechanism a call.
            let calls = if self.release().uses_zookeeper() { vec![settings.join(",")] } else { settings.to_vec() };
            for call in calls {
                self.configs_tool(&[
                    "--alter",
                    "--add-config",
                    &call,
                    "--entity-type",
                    "users",
                    "--entity-name",
                    &user.name,
                ])?;
            }
        }
        let addresses = self.loopback_addresses(Listener::SaslPlaintext);
        users.iter().try_for_each(|user| addresses.iter().try_for_each(|address| await_user(address, &user.name)))
    }
}

fn await_user(address: &str, user: &str) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    for mechanism in MECHANISMS {
        while !is_known(address, mechanism, user)? {
            if Instant::now() >= deadline {
                return Err(broken(address, &format!("no user {user} for {mechanism} after {PATIENCE:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Whether the broker answers a user's first message (RFC 5802), which it does only for those it knows. All releases
/// take raw tokens after version 0 of the handshake.
fn is_known(address: &str, mechanism: &str, user: &str) -> Result<bool, Error> {
    let mut wire = Wire::connect(address)?;
    wire.ask(SASL_HANDSHAKE, 0, &Body::new().text(mechanism))?.accepted("SASL handshake")?;
    let first = format!("n,,n={user},r=ottla");
    Ok(wire.exchange(first.as_bytes()).is_ok_and(|answer| answer.starts_with(b"r=ottla")))
}
