//! The topic expression: a regular expression that a topic's whole name has to match.

use std::fmt;

use regex::Regex;

/// The longest allowed expression, in characters (the original's form field takes as many).
pub const MAX_CHARACTERS: usize = 256;

/// Kafka's own topics, never matched by an expression.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// A compiled topic expression. Absent or empty, it stands for all topics but Kafka's internal ones.
#[derive(Clone)]
pub struct TopicExpression {
    text: String,
    /// `None` for the empty expression.
    whole: Option<Regex>,
}

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// More than [`MAX_CHARACTERS`].
    #[error("the topic expression has {characters} characters, at most {MAX_CHARACTERS} are allowed")]
    TooLong {
        /// How many characters it has.
        characters: usize,
    },
    /// Not a regular expression.
    #[error("the topic expression is not a valid regular expression: {message}")]
    Syntax {
        /// What is wrong, without position.
        message: String,
        /// The byte range in the expression at fault, where one is known.
        at: Option<(usize, usize)>,
    },
}

impl TopicExpression {
    /// The expression that selects every topic but Kafka's internal ones.
    pub fn all() -> Self {
        Self { text: String::new(), whole: None }
    }

    /// Checks and compiles an expression; the empty text is [`TopicExpression::all`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            return Err(ExpressionError::TooLong { characters });
        }
        if text.is_empty() {
            return Ok(Self::all());
        }
        // First the expression alone: errors then speak of what the user wrote, and `a)|(b` does not slip through
        // by closing the group that is put around it.
        Regex::new(text).map_err(|error| syntax_error(text, &error))?;
        // The second form is for `(?x)`, where a trailing comment would swallow the closing bracket.
        let whole = Regex::new(&format!(r"\A(?:{text})\z"))
            .or_else(|_| Regex::new(&format!("\\A(?:{text}\n)\\z")))
            .map_err(|error| syntax_error(text, &error))?;
        Ok(Self { text: text.to_owned(), whole: Some(whole) })
    }

    /// Does the expression match the whole name? Kafka's internal topics never match.
    pub fn matches(&self, topic: &str) -> bool {
        !INTERNAL.contains(&topic) && self.whole.as_ref().is_none_or(|whole| whole.is_match(topic))
    }

    /// The expression as written; empty for all topics.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The expression that matches whole names, for other engines; `None` for all topics.
    pub(crate) fn pattern(&self) -> Option<&str> {
        self.whole.as_ref().map(Regex::as_str)
    }

    /// Was it absent or empty?
    pub fn is_all(&self) -> bool {
        self.whole.is_none()
    }

    /// The one topic that is meant when the expression is a plain name: only letters, digits, `_`, `-` and dots
    /// (`.` or `\.`). This is the topic a target writes to.
    pub fn literal(&self) -> Option<String> {
        let name = self.text.replace(r"\.", ".").replace(r"\-", "-");
        is_topic_name(&name).then_some(name)
    }
}

/// May Kafka have a topic of this name? At most 249 of letters, digits, `.`, `_` and `-`, not `.` or `..`
/// (Kafka's class `org.apache.kafka.common.internals.Topic`).
pub fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

fn syntax_error(text: &str, error: &regex::Error) -> ExpressionError {
    match error {
        regex::Error::CompiledTooBig(limit) => ExpressionError::Syntax {
            message: format!("it grows beyond {limit} bytes when compiled; use smaller repetition counts"),
            at: None,
        },
        other => {
            let (message, at) = message_and_position(text, &other.to_string());
            ExpressionError::Syntax { message, at }
        }
    }
}

/// `regex` gives positions only as carets under the pattern, in lines after `regex parse error:`; the crate beneath
/// it is not a dependency for the sake of one number.
fn message_and_position(text: &str, shown: &str) -> (String, Option<(usize, usize)>) {
    let message = shown.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
    let message = message.unwrap_or("it cannot be compiled").to_owned();
    if text.contains('\n') {
        return (message, None);
    }
    let carets = shown.lines().find(|line| line.contains('^') && line.trim_matches([' ', '^']).is_empty());
    let at = carets.and_then(|line| {
        // The pattern is shown indented by four.
        let first = line.find('^')?.checked_sub(4)?;
        let count = line.matches('^').count();
        let byte_at = |column: usize| text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
        Some((byte_at(first), byte_at(first + count)))
    });
    (message, at)
}

impl PartialEq for TopicExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicExpression {}

impl fmt::Debug for TopicExpression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TopicExpression({:?})", self.text)
    }
}

impl fmt::Display for TopicExpression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() { out.write_str("all topics") } else { out.write_str(&self.text) }
    }
}
