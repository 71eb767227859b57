//! Joining, leaving and coming back. What is to be is stored first; then it is done, also when whoever asked does not wait.

use std::time::Duration;

use crate::base::id::PeerId;
use crate::db::DbError;
use crate::group::hub::Group;
use crate::group::membership::words::Kept;
use crate::group::membership::{ChangeError, Changes, ConfigView, Membership, PlanError, Present, Running, Words};
use crate::group::onboarding;
use crate::group::roster::{self, OwnEntry, Restored};

/// A broker that can be reached lets a hub in sooner.
const SHOWN_AFTER_MAX: Duration = Duration::from_secs(8);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("not in a group")]
    NotIn,
    #[error("the house is closing")]
    Closing,
    #[error("could not change what is kept of the group")]
    Store {
        #[from]
        source: DbError,
    },
    #[error("the change ended by itself")]
    Ended,
}

/// A group that was joined, whether or not its broker can be reached.
pub struct Joined {
    pub group: Group,
}

/// A member that counts as one again.
pub struct Rejoined {
    pub restored: Restored,
}

/// What is asked for.
enum Wish {
    Join(Changes),
    Leave,
    Offer(String),
}

impl Membership {
    /// Leaves the group that there is, if any, and joins the one that `changes` name. Waits a moment for the broker's answer.
    pub async fn join(&self, changes: Changes) -> Result<Joined, MembershipError> {
        let group = self.change(Wish::Join(changes)).await?.ok_or(MembershipError::Ended)?;
        group.settled(SHOWN_AFTER_MAX).await;
        Ok(Joined { group })
    }

    /// Says farewell and ends the clients; what is stored stays.
    pub async fn leave(&self) -> Result<(), MembershipError> {
        self.change(Wish::Leave).await.map(drop)
    }

    /// Offers one more skill, now and after every start.
    pub async fn offer(&self, skill: String) -> Result<(), MembershipError> {
        self.change(Wish::Offer(skill)).await.map(drop)
    }

    /// Asks to be let in, where a group is known to be asked. Joins it first if this hub is not in it.
    pub async fn onboard(&self) -> Result<(), MembershipError> {
        let group = match self.current() {
            Some(group) => group,
            None => {
                let words = self.kept().await?;
                self.join(Changes::joining(&words.group_name)?).await?.group
            }
        };
        Ok(group.onboard().await?)
    }

    /// What the next join uses.
    pub async fn config(&self) -> Result<ConfigView, DbError> {
        Ok(self.kept().await?.view())
    }

    /// Keeps `changes`; whether the group has to be joined again for them to count.
    pub async fn configure(&self, changes: Changes) -> Result<bool, MembershipError> {
        let _one_at_a_time = self.inner.running.lock().await;
        let words = changes.over(&self.kept().await?, &self.inner.parts.blueprint.file())?;
        self.store(changes).await?;
        Ok(self.words_in_use().is_some_and(|in_use| in_use != words))
    }

    /// Lets a member that left, or was shut out, count as one again. This hub itself joins as it was joined when it left. None when
    /// it never was a member.
    pub async fn rejoin(&self, agent_id: &str, group_name: &str) -> Result<Option<Rejoined>, MembershipError> {
        let (id, name, now) = (agent_id.to_owned(), group_name.to_owned(), self.inner.parts.clock.now());
        let restored = self.inner.parts.db.write(move |tx| {
            let restored = roster::restore(tx, &id, &name)?;
            let peer = PeerId::from(id.as_str());
            if restored.is_some()
                && let Some(known) = onboarding::key_of(tx, &peer)?
                && !known.is_valid()
            {
                onboarding::approve(tx, &peer, &known.key, "owner", now)?;
            }
            Ok(restored)
        });
        let Some(restored) = restored.await? else { return Ok(None) };
        if self.kept().await?.agent_id == agent_id {
            let mut changes = Changes::joining(&restored.restored_config.group_name)?;
            for (field, value) in [
                ("kafka_brokers", &restored.restored_config.kafka_brokers),
                ("lfs_proxy_url", &restored.restored_config.lfs_proxy_url),
                ("consumer_group", &restored.restored_config.consumer_group),
            ] {
                if !value.is_empty() {
                    changes.say(field, value)?;
                }
            }
            self.join(changes).await?;
        } else if let Some(group) = self.current() {
            group.restored(&PeerId::from(agent_id)).await?;
        }
        Ok(Some(Rejoined { restored }))
    }

