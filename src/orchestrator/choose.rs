//! Who is to do a task: the least busy member that is there, can do it and may. Pure and the same everywhere.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::orchestrator::zone::{PUBLIC, ZoneRefusal, Zones};

/// A member as the roster knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub id: PeerId,
    /// When something was last heard of it, by our own clock.
    pub seen_at: Timestamp,
    /// Whether it said good-bye.
    pub has_left: bool,
    pub skills: BTreeSet<String>,
    pub capabilities: BTreeSet<String>,
    /// Tasks it is busy with; none when it does not say, which counts as not busy.
    pub load: Option<u32>,
    /// Whether a model answers there; none when it does not say, which counts as yes.
    pub can_think: Option<bool>,
    /// Whether only the one who is meant does what is asked: agents in Go do whatever they hear, so what is asked of one of them
    /// in a zone is done outside of it too.
    pub heeds_targets: bool,
}

/// What the task asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// Spreads tasks over equally busy members.
    pub task_id: String,
    pub requester: PeerId,
    /// Nobody but this one.
    pub target: Option<PeerId>,
    pub skill: Option<String>,
    pub capability: Option<String>,
    pub zone: Option<ZoneId>,
    /// Who has it already, or has refused it.
    pub except: BTreeSet<PeerId>,
    /// Silent for longer than this is gone.
    pub silence_max: Duration,
}

/// Why nobody is to do it; each the furthest that any member came.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NobodyReason {
    #[error("there is nobody else in the group")]
    Alone,
    #[error("{target} is not a member of the group")]
    NotMember { target: PeerId },
    #[error("the task may not be asked in its zone")]
    Zone { source: ZoneRefusal },
    #[error("nobody of the group can be reached at the moment")]
    NobodyThere,
    #[error("nobody who can be reached is able to do it")]
    NobodyAble,
    #[error("nobody who is able may do it")]
    NobodyAllowed,
    #[error("everybody who may do it has refused or failed")]
    NobodyLeft,
}

impl NobodyReason {
    /// Stable name for the API and for records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::NotMember { .. } => "not_member",
            Self::Zone { .. } => "zone",
            Self::NobodyThere => "nobody_there",
            Self::NobodyAble => "nobody_able",
            Self::NobodyAllowed => "nobody_allowed",
            Self::NobodyLeft => "nobody_left",
        }
    }

    /// Whether waiting may help.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Alone | Self::NobodyThere | Self::NobodyAble | Self::NobodyLeft)
    }
}

/// The member that is to do it.
pub fn choose(members: &[Candidate], zones: &Zones, need: &Need, now: Timestamp) -> Result<PeerId, NobodyReason> {
    zones
        .judge(need.zone.as_ref(), &need.requester, &need.requester)
        .map_err(|source| NobodyReason::Zone { source })?;
    let others: Vec<&Candidate> = members.iter().filter(|member| member.id != need.requester).collect();
    if others.is_empty() {
        return Err(NobodyReason::Alone);
    }
    let meant = match &need.target {
        None => others,
        Some(target) => others.into_iter().filter(|member| member.id == *target).collect(),
    };
    if let (Some(target), true) = (&need.target, meant.is_empty()) {
        return Err(NobodyReason::NotMember { target: target.clone() });
    }
    let is_there = |member: &Candidate| !member.has_left && now.since(member.seen_at) <= need.silence_max;
    let there = narrowed(meant, is_there, NobodyReason::NobodyThere)?;
    let able = narrowed(there, |member| is_able(member, need), NobodyReason::NobodyAble)?;
    let is_open = need.zone.as_ref().is_none_or(|zone| zone.as_str() == PUBLIC);
    let may = |member: &Candidate| {
        (is_open || member.heeds_targets) && zones.judge(need.zone.as_ref(), &need.requester, &member.id).is_ok()
    };
    let allowed = narrowed(able, may, NobodyReason::NobodyAllowed)?;
    let left = narrowed(allowed, |member| !need.except.contains(&member.id), NobodyReason::NobodyLeft)?;
    let best = left.into_iter().min_by_key(|member| rank(member, need));
    best.map(|member| member.id.clone()).ok_or(NobodyReason::NobodyLeft)
}

fn narrowed(
    mut members: Vec<&Candidate>,
    keep: impl Fn(&Candidate) -> bool,
    reason: NobodyReason,
) -> Result<Vec<&Candidate>, NobodyReason> {
    members.retain(|member| keep(member));
    if members.is_empty() { Err(reason) } else { Ok(members) }
}

fn is_able(member: &Candidate, need: &Need) -> bool {
    let has =
        |set: &BTreeSet<String>, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| set.contains(wanted));
    // A skill may be done without a model; anything else is read by one.
    let can_think = need.skill.is_some() || member.can_think != Some(false);
    has(&member.skills, &need.skill) && has(&member.capabilities, &need.capability) && can_think
}

