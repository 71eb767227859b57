//! Where this member stands, and its zones: changed by the owner of this house, told to the group, shown.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::base::id::{PeerId, ZoneId};
use crate::db::{DbError, Tx};
use crate::domain::peer::Visibility;
use crate::group::outbox::OutboxError;
use crate::group::wire::{Body, Topic};
use crate::orchestrator::view::{self, NodeView, ZoneView};
use crate::orchestrator::wire::{Message, ZoneChange};
use crate::orchestrator::zone::{Change, PUBLIC, Zone, ZoneRefusal};
use crate::orchestrator::{self, Chart};

use super::Group;
use super::core::Core;
use super::say::{Said, undone};

/// Everybody who comes within this time is told once.
const TELL_WITHIN: Duration = Duration::from_secs(1);
/// What this member tells of its zones, in bytes; leaves room for those who let themselves in.
const PLACE_BYTES_MAX: usize = 256 * 1024;

/// What the owner of this house wants changed about a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ZoneOrder {
    Create(ZoneDraft),
    Update(ZoneDraft),
    Remove,
    /// Become a member of somebody else's zone.
    Join,
    LetIn(PeerId),
    TurnAway(PeerId),
}

/// How a zone is to be; what is left out stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ZoneDraft {
    pub name: Option<String>,
    pub visibility: Option<Visibility>,
    pub parent: Option<ZoneId>,
    pub allowed: Option<Vec<PeerId>>,
    pub members: Option<Vec<PeerId>>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("zone {zone} is there already")]
    Exists { zone: ZoneId },
    #[error("zone {zone} is as the configuration of this house says")]
    Configured { zone: ZoneId },
    #[error(transparent)]
    Refused(#[from] ZoneRefusal),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// `GET /api/v1/orchestrator/status` of an active orchestrator.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PlaceView {
    pub enabled: bool,
    pub role: String,
    pub agent_id: String,
    pub zone_id: String,
    pub parent_id: String,
    pub agent_count: usize,
    pub zone_count: usize,

    pub active: bool,
}

impl Group {
    /// Whether this member has a place in the group's hierarchy.
    pub fn is_placed(&self) -> bool {
        self.core.config.orchestrator.is_enabled
    }

    pub async fn place(&self) -> Result<PlaceView, DbError> {
        let (chart, config) = (self.chart().await?, &self.core.config.orchestrator);
        Ok(PlaceView {
            enabled: config.is_enabled,
            role: config.role.clone(),
            agent_id: self.core.me().to_string(),
            zone_id: config.zone.as_ref().map(ToString::to_string).unwrap_or_default(),
            parent_id: config.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            agent_count: chart.hierarchy.iter().filter(|node| !node.has_left()).count(),
            zone_count: chart.zones.iter().count(),
            active: true,
        })
    }

    pub async fn nodes(&self) -> Result<Vec<NodeView>, DbError> {
        let chart = self.chart().await?;
        let (roster, moment) = (self.core.roster(), self.core.moment());
        Ok(view::nodes(&chart, |id| id == self.core.me() || roster.is_alive(id, moment)))
    }

    pub async fn zones(&self) -> Result<Vec<ZoneView>, DbError> {
        Ok(view::zones(&self.chart().await?))
    }

    /// Changes a zone and tells the group, in one transaction. Returns how it is now; none when it is gone.
    pub async fn change_zone(&self, zone: ZoneId, order: ZoneOrder) -> Result<Option<ZoneView>, PlaceError> {
        let core = self.core.clone();
        let changed = self.core.db.write(move |tx| core.change_zone(tx, &zone, order));
        let view = changed.await??;
        self.core.queued.notify_one();
        Ok(view)
    }

    async fn chart(&self) -> Result<Chart, DbError> {
        self.core.db.read(orchestrator::load).await
    }
}

/// Tells the group where this member stands when somebody has given reason to; once for all who come within a moment, so that a
/// crowd is not answered one by one. What is not told because the connection goes is told with the next one.
pub(super) async fn tell(core: Arc<Core>) {
    loop {
        core.place.notified().await;
        tokio::time::sleep(TELL_WITHIN).await;
        let shared = core.clone();
        let told = core.db.write(move |tx| shared.say_place(tx, shared.clock.now()).map_err(undone));
        match told.await {
            Ok(()) => core.queued.notify_one(),
            Err(error) => tracing::error!(error = chain(&error), "The group could not be told where this hub stands."),
        }
    }
}

impl Core {
    /// Says where this member stands and which zones it owns, all of them: whoever hears it knows what is gone.
    pub(super) fn say_place(&self, tx: &Tx<'_>, now: Timestamp) -> Result<(), OutboxError> {
        let config = &self.config.orchestrator;
        if !config.is_enabled {
            return Ok(());
        }
        let node = config.node(self.me(), &self.config.me.name, now);
        let discovery = orchestrator::discovery(&orchestrator::load(tx)?, &node);
        match self.say_orchestrator(tx, &Topic::Orchestrator, Message::Discovery(discovery), now) {
            // Members that let themselves in made it so; this hub works on without its zones being known.
            Err(OutboxError::TooLarge { bytes, .. }) => {
                tracing::warn!(bytes, "This hub's zones have too many members to be told.");
                Ok(())
            }
            said => said,
        }
    }

