//! What knowledge messages carry. Fields are in KafClaw's order; those behind a line break are ours and Go skips them.

use serde::{Deserialize, Serialize};

use crate::base::gojson::GoTime;
use crate::domain::refusal::{Refusal, check_id, check_len, check_name};

/// Longest subject, predicate, object, statement, title or reason, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
pub const TAGS_LEN_MAX: usize = 64;
/// Facts in one digest or one wish.
pub const DIGEST_LEN_MAX: usize = 200;
/// Votes that a decision may name.
pub const BALLOTS_LEN_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Presence {
    pub display_name: String,
    pub group: String,
    /// `active` or `stopping`.
    pub status: String,
    pub updated_at: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    pub capabilities: Option<Vec<String>>,
    pub display_name: String,
    pub group: String,
    pub model: String,
    pub updated_at: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Proposal {
    pub proposal_id: String,
    pub group: String,
    pub title: String,
    pub statement: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,

    /// When it is too old to be decided otherwise; the receiver's own rule counts when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<GoTime>,
}

/// A voter's word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoteWord {
    Yes,
    No,
}

impl VoteWord {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }

    /// In any case, as Go takes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Yes, Self::No].into_iter().find(|word| word.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Vote {
    pub proposal_id: String,
    pub vote: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,

    /// Grows when the voter thinks again; 0 when the voter does not count (Go), and then the message's time counts.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    Approved,
    Rejected,
    Expired,
}

impl Outcome {
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Expired];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Decision {
    pub proposal_id: String,
    pub outcome: String,
    pub yes: i64,
    pub no: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,

    /// The votes it rests on, so that everybody can check it however many votes came later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Ballot>,
}

/// One vote as a decision names it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ballot {
    pub claw_id: String,
    pub vote: String,
    pub version: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Fact {
    pub fact_id: String,
    pub group: String,
    pub subject: String,
    pub predicate: String,
    pub object: String,
    pub version: i64,
    pub source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proposal_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub decision_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<GoTime>,

    /// Sent from what a replica holds, not by the author: earlier versions need not be known.
    #[serde(skip_serializing_if = "is_false")]
    pub snapshot: bool,
}

/// The facts of one group whose ids lie after `after` and up to `until`, as the sender holds them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Digest {
    pub group: String,
    /// Who is to answer.
    pub target_claw: String,
    /// Id before the first; blank for the beginning.
    pub after: String,
    /// Last id covered; blank for the end.
    pub until: String,
    pub facts: Vec<DigestEntry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DigestEntry {
    pub fact_id: String,
    pub version: i64,
    /// Of the content, hexadecimal.
    pub hash: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Want {
    pub group: String,
    pub target_claw: String,
    pub fact_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DigestEnd {
    pub group: String,
    pub target_claw: String,
    /// Last fact id that the answer covers; blank when it covers everything.
    pub covered: String,
}

impl Proposal {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("proposalId", &self.proposal_id)?;
        check_id("group", &self.group)?;
        required("statement", &self.statement)?;
        short("title", &self.title)?;
        tags(&self.tags)
    }
}

impl Vote {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("proposalId", &self.proposal_id)?;
        required("vote", &self.vote)?;
        short("reason", &self.reason)?;
        if self.word().is_none() {
            return Err(Refusal::Meaningless { field: "vote" });
        }
        at_least("version", self.version, 0)
    }

    pub fn word(&self) -> Option<VoteWord> {
        VoteWord::parse(&self.vote)
    }
}

impl Decision {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("proposalId", &self.proposal_id)?;
        required("outcome", &self.outcome)?;
        if Outcome::parse(&self.outcome).is_none() {
            return Err(Refusal::Meaningless { field: "outcome" });
        }
        at_least("yes", self.yes, 0)?;
        at_least("no", self.no, 0)?;
        short("reason", &self.reason)?;
        check_len("votes", &self.votes, BALLOTS_LEN_MAX)?;
        self.votes.iter().try_for_each(|ballot| check_id("votes.clawId", &ballot.claw_id))
    }
}

impl Fact {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("factId", &self.fact_id)?;
        check_id("group", &self.group)?;
        check_id("source", &self.source)?;
        required("subject", &self.subject)?;
        required("predicate", &self.predicate)?;
        required("object", &self.object)?;
        check_name("proposalId", &self.proposal_id)?;
        check_name("decisionId", &self.decision_id)?;
        at_least("version", self.version, 1)?;
        tags(&self.tags)
    }
}

impl Digest {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("targetClaw", &self.target_claw)?;
        check_name("after", &self.after)?;
        check_name("until", &self.until)?;
        check_len("facts", &self.facts, DIGEST_LEN_MAX)?;
        self.facts.iter().try_for_each(|entry| check_id("facts.factId", &entry.fact_id))
    }
}

impl Want {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_id("targetClaw", &self.target_claw)?;
        check_len("factIds", &self.fact_ids, DIGEST_LEN_MAX)?;
        self.fact_ids.iter().try_for_each(|id| check_id("factIds", id))
    }
}

fn required(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Missing { field });
    }
    short(field, text)
}

fn short(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::TooLong { field, bytes_max: TEXT_BYTES_MAX });
    }
    Ok(())
}

fn tags(tags: &[String]) -> Result<(), Refusal> {
    check_len("tags", tags, TAGS_LEN_MAX)?;
    tags.iter().try_for_each(|tag| check_name("tags", tag))
}

fn at_least(field: &'static str, number: i64, least: i64) -> Result<(), Refusal> {
    if number < least { Err(Refusal::Meaningless { field }) } else { Ok(()) }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
