//! Who is heard on Slack and Teams (specification §9.3). Pure.

use serde::Deserialize;

use crate::channel::bridge::{Account, Heard};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DmPolicy {
    Disabled,
    Open,
    Allowlist,
    #[default]
    Pairing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupPolicy {
    Disabled,
    Open,
    #[default]
    Allowlist,
}

/// A decision; its reason is KafClaw's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    is_allowed: bool,
    reason: &'static str,
}

impl Verdict {
    pub fn is_allowed(self) -> bool {
        self.is_allowed
    }

    pub fn reason(self) -> &'static str {
        self.reason
    }
}

const fn allowed(reason: &'static str) -> Verdict {
    Verdict { is_allowed: true, reason }
}

const fn dropped(reason: &'static str) -> Verdict {
    Verdict { is_allowed: false, reason }
}

pub(super) fn judge(account: &Account, heard: &Heard) -> Verdict {
    if heard.sender_id.trim().is_empty() {
        return dropped("missing_sender_id");
    }
    if heard.is_group { group(account, heard) } else { direct(account, heard) }
}

fn direct(account: &Account, heard: &Heard) -> Verdict {
    let is_listed = lists(&account.allow_from, &heard.sender_id);
    match account.dm_policy.unwrap_or_default() {
        DmPolicy::Disabled => dropped("dm_policy_disabled"),
        DmPolicy::Open => allowed("dm_policy_open"),
        DmPolicy::Allowlist | DmPolicy::Pairing if is_listed => allowed("dm_allowlist_match"),
        DmPolicy::Allowlist => dropped("dm_allowlist_block"),
        DmPolicy::Pairing => dropped("dm_pairing_required"),
    }
}

fn group(account: &Account, heard: &Heard) -> Verdict {
    if account.require_mention && !heard.was_mentioned {
        return dropped("mention_required");
    }
    match account.group_policy.unwrap_or_default() {
        GroupPolicy::Disabled => dropped("group_policy_disabled"),
        GroupPolicy::Open => allowed("group_policy_open"),
        GroupPolicy::Allowlist => {
            let own = &account.group_allow_from;
            let list = if own.is_empty() { &account.allow_from } else { own };
            let place = [("team:", &heard.group_id), ("channel:", &heard.channel_id)];
            let is_place_listed = list.iter().any(|entry| {
                let entry = entry.trim().to_lowercase();
                place.iter().any(|(prefix, id)| !id.is_empty() && entry == format!("{prefix}{}", id.to_lowercase()))
            });
            if is_place_listed || lists(list, &heard.sender_id) {
                allowed("group_allowlist_match")
            } else {
                dropped("group_allowlist_block")
            }
        }
    }
}

/// Compared in lower case and without the prefixes that people copy along.
fn lists(list: &[String], sender: &str) -> bool {
    let sender = bare(sender);
    list.iter().map(|entry| bare(entry)).any(|entry| entry == "*" || entry == sender)
}

fn bare(name: &str) -> String {
    let mut name = name.trim().to_lowercase();
    for prefix in ["slack:", "msteams:", "teams:", "user:"] {
        name = name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(dm: &str, group: &str, allow: &[&str], mention: bool) -> Account {
        let section =
            serde_json::json!({"dmPolicy": dm, "groupPolicy": group, "allowFrom": allow, "requireMention": mention});
        serde_json::from_value(section).expect("an account")
    }

    #[test]
    fn policies_decide_with_kafclaws_reasons() {
        for (dm, group, allow, mention, is_group, mentioned, reason, is_allowed) in [
            ("disabled", "open", &["*"][..], false, false, false, "dm_policy_disabled", false),
            ("open", "open", &[][..], false, false, false, "dm_policy_open", true),
            ("allowlist", "open", &["slack:user:u1"][..], false, false, false, "dm_allowlist_match", true),
            ("allowlist", "open", &["u2"][..], false, false, false, "dm_allowlist_block", false),
            ("pairing", "open", &[][..], false, false, false, "dm_pairing_required", false),
            ("pairing", "open", &["*"][..], false, false, false, "dm_allowlist_match", true),
            ("open", "open", &[][..], true, true, false, "mention_required", false),
            ("open", "open", &[][..], true, true, true, "group_policy_open", true),
            ("open", "disabled", &[][..], false, true, true, "group_policy_disabled", false),
            ("open", "allowlist", &["U1"][..], false, true, false, "group_allowlist_match", true),
            ("open", "allowlist", &["channel:C9"][..], false, true, false, "group_allowlist_match", true),
            ("open", "allowlist", &[][..], false, true, false, "group_allowlist_block", false),
        ] {
            let heard = Heard {
                sender_id: "U1".to_owned(),
                channel_id: "c9".to_owned(),
                is_group,
                was_mentioned: mentioned,
                ..Heard::default()
            };
            let verdict = judge(&account(dm, group, allow, mention), &heard);
            assert_eq!((verdict.reason(), verdict.is_allowed()), (reason, is_allowed));
        }
        assert_eq!(judge(&account("open", "open", &[], false), &Heard::default()).reason(), "missing_sender_id");
    }
}
