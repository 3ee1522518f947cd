//! What the doors of `entry` are known to open for: Kafka's golden bytes, as each door takes them.

use ottla_protocol::messages::Direction;

use crate::entry::choose;
use crate::support::{bodies, golden, unhex};

/// The inputs for the door of this name.
pub(crate) fn corpus(door: &str) -> Vec<Vec<u8>> {
    match door {
        "messages" => messages(),
        "requests" => requests(),
        "records" => records(),
        "codecs" => codecs(),
        "group" => group(),
        other => panic!("there is no door {other}"),
    }
}

fn messages() -> Vec<Vec<u8>> {
    bodies().into_iter().map(|(row, version, body)| [&choose(row, version)[..], &body].concat()).collect()
}

fn requests() -> Vec<Vec<u8>> {
    let requests = bodies().into_iter().filter(|(row, ..)| row.direction == Direction::Request);
    requests
        .map(|(row, version, body)| {
            // ControlledShutdown v0 alone has no client id.
            let client_id: &[u8] = if (row.key.0, version) == (7, 0) { b"" } else { b"\0\x01c" };
            [&row.key.0.to_be_bytes(), &version.to_be_bytes(), &[0, 0, 0, 7][..], client_id, &body].concat()
        })
        .collect()
}

fn records() -> Vec<Vec<u8>> {
    golden("records-2.3.1.tsv").iter().map(|row| unhex(row.last().expect("hex"))).collect()
}

/// The payload of every batch v2 that is one batch and compressed.
fn codecs() -> Vec<Vec<u8>> {
    let batches = records().into_iter().filter(|bytes| bytes.len() > 61 && bytes[16] == 2 && bytes[22] & 7 != 0);
    batches.map(|bytes| [&[bytes[22] & 7], &bytes[61..]].concat()).collect()
}

/// Kafka's own payloads; a subscription with owned partitions (KIP-429) and sticky user data with a generation (KIP-341),
/// which 2.3.1 does not write.
fn group() -> Vec<Vec<u8>> {
    let rows = golden("primitives-2.3.1.tsv");
    let ours = rows.iter().filter_map(|row| match row[0].as_str() {
        "consumer_subscription_v0" => Some([&[0], &unhex(&row[2])[..]].concat()),
        "consumer_assignment_v0" => Some([&[1], &unhex(&row[2])[..]].concat()),
        _ => None,
    });
    let owned = b"\0\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x05";
    let sticky = b"\x02\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x05\0\0\0\x09";
    ours.chain([owned.to_vec(), sticky.to_vec()]).collect()
}
