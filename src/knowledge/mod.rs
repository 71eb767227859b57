//! Floor 6: what the group knows together: proposals, votes, decisions, and facts with versions. Owner of the tables `knowledge_*`.
//!
//! Who may do what: [`apply`] takes a message of another member, in the caller's transaction, and says what has to be told and sent;
//! [`propose`], [`vote`] and [`publish_fact`] are this member's own words; [`tick`] does what comes with time; [`reconnected`] lets
//! replicas compare what they hold. The rules are pure: [`ballot`] for votes, [`fact`] for facts.
//!
//! What a replica holds depends on the messages it has seen, not on their order. A message is noted as done in the transaction of
//! its effect, never before; what comes too early (a fact before its predecessor, a decision before its votes) waits and is not
//! noted.
//!
//! Absent on purpose: Kafka (`group` carries the messages), signatures (likewise), trust in a decision that the votes do not prove.

mod apply;
pub mod ballot;
mod compare;
pub mod fact;
mod own;
mod schema;
mod store;
mod tick;
pub mod wire;

pub use apply::{Applied, FactsHeard, Outgoing, Status, apply, facts_heard};
pub use compare::reconnected;
pub use own::{
    FactDraft, ProposalDraft, PublishRefusal, capabilities, may_leave, presence, propose, publish_fact, vote,
};
pub use schema::MIGRATIONS;
pub use store::{Claw, Counts, Proposal, ballots, claws, counts, fact, facts, proposal, proposals};
pub use tick::tick;

use crate::base::clock::Timestamp;

/// How facts are shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ShareMode {
    /// A fact needs a proposal that was approved.
    #[default]
    Proposal,
    /// Facts are published as they are.
    Direct,
}

/// This member in the group that shares knowledge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub is_enabled: bool,
    /// Whether proposals, votes, decisions and facts are taken at all.
    pub is_governed: bool,
    pub group: String,
    /// Must differ from everybody else's; see [`distinct_claw_id`].
    pub claw_id: String,
    pub instance_id: String,
    pub display_name: String,
    pub share_mode: ShareMode,
    /// A tag of these must be there for something to leave; blank for any.
    pub allow_tags: Vec<String>,
    /// What has one of these stays here.
    pub deny_tags: Vec<String>,
    pub policy: ballot::Policy,
}

impl Default for Config {
    fn default() -> Self {
        let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        Self {
            is_enabled: false,
            is_governed: true,
            group: "kafclaw".to_owned(),
            claw_id: CLAW_ID_DEFAULT.to_owned(),
            instance_id: "default".to_owned(),
            display_name: "KafClaw Local".to_owned(),
            share_mode: ShareMode::default(),
            allow_tags: list(&["ops", "security", "runbook", "integration"]),
            deny_tags: list(&["pii", "secrets", "customer-private"]),
            policy: ballot::Policy::default(),
        }
    }
}

/// KafClaw's default, which every node has: with it they take each other's messages for their own.
const CLAW_ID_DEFAULT: &str = "claw-local";

/// The configured id, or one that follows from the member's name in the group when nobody chose one.
pub fn distinct_claw_id(configured: &str, agent_id: &str) -> String {
    match configured.trim() {
        "" | CLAW_ID_DEFAULT => format!("claw-{agent_id}"),
        chosen => chosen.to_owned(),
    }
}

/// What judging a message needs besides the message.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub config: &'a Config,
    /// Members of the group that have not left, this one included.
    pub pool: usize,
    pub now: Timestamp,
}

#[cfg(test)]
mod tests;