    /// Whether the word of another member wants ours: an owner tells what came of a question, and whoever is new hears who was here
    /// before.
    pub(super) fn has_to_tell(
        &self,
        tx: &Tx<'_>,
        applied: &orchestrator::Applied,
        is_live: bool,
    ) -> rusqlite::Result<bool> {
        if applied.is_met && is_live {
            return Ok(true);
        }
        if applied.zones.is_empty() {
            return Ok(false);
        }
        let chart = orchestrator::load(tx)?;
        let is_ours = |id: &ZoneId| chart.zones.get(id).is_some_and(|zone| zone.owner.as_ref() == Some(self.me()));
        Ok(applied.zones.iter().any(is_ours))
    }

    fn change_zone(
        &self,
        tx: &Tx<'_>,
        id: &ZoneId,
        order: ZoneOrder,
    ) -> rusqlite::Result<Result<Option<ZoneView>, PlaceError>> {
        let now = self.clock.now();
        let chart = orchestrator::load(tx)?;
        let change = match self.change(&chart, id, order, now) {
            Ok(change) => change,
            Err(error) => return Ok(Err(error)),
        };
        if !self.can_be_told(chart.clone(), change.clone(), now) {
            return Ok(Err(ZoneRefusal::Full.into()));
        }
        let question = matches!(change, Change::Ask(_)).then(|| chart.zones.get(id).cloned()).flatten();
        match orchestrator::change_own(tx, self.me(), change, now)? {
            Ok(_) => {}
            Err(refusal) => return Ok(Err(refusal.into())),
        }
        let said = match question.filter(|zone| zone.owner.as_ref() != Some(self.me())) {
            Some(zone) => self.say_question(tx, &zone, now),
            None => self.say_place(tx, now),
        };
        said.map_err(undone)?;
        let chart = orchestrator::load(tx)?;
        Ok(Ok(chart.zones.get(id).map(|zone| view::zone_view(&chart, zone))))
    }

    /// Whether everything that this member has to tell would still fit into one record.
    fn can_be_told(&self, mut chart: Chart, change: Change, now: Timestamp) -> bool {
        let node = self.config.orchestrator.node(self.me(), &self.config.me.name, now);
        let is_changed = chart.zones.change(self.me(), change).is_ok();
        let told = serde_json::to_vec(&orchestrator::discovery(&chart, &node)).map_or(0, |text| text.len());
        !is_changed || told <= PLACE_BYTES_MAX
    }

    fn change(&self, chart: &Chart, id: &ZoneId, order: ZoneOrder, now: Timestamp) -> Result<Change, PlaceError> {
        let known = chart.zones.get(id);
        let is_configured = self.config.orchestrator.states(id);
        let zone = || id.clone();
        match order {
            ZoneOrder::Create(_) if known.is_some() && id.as_str() != PUBLIC => {
                Err(PlaceError::Exists { zone: zone() })
            }
            ZoneOrder::Create(draft) => {
                let fresh = Zone::new(zone(), Visibility::Shared, self.me().clone(), now);
                Ok(Change::Put(drafted(fresh, draft)))
            }
            ZoneOrder::Update(_) | ZoneOrder::Remove if is_configured => Err(PlaceError::Configured { zone: zone() }),
            ZoneOrder::Update(draft) => match known {
                Some(known) => Ok(Change::Put(drafted(known.clone(), draft))),
                None => Err(ZoneRefusal::Unknown { zone: zone() }.into()),
            },
            ZoneOrder::Remove => Ok(Change::Delete(zone())),
            ZoneOrder::Join => Ok(Change::Ask(zone())),
            ZoneOrder::LetIn(peer) => Ok(Change::LetIn(zone(), peer)),
            ZoneOrder::TurnAway(peer) => Ok(Change::TurnAway(zone(), peer)),
        }
    }

    /// Only hubs hear it: agents in Go take everything of an orchestrator for a discovery.
    fn say_question(&self, tx: &Tx<'_>, zone: &Zone, now: Timestamp) -> Result<(), OutboxError> {
        let change = ZoneChange::question(zone, self.me());
        self.say_orchestrator(tx, &Topic::Direct, Message::Zone(change), now)
    }

    fn say_orchestrator(
        &self,
        tx: &Tx<'_>,
        topic: &Topic,
        message: Message,
        now: Timestamp,
    ) -> Result<(), OutboxError> {
        let key = Some(self.me().as_str());
        let body = Body::Orchestrator(message);
        let said = Said { topic: topic.clone(), body, about: "", to: None, key, deadline_at: None };
        self.say(tx, &said, now).map(drop)
    }
}

fn drafted(zone: Zone, draft: ZoneDraft) -> Zone {
    Zone {
        name: draft.name.unwrap_or(zone.name),
        visibility: draft.visibility.unwrap_or(zone.visibility),
        parent: draft.parent.or(zone.parent),
        allowed: draft.allowed.map_or(zone.allowed, |peers| peers.into_iter().collect()),
        members: draft.members.map_or(zone.members, |peers| peers.into_iter().collect()),
        ..zone
    }
}
