//! A task runs once at a time: as long as it reads topics it is the sole member of its consumer group.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ottla_client::{
    Client, CommitOffset, Error, ErrorKind, GroupDescription, GroupMember, JoinedAlone, SoleMember, SoleMemberOptions,
    TopicPartition,
};

use crate::core::sole::{Admission, Identity, Life, Seen, Verdict, life, session};
use crate::exit::Failure;
use crate::progress::Console;

use super::failure::client_failure;

/// Without a sign of life for this long another process may take the task over.
const SESSION: Duration = Duration::from_secs(10);

/// How often a group is looked at whose member may be dead.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The memberships of this process that are alive.
static ALIVE: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
static NEXT_INSTANCE: AtomicU64 = AtomicU64::new(1);

/// The right to run a task. Dropping it gives it up, leaving the group in the background.
#[derive(Debug)]
pub struct Sole {
    client: Client,
    task: String,
    group: String,
    member: SoleMember,
    _instance: Instance,
}

/// An entry in [`ALIVE`].
#[derive(Debug)]
struct Instance(u64);

impl Instance {
    fn new() -> Self {
        let instance = NEXT_INSTANCE.fetch_add(1, Ordering::Relaxed);
        alive().insert(instance);
        Self(instance)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        alive().remove(&self.0);
    }
}

fn alive() -> MutexGuard<'static, BTreeSet<u64>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sole {
    /// Becomes the sole member of the task's group. Waits for the session of a member that may be dead.
    ///
    /// # Errors
    /// Exit 3: another process runs the task, and who that is; or the group's coordinator cannot be asked.
    pub async fn acquire(client: &Client, task: &str, group: &str, console: &Console) -> Result<Self, Failure> {
        let instance = Instance::new();
        let me = me(instance.0);
        let failed = |error: &Error| client_failure(&format!("task {task}"), error);
        let (mut admission, start, mut said) = (Admission::new(), Instant::now(), false);
        let dead = loop {
            let described = client.describe_group(group).await.map_err(|error| failed(&error))?;
            let members: Vec<_> = described.members.iter().map(|member| seen(member, &me)).collect();
            match admission.decide(start.elapsed(), &members, described.state == "Stable") {
                Verdict::Join { dead } => break dead,
                Verdict::Refuse(member) => return Err(refused(task, group, &described, &member)),
                Verdict::Wait => {
                    if !std::mem::replace(&mut said, true) {
                        console.say(&waiting(task, &described, &members));
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        };
        let options = SoleMemberOptions { session_timeout: SESSION, user_data: me.to_bytes(), replaces: dead };
        match client.join_group_alone(group, options).await.map_err(|error| failed(&error))? {
            JoinedAlone::Member(member) => {
                let (task, group) = (task.to_owned(), group.to_owned());
                Ok(Self { client: client.clone(), task, group, member, _instance: instance })
            }
            JoinedAlone::Refused { member_id, user_data } => {
                let described = client.describe_group(group).await.map_err(|error| failed(&error))?;
                let identity = Identity::parse(&user_data);
                let member = Seen { member_id, identity, life: Life::Alive };
                Err(refused(task, group, &described, &member))
            }
        }
    }

    /// Whether another process surely does not run the task at this moment.
    pub fn is_held(&self) -> bool {
        self.member.is_held()
    }

    /// Waits until it [is held](Self::is_held). Cancel safe.
    ///
    /// # Errors
    /// As [`lost`](Self::lost) says.
    pub async fn held(&self) -> Result<(), Failure> {
        match self.member.held().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.taken_over(&error).await),
        }
    }

    /// Waits until it is lost, and says to whom. Cancel safe.
    pub async fn lost(&self) -> Failure {
        let error = self.member.lost().await;
        self.taken_over(&error).await
    }

    /// Commits positions. Returns the partitions that were refused; the others are committed. The coordinator refuses all when
    /// another process has taken over.
    ///
    /// # Errors
    /// As the client says; [`ErrorKind::Fenced`] when another process has taken over.
    pub async fn commit_each(&self, positions: &[CommitOffset]) -> Result<Vec<(TopicPartition, Error)>, Error> {
        self.member.commit_each(positions).await
    }

    /// Gives it up, so that the next start need not wait. Takes 3 s at most.
    pub async fn leave(&self) {
        self.member.leave().await;
    }

    async fn taken_over(&self, error: &Error) -> Failure {
        if error.kind() != ErrorKind::Fenced {
            return client_failure(&format!("task {}", self.task), error);
        }
        let described = self.client.describe_group(&self.group).await.ok();
        let member = described.as_ref().and_then(|group| group.members.first());
        // While the group changes the coordinator does not say what members say; the group's leader has.
        let said = self.member.taken_over_by().or_else(|| member.and_then(|member| member.user_data.clone()));
        let identity = said.as_deref().and_then(Identity::parse);
        let by = (member.is_some() || identity.is_some()).then(|| format!(": {}", who(member, identity.as_ref())));
        Failure::environment(format!(
            "task {}: another process has taken it over, since this one gave no sign of life for {} s{}",
            self.task,
            SESSION.as_secs(),
            by.unwrap_or_default()
        ))
        .with_help("nothing was committed after that; records that this process wrote meanwhile may be there twice")
    }
}

