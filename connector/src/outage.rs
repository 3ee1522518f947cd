//! Outages as their reader sees them: one line when one begins, one every 30 seconds, one when it ends, each with the task,
//! the connection and the cause.
//!
//! [`Outage`] decides; [`watch`] asks the clients of a task twice a second and prints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::Client;

use crate::progress::{Console, seconds};

/// A broker that does not answer for so long is told of: well beyond the 500 ms that a fetch may wait for records.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// A broker that cannot be reached for so long is told of: a restart of a connection is no outage.
const BLIP: Duration = Duration::from_secs(1);

/// How often an outage that lasts is told of.
const REMIND_EVERY: Duration = Duration::from_secs(30);

/// An outage is over when nothing was wrong for so long.
const CALM: Duration = Duration::from_secs(2);

/// How often clients are asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The outage of one connection: none, or one since some time.
#[derive(Debug, Default)]
pub struct Outage {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Well,
    /// Something is wrong, but not for long enough.
    Blip {
        since: Instant,
    },
    Told {
        since: Instant,
        last: Instant,
        well_since: Option<Instant>,
    },
}

/// A line to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An outage has begun.
    Begins,
    /// It has lasted for this long.
    Lasts(Duration),
    /// It is over; it lasted for this long.
    Ends(Duration),
}

impl Outage {
    /// Notes whether something is wrong at `now`.
    pub fn look(&mut self, wrong: bool, now: Instant) -> Option<News> {
        match (&mut self.state, wrong) {
            (State::Well, false) => None,
            (State::Well, true) => {
                self.state = State::Blip { since: now };
                None
            }
            (State::Blip { .. }, false) => {
                self.state = State::Well;
                None
            }
            (State::Blip { since }, true) if now.duration_since(*since) < BLIP => None,
            (State::Blip { since }, true) => {
                self.state = State::Told { since: *since, last: now, well_since: None };
                Some(News::Begins)
            }
            (State::Told { since, last, well_since }, true) => {
                *well_since = None;
                if now.duration_since(*last) < REMIND_EVERY {
                    return None;
                }
                *last = now;
                Some(News::Lasts(now.duration_since(*since)))
            }
            (State::Told { since, well_since, .. }, false) => {
                let calm = *well_since.get_or_insert(now);
                if now.duration_since(calm) < CALM {
                    return None;
                }
                let lasted = calm.duration_since(*since);
                self.state = State::Well;
                Some(News::Ends(lasted))
            }
        }
    }
}

/// A line about a connection of a task.
fn line(task: &str, connection: &str, news: &News, cause: &str) -> String {
    match news {
        News::Begins => format!("{task}: connection {connection}: {cause}; trying again until it answers"),
        News::Lasts(time) => format!("{task}: connection {connection}: still out after {}: {cause}", seconds(*time)),
        News::Ends(time) => format!("{task}: connection {connection}: answers again after {}", seconds(*time)),
    }
}

/// What is wrong with a cluster, in a line; `None` while all is well.
fn cause(client: &Client) -> Option<String> {
    let troubles = client.troubles(PATIENCE);
    let first = troubles.first()?;
    Some(match troubles.len() {
        1 => first.what.clone(),
        2 => format!("{} (and 1 more broker)", first.what),
        many => format!("{} (and {} more brokers)", first.what, many - 1),
    })
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch(tokio::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Watches the clients of a task, each with its connection's name.
pub fn watch(task: &str, clients: Vec<(String, Client)>, console: &Arc<Console>) -> Watch {
    let (task, console) = (task.to_owned(), Arc::clone(console));
    Watch(tokio::spawn(async move {
        let mut outages: Vec<_> = clients.iter().map(|_| Outage::default()).collect();
        let mut interval = tokio::time::interval(LOOK_EVERY);
        loop {
            interval.tick().await;
            for ((connection, client), outage) in clients.iter().zip(&mut outages) {
                let cause = cause(client);
                if let Some(news) = outage.look(cause.is_some(), Instant::now()) {
                    console.say(&line(&task, connection, &news, &cause.unwrap_or_default()));
                }
            }
        }
    }))
}

/// Connects, and says after some seconds that nobody answers yet.
///
/// # Errors
/// As `connecting`.
pub async fn connecting<T>(
    task: &str,
    connection: &str,
    servers: &[String],
    console: &Console,
    connecting: impl Future<Output = T>,
) -> T {
    let mut connecting = std::pin::pin!(connecting);
    let begun = Instant::now();
    let mut pause = PATIENCE;
    loop {
        if let Ok(connected) = tokio::time::timeout(pause, &mut connecting).await {
            return connected;
        }
        let cause = format!("no answer from {}", servers.join(", "));
        let news = if pause == PATIENCE { News::Begins } else { News::Lasts(begun.elapsed()) };
        console.say(&line(task, connection, &news, &cause));
        pause = REMIND_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of an outage that is looked at every 500 ms, with its time in milliseconds.
    fn told(wrong: impl Fn(u64) -> bool, until: u64) -> Vec<(u64, News)> {
        let (start, mut outage) = (Instant::now(), Outage::default());
        let looks = (0..until).step_by(500);
        looks.filter_map(|at| Some((at, outage.look(wrong(at), start + Duration::from_millis(at))?))).collect()
    }

    #[test]
    fn an_outage_has_one_line_at_its_start_one_every_30_seconds_and_one_at_its_end() {
        let seconds = Duration::from_secs;
        let lines = told(|at| (1000..96_000).contains(&at), 300_000);
        let expected = [
            (2000, News::Begins),
            (32_000, News::Lasts(seconds(31))),
            (62_000, News::Lasts(seconds(61))),
            (92_000, News::Lasts(seconds(91))),
            (98_000, News::Ends(seconds(95))),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_blip_is_no_outage_and_a_flapping_broker_is_one() {
        assert_eq!(told(|at| at == 5000 || at == 20_000, 60_000), []);
        // Away for three seconds of every four.
        let lines = told(|at| at < 29_000 && at % 4000 < 3000, 60_000);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], (1000, News::Begins));
        assert!(matches!(lines[1].1, News::Ends(_)), "{lines:?}");
    }

    #[test]
    fn a_line_has_the_task_the_connection_and_the_cause_and_no_path_of_ours() {
        let cause = "broker 0 at kafka:9092: cannot connect: Connection refused";
        let begins = line("sync", "shop", &News::Begins, cause);
        assert_eq!(begins, format!("sync: connection shop: {cause}; trying again until it answers"));
        let lasts = line("sync", "shop", &News::Lasts(Duration::from_secs(31)), cause);
        assert_eq!(lasts, format!("sync: connection shop: still out after 31.00 s: {cause}"));
        assert_eq!(
            line("sync", "shop", &News::Ends(Duration::from_secs(95)), ""),
            "sync: connection shop: answers again after 1 min 35 s"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_contact_that_is_not_answered_is_told_of_after_seconds() {
        let console = Console::nowhere();
        let servers = ["kafka:9092".to_owned()];
        connecting("sync", "shop", &servers, &console, tokio::time::sleep(Duration::from_secs(50))).await;
        let said = console.said();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0], "sync: connection shop: no answer from kafka:9092; trying again until it answers");
        connecting("sync", "shop", &servers, &console, tokio::time::sleep(Duration::from_secs(3))).await;
        assert_eq!(console.said().len(), 2, "a slow one is no outage");
    }
}
