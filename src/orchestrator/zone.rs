//! Zones: circles of members that may ask work of each other (group specification §6). Pure.
//!
//! A zone belongs to the member that made it, for good: another one of the same name is not taken. What its owner says about it
//! counts; whoever wants into a shared zone is in it, whoever wants into a private one waits for the owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::domain::peer::Visibility;

/// The zone that is always there.
pub const PUBLIC: &str = "public";
pub const ZONES_MAX: usize = 1_000;
pub const MEMBERS_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    pub id: ZoneId,
    pub name: String,
    pub visibility: Visibility,
    /// None for the public zone only.
    pub owner: Option<PeerId>,
    pub parent: Option<ZoneId>,
    /// Who may become a member of a private zone without asking.
    pub allowed: BTreeSet<PeerId>,
    pub members: BTreeSet<PeerId>,
    /// Who has asked and waits for the owner.
    pub waiting: BTreeSet<PeerId>,
    pub created_at: Timestamp,
}

impl Zone {
    pub fn new(id: ZoneId, visibility: Visibility, owner: PeerId, now: Timestamp) -> Self {
        Self { name: id.to_string(), visibility, owner: Some(owner), created_at: now, ..Self::bare(id) }
    }

    fn public() -> Self {
        Self { name: "Public".to_owned(), ..Self::bare(ZoneId::from(PUBLIC)) }
    }

    fn bare(id: ZoneId) -> Self {
        Self {
            id,
            name: String::new(),
            visibility: Visibility::Public,
            owner: None,
            parent: None,
            allowed: BTreeSet::new(),
            members: BTreeSet::new(),
            waiting: BTreeSet::new(),
            created_at: Timestamp::default(),
        }
    }

    fn is_owner(&self, peer: &PeerId) -> bool {
        self.owner.as_ref() == Some(peer)
    }

    /// Whether `peer` belongs to it. `claims` says that the peer itself names this zone as its own, which is enough for a shared one.
    fn admits(&self, peer: &PeerId, claims: bool) -> bool {
        match self.visibility {
            Visibility::Public => true,
            Visibility::Shared => self.is_owner(peer) || self.members.contains(peer) || claims,
            Visibility::Private => self.is_owner(peer) || self.members.contains(peer) || self.allowed.contains(peer),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ZoneRefusal {
    #[error("zone {zone} is not known")]
    Unknown { zone: ZoneId },
    #[error("the public zone stays as it is")]
    Reserved,
    #[error("zone {zone} is already there and belongs to another member")]
    Taken { zone: ZoneId },
    #[error("only the owner of zone {zone} may do that")]
    NotOwner { zone: ZoneId },
    #[error("{peer} is not allowed in zone {zone}")]
    NotAllowed { peer: PeerId, zone: ZoneId },
    #[error("{peer} has not asked to join zone {zone}")]
    NotWaiting { peer: PeerId, zone: ZoneId },
    #[error("there is no room for more zones or members")]
    Full,
}

/// What a member wants changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Makes a zone, or says anew how the owner wants it.
    Put(Zone),
    Delete(ZoneId),
    Ask(ZoneId),
    LetIn(ZoneId, PeerId),
    TurnAway(ZoneId, PeerId),
}

/// All zones that are known here; the public one is always among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zones {
    by_id: BTreeMap<ZoneId, Zone>,
    /// Zones that members name as their own, see [`Zone::admits`].
    claims: BTreeSet<(ZoneId, PeerId)>,
}

impl Default for Zones {
    fn default() -> Self {
        Self::new([])
    }
}

impl Zones {
    pub fn new(zones: impl IntoIterator<Item = Zone>) -> Self {
        let mut by_id: BTreeMap<ZoneId, Zone> = zones.into_iter().map(|zone| (zone.id.clone(), zone)).collect();
        by_id.insert(ZoneId::from(PUBLIC), Zone::public());
        Self { by_id, claims: BTreeSet::new() }
    }