/// Waits until the right is lost; forever without one.
pub(super) async fn lost(sole: Option<&Sole>) -> Failure {
    match sole {
        Some(sole) => sole.lost().await,
        None => std::future::pending().await,
    }
}

fn seen(member: &GroupMember, me: &Identity) -> Seen {
    let identity = member.user_data.as_deref().and_then(Identity::parse);
    let lives = |instance| alive().contains(&instance);
    let life = identity.as_ref().map_or(Life::Unknown, |other| life(other, me, started_of, lives));
    Seen { member_id: member.member_id.clone(), identity, life }
}

fn refused(task: &str, group: &str, described: &GroupDescription, member: &Seen) -> Failure {
    let known = described.members.iter().find(|known| known.member_id == member.member_id);
    let who = who(known, member.identity.as_ref());
    let (what, help) = match &member.identity {
        Some(_) => (
            format!("task {task}: another process runs it already: {who}"),
            format!("stop that one first; to run both, give one of them another `group`: they share {group}"),
        ),
        None => (
            format!("task {task}: its consumer group {group} has a member: {who}"),
            "stop that consumer, or give the task another `group`: a task shares its group with nobody".to_owned(),
        ),
    };
    Failure::environment(what).with_help(help)
}

fn waiting(task: &str, described: &GroupDescription, members: &[Seen]) -> String {
    let member = members.iter().find(|member| member.life == Life::Unknown);
    let known = member.and_then(|seen| described.members.iter().find(|known| known.member_id == seen.member_id));
    let longest = members.iter().map(session).max().unwrap_or(SESSION).as_secs();
    let who = who(known, member.and_then(|member| member.identity.as_ref()));
    format!(
        "{task}: it may be running already: {who}; waiting up to {longest} s to see whether that one is still alive"
    )
}

/// `client "ottla" at 10.0.0.7, host "web-1", process 4242, since 21:03:11 UTC (754 s ago)`
fn who(member: Option<&GroupMember>, identity: Option<&Identity>) -> String {
    let mut text = match member {
        Some(member) => format!("client {:?} at {:?}", member.client_id, member.client_host),
        None => "a client".to_owned(),
    };
    if let Some(Identity { host, process, since, .. }) = identity {
        let (hour, minute, second) = (since / 3600 % 24, since / 60 % 60, since % 60);
        let _ = write!(
            text,
            ", host {host:?}, process {process}, since {hour:02}:{minute:02}:{second:02} UTC ({} s ago)",
            seconds_since_1970().saturating_sub(*since)
        );
    }
    text
}

fn me(instance: u64) -> Identity {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let boot = read("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    let process = std::process::id();
    let started = started_of(process).unwrap_or_default();
    let known = !boot.is_empty() && !namespace.is_empty() && !started.is_empty();
    Identity {
        host: read("/proc/sys/kernel/hostname"),
        process,
        started,
        space: if known { format!("{boot} {namespace}") } else { String::new() },
        instance,
        since: seconds_since_1970(),
        session_ms: SESSION.as_millis() as u64,
    }
}

/// When a process started, in clock ticks since boot; `None` if there is no such process or it is a zombie.
fn started_of(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // proc(5): the name in parentheses may hold anything; after it the state is the 3rd field, the start the 22nd.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| started.to_owned())
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_by_its_id_and_a_dead_one_is_not() {
        let me = me(0);
        assert!(!me.space.is_empty() && !me.host.is_empty(), "{me:?}");
        assert_eq!(started_of(me.process), Some(me.started));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let started = started_of(child.id());
        assert!(started.is_some());
        child.kill().expect("killed");
        while std::fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::yield_now();
        }
        assert_eq!(started_of(child.id()), None, "a zombie does nothing any more");
        child.wait().expect("reaped");
        assert_eq!(started_of(child.id()), None);
    }

    #[test]
    fn a_membership_of_this_process_is_alive_until_it_is_dropped() {
        let one = Instance::new();
        let two = Instance::new();
        assert_ne!(one.0, two.0);
        assert!(alive().contains(&one.0));
        let gone = one.0;
        drop(one);
        assert!(!alive().contains(&gone) && alive().contains(&two.0));
    }

    #[test]
    fn what_another_member_says_is_quoted() {
        let identity =
            Identity { host: "a\u{1b}[31m".to_owned(), since: 11 + 60 * 3 + 3600 * 21, ..Identity::default() };
        let text = who(None, Some(&identity));
        assert!(!text.contains('\u{1b}') && text.contains("since 21:03:11 UTC"), "{text}");
    }
}
