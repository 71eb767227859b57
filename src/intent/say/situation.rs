//! What the assistant says about itself: what it can do, how it is, and what it cannot do right now.

use std::time::Duration;

use super::Say;
use super::reply::ReplyKey;
use crate::domain::household::{Entity, EntityKind, Household};

/// What a status answer is made of.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StatusFacts {
    pub uptime: Duration,
    pub devices: usize,
    pub devices_unavailable: usize,
    pub is_broker_connected: bool,
    /// The model that would answer now.
    pub model: Option<String>,
    pub tasks_waiting: usize,
}

/// Whether an entity shows an ability that is spoken of.
type Wanted = fn(&Entity) -> bool;

impl Say<'_> {
    /// "What can you do?", with examples that work in this home.
    pub fn capabilities(&self, household: &Household) -> String {
        let kinds: [(ReplyKey, Wanted); 7] = [
            (ReplyKey::CapabilitySwitch, |entity| {
                matches!(entity.kind, EntityKind::Light | EntityKind::Switch | EntityKind::Fan)
            }),
            (ReplyKey::CapabilityDim, |entity| entity.kind == EntityKind::Light && entity.abilities.brightness),
            (ReplyKey::CapabilityColor, |entity| entity.kind == EntityKind::Light && entity.abilities.color),
            (ReplyKey::CapabilityCover, |entity| entity.kind == EntityKind::Cover),
            (ReplyKey::CapabilityClimate, |entity| entity.kind == EntityKind::Climate),
            (ReplyKey::CapabilityLock, |entity| entity.kind == EntityKind::Lock),
            (ReplyKey::CapabilityScene, |entity| entity.kind == EntityKind::Scene),
        ];
        let mut lines = vec![self.one(ReplyKey::CapabilitiesIntro, &[])];
        for (key, wanted) in kinds {
            if let Some((_, entity)) = household.entities().find(|(_, entity)| wanted(entity)) {
                lines.push(self.one(key, &[("name", &self.language.replies.name(self.language, &entity.name))]));
            }
        }
        if household.devices.is_empty() {
            lines.push(self.one(ReplyKey::CapabilityNoDevices, &[]));
        } else {
            lines.push(self.one(ReplyKey::CapabilityAsk, &[]));
        }
        lines.extend([ReplyKey::CapabilityTimer, ReplyKey::CapabilityMemory].map(|key| self.one(key, &[])));
        lines.join("\n")
    }

    pub fn status(&self, facts: &StatusFacts) -> String {
        let mut said = vec![self.one(ReplyKey::StatusFine, &[])];
        said.push(self.counted(
            ReplyKey::StatusDevices,
            facts.devices as u64,
            &[("count", &facts.devices.to_string())],
        ));
        if facts.devices_unavailable > 0 {
            let count = facts.devices_unavailable;
            said.push(self.counted(ReplyKey::StatusUnavailable, count as u64, &[("count", &count.to_string())]));
        }
        if !facts.is_broker_connected {
            said.push(self.one(ReplyKey::StatusBrokerGone, &[]));
        }
        said.push(match &facts.model {
            Some(model) => self.one(ReplyKey::StatusModel, &[("model", model)]),
            None => self.one(ReplyKey::StatusNoModel, &[]),
        });
        if facts.tasks_waiting > 0 {
            let count = facts.tasks_waiting;
            said.push(self.counted(ReplyKey::StatusWaiting, count as u64, &[("count", &count.to_string())]));
        }
        said.push(self.one(ReplyKey::StatusUptime, &[("duration", &self.duration(facts.uptime))]));
        said.join(" ")
    }

    /// No rule matched and no model can be reached: one sentence, and what works.
    pub fn no_model(&self, household: &Household) -> String {
        let example =
            household.entities().find(|(_, entity)| matches!(entity.kind, EntityKind::Light | EntityKind::Switch));
        match example {
            Some((_, entity)) => self
                .one(ReplyKey::NoModelDevices, &[("name", &self.language.replies.name(self.language, &entity.name))]),
            None => self.one(ReplyKey::NoModel, &[]),
        }
    }

    pub fn greeting(&self) -> String {
        self.one(ReplyKey::Greeting, &[])
    }

    pub fn thanks(&self) -> String {
        self.one(ReplyKey::Thanks, &[])
    }

    pub fn never_mind(&self) -> String {
        self.one(ReplyKey::NeverMind, &[])
    }

    /// Something of ours failed; the details are in the log.
    pub fn failed(&self) -> String {
        self.one(ReplyKey::Failed, &[])
    }
}