    /// `peer` names `zone` as its own.
    pub fn claim(&mut self, zone: ZoneId, peer: PeerId) {
        self.claims.insert((zone, peer));
    }

    pub fn get(&self, zone: &ZoneId) -> Option<&Zone> {
        self.by_id.get(zone)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.by_id.values()
    }

    /// Members of `zone`: those it lists, its owner, and those who name it as their own where that is enough.
    pub fn members(&self, zone: &ZoneId) -> BTreeSet<PeerId> {
        let Some(found) = self.by_id.get(zone) else { return BTreeSet::new() };
        let claimants = self.claims.iter().filter(|(claimed, peer)| claimed == zone && self.is_allowed(zone, peer));
        found
            .members
            .iter()
            .chain(found.owner.as_ref())
            .cloned()
            .chain(claimants.map(|(_, peer)| peer.clone()))
            .collect()
    }

    /// Whether `peer` may ask and be asked in `zone`. Nobody may in one that is not known.
    pub fn is_allowed(&self, zone: &ZoneId, peer: &PeerId) -> bool {
        let claims = self.claims.contains(&(zone.clone(), peer.clone()));
        self.by_id.get(zone).is_some_and(|found| found.admits(peer, claims))
    }

    /// The rule for sending and for receiving: both sides have to be allowed in the zone; none means the public one.
    pub fn judge(&self, zone: Option<&ZoneId>, from: &PeerId, to: &PeerId) -> Result<(), ZoneRefusal> {
        let Some(zone) = zone else { return Ok(()) };
        if !self.by_id.contains_key(zone) {
            return Err(ZoneRefusal::Unknown { zone: zone.clone() });
        }
        match [from, to].into_iter().find(|peer| !self.is_allowed(zone, peer)) {
            None => Ok(()),
            Some(peer) => Err(ZoneRefusal::NotAllowed { peer: peer.clone(), zone: zone.clone() }),
        }
    }

    /// Members that `peer` can see: itself, everybody of the public zones, and whoever shares a zone with it.
    pub fn visible_to(&self, peer: &PeerId) -> BTreeSet<PeerId> {
        let open = self.by_id.values().filter(|zone| self.is_allowed(&zone.id, peer));
        open.flat_map(|zone| self.members(&zone.id)).chain([peer.clone()]).collect()
    }

    /// Does what `by` asks, or says why not. Returns the zone that is different now.
    pub fn change(&mut self, by: &PeerId, change: Change) -> Result<Option<ZoneId>, ZoneRefusal> {
        match change {
            Change::Put(zone) => self.put(by, zone),
            Change::Delete(zone) => {
                self.owned(by, &zone)?;
                self.by_id.remove(&zone);
                Ok(Some(zone))
            }
            Change::Ask(zone) => self.ask(by, zone),
            Change::LetIn(zone, peer) => {
                let found = self.owned(by, &zone)?;
                if found.members.len() >= MEMBERS_MAX {
                    return Err(ZoneRefusal::Full);
                }
                found.waiting.remove(&peer);
                Ok(found.members.insert(peer).then_some(zone))
            }
            Change::TurnAway(zone, peer) => {
                let found = self.owned(by, &zone)?;
                let was_waiting = found.waiting.remove(&peer);
                let was_member = found.members.remove(&peer);
                if was_waiting || was_member { Ok(Some(zone)) } else { Err(ZoneRefusal::NotWaiting { peer, zone }) }
            }
        }
    }

