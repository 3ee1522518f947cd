//! Exchanges with KDCs of the tests' own (`testing`): every transition, every refusal in every state, every lie.

mod as_tests;
mod hostile;
mod tgs_tests;

use std::sync::Arc;

use super::super::config::Krb5Config;
use super::super::crypto::Crypto;
use super::super::enctype::Enctype;
use super::super::error::KerberosError;
use super::super::keytab::Keytab;
use super::super::principal::Principal;
use super::super::time::KerberosTime;
use super::testing::{NOON, World, chance, config};
use super::*;

fn alice() -> Principal {
    Principal::parse("alice@R", None).unwrap()
}

fn password(text: &str) -> Secret {
    Secret::Password(Password::new(text))
}

/// Drives a machine to its end against a world, with this local clock.
fn drive(
    world: &mut World,
    now: KerberosTime,
    first: Step,
    mut handle: impl FnMut(KerberosTime, &Chance, &[u8]) -> Result<Step, KerberosError>,
) -> Result<Granted, KerberosError> {
    let mut step = first;
    for _ in 0..30 {
        match step {
            Step::Done(granted) => return Ok(*granted),
            Step::Send(request) => {
                let reply = world.answer(&request.realm, &request.bytes);
                step = handle(now, &chance(), &reply)?;
            }
        }
    }
    panic!("asked {} times without an end", world.asked.len());
}

fn log_in(world: &mut World, config: &Arc<Krb5Config>, secret: Secret) -> Result<Granted, KerberosError> {
    log_in_at(world, config, secret, NOON)
}

fn log_in_at(
    world: &mut World,
    config: &Arc<Krb5Config>,
    secret: Secret,
    now: KerberosTime,
) -> Result<Granted, KerberosError> {
    let mut exchange = AsExchange::new(config.clone(), alice(), secret, Clock::default())?;
    let first = exchange.start(now, &chance());
    drive(world, now, first, |now, chance, reply| exchange.handle(now, chance, reply))
}

fn tgt(world: &mut World) -> HeldTicket {
    log_in(world, &config(""), password("secret")).unwrap().ticket
}

/// Keys of alice, as `ktutil` writes them (MIT, "Keytab file format").
fn keytab(keys: &[(u32, Enctype, &str)]) -> Secret {
    let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let mut file = vec![5, 2];
    for (kvno, enctype, password) in keys {
        let key = Crypto::default().string_to_key(*enctype, password.as_bytes(), b"Ralice", None).unwrap();
        let name = [&[0, 1][..], &counted(b"R"), &counted(b"alice"), &[0, 0, 0, 1]].concat();
        let rest = [&[0, 0, 0, 0, *kvno as u8, 0, enctype.0 as u8][..], &counted(&key.bytes)].concat();
        let entry = [name, rest, kvno.to_be_bytes().to_vec()].concat();
        file.extend((entry.len() as u32).to_be_bytes());
        file.extend(entry);
    }
    Secret::Keytab(Arc::new(Keytab::parse(&file).unwrap()))
}
