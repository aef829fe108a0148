//! How the answers of the modules become the answer of a stack (pam.conf(5); LOGIN-66).
//!
//! A module whose answer is not known has several; every way through the stack is followed, so that an answer which
//! changes nothing does no harm. Bound: [`STEPS_MAX`].

use super::code::{Action, Code};
use super::config::{Call, Entry};
use crate::login::Finding;

/// Bound on the lines that are passed, over all ways through a stack.
const STEPS_MAX: usize = 10_000;

/// One possible answer of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// What it says.
    pub(super) code: Code,
    /// What stands behind it, as a finding that blocks, or only warns where PAM goes on.
    pub(super) reason: Option<Finding>,
}

impl Answer {
    /// An answer that needs no reason.
    pub(super) fn plain(code: Code) -> Self {
        Self { code, reason: None }
    }

    /// An answer with its reason.
    pub(super) fn because(code: Code, reason: Finding) -> Self {
        Self { code, reason: Some(reason) }
    }
}

/// What a line answers that PAM cannot use.
const MUST_FAIL: [Answer; 1] = [Answer { code: Code::PermDenied, reason: None }];

/// One possible result of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What the stack says.
    pub(super) code: Code,
    /// Index of the line that decided, if one did.
    pub(super) decided_by: Option<usize>,
    /// The reasons of the answers on the way that did not just go on.
    pub(super) reasons: Vec<Finding>,
    /// Indexes of the lines on the way that could have answered otherwise.
    pub(super) open: Vec<usize>,
}

/// What counts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

#[derive(Debug, Clone)]
struct State {
    next: usize,
    previous_level: u32,
    impression: Impression,
    code: Code,
    decided_by: Option<usize>,
    /// Impression and code at the start of each substack, by level.
    saved: Vec<(u32, Impression, Code, Option<usize>)>,
    reasons: Vec<Finding>,
    open: Vec<usize>,
}

/// Every result that `entries` can have; `answers` are those of the lines, each at least one. `None` if there are
/// too many ways.
pub(super) fn run(entries: &[Entry], answers: &[Vec<Answer>]) -> Option<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let start = (Impression::Undefined, Code::PermDenied, None);
    let mut states = vec![State {
        next: 0,
        previous_level: 0,
        impression: start.0,
        code: start.1,
        decided_by: start.2,
        saved: vec![(0, start.0, start.1, start.2)],
        reasons: Vec::new(),
        open: Vec::new(),
    }];
    let mut steps = 0usize;
    while let Some(mut state) = states.pop() {
        steps = steps.saturating_add(1);
        if steps > STEPS_MAX {
            return None;
        }
        let Some(entry) = entries.get(state.next) else {
            let outcome = state.outcome();
            if !outcomes.contains(&outcome) {
                outcomes.push(outcome);
            }
            continue;
        };
        state.enter(entry.level);
        let index = state.next;
        if entry.call == Call::Substack {
            state.next = index.saturating_add(1);
            states.push(state);
            continue;
        }
        let known = answers.get(index).map_or(MUST_FAIL.as_slice(), Vec::as_slice);
        let is_failure = matches!(entry.call, Call::Failure(_)) || known.is_empty();
        let choices = if is_failure { MUST_FAIL.as_slice() } else { known };
        for choice in distinct(entry, choices) {
            let mut state = state.clone();
            if choices.len() > 1 {
                state.open.push(index);
            }
            state.reasons.extend(choice.reason.clone());
            state.take(entries, entry, choice.code);
            states.push(state);
        }
    }
    Some(outcomes)
}

/// Of answers that the line treats alike and that mean the same for sshd, one is enough.
fn distinct<'a>(entry: &Entry, choices: &'a [Answer]) -> Vec<&'a Answer> {
    let mut kept: Vec<&Answer> = Vec::new();
    for choice in choices {
        let is_same = |other: &&Answer| {
            entry.control.action(other.code) == entry.control.action(choice.code)
                && other.code.goes_on() == choice.code.goes_on()
                && (other.code == Code::NewAuthtokReqd) == (choice.code == Code::NewAuthtokReqd)
                && other.reason == choice.reason
        };
        if !kept.iter().any(is_same) {
            kept.push(choice);
        }
    }
    kept
}

