//! What all parts of the group share: who we are, who is there, and the locks around both.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::base::clock::{Clock, Timestamp};
use crate::base::id::PeerId;
use crate::db::{Db, DbError};
use crate::domain::peer::Identity;
use crate::domain::record::Stamp;
use crate::group::connectivity;
use crate::group::inbox::{Bounds, Gate};
use crate::group::onboarding;
use crate::group::outbox::{self, Limits, Pace};
use crate::group::roster::{self, Moment, Roster};
use crate::group::task;
use crate::group::trace;
use crate::group::wire::sign::Signer;
use crate::group::wire::{self, Topics};
use crate::knowledge;
use crate::link::kafka::Address;
use crate::orchestrator;

use super::Parts;
use super::fetch::Proxy;
use super::onboard::Onboarding;
use super::port::House;
use super::skills::Skills;

/// This member, and how it behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is announced.
    pub me: Identity,
    pub topics: Topics,
    /// Names our positions at the broker.
    pub consumer_group: String,
    pub heartbeat: Duration,
    /// How often what waits is looked at whether it is still wanted.
    pub sweep: Duration,
    pub task: task::Config,
    pub bounds: Bounds,
    pub limits: Limits,
    pub pace: Pace,
    pub wire: wire::Limits,
    pub connectivity: connectivity::Config,
    pub orchestrator: orchestrator::Config,
    pub knowledge: knowledge::Config,
    pub signer: Option<Signer>,
    pub onboarding: onboarding::Config,
    /// None: pointers to object stores are not followed.
    pub proxy: Option<Proxy>,
    /// What others may watch.
    pub watch: trace::Config,
}

pub(super) struct Core {
    pub config: Config,
    pub address: Address,
    pub lfs_proxy_url: String,
    pub db: Db,
    pub clock: Clock,
    pub house: Arc<dyn House>,
    pub epoch_at_start: u64,
    /// Something waits in the outbox.
    pub queued: Notify,
    /// When the next task is due may have changed.
    pub due: Notify,
    /// Somebody wants to know who is there.
    pub greet: Notify,
    /// Others have to hear where this member stands.
    pub place: Notify,
    /// There are more topics to listen to.
    pub widened: Notify,
    pub skills: Skills,
    /// Something is to be fetched.
    pub pointed: Notify,
    /// When it was last told that a record was skipped, in milliseconds.
    skips_told_ms: AtomicI64,
    pub onboarding: Onboarding,
    roster: Mutex<Roster>,
    gate: Mutex<Gate>,
    started: Instant,
}

impl Core {
    pub(super) async fn load(parts: Parts) -> Result<Self, DbError> {
        let Parts { db, clock, house, config, address, lfs_proxy_url, .. } = parts;
        let (now, topics) = (clock.now(), config.topics.clone());
        let skills = Skills::new(&config.me.skills);
        let (offered, me, place) = (skills.with_topics(), config.me.clone(), config.orchestrator.clone());
        let epoch_at_start = db.write(move |tx| {
            let group = topics.group().as_str();
            roster::part_from_others(tx, group, now)?;
            outbox::drop_foreign(tx, |topic| topics.parse(topic).is_some(), now)?;
            for skill in &offered {
                roster::register_skill(tx, group, skill.as_str(), &me.id, now)?;
            }
            orchestrator::begin(tx, &place, &me.id, &me.name, now)?;
            outbox::begin_epoch(tx, now)
        });
        let epoch_at_start = epoch_at_start.await?;
        let members = db.read(roster::load).await?;
        let roster_config = roster::Config { heartbeat: config.heartbeat, ..roster::Config::of(config.me.id.clone()) };
        Ok(Self {
            roster: Mutex::new(Roster::new(roster_config, epoch_at_start, members)),
            gate: Mutex::new(Gate::new(config.me.id.as_str(), config.bounds.clone())),
            started: Instant::now(),
            queued: Notify::new(),
            due: Notify::new(),
            greet: Notify::new(),
            place: Notify::new(),
            widened: Notify::new(),
            skills,
            onboarding: Onboarding::default(),
            address,
            lfs_proxy_url,
            pointed: Notify::new(),
            skips_told_ms: AtomicI64::new(0),
            config,
            db,
            clock,
            house,
            epoch_at_start,
        })
    }

    pub(super) fn me(&self) -> &PeerId {
        &self.config.me.id
    }

    pub(super) fn group(&self) -> &str {
        self.config.topics.group().as_str()
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to say again that records are skipped; it is said then.
    pub(super) fn may_tell_of_skips(&self, now: Timestamp, every: Duration) -> bool {
        let last = Timestamp::from_millis(self.skips_told_ms.load(Ordering::Relaxed));
        let may = now.since(last) >= every || now < last;
        if may {
            self.skips_told_ms.store(now.as_millis(), Ordering::Relaxed);
        }
        may
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { wall: self.clock.now(), run: self.started.elapsed() }
    }

    /// Whether a member is a hub like this one, which reads what only hubs say to each other.
    pub(super) fn is_of_our_kind(&self, id: &PeerId) -> bool {
        let roster = self.roster();
        roster.member(id).is_some_and(|member| matches!(member.life, Some(roster::Life::Epoch(_))))
    }

    /// Members that are there, this one included.
    pub(super) fn alive_len(&self) -> usize {
        self.roster().alive(self.moment()).count() + 1
    }

    /// What judging knowledge needs. Whoever has not left may vote, also while it cannot be reached: a hub that is cut off does not
    /// decide alone.
    pub(super) fn known(&self, now: Timestamp) -> knowledge::Context<'_> {
        let others = self.roster().members().filter(|member| member.standing != roster::Standing::Left).count();
        knowledge::Context { config: &self.config.knowledge, pool: others + 1, now }
    }

    /// What is announced now.
    pub(super) fn identity(&self, load: u32) -> Identity {
        Identity {
            load: Some(load),
            can_think: Some(*self.house.can_think().borrow()),
            public_key: self.config.signer.as_ref().map(|signer| signer.public_key().to_text()),
            skills: self.skills.offered(),
            ..self.config.me.clone()
        }
    }

    /// A record of ours as it goes onto the wire.
    pub(super) fn encoded(&self, draft: &wire::Draft<'_>, topic: &str) -> Vec<u8> {
        self.sealed(wire::encode(draft), topic)
    }

    /// Signed, where this member has a key.
    pub(super) fn sealed(&self, record: Vec<u8>, topic: &str) -> Vec<u8> {
        match &self.config.signer {
            Some(signer) => signer.seal(topic, record),
            None => record,
        }
    }

    pub(super) fn draft<'a>(&'a self, said: &'a super::say::Said<'a>, stamp: Stamp, at: Timestamp) -> wire::Draft<'a> {
        wire::Draft {
            topic: &said.topic,
            body: &said.body,
            correlation_id: said.about,
            sender: self.me(),
            at,
            stamp: Some(stamp),
            target: said.to,
        }
    }
}
