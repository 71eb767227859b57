//! The member that wants to be let in, without I/O. Several members may answer; one that lets us in is enough.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::group::wire::sign::{Challenge, Signer};

/// How long the answers may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the first no: somebody else may still say yes, but not for long.
const PATIENCE_AFTER_NO: Duration = Duration::from_secs(5);
/// Challenges that are signed in one attempt.
const ANSWERS_MAX: usize = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact<'a> {
    /// `sponsor` is the sender of the message. Agents in Go send no nonce but a question in words.
    Challenged {
        sponsor: &'a PeerId,
        nonce: &'a str,
    },
    Completed {
        sponsor: &'a PeerId,
    },
    Rejected {
        sponsor: &'a PeerId,
        reason: &'a str,
    },
    TimePassed,
}

/// A response to a challenge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub sponsor: PeerId,
    pub nonce: String,
    /// A signature, or a sentence for those who asked in words.
    pub proof: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Respond(Answer),
    /// The attempt is over.
    End(Outcome),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    LetIn {
        by: PeerId,
    },
    /// Everybody who answered said no; the first reason.
    ShutOut {
        by: PeerId,
        reason: String,
    },
    /// Nobody is there, or nobody answers.
    NobodyAnswered,
}

/// One attempt.
#[derive(Clone)]
pub struct Joiner {
    group: String,
    agent_id: PeerId,
    signer: Option<Signer>,
    until: Timestamp,
    answered: Vec<(PeerId, String)>,
    rejected: Option<(PeerId, String)>,
    is_over: bool,
}

impl Joiner {
    /// When the request is sent.
    pub fn begin(group: impl Into<String>, agent_id: PeerId, signer: Option<Signer>, now: Timestamp) -> Self {
        let (answered, rejected) = (Vec::new(), None);
        Self { group: group.into(), agent_id, signer, until: now.plus(PATIENCE), answered, rejected, is_over: false }
    }

    pub fn next(&mut self, fact: Fact<'_>, now: Timestamp) -> Option<Step> {
        if self.is_over {
            return None;
        }
        match fact {
            Fact::Challenged { sponsor, nonce } => self.respond(sponsor, nonce),
            Fact::Completed { sponsor } => Some(self.end(Outcome::LetIn { by: sponsor.clone() })),
            Fact::Rejected { sponsor, reason } => {
                // Somebody else may still let us in.
                self.rejected.get_or_insert_with(|| (sponsor.clone(), reason.to_owned()));
                self.until = self.until.min(now.plus(PATIENCE_AFTER_NO));
                None
            }
            Fact::TimePassed if now >= self.until => {
                let outcome = match self.rejected.take() {
                    Some((by, reason)) => Outcome::ShutOut { by, reason },
                    None => Outcome::NobodyAnswered,
                };
                Some(self.end(outcome))
            }
            Fact::TimePassed => None,
        }
    }

    /// When [`Fact::TimePassed`] ends it.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    fn respond(&mut self, sponsor: &PeerId, nonce: &str) -> Option<Step> {
        let question = (sponsor.clone(), nonce.to_owned());
        if self.answered.len() >= ANSWERS_MAX || self.answered.contains(&question) || *sponsor == self.agent_id {
            return None;
        }
        self.answered.push(question);
        let challenge =
            Challenge { group: &self.group, requester: self.agent_id.as_str(), sponsor: sponsor.as_str(), nonce };
        let proof = self.signer.as_ref().filter(|_| !nonce.is_empty()).map(|signer| signer.prove(&challenge));
        Some(Step::Respond(Answer { sponsor: sponsor.clone(), nonce: nonce.to_owned(), proof }))
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        self.is_over = true;
        Step::End(outcome)
    }
}