/// Least busy first, then by a draw that the task's id decides (highest random weight), then by name.
fn rank<'a>(member: &'a Candidate, need: &Need) -> (u32, Reverse<[u8; 8]>, &'a PeerId) {
    let mut hash = Sha256::new();
    hash.update(need.task_id.as_bytes());
    hash.update([0]);
    hash.update(member.id.as_str().as_bytes());
    let mut draw = [0; 8];
    draw.copy_from_slice(&hash.finalize()[..8]);
    (member.load.unwrap_or(0), Reverse(draw), &member.id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::peer::Visibility;
    use crate::orchestrator::zone::Zone;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const SILENCE_MAX: Duration = Duration::from_secs(90);

    fn member(id: &str) -> Candidate {
        Candidate {
            id: PeerId::from(id),
            seen_at: NOW,
            has_left: false,
            skills: BTreeSet::from(["weather".to_owned()]),
            capabilities: BTreeSet::new(),
            load: None,
            can_think: None,
            heeds_targets: true,
        }
    }

    fn zones() -> Zones {
        let mut garage = Zone::new(ZoneId::from("garage"), Visibility::Private, PeerId::from("me"), NOW);
        garage.allowed.insert(PeerId::from("b"));
        Zones::new([garage])
    }

    fn chosen(members: &[Candidate], change: impl FnOnce(&mut Need)) -> Result<String, &'static str> {
        let mut need = Need {
            task_id: "t".to_owned(),
            requester: PeerId::from("me"),
            target: None,
            skill: None,
            capability: None,
            zone: None,
            except: BTreeSet::new(),
            silence_max: SILENCE_MAX,
        };
        change(&mut need);
        choose(members, &zones(), &need, NOW).map(|id| id.to_string()).map_err(|reason| reason.code())
    }

    #[test]
    fn the_least_busy_one_that_can_and_may_does_it() {
        let busy = Candidate { load: Some(3), ..member("a") };
        let dumb = Candidate { can_think: Some(false), ..member("c") };
        assert_eq!(chosen(&[busy.clone(), member("b"), dumb.clone()], |_| {}), Ok("b".to_owned()));
        assert_eq!(chosen(&[busy, dumb.clone()], |_| {}), Ok("a".to_owned()));
        assert_eq!(chosen(&[dumb], |need| need.skill = Some("weather".to_owned())), Ok("c".to_owned()));
    }

    #[test]
    fn nobody_is_chosen_for_a_reason() {
        let gone = Candidate { seen_at: NOW.minus(Duration::from_secs(91)), ..member("a") };
        let left = Candidate { has_left: true, ..member("a") };
        let zone = |name: &'static str| move |need: &mut Need| need.zone = Some(ZoneId::from(name));
        assert_eq!(chosen(&[member("me")], |_| {}), Err("alone"));
        assert_eq!(chosen(&[member("a")], |need| need.target = Some(PeerId::from("ghost"))), Err("not_member"));
        assert_eq!(chosen(&[gone], |_| {}), Err("nobody_there"));
        assert_eq!(chosen(&[left], |_| {}), Err("nobody_there"));
        assert_eq!(chosen(&[member("a")], |need| need.skill = Some("cooking".to_owned())), Err("nobody_able"));
        assert_eq!(chosen(&[member("a")], zone("garage")), Err("nobody_allowed"));
        assert_eq!(chosen(&[member("b")], zone("garage")), Ok("b".to_owned()));
        let deaf = Candidate { heeds_targets: false, ..member("b") };
        assert_eq!(chosen(std::slice::from_ref(&deaf), zone("garage")), Err("nobody_allowed"));
        assert_eq!(chosen(&[deaf], zone("public")), Ok("b".to_owned()));
        assert_eq!(chosen(&[member("a")], zone("nowhere")), Err("zone"));
        let refused = |need: &mut Need| need.except = BTreeSet::from([PeerId::from("a")]);
        assert_eq!(chosen(&[member("a")], refused), Err("nobody_left"));
        let by_stranger = |need: &mut Need| {
            need.zone = Some(ZoneId::from("garage"));
            need.requester = PeerId::from("z");
        };
        assert_eq!(chosen(&[member("b")], by_stranger), Err("zone"));
    }

    #[test]
    fn tasks_spread_over_equally_busy_members() {
        let members = ["a", "b", "c", "d"].map(member);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for task in 0..400 {
            let task_id = format!("task-{task}");
            *counts.entry(chosen(&members, |need| need.task_id = task_id.clone()).expect("somebody")).or_default() += 1;
        }
        assert!(counts.len() == 4 && counts.values().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn the_order_of_the_roster_does_not_matter(
            loads in proptest::collection::vec((0_u8..12, proptest::option::of(0_u32..3), any::<bool>()), 1..10),
            turn in 0_usize..10, task_id in "[a-z0-9]{1,8}",
        ) {
            let unique: BTreeMap<u8, Candidate> = loads
                .into_iter()
                .map(|(id, load, has_left)| (id, Candidate { load, has_left, ..member(&format!("p{id}")) }))
                .collect();
            let mut members: Vec<Candidate> = unique.into_values().collect();
            let one = chosen(&members, |need| need.task_id = task_id.clone());
            let turn = turn % members.len();
            members.rotate_left(turn);
            prop_assert_eq!(&chosen(&members, |need| need.task_id = task_id.clone()), &one);
            if let Ok(id) = one {
                let best = members.iter().filter(|member| !member.has_left).filter_map(|member| member.load.or(Some(0))).min();
                let found = members.iter().find(|member| member.id.as_str() == id).expect("a member");
                prop_assert_eq!(found.load.or(Some(0)), best);
                prop_assert!(!found.has_left);
            }
        }
    }
}