    fn put(&mut self, by: &PeerId, mut zone: Zone) -> Result<Option<ZoneId>, ZoneRefusal> {
        if zone.id.as_str() == PUBLIC {
            return Err(ZoneRefusal::Reserved);
        }
        if !zone.is_owner(by) {
            return Err(ZoneRefusal::NotOwner { zone: zone.id });
        }
        let id = zone.id.clone();
        match self.by_id.get(&id) {
            Some(known) if !known.is_owner(by) => return Err(ZoneRefusal::Taken { zone: id }),
            Some(known) => {
                // Who asked here still waits, unless the owner has let them in meanwhile.
                zone.waiting = known.waiting.difference(&zone.members).cloned().collect();
                zone.created_at = known.created_at.min(zone.created_at);
                if *known == zone {
                    return Ok(None);
                }
            }
            None if self.by_id.len() >= ZONES_MAX => return Err(ZoneRefusal::Full),
            None => {}
        }
        self.by_id.insert(id.clone(), zone);
        Ok(Some(id))
    }

    fn ask(&mut self, by: &PeerId, zone: ZoneId) -> Result<Option<ZoneId>, ZoneRefusal> {
        if zone.as_str() == PUBLIC {
            return Ok(None);
        }
        let Some(found) = self.by_id.get_mut(&zone) else { return Err(ZoneRefusal::Unknown { zone }) };
        if found.members.len() + found.waiting.len() >= MEMBERS_MAX {
            return Err(ZoneRefusal::Full);
        }
        let is_in = found.visibility != Visibility::Private || found.allowed.contains(by) || found.is_owner(by);
        let list = if is_in { &mut found.members } else { &mut found.waiting };
        Ok(list.insert(by.clone()).then_some(zone))
    }

