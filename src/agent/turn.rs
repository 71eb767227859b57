//! The turn of a model as a state machine without I/O: what was said and done goes in, the next step comes out. A crash is
//! survived by feeding it the journal again.

use std::collections::{HashSet, VecDeque};

use crate::domain::call::{Call, Outcome};

/// Longest id of a call that is kept as the model gave it.
const CALL_ID_BYTES_MAX: usize = 64;
/// Calls of one round; more than any sensible model makes.
const CALLS_PER_ROUND_MAX: usize = 32;

/// One thing that happened in this turn, as a model wants to read it.
#[derive(Clone, PartialEq, Debug)]
pub enum Entry {
    Said { text: String, calls: Vec<Call> },
    Heard { call: Call, outcome: Outcome },
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    ModelSaid { text: String, calls: Vec<Call> },
    CallEnded { call_id: String, outcome: Outcome },
}

/// What comes next.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    AskModel,
    Run(Call),
    Answer(String),
    /// The model wants to go on and on.
    TooManyRounds,
}

#[derive(Debug)]
pub struct Turn {
    rounds_max: u32,
    rounds: u32,
    waiting: VecDeque<Call>,
    entries: Vec<Entry>,
    ids: HashSet<String>,
    answer: Option<String>,
}

impl Turn {
    pub fn new(rounds_max: u32) -> Self {
        Self {
            rounds_max: rounds_max.max(1),
            rounds: 0,
            waiting: VecDeque::new(),
            entries: Vec::new(),
            ids: HashSet::new(),
            answer: None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Rounds the model has been asked so far.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Takes a fact in. A fact that nobody waited for changes nothing.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::ModelSaid { text, calls } => {
                if !self.waiting.is_empty() || self.answer.is_some() {
                    return;
                }
                self.rounds += 1;
                let calls = self.with_own_ids(calls);
                if calls.is_empty() {
                    self.answer = Some(text);
                } else {
                    self.waiting.extend(calls.iter().cloned());
                    self.entries.push(Entry::Said { text, calls });
                }
            }
            Fact::CallEnded { call_id, outcome } => {
                if self.waiting.front().is_some_and(|call| call.id == call_id)
                    && let Some(call) = self.waiting.pop_front()
                {
                    self.entries.push(Entry::Heard { call, outcome });
                }
            }
        }
    }

    pub fn next(&self) -> Step {
        match (&self.answer, self.waiting.front()) {
            (Some(text), _) => Step::Answer(text.clone()),
            (None, Some(call)) => Step::Run(call.clone()),
            (None, None) if self.rounds >= self.rounds_max => Step::TooManyRounds,
            (None, None) => Step::AskModel,
        }
    }

    /// Models repeat ids, leave them out, or make them absurdly long; the journal and the approvals need one per call.
    fn with_own_ids(&mut self, calls: Vec<Call>) -> Vec<Call> {
        let rounds = self.rounds;
        let named = calls.into_iter().take(CALLS_PER_ROUND_MAX).enumerate().map(|(index, mut call)| {
            if call.id.is_empty() || call.id.len() > CALL_ID_BYTES_MAX || self.ids.contains(&call.id) {
                call.id = format!("call_{rounds}_{index}");
            }
            self.ids.insert(call.id.clone());
            call
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn call(id: &str) -> Call {
        Call { id: id.to_owned(), tool: "t".to_owned(), arguments: json!({}) }
    }

    fn said(text: &str, ids: &[&str]) -> Fact {
        Fact::ModelSaid { text: text.to_owned(), calls: ids.iter().map(|id| call(id)).collect() }
    }

    fn ended(id: &str) -> Fact {
        Fact::CallEnded { call_id: id.to_owned(), outcome: Outcome::done("ok") }
    }

    #[test]
    fn calls_run_one_after_the_other_and_then_the_model_speaks_again() {
        let mut turn = Turn::new(5);
        assert_eq!(turn.next(), Step::AskModel);
        turn.learn(said("", &["a", "b"]));
        assert_eq!(turn.next(), Step::Run(call("a")));
        turn.learn(ended("b"));
        assert_eq!(turn.next(), Step::Run(call("a")), "b was not waited for");
        turn.learn(ended("a"));
        assert_eq!(turn.next(), Step::Run(call("b")));
        turn.learn(ended("b"));
        assert_eq!(turn.next(), Step::AskModel);
        turn.learn(said("done", &[]));
        assert_eq!(turn.next(), Step::Answer("done".to_owned()));
        assert_eq!(turn.entries().len(), 3);
    }

    #[test]
    fn a_model_that_never_stops_is_stopped() {
        let mut turn = Turn::new(2);
        for id in ["a", "b"] {
            turn.learn(said("", &[id]));
            turn.learn(ended(id));
        }
        assert_eq!(turn.next(), Step::TooManyRounds);
    }

    #[test]
    fn missing_and_repeated_ids_become_our_own() {
        let mut turn = Turn::new(5);
        turn.learn(said("", &["", "x", "x"]));
        let ids: Vec<String> = turn.waiting.iter().map(|call| call.id.clone()).collect();
        assert_eq!(ids, ["call_1_0", "x", "call_1_2"]);
    }

    proptest! {
        /// However a journal is cut by a crash, replaying it leads to the same step as having lived through it.
        #[test]
        fn a_replayed_journal_leads_to_the_same_step(rounds in proptest::collection::vec(0_usize..4, 1..6)) {
            let mut lived = Turn::new(10);
            let mut journal = Vec::new();
            for calls in rounds {
                if !matches!(lived.next(), Step::AskModel) { break; }
                let fact = Fact::ModelSaid { text: "t".to_owned(), calls: vec![call(""); calls] };
                journal.push(fact.clone());
                lived.learn(fact);
                while let Step::Run(call) = lived.next() {
                    let fact = Fact::CallEnded { call_id: call.id, outcome: Outcome::done("ok") };
                    journal.push(fact.clone());
                    lived.learn(fact);
                    let mut replayed = Turn::new(10);
                    journal.iter().cloned().for_each(|fact| replayed.learn(fact));
                    prop_assert_eq!(replayed.next(), lived.next());
                    prop_assert_eq!(replayed.entries(), lived.entries());
                }
            }
        }
    }
}
