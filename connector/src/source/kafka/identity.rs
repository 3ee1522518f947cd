//! Holds positions against the logs they were taken from, by reading the last record again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{Client, Error, OffsetAt, TopicPartition};

use crate::core::evidence::{Evidence, Identity, Observed};
use crate::core::plan::Gap;

/// A lagging broker may name an older epoch for a moment: how often it is asked before it is believed, and how long between.
const EPOCH_BELIEVED: u32 = 5;
const EPOCH_AGAIN: Duration = Duration::from_millis(200);

/// A position and what is known of its log.
#[derive(Debug, Clone)]
pub struct Held {
    /// The partition.
    pub place: TopicPartition,
    /// The next offset to read.
    pub position: i64,
    /// What is known of its log.
    pub evidence: Evidence,
}

/// First and next offset of each partition's log.
pub type Ends = HashMap<TopicPartition, (i64, i64)>;

/// Asks where logs begin and end. The beginnings first: what retention deletes in between is then a gap that shows.
///
/// # Errors
/// A leader cannot be asked.
pub async fn ends(client: &Client, places: &[TopicPartition]) -> Result<Ends, Error> {
    let earliest = client.offsets(places, OffsetAt::Earliest).await?;
    let latest = client.offsets(places, OffsetAt::LatestStable).await?;
    let ends = places.iter().filter_map(|place| Some((place.clone(), (*earliest.get(place)?, *latest.get(place)?))));
    Ok(ends.collect())
}

/// Holds each position against its log, in the order given. `known`: ends that were asked just now.
///
/// # Errors
/// A leader cannot be asked. That a log is another one, or too short or too young for the position, is a result.
pub async fn check(client: &Client, held: &[Held], known: Option<&Ends>) -> Result<Vec<Result<Identity, Gap>>, Error> {
    let wanted = held.iter().filter_map(|held| Some((held.place.clone(), held.evidence.record?.offset)));
    let wanted: Vec<_> = wanted.filter(|(place, offset)| may_be_there(known, place, *offset)).collect();
    let records = client.fingerprints(&wanted).await?;
    let record = |held: &Held| records.get(&held.place).copied().flatten();
    // A record that is still there settles it alone.
    let open = |held: &&Held| record(held).is_none() || record(held) != held.evidence.record;
    let places: Vec<_> = held.iter().filter(open).map(|held| held.place.clone()).collect();
    let asked = match known {
        Some(_) => Ends::new(),
        None => ends(client, &places).await?,
    };
    let ends = known.unwrap_or(&asked);
    let mut epochs = Epochs { client, known: HashMap::new() };
    let mut results = Vec::with_capacity(held.len());
    for held in held {
        let (earliest, latest) = ends.get(&held.place).copied().unwrap_or((i64::MAX, i64::MAX));
        let mut observed = Observed { record: record(held), earliest, leader_epoch: None };
        if observed.record.is_none() && held.evidence.leader_epoch.is_some() {
            observed.leader_epoch = epochs.at_least(&held.place, held.evidence.leader_epoch).await?;
        }
        let identity = held.evidence.hold_against(held.position, observed);
        results.push(match identity {
            // A log that ends before what was read of it cannot be the same one.
            Ok(Identity::RecordGone | Identity::NothingRead) if held.position > latest => {
                Err(Gap::BeyondEnd { record: held.position, latest })
            }
            identity => identity,
        });
    }
    Ok(results)
}

/// Whether a record may still be in its log, by ends that are known.
fn may_be_there(known: Option<&Ends>, place: &TopicPartition, offset: i64) -> bool {
    let ends = known.and_then(|known| known.get(place));
    ends.is_none_or(|(earliest, latest)| (*earliest..*latest).contains(&offset))
}

/// The partitions' leader epochs, topic by topic.
struct Epochs<'a> {
    client: &'a Client,
    known: HashMap<TopicPartition, i32>,
}

impl Epochs<'_> {
    /// A partition's leader epoch, asked for again while it is below `least`.
    async fn at_least(&mut self, place: &TopicPartition, least: Option<i32>) -> Result<Option<i32>, Error> {
        for turn in 0..EPOCH_BELIEVED {
            let known = self.known.get(place).copied();
            if known.is_some() && known >= least {
                return Ok(known);
            }
            if turn > 0 {
                tokio::time::sleep(EPOCH_AGAIN).await;
            }
            let Some(topic) = self.client.topic(&place.topic).await? else { return Ok(None) };
            for partition in topic.partitions {
                if let Some(epoch) = partition.leader_epoch {
                    self.known.insert(TopicPartition { topic: topic.name.clone(), partition: partition.id }, epoch);
                }
            }
            if !self.known.contains_key(place) {
                return Ok(None);
            }
        }
        Ok(self.known.get(place).copied())
    }
}

/// The topics of some partitions, each once.
pub fn topics_of(places: &[TopicPartition]) -> BTreeSet<Arc<str>> {
    places.iter().map(|place| place.topic.clone()).collect()
}
