//! Where records go, and what is known about them there.
//!
//! A target takes records one by one without waiting, until it says that it is [full](Push::Full); what it was given is
//! settled later, a row at a time: acknowledged by Kafka, or flushed and synced to disk.

pub mod jsonl;
pub mod kafka;
pub mod partitioning;

use crate::core::checkpoint::{Checkpoint, Span};
use crate::core::placement::Placement;
use crate::event::Event;
use crate::exit::Failure;
use crate::file_id::FileId;

use self::jsonl::JsonlTarget;
use self::kafka::KafkaTarget;

/// The target of a task.
#[derive(Debug)]
pub enum Target {
    /// Topics of a Kafka cluster.
    Kafka(Box<KafkaTarget>),
    /// A file or standard output.
    Jsonl(Box<JsonlTarget>),
}

/// Names the way from one source topic into the target: the number that [`Target::route`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route(pub(crate) usize);

/// What a route is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceTopic<'a> {
    /// The topic's name; `None` for a file.
    pub name: Option<&'a str>,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The source's side of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The span it belongs to.
    pub span: Span,
    /// Its partition in the source.
    pub partition: i32,
    /// Its offset in the source, or its line number.
    pub offset: i64,
}

/// What became of handing a record over.
#[derive(Debug)]
pub enum Push {
    /// The target has it; it is settled later.
    Taken,
    /// The target has no place for it in this form (a deletion in a file), and nothing is to be done about it.
    Passed,
    /// Not taken: call [`Target::make_room`] and hand it over again.
    Full,
    /// Refused, without anything having been sent.
    Refused(ottla_client::Error),
}

/// What became of a row of records.
#[derive(Debug)]
pub struct Settled {
    /// The span they belong to.
    pub span: Span,
    /// How many of them are in the target now.
    pub written: u64,
    /// Those that are not, in their order.
    pub refused: Vec<Refused>,
}

/// Records that a target did not take.
#[derive(Debug)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// None of them has a lower offset.
    pub first: i64,
    /// None of them has a higher offset.
    pub last: i64,
    /// Why.
    pub error: ottla_client::Error,
}

impl Target {
    /// Prepares the way for the records of a source topic: finds or creates the topic they go to.
    ///
    /// # Errors
    /// The topic cannot be looked up or created.
    pub async fn route(&mut self, source: SourceTopic<'_>) -> Result<Route, Failure> {
        match self {
            Self::Kafka(kafka) => kafka.route(source).await,
            Self::Jsonl(_) => Ok(Route(0)),
        }
    }

    /// How the records of a route are placed; `None` in a target without partitions.
    pub fn placement(&self, route: Route) -> Option<Placement> {
        match self {
            Self::Kafka(kafka) => Some(kafka.placement(route)),
            Self::Jsonl(_) => None,
        }
    }

    /// Hands over a record, without waiting.
    #[inline]
    pub fn push(&mut self, checkpoint: &mut Checkpoint, route: Route, ticket: Ticket, event: &Event<'_>) -> Push {
        match self {
            Self::Kafka(kafka) => kafka.push(checkpoint, route, ticket, event),
            Self::Jsonl(jsonl) => jsonl.push(checkpoint, ticket, event),
        }
    }

    /// Waits until [`Push::Full`] may be over; tells what was settled meanwhile.
    ///
    /// # Errors
    /// A file cannot be written.
    pub async fn make_room(&mut self) -> Result<Option<Settled>, Failure> {
        match self {
            Self::Kafka(kafka) => Ok(kafka.make_room().await),
            Self::Jsonl(jsonl) => jsonl.make_room().await.map(|()| None),
        }
    }

    /// What the user is to know and was not told yet, a line each.
    pub fn take_news(&mut self) -> Vec<String> {
        match self {
            Self::Kafka(kafka) => kafka.take_news(),
            Self::Jsonl(_) => Vec::new(),
        }
    }

    /// Whether a record counts as written without anybody's word for it.
    pub fn is_unconfirmed(&self) -> bool {
        matches!(self, Self::Kafka(kafka) if kafka.is_unconfirmed())
    }

    /// How many rows are still to be settled.
    pub fn unsettled(&self) -> usize {
        match self {
            Self::Kafka(kafka) => kafka.unsettled(),
            Self::Jsonl(jsonl) => jsonl.unsettled(),
        }
    }

    /// The next row that settles by itself; waits for ever if none can. Cancel safe.
    pub async fn settled(&mut self) -> Settled {
        match self {
            Self::Kafka(kafka) => kafka.settled().await,
            // Lines settle when they are synced, which somebody has to ask for.
            Self::Jsonl(_) => std::future::pending().await,
        }
    }

    /// Makes durable what a commit is to cover. Kafka does that by itself.
    ///
    /// # Errors
    /// A file cannot be written.
    pub async fn sync(&mut self, each: impl FnMut(Settled)) -> Result<(), Failure> {
        match self {
            Self::Kafka(_) => Ok(()),
            Self::Jsonl(jsonl) => jsonl.sync(each).await,
        }
    }

    /// Settles everything that was handed over.
    ///
    /// # Errors
    /// A file cannot be written.
    pub async fn finish(&mut self, mut each: impl FnMut(Settled)) -> Result<(), Failure> {
        match self {
            Self::Kafka(kafka) => {
                kafka.flush().await;
                while kafka.unsettled() > 0 {
                    each(kafka.settled().await);
                }
                Ok(())
            }
            Self::Jsonl(jsonl) => jsonl.sync(each).await,
        }
    }

    /// The run came to a good end and everything is settled: does what a target does only then.
    ///
    /// # Errors
    /// The file of a copy is not there any more, or the new file cannot be put in the place of the old one.
    pub async fn complete(&mut self) -> Result<(), Failure> {
        match self {
            Self::Kafka(_) => Ok(()),
            Self::Jsonl(jsonl) => jsonl.complete().await,
        }
    }

    /// The regular file that is written to, if it is one.
    pub fn file_id(&self) -> Option<FileId> {
        match self {
            Self::Kafka(_) => None,
            Self::Jsonl(jsonl) => jsonl.file_id(),
        }
    }

    /// What happened to the target that the user has to know, since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        match self {
            Self::Kafka(_) => Vec::new(),
            Self::Jsonl(jsonl) => jsonl.take_notes(),
        }
    }
}
