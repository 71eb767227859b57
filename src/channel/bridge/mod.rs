//! Slack and Teams through KafClaw's bridge: what it posts becomes a message, answers are posted to it (specification §3.3,
//! §9.3, §9.4).
//!
//! Who writes here is a stranger to the house: outsiders' ceilings hold. Absent on purpose: pairing (an unknown sender under
//! the policy `pairing` is dropped), media, cards and polls.

mod access;
mod courier;

pub use access::{DmPolicy, GroupPolicy, Verdict};
pub use courier::BridgeCourier;

use serde::Deserialize;

use crate::base::id::{SessionKey, TraceId};
use crate::base::secret::Secret;
use crate::channel::{Intake, IntakeError};
use crate::domain::message::{Channel, Inbound, Origin};

/// The account of a channel that names none.
const DEFAULT_ACCOUNT: &str = "default";

/// What shares one conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Channel,
    Account,
    #[default]
    Room,
    Thread,
    User,
}

/// One account of a channel, with the keys of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub inbound_token: Secret<String>,
    #[serde(default)]
    pub outbound_url: String,
    /// What is presented to the bridge: Slack's bot token, Teams' application password.
    #[serde(default, alias = "botToken", alias = "appPassword")]
    pub outbound_token: Secret<String>,
    pub session_scope: Option<Scope>,
    #[serde(default)]
    pub allow_from: Vec<String>,
    #[serde(default)]
    pub group_allow_from: Vec<String>,
    pub dm_policy: Option<DmPolicy>,
    pub group_policy: Option<GroupPolicy>,
    #[serde(default)]
    pub require_mention: bool,
}

/// A channel of the configuration with its accounts.
#[derive(Clone, Debug, Deserialize)]
pub struct Bridge {
    #[serde(skip)]
    pub channel: &'static str,
    #[serde(flatten)]
    own: Account,
    #[serde(default)]
    accounts: Vec<Account>,
}

/// What a bridge posts.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Heard {
    pub account_id: String,
    pub sender_id: String,
    pub chat_id: String,
    pub thread_id: String,
    pub message_id: String,
    pub text: String,
    pub is_group: bool,
    pub was_mentioned: bool,
    pub group_id: String,
    pub channel_id: String,
}

impl Bridge {
    /// Names the channel that the section of the configuration belongs to.
    pub fn named(self, channel: &'static str) -> Self {
        Self { channel, ..self }
    }

    /// Whether `presented` is the token of that account, or of the channel where the account has none.
    pub fn is_token_valid(&self, account: &str, presented: &str) -> bool {
        let own = self.find(account).map(|account| &account.inbound_token).filter(|token| !token.is_empty());
        let expected = own.unwrap_or(&self.own.inbound_token);
        !expected.is_empty() && expected.matches(presented)
    }

    /// Hands a message on, where the access policy lets it.
    pub async fn take(&self, intake: &Intake, heard: Heard) -> Result<Verdict, IntakeError> {
        let account = self.merged(&heard.account_id);
        let verdict = access::judge(&account, &heard);
        if !verdict.is_allowed() {
            tracing::info!(
                channel = self.channel,
                peer = heard.sender_id,
                error = verdict.reason(),
                "A message was dropped."
            );
            return Ok(verdict);
        }
        intake.accept(self.inbound(intake, &account, heard)).await?;
        Ok(verdict)
    }

    fn inbound(&self, intake: &Intake, account: &Account, heard: Heard) -> Inbound {
        let id = account_id(&heard.account_id);
        let chat_id =
            if id == DEFAULT_ACCOUNT { heard.chat_id.clone() } else { format!("acct://{id}|{}", heard.chat_id) };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Inbound {
            channel: Channel::new(self.channel),
            chat_id,
            thread_id: given(&heard.thread_id),
            sender_id: heard.sender_id.clone(),
            session: self.session(account.session_scope.unwrap_or_default(), id, &heard),
            trace_id: TraceId::random(),
            idempotency_key: given(&heard.message_id)
                .map(|message| format!("{}:{id}:{}:{message}", self.channel, heard.chat_id)),
            message_id: given(&heard.message_id),
            content: heard.text,
            origin: Origin::External,
            reply_hint: None,
            received_at: intake.clock().now(),
        }
    }

