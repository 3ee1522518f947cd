//! Whether a task may run here: what the members of its consumer group say of themselves, and which of them are dead.
//!
//! A running task is the sole member of its group. Each member says in which process it is; a process of the same kernel and
//! PID namespace can be looked up, so after a `kill -9` the next start does not wait for the end of a session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a member tells others of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The host's name.
    pub host: String,
    /// The process id.
    pub process: u32,
    /// When the process started, in the kernel's own units; empty if that is not known.
    pub started: String,
    /// Which boot of which kernel, and which PID namespace: within it process ids can be compared. Empty if that is not known.
    pub space: String,
    /// Which membership of this process.
    pub instance: u64,
    /// When it joined, in seconds since 1970.
    pub since: u64,
    /// Its session timeout in milliseconds.
    pub session_ms: u64,
}

impl Identity {
    /// As a member carries it.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always are JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What another member says of itself; `None` if that is nothing of ours.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Whether a member lives, as far as this process can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Alive,
    /// Its process, or its membership in this process, is gone.
    Dead,
    /// It is on another machine, or its process cannot be looked up.
    Unknown,
}

/// Judges a member. `started_of` says when a process of this machine started, `None` if there is no such process; `lives`
/// whether a membership of this process is alive.
pub fn life(
    other: &Identity,
    me: &Identity,
    started_of: impl Fn(u32) -> Option<String>,
    lives: impl Fn(u64) -> bool,
) -> Life {
    if me.space.is_empty() || other.space != me.space {
        return Life::Unknown;
    }
    if (other.process, &other.started) == (me.process, &me.started) {
        return if lives(other.instance) { Life::Alive } else { Life::Dead };
    }
    match started_of(other.process) {
        Some(started) if started == other.started => Life::Alive,
        _ => Life::Dead,
    }
}

/// A member of the task's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its member id.
    pub member_id: String,
    /// What it says of itself; `None` if it is another program's, or the group is changing.
    pub identity: Option<Identity>,
    /// Whether it lives.
    pub life: Life,
}

/// What to do about a group's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Join; these members are dead and can be removed.
    Join {
        /// Their member ids.
        dead: Vec<String>,
    },
    /// Look again soon: a member may be dead, which shows at the latest when its session ends.
    Wait,
    /// This member runs the task.
    Refuse(Seen),
}

/// A start that looks at its group until it may join or is refused.
#[derive(Debug)]
pub struct Admission {
    /// Sessions that are waited for: since when, and whose.
    waiting: Option<(Duration, Vec<String>)>,
}

/// A session that a member does not tell: that of Kafka's consumers before 3.0.
const USUAL_SESSION: Duration = Duration::from_secs(10);

/// How much later than its end a session may be seen to have ended.
const SLACK: Duration = Duration::from_secs(2);

impl Admission {
    /// Before the first look.
    pub fn new() -> Self {
        Self { waiting: None }
    }

