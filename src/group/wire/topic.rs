//! Topics of a group (group specification §1.1): their names, what is said on them, and what they are for.

use std::fmt;

use crate::domain::record::Class;
use crate::knowledge::wire as knowledge;

/// Longest name of a Kafka topic, in bytes.
const TOPIC_BYTES_MAX: usize = 249;

/// A name that may stand inside a topic: letters, digits, `.`, `_`, `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupName(String);

impl GroupName {
    /// None when Kafka would refuse topics with it.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 100 && text.bytes().all(is_topic_byte);
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A skill that others may ask for. Without a dot: Go takes the first one for the end of the name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SkillName(String);

impl SkillName {
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| is_topic_byte(byte) && byte != b'.');
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SkillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// What is said on a topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Topic {
    Announce,
    Roster,
    Onboarding,
    Requests,
    Responses,
    TaskStatus,
    Traces,
    Audit,
    MemoryShared,
    MemoryContext,
    Orchestrator,
    /// Ours. Agents in Go feed every request, response and status to their model; what hubs like this one say to each other is
    /// said here, where Go never listens. The message's `type` says what it is.
    Direct,
    SkillRequests(SkillName),
    SkillResponses(SkillName),
    Knowledge(knowledge::Kind),
}

/// Go's `AllTopics`, in its order, then ours.
pub const CORE: [Topic; 12] = [
    Topic::Announce,
    Topic::Roster,
    Topic::Onboarding,
    Topic::Requests,
    Topic::Responses,
    Topic::TaskStatus,
    Topic::Traces,
    Topic::Audit,
    Topic::MemoryShared,
    Topic::MemoryContext,
    Topic::Orchestrator,
    Topic::Direct,
];

impl Topic {
    /// What follows `group.<g>.`; none for skills and knowledge.
    const fn suffix(&self) -> Option<&'static str> {
        Some(match self {
            Self::Announce => "announce",
            Self::Roster => "control.roster",
            Self::Onboarding => "control.onboarding",
            Self::Requests => "requests",
            Self::Responses => "responses",
            Self::TaskStatus => "tasks.status",
            Self::Traces => "traces",
            Self::Audit => "observe.audit",
            Self::MemoryShared => "memory.shared",
            Self::MemoryContext => "memory.context",
            Self::Orchestrator => "orchestrator",
            Self::Direct => "direct",
            Self::SkillRequests(_) | Self::SkillResponses(_) | Self::Knowledge(_) => return None,
        })
    }

    /// `control`, `tasks`, `observe`, `memory`, `skill` or `knowledge`.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Announce | Self::Roster | Self::Onboarding | Self::Orchestrator => "control",
            Self::Requests | Self::Responses | Self::TaskStatus | Self::Direct => "tasks",
            Self::Traces | Self::Audit => "observe",
            Self::MemoryShared | Self::MemoryContext => "memory",
            Self::SkillRequests(_) | Self::SkillResponses(_) => "skill",
            Self::Knowledge(_) => "knowledge",
        }
    }

    /// Go's sentence about it, as it stands in a manifest.
    pub fn description(&self) -> String {
        let text = match self {
            Self::Announce => "Join/leave/heartbeat announcements",
            Self::Roster => "Topic registry manifest and member capabilities",
            Self::Onboarding => "Agent onboarding protocol messages",
            Self::Requests => "General task requests",
            Self::Responses => "General task responses",
            Self::TaskStatus => "Task status updates and progress",
            Self::Traces => "Trace spans for distributed tracing",
            Self::Audit => "Administrative audit events",
            Self::MemoryShared => "Shared memory items via LFS",
            Self::MemoryContext => "Ephemeral context sharing",
            Self::Orchestrator => "Orchestrator discovery and coordination",
            Self::Direct => "Messages between hubs",
            Self::SkillRequests(skill) => return format!("Skill requests for {skill}"),
            Self::SkillResponses(skill) => return format!("Skill responses for {skill}"),
            Self::Knowledge(kind) => return format!("Knowledge {}", kind.as_str()),
        };
        text.to_owned()
    }

    /// How what is said there is treated while it waits. On [`Topic::Direct`] the message decides, see
    /// [`crate::group::wire::Body::class`].
    pub const fn class(&self) -> Class {
        match self {
            Self::Announce | Self::Roster | Self::Onboarding | Self::Orchestrator => Class::Control,
            Self::Requests | Self::SkillRequests(_) => Class::Request,
            Self::Responses | Self::TaskStatus | Self::Direct | Self::SkillResponses(_) => Class::Answer,
            Self::Traces => Class::Trace,
            Self::Audit => Class::Audit,
            Self::MemoryShared | Self::MemoryContext => Class::Memory,
            Self::Knowledge(knowledge::Kind::Capabilities | knowledge::Kind::Presence) => Class::Control,
            Self::Knowledge(_) => Class::Knowledge,
        }
    }
}

/// The names of all topics of a group and of its knowledge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    group: GroupName,
    /// `group.<g>.`
    prefix: String,
    knowledge: knowledge::Topics,
}

impl Topics {
    pub fn new(group: GroupName, knowledge: knowledge::Topics) -> Self {
        let prefix = format!("group.{}.", group.as_str());
        Self { group, prefix, knowledge }
    }

    pub fn group(&self) -> &GroupName {
        &self.group
    }

    pub fn knowledge(&self) -> &knowledge::Topics {
        &self.knowledge
    }