    fn session(&self, scope: Scope, account: &str, heard: &Heard) -> SessionKey {
        let (channel, chat) = (self.channel, &heard.chat_id);
        SessionKey::from(match scope {
            Scope::Channel => channel.to_owned(),
            Scope::Account => format!("{channel}:{account}"),
            Scope::Thread if !heard.thread_id.is_empty() => format!("{channel}:{account}:{chat}:{}", heard.thread_id),
            Scope::Room | Scope::Thread => format!("{channel}:{account}:{chat}"),
            Scope::User => format!("{channel}:{account}:{}", heard.sender_id),
        })
    }

    fn find(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    /// The account with what it leaves blank taken from the channel.
    pub(super) fn merged(&self, id: &str) -> Account {
        let own = &self.own;
        let Some(account) = self.find(account_id(id)) else { return own.clone() };
        let list =
            |mine: &Vec<String>, theirs: &Vec<String>| if mine.is_empty() { theirs.clone() } else { mine.clone() };
        let secret = |mine: &Secret<String>, theirs: &Secret<String>| {
            if mine.is_empty() { theirs.clone() } else { mine.clone() }
        };
        Account {
            id: account.id.clone(),
            inbound_token: secret(&account.inbound_token, &own.inbound_token),
            outbound_url: if account.outbound_url.is_empty() { &own.outbound_url } else { &account.outbound_url }
                .clone(),
            outbound_token: secret(&account.outbound_token, &own.outbound_token),
            session_scope: account.session_scope.or(own.session_scope),
            allow_from: list(&account.allow_from, &own.allow_from),
            group_allow_from: list(&account.group_allow_from, &own.group_allow_from),
            dm_policy: account.dm_policy.or(own.dm_policy),
            group_policy: account.group_policy.or(own.group_policy),
            require_mention: account.require_mention || own.require_mention,
        }
    }
}

fn account_id(id: &str) -> &str {
    if id.is_empty() { DEFAULT_ACCOUNT } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> Bridge {
        let section = serde_json::json!({
            "enabled": true, "inboundToken": "channel", "sessionScope": "thread", "allowFrom": ["slack:U1"],
            "dmPolicy": "allowlist", "groupPolicy": "open", "requireMention": true, "botToken": "xoxb",
            "accounts": [{"id": "work", "inboundToken": "work", "allowFrom": [], "sessionScope": null}],
        });
        serde_json::from_value::<Bridge>(section).expect("a section").named("slack")
    }

    fn heard(sender: &str) -> Heard {
        Heard { sender_id: sender.to_owned(), chat_id: "C1".to_owned(), text: "hi".to_owned(), ..Heard::default() }
    }

    #[test]
    fn accounts_have_tokens_of_their_own_and_inherit_the_rest() {
        let bridge = bridge();
        assert!(bridge.is_token_valid("", "channel") && !bridge.is_token_valid("", "work"));
        assert!(bridge.is_token_valid("work", "work") && !bridge.is_token_valid("work", "channel"));
        assert!(!bridge.is_token_valid("", ""));
        let work = bridge.merged("work");
        assert_eq!((work.allow_from, work.session_scope), (vec!["slack:U1".to_owned()], Some(Scope::Thread)));
        assert_eq!(work.outbound_token.reveal(), "xoxb");
    }

    #[test]
    fn conversations_are_cut_by_scope() {
        let bridge = bridge();
        let threaded = Heard { thread_id: "T".to_owned(), ..heard("U1") };
        for (scope, key) in [
            (Scope::Channel, "slack"),
            (Scope::Account, "slack:default"),
            (Scope::Room, "slack:default:C1"),
            (Scope::Thread, "slack:default:C1:T"),
            (Scope::User, "slack:default:U1"),
        ] {
            assert_eq!(bridge.session(scope, "default", &threaded).as_str(), key);
        }
        assert_eq!(bridge.session(Scope::Thread, "default", &heard("U1")).as_str(), "slack:default:C1");
    }
}
