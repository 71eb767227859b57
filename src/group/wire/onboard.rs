//! Joining with a sponsor, and the manifest of topics (group specification §2.9, §2.10).

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::gojson::GoTime;
use crate::base::id::PeerId;
use crate::domain::refusal::{Refusal, check_id, check_len, check_name};
use crate::group::wire::identity::AgentIdentity;
use crate::group::wire::topic::{CORE, SkillName, Topic, Topics};
use crate::group::wire::{NAMES_LEN_MAX, TEXT_BYTES_MAX};

/// KafClaw's fields in KafClaw's order, then ours.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Onboard {
    /// See [`OnboardAction`].
    pub action: String,
    pub requester_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sponsor_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<AgentIdentity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// A question in words; an agent in Go answers it in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub challenge: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub response: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,

    /// With a challenge: what the requester has to sign.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// With a response: the signature over the nonce, see [`crate::group::wire::sign::Challenge`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proof: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnboardAction {
    Request,
    Challenge,
    Response,
    Complete,
    Reject,
}

impl OnboardAction {
    pub const ALL: [Self; 5] = [Self::Request, Self::Challenge, Self::Response, Self::Complete, Self::Reject];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "onboard_request",
            Self::Challenge => "onboard_challenge",
            Self::Response => "onboard_response",
            Self::Complete => "onboard_complete",
            Self::Reject => "onboard_reject",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// Which topics the group has. Accepted when its version is greater than one's own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    pub group_name: String,
    pub version: i64,
    pub core_topics: Option<Vec<TopicDescriptor>>,
    pub skill_topics: Option<Vec<TopicDescriptor>>,
    pub updated_at: GoTime,
    pub updated_by: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicDescriptor {
    pub name: String,
    pub category: String,
    pub description: String,
    /// Members that read it; null for all.
    pub consumers: Option<Vec<String>>,
}

impl Onboard {
    pub fn action(&self) -> Option<OnboardAction> {
        OnboardAction::parse(&self.action)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.action().is_none() {
            return Err(Refusal::UnknownAction { kind: "onboard" });
        }
        check_id("requester_id", &self.requester_id)?;
        check_name("sponsor_id", &self.sponsor_id)?;
        check_name("nonce", &self.nonce)?;
        check_name("proof", &self.proof)?;
        check_len("skills", &self.skills, NAMES_LEN_MAX)?;
        for (field, text) in [("challenge", &self.challenge), ("response", &self.response), ("reason", &self.reason)] {
            if text.len() > TEXT_BYTES_MAX {
                return Err(Refusal::TooLong { field, bytes_max: TEXT_BYTES_MAX });
            }
        }
        if let Some(identity) = &self.identity {
            identity.check()?;
        }
        self.manifest.as_ref().map_or(Ok(()), Manifest::check)
    }
}

impl Manifest {
    /// The first one of a group, as Go writes it: without topics of skills, and without ours, which Go has no name for.
    pub fn first(topics: &Topics, by: &PeerId, now: Timestamp) -> Self {
        let core = CORE.iter().filter(|topic| **topic != Topic::Direct);
        Self {
            group_name: topics.group().as_str().to_owned(),
            version: 1,
            core_topics: Some(core.map(|topic| TopicDescriptor::of(topics, topic)).collect()),
            skill_topics: Some(Vec::new()),
            updated_at: now.into(),
            updated_by: by.to_string(),
        }
    }

    /// This manifest with the topics of `skill`, read by `by`; none when they are in it.
    pub fn with_skill(&self, topics: &Topics, skill: &SkillName, by: &PeerId, now: Timestamp) -> Option<Self> {
        let mut next = self.clone();
        let list = next.skill_topics.get_or_insert_default();
        let pair = [Topic::SkillRequests(skill.clone()), Topic::SkillResponses(skill.clone())];
        let before = list.clone();
        for topic in pair {
            let name = topics.name(&topic);
            let reader = by.to_string();
            match list.iter_mut().find(|descriptor| descriptor.name == name) {
                Some(known) => {
                    let readers = known.consumers.get_or_insert_default();
                    if !readers.contains(&reader) {
                        readers.push(reader);
                    }
                }
                None => {
                    list.push(TopicDescriptor { consumers: Some(vec![reader]), ..TopicDescriptor::of(topics, &topic) })
                }
            }
        }
        if *list == before {
            return None;
        }
        next.version = self.version.saturating_add(1);
        next.updated_at = now.into();
        next.updated_by = by.to_string();
        Some(next)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        check_name("manifest.group_name", &self.group_name)?;
        check_name("manifest.updated_by", &self.updated_by)?;
        for list in [&self.core_topics, &self.skill_topics].into_iter().flatten() {
            check_len("manifest.topics", list, NAMES_LEN_MAX)?;
            for descriptor in list {
                check_name("manifest.topics.name", &descriptor.name)?;
                check_len(
                    "manifest.topics.consumers",
                    descriptor.consumers.as_deref().unwrap_or_default(),
                    NAMES_LEN_MAX,
                )?;
            }
        }
        Ok(())
    }
}

impl TopicDescriptor {
    fn of(topics: &Topics, topic: &Topic) -> Self {
        Self {
            name: topics.name(topic),
            category: topic.category().to_owned(),
            description: topic.description(),
            consumers: None,
        }
    }
}
