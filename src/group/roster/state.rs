//! The roster without I/O: announcements and passing time in, changes and happenings out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::domain::peer::Identity;
use crate::domain::record::Stamp;
use crate::group::roster::{Heard, Life, Member, Moment, Said, Standing};

/// Members that are remembered, those who left included.
const MEMBERS_MAX: usize = 1_000;
/// Announcements over which the difference of the clocks is taken: the smallest one had the least delay in it.
const CLOCK_SAMPLES: usize = 4;
/// A member that says nothing new is written down once in so long, to spare the disk.
const STORED_EVERY: Duration = Duration::from_secs(300);
/// Two who use one name are told of once in so long.
const COLLISION_EVERY: Duration = Duration::from_secs(600);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    pub agent_id: PeerId,
    /// How often members say that they are there (group specification §4: 30 s).
    pub heartbeat: Duration,
    /// Heartbeats that may be missed.
    pub missed_max: u32,
}

impl Config {
    pub fn of(agent_id: PeerId) -> Self {
        Self { agent_id, heartbeat: Duration::from_secs(30), missed_max: 3 }
    }

    fn silence_max(&self) -> Duration {
        self.heartbeat * self.missed_max
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// Its sender was compared with the name inside before.
    Announced {
        said: Said,
        identity: Box<Identity>,
        stamp: Option<Stamp>,
        /// The key of a signature that was found good.
        key: Option<String>,
        sent_at: Option<Timestamp>,
        heard: Heard,
    },
    /// A person lets a member that left count as one again.
    Restored(PeerId),
    TimePassed,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// To be written.
    Store(Box<Member>),
    Happened(Happening),
    /// Somebody wants to know who is there.
    Greet,
}

/// What the house may want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happening {
    Joined(PeerId),
    Left(PeerId),
    /// It has not been heard of for too long.
    WentStale(PeerId),
    /// It is heard of again.
    CameBack(PeerId),
    /// Two use one name: another key signs, or two lives alternate. What the second one says is not believed.
    Collided(PeerId),
    /// Somebody uses our own name.
    CollidedWithUs,
    /// From an earlier life, or overtaken on its way: not believed.
    Outdated(PeerId),
    /// There is no room for one more.
    Full,
}

#[derive(Debug, Default)]
struct Clocks {
    /// When it was last heard live.
    heard: Option<Duration>,
    /// Our time of hearing less its time of saying, of its last announcements.
    behind_ms: VecDeque<i64>,
    collided: Option<Duration>,
    stored: Option<Duration>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    clocks: Clocks,
}

/// See the module.
#[derive(Debug)]
pub struct Roster {
    config: Config,
    epoch: u64,
    members: BTreeMap<PeerId, Entry>,
    collided: Option<Duration>,
}

impl Roster {
    /// With the members that the database knows: they belong, but nobody knows yet whether they are there. `epoch` is our own.
    pub fn new(config: Config, epoch: u64, known: Vec<Member>) -> Self {
        let stale = |mut member: Member| {
            if member.standing == Standing::Active {
                member.standing = Standing::Stale;
            }
            (member.id().clone(), Entry { member, clocks: Clocks::default() })
        };
        let members = known.into_iter().take(MEMBERS_MAX).map(stale).collect();
        Self { config, epoch, members, collided: None }
    }

