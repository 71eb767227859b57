//! May this call run, must somebody be asked, or not at all? The reasons are KafClaw's words (specification §7.3).

use std::fmt;

use crate::base::id::SessionKey;
use crate::domain::call::Tier;
use crate::domain::message::Origin;
use crate::policy::{Config, Rule};

/// One call somebody wants to make.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub tool: &'a str,
    pub tier: Tier,
    pub origin: Origin,
    pub sender: &'a str,
    /// The conversation the call belongs to; recorded, not judged.
    pub session: &'a SessionKey,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Allowed,
    NeedsApproval,
    Denied,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgment {
    pub verdict: Verdict,
    pub reason: Reason,
}

/// Why. `Display` is the stored reason, which clients read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    Tier0AlwaysAllowed,
    TierAutoApproved(Tier),
    TierRequiresApproval(Tier),
    TierDeniedForExternalMessage(Tier),
    SenderNotAuthorized(String),
    ToolAllowedByRule,
    ToolRequiresApprovalByRule,
    ToolDeniedByRule,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier0AlwaysAllowed => f.write_str("tier_0_always_allowed"),
            Self::TierAutoApproved(tier) => write!(f, "tier_{}_auto_approved", tier.as_u8()),
            Self::TierRequiresApproval(tier) => write!(f, "tier_{}_requires_approval", tier.as_u8()),
            Self::TierDeniedForExternalMessage(tier) => write!(f, "tier_{}_denied_for_external_message", tier.as_u8()),
            Self::SenderNotAuthorized(sender) => write!(f, "sender_not_authorized: {sender}"),
            Self::ToolAllowedByRule => f.write_str("tool_allowed_by_rule"),
            Self::ToolRequiresApprovalByRule => f.write_str("tool_requires_approval_by_rule"),
            Self::ToolDeniedByRule => f.write_str("tool_denied_by_rule"),
        }
    }
}

/// Judges `question`. Refusals come first, so that no rule can lift what another one forbids.
pub fn judge(config: &Config, question: &Question<'_>) -> Judgment {
    let rule = config.tools.get(question.tool).copied();
    if let Some(reason) = refusal(config, question, rule) {
        return Judgment { verdict: Verdict::Denied, reason };
    }
    let (verdict, reason) = match rule {
        Some(Rule::Ask) => (Verdict::NeedsApproval, Reason::ToolRequiresApprovalByRule),
        Some(Rule::Allow) => (Verdict::Allowed, Reason::ToolAllowedByRule),
        _ if question.tier == Tier::Read => (Verdict::Allowed, Reason::Tier0AlwaysAllowed),
        // An outsider or a peer under its ceiling needs no approval; the owner set that ceiling.
        _ if question.origin != Origin::Internal || question.tier <= config.max_auto_tier => {
            (Verdict::Allowed, Reason::TierAutoApproved(question.tier))
        }
        _ => (Verdict::NeedsApproval, Reason::TierRequiresApproval(question.tier)),
    };
    Judgment { verdict, reason }
}

fn refusal(config: &Config, question: &Question<'_>, rule: Option<Rule>) -> Option<Reason> {
    if rule == Some(Rule::Deny) {
        return Some(Reason::ToolDeniedByRule);
    }
    if question.tier == Tier::Read {
        return None;
    }
    if !config.allowed_senders.is_empty() && !config.allowed_senders.contains(question.sender) {
        return Some(Reason::SenderNotAuthorized(question.sender.to_owned()));
    }
    let ceiling = match question.origin {
        Origin::Internal => return None,
        Origin::Peer => config.peer_max_tier,
        Origin::External => config.external_max_tier,
    };
    (question.tier > ceiling).then_some(Reason::TierDeniedForExternalMessage(question.tier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &Config, (tool, tier, origin, sender): (&str, Tier, Origin, &str)) -> (Verdict, String) {
        let session = SessionKey::from("local:test");
        let judgment = judge(config, &Question { tool, tier, origin, sender, session: &session });
        (judgment.verdict, judgment.reason.to_string())
    }

    #[test]
    fn tiers_and_origins_decide_without_rules() {
        let config = Config::default();
        use Origin::{External, Internal};
        use Verdict::{Allowed, Denied, NeedsApproval};
        for (tier, origin, verdict, reason) in [
            (Tier::Read, Internal, Allowed, "tier_0_always_allowed"),
            (Tier::Write, Internal, Allowed, "tier_1_auto_approved"),
            (Tier::HighRisk, Internal, NeedsApproval, "tier_2_requires_approval"),
            (Tier::Read, External, Allowed, "tier_0_always_allowed"),
            (Tier::Write, External, Denied, "tier_1_denied_for_external_message"),
            (Tier::HighRisk, External, Denied, "tier_2_denied_for_external_message"),
        ] {
            assert_eq!(check(&config, ("exec", tier, origin, "ann")), (verdict, reason.to_owned()));
        }
    }

    #[test]
    fn rules_refine_but_never_lift_the_outsiders_ceiling() {
        let config = Config {
            tools: [("a", Rule::Allow), ("b", Rule::Ask), ("c", Rule::Deny)].map(|(t, r)| (t.to_owned(), r)).into(),
            ..Config::default()
        };
        use Origin::{External, Internal};
        use Verdict::{Allowed, Denied, NeedsApproval};
        for (tool, tier, origin, verdict, reason) in [
            ("a", Tier::HighRisk, Internal, Allowed, "tool_allowed_by_rule"),
            ("a", Tier::HighRisk, External, Denied, "tier_2_denied_for_external_message"),
            ("b", Tier::Read, Internal, NeedsApproval, "tool_requires_approval_by_rule"),
            ("b", Tier::Write, External, Denied, "tier_1_denied_for_external_message"),
            ("c", Tier::Read, Internal, Denied, "tool_denied_by_rule"),
            ("c", Tier::Read, External, Denied, "tool_denied_by_rule"),
        ] {
            assert_eq!(check(&config, (tool, tier, origin, "ann")), (verdict, reason.to_owned()), "{tool} {tier:?}");
        }
    }

    #[test]
    fn a_sender_who_is_not_on_the_list_reads_only() {
        let config = Config { allowed_senders: ["ann".to_owned()].into(), ..Config::default() };
        let ask = |tier, sender| check(&config, ("x", tier, Origin::Internal, sender));
        assert_eq!(ask(Tier::Write, "ann").0, Verdict::Allowed);
        assert_eq!(ask(Tier::Write, "bob"), (Verdict::Denied, "sender_not_authorized: bob".to_owned()));
        assert_eq!(ask(Tier::Read, "bob").0, Verdict::Allowed);
    }

    #[test]
    fn a_higher_ceiling_for_outsiders_needs_no_approval() {
        let config = Config { external_max_tier: Tier::HighRisk, ..Config::default() };
        assert_eq!(
            check(&config, ("x", Tier::HighRisk, Origin::External, "eve")),
            (Verdict::Allowed, "tier_2_auto_approved".to_owned())
        );
    }
}
