//! Floor 4: pure judgment. Who may call what, how often somebody may speak, how many tokens a day may cost.
//!
//! Who may do what: everything here except [`record`] and its readers is a function of its arguments; callers ask first, act
//! afterwards, and record what they were told. Only this module names the table `policy_decisions`.
//!
//! Absent on purpose: clocks, waiting, and the asking of people (that is `approval`).

mod judge;
mod quota;
mod rate;
mod record;

pub use judge::{Judgment, Question, Reason, Verdict, judge};
pub use quota::{QuotaExceeded, check_quota, parse_limit};
pub use rate::{Admission, Rate, RateLimits, Rates};
pub use record::{Decided, Decision, MIGRATIONS, after, last_id, list, newest, prune, record};

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::call::Tier;

/// What the owner has said about one tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// No question asked, however high the tool's tier. Outsiders stay under their own ceiling all the same.
    Allow,
    /// A person is asked every time, however low the tool's tier.
    Ask,
    /// Nobody may.
    Deny,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// The highest tier that runs without a question for the household's own people.
    pub max_auto_tier: Tier,
    /// The highest tier that runs at all for anybody else.
    pub external_max_tier: Tier,
    /// The highest tier that members of the group may use.
    pub peer_max_tier: Tier,
    /// By tool name.
    pub tools: BTreeMap<String, Rule>,
    /// Who may use tools above tier 0; empty means everybody.
    pub allowed_senders: BTreeSet<String>,
}

impl Default for Config {
    /// Stricter than KafClaw, which let the highest tier run without a question (specification §15 B1).
    fn default() -> Self {
        Self {
            max_auto_tier: Tier::Write,
            external_max_tier: Tier::Read,
            peer_max_tier: Tier::Read,
            tools: BTreeMap::new(),
            allowed_senders: BTreeSet::new(),
        }
    }
}