impl State {
    fn outcome(self) -> Outcome {
        // A success that nothing stands for is none.
        let is_baseless = self.code == Code::Success && self.impression != Impression::Positive;
        let code = if is_baseless { Code::PermDenied } else { self.code };
        let Self { decided_by, reasons, open, .. } = self;
        Outcome { code, decided_by, reasons, open }
    }

    /// Keeps what counted when a substack begins.
    fn enter(&mut self, level: u32) {
        if self.previous_level < level {
            self.saved.retain(|saved| saved.0 != level);
            self.saved.push((level, self.impression, self.code, self.decided_by));
        }
        self.previous_level = level;
    }

    /// Goes on from `entry`, which answered `code`.
    fn take(&mut self, entries: &[Entry], entry: &Entry, code: Code) {
        let index = self.next;
        self.next = index.saturating_add(1);
        match entry.control.action(code) {
            Action::Ignore => {}
            Action::Reset => {
                let saved = self.saved.iter().find(|saved| saved.0 == entry.level);
                if let Some(&(_, impression, code, decided_by)) = saved {
                    (self.impression, self.code, self.decided_by) = (impression, code, decided_by);
                }
            }
            action @ (Action::Ok | Action::Done) => {
                let counts = match self.impression {
                    Impression::Undefined => true,
                    Impression::Positive => self.code == Code::Success,
                    Impression::Negative => false,
                };
                if counts {
                    self.set(Impression::Positive, code, index);
                }
                if action == Action::Done && self.impression == Impression::Positive {
                    self.leave(entries, entry.level);
                }
            }
            action @ (Action::Bad | Action::Die) => {
                if self.impression != Impression::Negative {
                    let code = if code == Code::Ignore { Code::PermDenied } else { code };
                    self.set(Impression::Negative, code, index);
                }
                if action == Action::Die {
                    self.leave(entries, entry.level);
                }
            }
            Action::Jump(count) => self.jump(entries, entry.level, count, index),
        }
    }

    fn set(&mut self, impression: Impression, code: Code, index: usize) {
        (self.impression, self.code, self.decided_by) = (impression, code, Some(index));
    }

    /// Skips the rest of the stack of `level`.
    fn leave(&mut self, entries: &[Entry], level: u32) {
        while entries.get(self.next).is_some_and(|entry| entry.level >= level) {
            self.next = self.next.saturating_add(1);
        }
        self.previous_level = level;
    }

    /// Skips `count` lines of `level`, a substack being one; fewer lines are an error.
    fn jump(&mut self, entries: &[Entry], level: u32, count: u32, index: usize) {
        for _ in 0..count {
            if entries.get(self.next).is_none_or(|entry| entry.level < level) {
                return self.set(Impression::Negative, Code::PermDenied, index);
            }
            self.next = self.next.saturating_add(1);
            while entries.get(self.next).is_some_and(|entry| entry.level > level) {
                self.next = self.next.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::pam::code::Control;

    fn entries(count: usize, control: &str) -> Vec<Entry> {
        let call = Call::Module { path: b"x.so".to_vec(), arguments: Vec::new() };
        let control = Control::parse(control.as_bytes());
        vec![Entry { place: "x:1".to_owned(), level: 0, call, control }; count]
    }

    #[test]
    fn open_answers_have_an_end_and_those_that_change_nothing_do_no_harm() {
        let both = vec![Answer::plain(Code::Success), Answer::plain(Code::AuthErr)];
        let answers = vec![both; 64];
        // Each way through ends in another set of reasons, and there are too many ways.
        assert_eq!(run(&entries(64, "required"), &answers), None);
        let outcomes = run(&entries(3, "required"), &answers).unwrap();
        assert!(outcomes.iter().any(|outcome| outcome.code == Code::Success));
        assert!(outcomes.iter().any(|outcome| outcome.code == Code::AuthErr));
        // `optional` takes a refusal as nothing, but a success counts.
        let outcomes = run(&entries(2, "default=ignore"), &answers).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.code == Code::PermDenied));
    }

    #[test]
    fn a_line_without_answers_fails() {
        assert_eq!(run(&entries(1, "required"), &[]).unwrap()[0].code, Code::PermDenied);
        assert_eq!(run(&[], &[]).unwrap()[0].code, Code::PermDenied);
    }
}