    fn owned(&mut self, by: &PeerId, zone: &ZoneId) -> Result<&mut Zone, ZoneRefusal> {
        if zone.as_str() == PUBLIC {
            return Err(ZoneRefusal::Reserved);
        }
        match self.by_id.get_mut(zone) {
            None => Err(ZoneRefusal::Unknown { zone: zone.clone() }),
            Some(found) if !found.is_owner(by) => Err(ZoneRefusal::NotOwner { zone: zone.clone() }),
            Some(found) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(name: &str) -> PeerId {
        PeerId::from(name)
    }

    fn zone(id: &str, visibility: Visibility) -> Zone {
        Zone::new(ZoneId::from(id), visibility, peer("owner"), Timestamp::from_millis(1))
    }

    fn zones() -> Zones {
        let mut private = zone("private", Visibility::Private);
        private.allowed.insert(peer("friend"));
        Zones::new([zone("shared", Visibility::Shared), private])
    }

    fn judge(zones: &Zones, zone: &str, from: &str, to: &str) -> bool {
        zones.judge(Some(&ZoneId::from(zone)), &peer(from), &peer(to)).is_ok()
    }

    #[test]
    fn a_zone_keeps_out_whoever_is_not_of_it_on_both_sides() {
        let mut zones = zones();
        assert!(judge(&zones, "public", "a", "b"));
        assert!(zones.judge(None, &peer("a"), &peer("b")).is_ok());
        assert!(!judge(&zones, "shared", "owner", "a") && !judge(&zones, "shared", "a", "owner"));
        assert!(judge(&zones, "private", "owner", "friend") && !judge(&zones, "private", "owner", "a"));
        assert!(!judge(&zones, "nowhere", "owner", "owner"));
        zones.claim(ZoneId::from("shared"), peer("a"));
        zones.claim(ZoneId::from("private"), peer("a"));
        assert!(judge(&zones, "shared", "owner", "a"), "a shared zone takes whoever names it");
        assert!(!judge(&zones, "private", "owner", "a"), "a private one does not");
        assert_eq!(zones.members(&ZoneId::from("shared")), BTreeSet::from([peer("a"), peer("owner")]));
        assert_eq!(zones.visible_to(&peer("a")), BTreeSet::from([peer("a"), peer("owner")]));
        assert_eq!(zones.visible_to(&peer("z")), BTreeSet::from([peer("z")]));
    }

    #[test]
    fn who_asks_is_in_a_shared_zone_and_waits_for_a_private_one() {
        let mut zones = zones();
        zones.change(&peer("a"), Change::Ask(ZoneId::from("shared"))).expect("asked");
        assert!(judge(&zones, "shared", "owner", "a"));
        zones.change(&peer("a"), Change::Ask(ZoneId::from("private"))).expect("asked");
        assert!(!judge(&zones, "private", "owner", "a"));
        let let_in = Change::LetIn(ZoneId::from("private"), peer("a"));
        let refused = zones.change(&peer("a"), let_in.clone());
        assert_eq!(refused, Err(ZoneRefusal::NotOwner { zone: ZoneId::from("private") }));
        zones.change(&peer("owner"), let_in).expect("let in");
        assert!(judge(&zones, "private", "owner", "a"));
        zones.change(&peer("owner"), Change::TurnAway(ZoneId::from("private"), peer("a"))).expect("out");
        assert!(!judge(&zones, "private", "owner", "a"));
    }

    #[test]
    fn a_zone_belongs_to_whoever_made_it() {
        let mut zones = zones();
        let mut theirs = zone("shared", Visibility::Public);
        theirs.owner = Some(peer("thief"));
        let taken = Err(ZoneRefusal::Taken { zone: ZoneId::from("shared") });
        assert_eq!(zones.change(&peer("thief"), Change::Put(theirs)), taken);
        let public = Zone { id: ZoneId::from(PUBLIC), ..zone("x", Visibility::Private) };
        assert_eq!(zones.change(&peer("owner"), Change::Put(public)), Err(ZoneRefusal::Reserved));
        assert_eq!(zones.change(&peer("owner"), Change::Delete(ZoneId::from(PUBLIC))), Err(ZoneRefusal::Reserved));
        assert!(zones.change(&peer("a"), Change::Delete(ZoneId::from("shared"))).is_err());
        zones.change(&peer("owner"), Change::Delete(ZoneId::from("shared"))).expect("deleted");
        assert_eq!(zones.get(&ZoneId::from("shared")), None);
    }

    fn any_change() -> impl Strategy<Value = (PeerId, Change)> {
        let peers = || proptest::sample::select(vec!["owner", "a", "b"]).prop_map(PeerId::from);
        let ids = || proptest::sample::select(vec![PUBLIC, "shared", "private", "new"]).prop_map(ZoneId::from);
        let visibility = proptest::sample::select(Visibility::ALL.to_vec());
        let put = (ids(), visibility, peers())
            .prop_map(|(id, visibility, owner)| Change::Put(Zone::new(id, visibility, owner, Timestamp::default())));
        let change = prop_oneof![
            put,
            ids().prop_map(Change::Delete),
            ids().prop_map(Change::Ask),
            (ids(), peers()).prop_map(|(zone, peer)| Change::LetIn(zone, peer)),
            (ids(), peers()).prop_map(|(zone, peer)| Change::TurnAway(zone, peer)),
        ];
        (peers(), change)
    }

    proptest! {
        #[test]
        fn nobody_gets_into_a_private_zone_but_through_its_owner(changes in proptest::collection::vec(any_change(), 0..40)) {
            let mut zones = zones();
            let mut let_in = BTreeSet::new();
            for (by, change) in changes {
                let before = zones.clone();
                let done = zones.change(&by, change.clone());
                prop_assert!(done.is_ok() || zones == before, "what is refused changes nothing");
                prop_assert!(zones.get(&ZoneId::from(PUBLIC)).is_some_and(|zone| zone.visibility == Visibility::Public));
                if let (Ok(_), Change::LetIn(zone, peer)) = (done, change) {
                    let_in.insert((zone, peer));
                }
                for zone in zones.iter().filter(|zone| zone.visibility == Visibility::Private) {
                    for member in &zone.members {
                        let is_owner = zone.owner.as_ref() == Some(member);
                        prop_assert!(is_owner || zone.allowed.contains(member) || let_in.contains(&(zone.id.clone(), member.clone())));
                    }
                }
            }
        }
    }
}
