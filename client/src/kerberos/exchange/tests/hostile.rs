//! Whoever answers in a KDC's place.

use super::super::super::principal::PrincipalName;
use super::*;

/// What to a machine that has asked; gives whether it was taken for a ticket.
fn answers(reply: &[u8], machine: &mut dyn FnMut(&[u8]) -> Result<Step, KerberosError>) -> bool {
    matches!(machine(reply), Ok(Step::Done(_)))
}

/// Every reply of a good log-in and a good request, with machines that are in the state for it.
fn each_reply(mut test: impl FnMut(&[u8], &dyn Fn(&[u8]) -> bool)) {
    // The same chance for every machine, so that one reply fits all of them.
    let one = || Chance { nonce: 77, confounder: [1; 16], subkey: zeroize::Zeroizing::new([2; 32]) };
    let mut world = World::new();
    world.alice().wants_proof = false;
    // Its key does not have to be made for every reply.
    let secret = keytab(&[(1, Enctype::AES256_SHA1, "secret")]);
    let start = || {
        let mut exchange = AsExchange::new(config(""), alice(), secret.clone(), Clock::default()).unwrap();
        let Step::Send(request) = exchange.start(NOON, &one()) else { panic!() };
        (exchange, request)
    };
    let as_reply = world.answer("R", &start().1.bytes);
    test(&as_reply, &|reply| answers(reply, &mut |bytes| start().0.handle(NOON, &chance(), bytes)));

    world.nonces.clear();
    let tgt = tgt(&mut world);
    world.nonces.clear();
    let start = || {
        let name = PrincipalName::service("kafka", "broker");
        let mut exchange = TgsExchange::service(config(""), tgt.clone(), name, None, Clock::default());
        let Step::Send(request) = exchange.start(NOON, &one()).unwrap() else { panic!() };
        (exchange, request)
    };
    let tgs_reply = world.answer("R", &start().1.bytes);
    test(&tgs_reply, &|reply| answers(reply, &mut |bytes| start().0.handle(NOON, &chance(), bytes)));
}

#[test]
fn a_reply_cut_anywhere_is_refused() {
    each_reply(|reply, is_taken| {
        assert!(is_taken(reply));
        assert!((0..reply.len()).all(|cut| !is_taken(&reply[..cut])));
    });
}

#[test]
fn no_flipped_bit_in_a_reply_is_a_panic() {
    // Many bits are of no account: flags, versions of keys, what is sealed in the ticket for the service.
    let mut random = fastrand::Rng::with_seed(5);
    each_reply(|reply, is_taken| {
        for _ in 0..400 {
            let mut flipped = reply.to_vec();
            let at = random.usize(..flipped.len());
            flipped[at] ^= 1 << random.u8(..8);
            is_taken(&flipped);
        }
    });
}

#[test]
fn bytes_without_any_sense_are_refused() {
    let mut random = fastrand::Rng::with_seed(6);
    each_reply(|_, is_taken| {
        for length in 0..200 {
            let mut noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            if let Some(first) = noise.first_mut() {
                *first = [0x6B, 0x6D, 0x7E][length % 3];
            }
            assert!(!is_taken(&noise));
        }
    });
}

#[test]
fn iterations_without_measure_are_refused_and_cost_nothing() {
    for count in [0, 1, u32::MAX, 1_000_001] {
        let mut world = World::new();
        let mut exchange = AsExchange::new(config(""), alice(), password("secret"), Clock::default()).unwrap();
        world.alice().params = None;
        let Step::Send(request) = exchange.start(NOON, &chance()) else { panic!() };
        let mut reply = KrbError::from_der(&world.answer("R", &request.bytes)).unwrap();
        reply.data = Some(asking_for(count));
        let error = exchange.handle(NOON, &chance(), &reply.to_der()).unwrap_err();
        assert!(error.to_string().contains(&format!("{count} iterations")), "{error}");
    }
}

fn asking_for(iterations: u32) -> Vec<u8> {
    use super::super::super::messages::{EtypeInfo2, EtypeInfo2Entry, MethodData, PaData};
    let params = Some(iterations.to_be_bytes().to_vec());
    let entry = EtypeInfo2Entry { enctype: Enctype::AES256_SHA2, salt: None, s2kparams: params };
    let info = PaData { kind: PaData::ETYPE_INFO2, value: EtypeInfo2(vec![entry]).to_der().to_vec() };
    MethodData(vec![info, PaData { kind: PaData::ENC_TIMESTAMP, value: Vec::new() }]).to_der().to_vec()
}
