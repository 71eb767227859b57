//! What this hub offers: announced, written into the manifest, and asked for on topics of its own.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::db::{DbError, Tx};
use crate::group::outbox::OutboxError;
use crate::group::roster;
use crate::group::wire::{Audit, Body, Manifest, SkillName, Topic};
use crate::link::kafka::{Fault, create_topics};

use super::core::Core;
use super::say::{Said, undone};
use super::{Group, PROBE_STEP_MAX};

/// Skills of others whose answers are listened to.
const ASKED_MAX: usize = 64;

/// Ours, and those of others that were asked for.
pub(super) struct Skills {
    inner: Mutex<Inner>,
}

struct Inner {
    offered: Vec<String>,
    asked: BTreeSet<SkillName>,
}

impl Skills {
    pub(super) fn new(offered: &[String]) -> Self {
        Self { inner: Mutex::new(Inner { offered: offered.to_vec(), asked: BTreeSet::new() }) }
    }

    pub(super) fn offered(&self) -> Vec<String> {
        self.lock().offered.clone()
    }

    pub(super) fn is_offered(&self, skill: &str) -> bool {
        self.lock().offered.iter().any(|offered| offered == skill)
    }

    /// Those of ours that can have topics; names of the configuration may be anything.
    pub(super) fn with_topics(&self) -> Vec<SkillName> {
        self.lock().offered.iter().filter_map(|skill| SkillName::parse(skill)).collect()
    }

    /// Somebody else is asked for `skill`, on its own topic.
    pub(super) fn ask(&self, skill: SkillName) {
        let mut inner = self.lock();
        if inner.asked.len() < ASKED_MAX {
            inner.asked.insert(skill);
        }
    }

    fn asked(&self) -> Vec<SkillName> {
        self.lock().asked.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Topics that this hub listens to, and that have to be there.
    pub(super) fn topics_heard(&self) -> Vec<String> {
        let topics = &self.config.topics;
        let mut names = topics.all();
        for skill in self.skills.with_topics() {
            names
                .extend([Topic::SkillRequests(skill.clone()), Topic::SkillResponses(skill)].map(|it| topics.name(&it)));
        }
        for skill in self.skills.asked() {
            let name = topics.name(&Topic::SkillResponses(skill));
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The group's topics, as far as this hub knows of them.
    pub(super) fn manifest(&self, conn: &Connection, now: Timestamp) -> rusqlite::Result<Manifest> {
        let topics = &self.config.topics;
        let mut manifest = Manifest::first(topics, self.me(), now);
        for row in roster::skills(conn, self.group())? {
            let (at, by) = (row.created_at.unwrap_or(now), row.registered_by.as_str().into());
            let Some(skill) = SkillName::parse(&row.skill_name) else { continue };
            if let Some(next) = manifest.with_skill(topics, &skill, &by, at) {
                manifest = next;
            }
        }
        for skill in self.skills.with_topics() {
            if let Some(next) = manifest.with_skill(topics, &skill, self.me(), now) {
                manifest = next;
            }
        }
        Ok(manifest)
    }

    /// Tells the group the topics of our skills; nothing where there are none.
    pub(super) fn say_skills(&self, tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
        if self.skills.with_topics().is_empty() {
            return Ok(());
        }
        let about = format!("roster-{}", now.as_millis());
        let body = Body::Roster(self.manifest(tx, now)?);
        self.say_control(tx, Topic::Roster, (body, &about), now).map_err(undone)
    }

    fn say_control(
        &self,
        tx: &Tx<'_>,
        topic: Topic,
        (body, about): (Body, &str),
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        let said = Said { topic, body, about, to: None, key: Some(self.me().as_str()), deadline_at: None };
        self.say(tx, &said, now).map(drop)
    }
}

/// Why a topic was not made.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("the name has to begin with `{prefix}` and be of letters, digits, dots, dashes and underscores")]
    Foreign { prefix: String },
    #[error("the topic was not made")]
    Broker { source: Fault },
}

impl Group {
    /// The group's topics, as they are told to new members.
    pub async fn manifest(&self) -> Result<Manifest, DbError> {
        let core = self.core.clone();
        self.core.db.read(move |conn| core.manifest(conn, core.clock.now())).await
    }

    /// Makes a topic of the group at the broker; one that is there is left as it is.
    pub async fn ensure_topic(&self, name: &str) -> Result<(), TopicError> {
        let topics = &self.core.config.topics;
        if !topics.is_within(name) {
            return Err(TopicError::Foreign { prefix: format!("group.{}.", topics.group().as_str()) });
        }
        let wanted = [name.to_owned()];
        let made = create_topics(&self.core.address, &wanted, PROBE_STEP_MAX, &self.core.clock).await;
        let refused = made.map_err(|source| TopicError::Broker { source })?.refused.into_iter().next();
        refused.map_or(Ok(()), |(_, source)| Err(TopicError::Broker { source }))
    }

    /// From now on this hub offers exactly these skills. Their topics are made at once where the broker can be reached, else
    /// before the next time it is.
    pub async fn offer(&self, skills: Vec<String>) -> Result<(), DbError> {
        let before = self.core.skills.with_topics();
        self.core.skills.lock().offered = skills;
        let mut new = self.core.skills.with_topics();
        new.retain(|skill| !before.contains(skill));
        let (core, told) = (self.core.clone(), new.clone());
        let stored = self.core.db.write(move |tx| {
            let now = core.clock.now();
            for skill in &told {
                roster::register_skill(tx, core.group(), skill.as_str(), core.me(), now)?;
                let topic = core.config.topics.name(&Topic::SkillRequests(skill.clone()));
                let audit = Body::Audit(Audit::skill_registered(core.me().as_str(), skill.as_str(), &topic));
                let about = format!("audit-{}", now.as_millis());
                core.say_control(tx, Topic::Audit, (audit, &about), now).map_err(undone)?;
            }
            core.say_skills(tx, now)
        });
        stored.await?;
        if self.is_online() {
            let names = self.core.topics_heard();
            if let Err(fault) = create_topics(&self.core.address, &names, PROBE_STEP_MAX, &self.core.clock).await {
                tracing::warn!(error = chain(&fault), "Topics of a skill cannot be made.");
            }
        }
        self.core.widened.notify_one();
        self.core.queued.notify_one();
        self.core.greet.notify_one();
        Ok(())
    }
}