    /// A new life of our own begins, after a reconnect.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    pub fn next(&mut self, fact: Fact, at: Moment) -> Vec<Step> {
        match fact {
            Fact::TimePassed => self.age(at),
            Fact::Restored(id) => self.restore(&id),
            Fact::Announced { said, identity, stamp, key, sent_at, heard } => {
                let life = life_of(stamp, &identity);
                let seq = stamp.map_or(0, |stamp| stamp.seq);
                if identity.id == self.config.agent_id {
                    return self.hear_own_name(stamp, heard, at);
                }
                let news = News { said, identity: *identity, life, seq, key, sent_at, heard };
                self.hear(news, at)
            }
        }
    }

    /// Members that are there.
    pub fn alive(&self, at: Moment) -> impl Iterator<Item = &Member> {
        let silence_max = self.config.silence_max();
        self.members.values().filter(move |entry| entry.is_alive(at, silence_max)).map(|entry| &entry.member)
    }

    pub fn is_alive(&self, id: &PeerId, at: Moment) -> bool {
        self.members.get(id).is_some_and(|entry| entry.is_alive(at, self.config.silence_max()))
    }

    pub fn member(&self, id: &PeerId) -> Option<&Member> {
        self.members.get(id).map(|entry| &entry.member)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|entry| &entry.member)
    }

    /// For [`crate::group::inbox::Received::behind_ms`].
    pub fn behind_ms(&self, id: &PeerId) -> i64 {
        self.member(id).map_or(0, |member| member.behind_ms)
    }

    /// When [`Fact::TimePassed`] may change something.
    pub fn wait(&self, at: Moment) -> Option<Duration> {
        let active = self.members.values().filter(|entry| entry.member.standing == Standing::Active);
        let ends = active.filter_map(|entry| entry.clocks.heard).map(|heard| heard + self.config.silence_max());
        ends.min().map(|end| end.saturating_sub(at.run))
    }

    fn hear(&mut self, news: News, at: Moment) -> Vec<Step> {
        let silence_max = self.config.silence_max();
        let id = news.identity.id.clone();
        let Some(entry) = self.members.get_mut(&id) else { return self.welcome(news, at) };
        let before = entry.member.clone();
        let is_alive = entry.is_alive(at, silence_max);
        match entry.objection(&news, is_alive) {
            None => {}
            Some(Happening::Collided(id)) => {
                let is_new = entry.clocks.collided.is_none_or(|told| at.run.saturating_sub(told) >= COLLISION_EVERY);
                if !is_new {
                    return Vec::new();
                }
                entry.clocks.collided = Some(at.run);
                return vec![Step::Happened(Happening::Collided(id))];
            }
            Some(other) => return vec![Step::Happened(other)],
        }
        entry.take(&news, at, silence_max);
        let mut steps = Vec::new();
        let is_due = entry.clocks.stored.is_none_or(|stored| at.run.saturating_sub(stored) >= STORED_EVERY);
        if is_due || differs(&before, &entry.member) {
            entry.clocks.stored = Some(at.run);
            steps.push(Step::Store(Box::new(entry.member.clone())));
        }
        match (before.standing, entry.member.standing) {
            (Standing::Active | Standing::Stale, Standing::Left) => steps.push(Step::Happened(Happening::Left(id))),
            (Standing::Left, Standing::Active | Standing::Stale) => steps.push(Step::Happened(Happening::Joined(id))),
            (Standing::Stale, Standing::Active) => steps.push(Step::Happened(Happening::CameBack(id))),
            _ => {}
        }
        if news.wants_greeting() {
            steps.push(Step::Greet);
        }
        steps
    }

    fn welcome(&mut self, news: News, at: Moment) -> Vec<Step> {
        if news.said == Said::Leave {
            return Vec::new();
        }
        if self.members.len() >= MEMBERS_MAX && !self.forget_one() {
            return vec![Step::Happened(Happening::Full)];
        }
        let id = news.identity.id.clone();
        let member = Member {
            identity: news.identity.clone(),
            standing: Standing::Stale,
            life: None,
            seq: 0,
            key: None,
            last_seen: at.wall,
            left_at: None,
            behind_ms: 0,
        };
        let mut entry = Entry { member, clocks: Clocks::default() };
        entry.take(&news, at, self.config.silence_max());
        let mut steps =
            vec![Step::Store(Box::new(entry.member.clone())), Step::Happened(Happening::Joined(id.clone()))];
        if news.wants_greeting() {
            steps.push(Step::Greet);
        }
        self.members.insert(id, entry);
        steps
    }

    /// Makes room by forgetting the one who left, or was not heard of, the longest ago; false when all are there.
    fn forget_one(&mut self) -> bool {
        let gone = self.members.values().filter(|entry| entry.member.standing != Standing::Active);
        let oldest = gone.min_by_key(|entry| (entry.member.standing != Standing::Left, entry.member.last_seen));
        let Some(id) = oldest.map(|entry| entry.member.id().clone()) else { return false };
        self.members.remove(&id).is_some()
    }

    fn age(&mut self, at: Moment) -> Vec<Step> {
        let silence_max = self.config.silence_max();
        let mut steps = Vec::new();
        for entry in self.members.values_mut() {
            if entry.member.standing == Standing::Active && !entry.is_alive(at, silence_max) {
                entry.member.standing = Standing::Stale;
                steps.push(Step::Store(Box::new(entry.member.clone())));
                steps.push(Step::Happened(Happening::WentStale(entry.member.id().clone())));
            }
        }
        steps
    }

    /// Whether it is there it has to say itself.
    fn restore(&mut self, id: &PeerId) -> Vec<Step> {
        let Some(entry) = self.members.get_mut(id).filter(|entry| entry.member.standing == Standing::Left) else {
            return Vec::new();
        };
        entry.member.standing = Standing::Stale;
        entry.member.left_at = None;
        vec![Step::Store(Box::new(entry.member.clone()))]
    }

    /// Our own announcements come back to us, those of earlier lives too. Only somebody else announces a later life, or none.
    fn hear_own_name(&mut self, stamp: Option<Stamp>, heard: Heard, at: Moment) -> Vec<Step> {
        let is_ours = stamp.is_some_and(|stamp| stamp.epoch <= self.epoch);
        let is_told = self.collided.is_some_and(|told| at.run.saturating_sub(told) < COLLISION_EVERY);
        if is_ours || heard == Heard::Replayed || is_told {
            return Vec::new();
        }
        self.collided = Some(at.run);
        vec![Step::Happened(Happening::CollidedWithUs)]
    }
}