    pub fn name(&self, topic: &Topic) -> String {
        let prefix = &self.prefix;
        match (topic, topic.suffix()) {
            (_, Some(suffix)) => format!("{prefix}{suffix}"),
            (Topic::SkillRequests(skill), _) => format!("{prefix}skill.{skill}.requests"),
            (Topic::SkillResponses(skill), _) => format!("{prefix}skill.{skill}.responses"),
            (Topic::Knowledge(kind), _) => self.knowledge.name(*kind).to_owned(),
            (_, None) => prefix.clone(),
        }
    }

    /// None for a name that is none of ours.
    pub fn parse(&self, name: &str) -> Option<Topic> {
        if let Some(kind) = self.knowledge.parse(name) {
            return Some(Topic::Knowledge(kind));
        }
        let rest = name.strip_prefix(&self.prefix)?;
        if let Some(core) = CORE.iter().find(|topic| topic.suffix() == Some(rest)) {
            return Some(core.clone());
        }
        let (skill, end) = rest.strip_prefix("skill.")?.split_once('.')?;
        let skill = SkillName::parse(skill)?;
        match end {
            "requests" => Some(Topic::SkillRequests(skill)),
            "responses" => Some(Topic::SkillResponses(skill)),
            _ => None,
        }
    }

    /// Whether the name lies within the group, so that a member may ask for it.
    pub fn is_within(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.prefix).unwrap_or_default();
        !rest.is_empty() && name.len() <= TOPIC_BYTES_MAX && name.bytes().all(is_topic_byte)
    }

    /// Every topic that has to exist, without those of skills: the group's, then those of its knowledge.
    pub fn all(&self) -> Vec<String> {
        let core = CORE.iter().map(|topic| self.name(topic));
        core.chain(self.knowledge.all().map(|(_, name)| name.to_owned())).collect()
    }
}

/// Go's guess at the category of a topic that no manifest names.
pub fn infer_category(name: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&[".control.", ".announce", ".roster", ".onboarding", ".orchestrator"]) {
        "control"
    } else if has(&[".observe.", ".traces", ".audit"]) {
        "observe"
    } else if has(&[".tasks.", ".requests", ".responses"]) {
        "tasks"
    } else if has(&[".memory."]) {
        "memory"
    } else if has(&[".skill."]) {
        "skill"
    } else {
        "control"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topics() -> Topics {
        let group = GroupName::parse("g1").expect("a name");
        Topics::new(group, knowledge::Topics::of_group("kafclaw").with(knowledge::Kind::Votes, "mine"))
    }

    #[test]
    fn every_topic_reads_back() {
        let topics = topics();
        let weather = SkillName::parse("weather").expect("a skill");
        let skills = [Topic::SkillRequests(weather.clone()), Topic::SkillResponses(weather)];
        let knowledge = knowledge::Kind::ALL.map(Topic::Knowledge);
        for topic in CORE.into_iter().chain(skills).chain(knowledge) {
            let name = topics.name(&topic);
            assert_eq!(topics.parse(&name), Some(topic), "{name}");
        }
        assert_eq!(topics.all().len(), 19);
        assert_eq!(topics.all()[1], "group.g1.control.roster");
        assert_eq!(topics.parse("mine"), Some(Topic::Knowledge(knowledge::Kind::Votes)));
    }

    #[test]
    fn foreign_and_broken_names_are_none_of_ours() {
        let topics = topics();
        for name in ["group.g1.x", "group.g2.announce", "group.g1.skill.a.b.requests", "group.g1.skill..requests", ""] {
            assert_eq!(topics.parse(name), None, "{name}");
        }
        assert!(topics.is_within("group.g1.x") && !topics.is_within("group.g2.x") && !topics.is_within("group.g1."));
        assert_eq!(GroupName::parse("a b"), None);
        assert_eq!(SkillName::parse("web.search"), None);
    }

    #[test]
    fn a_group_may_have_dots_in_its_name() {
        let group = GroupName::parse("home.upstairs").expect("a name");
        let topics = Topics::new(group, knowledge::Topics::of_group("k"));
        assert_eq!(topics.parse("group.home.upstairs.requests"), Some(Topic::Requests));
    }

    #[test]
    fn every_topic_has_the_class_of_what_is_said_there() {
        let topics = topics();
        for (name, class) in [
            ("group.g1.announce", Class::Control),
            ("group.g1.requests", Class::Request),
            ("group.g1.skill.weather.requests", Class::Request),
            ("group.g1.skill.weather.responses", Class::Answer),
            ("group.g1.tasks.status", Class::Answer),
            ("group.g1.direct", Class::Answer),
            ("group.g1.observe.audit", Class::Audit),
            ("group.kafclaw.knowledge.presence", Class::Control),
            ("group.kafclaw.knowledge.facts", Class::Knowledge),
            ("group.kafclaw.knowledge.sync", Class::Knowledge),
        ] {
            assert_eq!(topics.parse(name).map(|topic| topic.class()), Some(class), "{name}");
        }
    }

    #[test]
    fn categories_are_guessed_as_go_guesses_them() {
        for (name, category) in [
            ("group.g.skill.x.requests", "tasks"),
            ("group.g.skill.x", "skill"),
            ("group.g.observe.audit", "observe"),
            ("group.g.noise", "control"),
        ] {
            assert_eq!(infer_category(name), category, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_may_be_asked_for_its_topic(name in "group\\.g1\\..*|.*") {
            let topics = topics();
            if let Some(topic) = topics.parse(&name) {
                prop_assert_eq!(topics.name(&topic), name);
            }
        }
    }
}
