//! Creating a topic.

use std::sync::Arc;

use ottla_protocol::messages::{CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::net::retry::Retry;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// `[a-zA-Z0-9._-]`, at most 249 characters.
    pub name: String,
    /// The number of partitions, at least 1.
    pub partitions: i32,
    /// The number of replicas, at least 1 and at most the number of brokers.
    pub replicas: i16,
}

/// How a topic came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// By this call.
    New,
    /// It existed before, with whatever partitions and settings it has.
    Existed,
}

impl Client {
    /// Creates a topic and waits until each of its partitions has a leader. A topic of this name that exists is left as it is
    /// ([`Created::Existed`]). Takes at most twice `api_timeout`.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<Created, Error> {
        let name: Arc<str> = topic.name.as_str().into();
        let answer = self.cluster.ask_controller(|_| self.request(topic), reason_to_ask_again).await;
        let answer = answer.map_err(|e| e.at_topic(&name))?;
        let said = |words: &str| self.cluster.options().clean(words);
        let created = outcome(topic, &answer, said).map_err(|e| e.in_api(ApiKey::CREATE_TOPICS).at_topic(&name))?;
        self.wait_for_leaders(&name).await?;
        Ok(created)
    }

    fn request(&self, topic: &NewTopic) -> CreateTopicsRequest {
        let creatable = CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions,
            replication_factor: topic.replicas,
            ..CreatableTopic::default()
        };
        // Half of what the client waits, so that the broker's own "timed out" arrives in time.
        let half = self.cluster.options().request_timeout / 2;
        let timeout_ms = i32::try_from(half.as_millis()).unwrap_or(i32::MAX).max(1);
        CreateTopicsRequest { topics: vec![creatable], timeout_ms, validate_only: false }
    }

    async fn wait_for_leaders(&self, name: &Arc<str>) -> Result<(), Error> {
        let mut retry = Retry::new(self.cluster.options(), self.cluster.options().api_timeout);
        loop {
            let error = match retry.within(self.cluster.refresh(std::slice::from_ref(name))).await {
                Ok(metadata) => match metadata.topic(name) {
                    Some(topic) if topic.is_led() => return Ok(()),
                    Some(_) => Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE),
                    None => Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                },
                Err(error) => error,
            };
            retry.pause(error.at_topic(name)).await?;
        }
    }
}

/// What a moment later may be different.
fn reason_to_ask_again(answer: &CreateTopicsResponse) -> ErrorCode {
    let code = answer.topics.first().map_or(ErrorCode::NONE, |result| result.error_code);
    if code.is_retriable() { code } else { ErrorCode::NONE }
}

fn outcome(topic: &NewTopic, answer: &CreateTopicsResponse, clean: impl Fn(&str) -> String) -> Result<Created, Error> {
    let Some(result) = answer.topics.iter().find(|result| result.name == topic.name) else {
        return Err(Error::new(ErrorKind::Protocol, "the answer does not speak of the topic"));
    };
    match result.error_code {
        ErrorCode::NONE => Ok(Created::New),
        ErrorCode::TOPIC_ALREADY_EXISTS => Ok(Created::Existed),
        _ => Err(refused(topic, result, result.error_message.as_deref().map(clean).as_deref())),
    }
}

/// `said` are the broker's words, fit to be shown.
fn refused(topic: &NewTopic, result: &CreatableTopicResult, said: Option<&str>) -> Error {
    let error = Error::from_code(result.error_code).said(said);
    match result.error_code {
        ErrorCode::INVALID_REPLICATION_FACTOR => error.advice(&format!("asked for {} replicas", topic.replicas)),
        ErrorCode::INVALID_PARTITIONS => error.advice(&format!("asked for {} partitions", topic.partitions)),
        ErrorCode::INVALID_TOPIC_EXCEPTION => {
            error.advice("a topic's name has letters, digits, '.', '_' and '-', at most 249 of them")
        }
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED | ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
            error.advice("the user needs the right to create topics; or let an administrator create it")
        }
        _ => error,
    }
}
