//! The steps of a connection test and how each of them ended.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::Paint;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    /// It works, but something about it is worth knowing.
    Warn,
    Fail,
    /// Not tried: a step before it failed, or there is nothing to try.
    Skipped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Pass => "32",
            Self::Warn => "33",
            Self::Fail => "31",
            Self::Skipped => "2",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    pub(super) help: Option<String>,
}

/// The steps of one connection so far.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn pass(&mut self, name: &'static str, detail: impl Into<String>) {
        self.push(name, Outcome::Pass, detail.into(), None);
    }

    pub(super) fn warn(&mut self, name: &'static str, detail: impl Into<String>, help: impl Into<String>) {
        self.push(name, Outcome::Warn, detail.into(), Some(help.into()));
    }

    pub(super) fn fail(&mut self, name: &'static str, detail: impl Into<String>, help: impl Into<String>) {
        self.push(name, Outcome::Fail, detail.into(), Some(help.into()));
    }

    /// There is nothing to try.
    pub(super) fn skip(&mut self, name: &'static str, reason: impl Into<String>) {
        self.push(name, Outcome::Skipped, reason.into(), None);
    }

    /// All of these cannot be tried because of the step that failed last.
    pub(super) fn skip_all(&mut self, names: &[&'static str]) {
        let failed =
            self.0.iter().rfind(|step| step.outcome == Outcome::Fail).map_or("an earlier step", |step| step.name);
        for name in names {
            self.push(name, Outcome::Skipped, format!("because {failed} failed"), None);
        }
    }

    pub(super) fn append(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }

    pub(super) fn all_pass(&self) -> bool {
        self.0.iter().all(|step| step.outcome == Outcome::Pass)
    }

    pub(super) fn details(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|step| step.detail)
    }

    fn push(&mut self, name: &'static str, outcome: Outcome, detail: String, help: Option<String>) {
        self.0.push(Step { name, outcome, detail, help });
    }

    pub(super) fn failed(&self) -> bool {
        self.count(Outcome::Fail) > 0
    }

    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|step| step.outcome == outcome).count()
    }

    /// A line a step, with its help below.
    pub(super) fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        for step in &self.0 {
            let outcome = paint.style(step.outcome.colour(), &format!("{:<7}", step.outcome.name()));
            let _ = writeln!(out, "  {outcome}  {:<11}  {}", step.name, indented(&step.detail));
            if let Some(help) = &step.help {
                let _ = writeln!(out, "           {:<11}  help: {}", "", indented(help));
            }
        }
        out
    }

    pub(super) fn as_json(&self) -> Vec<Value> {
        let one = |step: &Step| json!({ "step": step.name, "outcome": step.outcome.name(), "detail": step.detail, "help": step.help });
        self.0.iter().map(one).collect()
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n                        ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_after_a_failure_say_which_one_it_was() {
        let mut steps = Steps::default();
        steps.pass("config", "shop.toml");
        steps.fail("TCP", "refused", "start it");
        steps.skip_all(&["SASL"]);
        assert!(steps.failed());
        assert_eq!(
            steps.render(Paint::Plain),
            "  pass     config       shop.toml\n  fail     TCP          refused\n                        help: start it\n  \
             skipped  SASL         because TCP failed\n"
        );
    }
}