    /// Decides about the members as they are `now`, a time since any moment. `stable` says whether members tell who they are.
    pub fn decide(&mut self, now: Duration, members: &[Seen], stable: bool) -> Verdict {
        let open: Vec<_> = members.iter().filter(|member| member.life != Life::Dead).collect();
        let Some(first) = open.first() else {
            return Verdict::Join { dead: members.iter().map(|member| member.member_id.clone()).collect() };
        };
        let another_program = |member: &&&Seen| stable && member.identity.is_none();
        if let Some(alive) = open.iter().find(|member| member.life == Life::Alive || another_program(member)) {
            return Verdict::Refuse((*alive).clone());
        }
        let ids: Vec<_> = open.iter().map(|member| member.member_id.clone()).collect();
        let (since, waited_for) = self.waiting.get_or_insert_with(|| (now, ids.clone()));
        // One that came since is alive.
        let newcomer = open.iter().find(|member| !waited_for.contains(&member.member_id));
        let longest = open.iter().map(|member| session(member)).max().unwrap_or(USUAL_SESSION);
        if newcomer.is_some() || now >= *since + longest + SLACK {
            return Verdict::Refuse((*newcomer.unwrap_or(first)).clone());
        }
        Verdict::Wait
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a member may be silent.
pub fn session(member: &Seen) -> Duration {
    let told = member.identity.as_ref().map(|identity| Duration::from_millis(identity.session_ms));
    // Whoever says more than brokers allow is not waited for longer than they would.
    told.filter(|session| !session.is_zero()).unwrap_or(USUAL_SESSION).min(Duration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn me() -> Identity {
        Identity {
            host: "web-1".to_owned(),
            process: 7,
            started: "100".to_owned(),
            space: "boot pid:[1]".to_owned(),
            instance: 3,
            since: 1_700_000_000,
            session_ms: 10_000,
        }
    }

    fn life_of(change: impl FnOnce(&mut Identity)) -> Life {
        let mut other = me();
        change(&mut other);
        let started_of = |process| (process == 8).then(|| "200".to_owned());
        life(&other, &me(), started_of, |instance| instance == 3)
    }

    #[test]
    fn a_process_of_this_machine_is_looked_up_by_its_id_and_its_start() {
        assert_eq!(life_of(|other| (other.process, other.started) = (8, "200".to_owned())), Life::Alive);
        assert_eq!(life_of(|other| other.process = 9), Life::Dead, "no such process");
        assert_eq!(life_of(|other| other.process = 8), Life::Dead, "its id was given to another process");
    }

    #[test]
    fn a_membership_of_this_process_is_looked_up_in_it() {
        assert_eq!(life_of(|_| ()), Life::Alive);
        assert_eq!(life_of(|other| other.instance = 4), Life::Dead);
    }

    #[test]
    fn a_restarted_container_is_not_the_one_before_although_host_and_process_id_are_the_same() {
        assert_eq!(life_of(|other| "boot pid:[2]".clone_into(&mut other.space)), Life::Unknown);
        assert_eq!(
            life_of(|other| other.started = "99".to_owned()),
            Life::Dead,
            "the same namespace, an earlier start"
        );
        let nowhere = Identity { space: String::new(), ..me() };
        assert_eq!(life(&nowhere, &nowhere, |_| None, |_| false), Life::Unknown, "no /proc");
    }

    fn seen(member_id: &str, life: Life) -> Seen {
        Seen { member_id: member_id.to_owned(), identity: Some(me()), life }
    }

    fn refused(verdict: Verdict) -> Option<String> {
        match verdict {
            Verdict::Refuse(member) => Some(member.member_id),
            _ => None,
        }
    }

    #[test]
    fn nobody_and_the_dead_do_not_keep_a_task_from_starting() {
        let mut admission = Admission::new();
        assert_eq!(admission.decide(SECOND, &[], true), Verdict::Join { dead: Vec::new() });
        let dead = [seen("a", Life::Dead)];
        assert_eq!(admission.decide(SECOND, &dead, true), Verdict::Join { dead: vec!["a".to_owned()] });
    }

    #[test]
    fn one_that_lives_refuses_at_once() {
        let members = [seen("a", Life::Dead), seen("b", Life::Alive)];
        assert_eq!(refused(Admission::new().decide(SECOND, &members, true)).as_deref(), Some("b"));
        let other_program = Seen { identity: None, ..seen("c", Life::Unknown) };
        assert_eq!(refused(Admission::new().decide(SECOND, &[other_program], true)).as_deref(), Some("c"));
    }

    #[test]
    fn one_elsewhere_is_waited_for_until_its_session_must_have_ended() {
        let mut admission = Admission::new();
        let members = [seen("a", Life::Unknown)];
        for second in 5..17 {
            assert_eq!(admission.decide(second * SECOND, &members, true), Verdict::Wait, "{second}");
        }
        assert_eq!(refused(admission.decide(17 * SECOND, &members, true)).as_deref(), Some("a"));
        assert_eq!(admission.decide(17 * SECOND, &[], true), Verdict::Join { dead: Vec::new() }, "it was dead");
    }

    #[test]
    fn one_that_comes_while_another_is_waited_for_has_the_task() {
        let mut admission = Admission::new();
        assert_eq!(admission.decide(SECOND, &[seen("a", Life::Unknown)], true), Verdict::Wait);
        assert_eq!(refused(admission.decide(2 * SECOND, &[seen("b", Life::Unknown)], true)).as_deref(), Some("b"));
    }

    #[test]
    fn while_the_group_changes_nobody_is_taken_for_another_program() {
        let silent = Seen { identity: None, ..seen("a", Life::Unknown) };
        assert_eq!(Admission::new().decide(SECOND, &[silent], false), Verdict::Wait);
    }

    #[test]
    fn an_identity_is_read_as_it_was_written_and_nonsense_is_none() {
        assert_eq!(Identity::parse(&me().to_bytes()), Some(me()));
        for nonsense in [&b""[..], b"x", b"[1]", b"{\"process\":-1}"] {
            assert_eq!(Identity::parse(nonsense), None);
        }
        let absurd = Seen { identity: Some(Identity { session_ms: u64::MAX, ..me() }), ..seen("a", Life::Unknown) };
        assert_eq!(session(&absurd), Duration::from_mins(5));
    }
}