struct News {
    said: Said,
    identity: Identity,
    life: Option<Life>,
    seq: u64,
    key: Option<String>,
    sent_at: Option<Timestamp>,
    heard: Heard,
}

impl News {
    fn wants_greeting(&self) -> bool {
        self.said == Said::Join && self.heard == Heard::Live
    }
}

impl Entry {
    fn is_alive(&self, at: Moment, silence_max: Duration) -> bool {
        let heard = self.clocks.heard.is_some_and(|heard| at.run.saturating_sub(heard) < silence_max);
        heard && self.member.standing == Standing::Active
    }

    /// Why `news` is not believed.
    fn objection(&self, news: &News, is_alive: bool) -> Option<Happening> {
        let id = || self.member.id().clone();
        let collision = || Some(Happening::Collided(id()));
        if self.member.key.is_some() && news.key != self.member.key {
            return collision();
        }
        let (Some(known), Some(said)) = (self.member.life, news.life) else { return None };
        let is_same_kind =
            matches!((known, said), (Life::Epoch(_), Life::Epoch(_)) | (Life::JoinedAt(_), Life::JoinedAt(_)));
        match said.cmp(&known) {
            // An agent in Go and a hub under one name.
            _ if !is_same_kind && is_alive && news.heard == Heard::Live => collision(),
            _ if !is_same_kind => None,
            std::cmp::Ordering::Less if news.heard == Heard::Replayed => Some(Happening::Outdated(id())),
            // What was queued in an earlier life may be sent in this one; heartbeats are never queued.
            std::cmp::Ordering::Less if is_alive && news.said != Said::Heartbeat => Some(Happening::Outdated(id())),
            std::cmp::Ordering::Less if is_alive => collision(),
            // Whoever has been silent and comes back with an earlier epoch lost its memory, and its clock.
            std::cmp::Ordering::Less | std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal if news.seq < self.member.seq => Some(Happening::Outdated(id())),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn take(&mut self, news: &News, at: Moment, silence_max: Duration) {
        if news.heard == Heard::Live {
            self.clocks.heard = Some(at.run);
            self.compare_clocks(news, at);
        }
        let member = &mut self.member;
        // An agent that leaves says less about itself than one that comes.
        if news.said != Said::Leave {
            member.identity = news.identity.clone();
        }
        member.life = news.life.or(member.life);
        member.seq = news.seq;
        member.key = news.key.clone().or(member.key.take());
        // What lay in the topic was said some time ago; nobody knows when, unless both clocks are right.
        let is_recent = news.sent_at.is_some_and(|sent| at.wall.since(sent) < silence_max && sent <= at.wall);
        let was_there = news.heard == Heard::Live || is_recent;
        if was_there {
            member.last_seen = at.wall;
        }
        (member.standing, member.left_at) = match news.said {
            Said::Leave => (Standing::Left, Some(at.wall)),
            Said::Join | Said::Heartbeat if was_there => (Standing::Active, None),
            Said::Join | Said::Heartbeat if member.standing == Standing::Active => (Standing::Active, None),
            Said::Join | Said::Heartbeat => (Standing::Stale, None),
        };
        if is_recent && news.said != Said::Leave {
            self.clocks.heard = Some(at.run);
        }
    }

    fn compare_clocks(&mut self, news: &News, at: Moment) {
        let Some(sent_at) = news.sent_at else { return };
        let samples = &mut self.clocks.behind_ms;
        if samples.len() == CLOCK_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(at.wall.as_millis().saturating_sub(sent_at.as_millis()));
        self.member.behind_ms = samples.iter().copied().min().unwrap_or(0);
    }
}

/// Whether there is more news than that it is still there.
fn differs(one: &Member, other: &Member) -> bool {
    let quiet = |identity: &Identity| Identity { load: None, can_think: None, ..identity.clone() };
    (one.standing, one.life, &one.key) != (other.standing, other.life, &other.key)
        || quiet(&one.identity) != quiet(&other.identity)
}

fn life_of(stamp: Option<Stamp>, identity: &Identity) -> Option<Life> {
    let joined_at = || identity.joined_at.map(|at| Life::JoinedAt(at.as_millis()));
    stamp.map(|stamp| Life::Epoch(stamp.epoch)).or_else(joined_at)
}