    /// In a task of its own: a change that has begun is not left half done when whoever asked hangs up.
    async fn change(&self, wish: Wish) -> Result<Option<Group>, MembershipError> {
        let membership = self.clone();
        let changed = tokio::spawn(async move {
            let mut running = membership.inner.running.lock().await;
            if running.is_closing {
                return Err(MembershipError::Closing);
            }
            match wish {
                Wish::Join(changes) => membership.join_now(&mut running, changes).await.map(Some),
                Wish::Leave => membership.leave_now(&mut running).await.map(|()| None),
                Wish::Offer(skill) => membership.offer_now(&skill).await.map(|()| None),
            }
        });
        changed.await.unwrap_or(Err(MembershipError::Ended))
    }

    async fn join_now(&self, running: &mut Running, changes: Changes) -> Result<Group, MembershipError> {
        let words = changes.over(&self.kept().await?, &self.inner.parts.blueprint.file())?;
        let plan = self.inner.parts.blueprint.plan(&words)?;
        let is_another =
            |in_use: &Words| (&in_use.group_name, &in_use.agent_id) != (&words.group_name, &words.agent_id);
        let another = self.words_in_use().filter(is_another);
        if let Some(group) = self.current().filter(|_| another.is_some()) {
            // Nobody of the new group knows what was asked of the old one.
            group.call_off().await?;
        }
        let (entry, now) = (own(&words), self.inner.parts.clock.now());
        let stored = self.inner.parts.db.write(move |tx| {
            changes.store(tx, now)?;
            if let Some(in_use) = another {
                roster::note_own(tx, &own(&in_use), "left", now)?;
            }
            roster::note_own(tx, &entry, "joined", now)
        });
        stored.await?;
        if let Some(life) = running.life.take() {
            life.end().await;
        }
        Ok(self.begin(running, words, plan).await?)
    }

    async fn leave_now(&self, running: &mut Running) -> Result<(), MembershipError> {
        let words = self.kept().await?;
        let group = self.current();
        if group.is_none() && !words.is_wanted {
            return Err(MembershipError::NotIn);
        }
        let (entry, now, changes) = (own(&words), self.inner.parts.clock.now(), Changes::leaving()?);
        let stored = self.inner.parts.db.write(move |tx| {
            changes.store(tx, now)?;
            roster::note_own(tx, &entry, "left", now)
        });
        stored.await?;
        match group {
            Some(group) => group.call_off().await?,
            None => self.call_off_alone().await?,
        }
        if let Some(life) = running.life.take() {
            life.end().await;
        }
        self.set(Present::default());
        Ok(())
    }

    async fn offer_now(&self, skill: &str) -> Result<(), MembershipError> {
        let group = self.current().ok_or(MembershipError::NotIn)?;
        let (words, file) = (self.kept().await?, self.inner.parts.blueprint.file());
        let Some(changes) = Changes::offering(&words, &file, skill)? else { return Ok(()) };
        let words = changes.over(&words, &file)?;
        self.store(changes).await?;
        group.offer(words.skills.clone()).await?;
        let mut present = self.inner.present.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(in_use) = &mut present.words {
            in_use.skills = words.skills;
        }
        Ok(())
    }

    async fn kept(&self) -> Result<Words, DbError> {
        let file = self.inner.parts.blueprint.file();
        self.inner.parts.db.read(move |conn| Ok(Kept::read(conn, &file)?.words)).await
    }

    async fn store(&self, changes: Changes) -> Result<(), DbError> {
        let now = self.inner.parts.clock.now();
        self.inner.parts.db.write(move |tx| changes.store(tx, now)).await
    }
}

/// This hub in the history of members.
fn own(words: &Words) -> OwnEntry {
    OwnEntry {
        agent_id: words.agent_id.clone(),
        group: words.group_name.clone(),
        lfs_proxy_url: words.lfs_proxy_url.clone(),
        kafka_brokers: words.brokers.clone(),
        consumer_group: words.consumer_group.clone(),
    }
}
