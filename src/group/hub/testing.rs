//! A hub's core for tests: a database in memory, a clock that stands still, a house that only takes notes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{PeerId, TaskId};
use crate::bus::{self, WaitsFor};
use crate::db::{Db, Tx};
use crate::domain::peer::{Identity, Request};
use crate::domain::record as domain;
use crate::group::share::{Note, Shelf};
use crate::group::wire::{self, GroupName, Topics};
use crate::group::{connectivity, inbox, onboarding, outbox, task};
use crate::knowledge;
use crate::link::kafka::{Address, Broker, Record, Security, SecurityWords};
use crate::orchestrator;
use crate::policy;
use crate::timeline;

use super::Parts;
use super::core::{Config, Core};
use super::hear::Hearing;
use super::port::House;
use super::work::After;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

/// A memory that is a map, and a house that does nothing.
#[derive(Default)]
pub(super) struct Notebook(Mutex<BTreeMap<String, String>>);

impl Notebook {
    pub(super) fn text(&self, source: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }
}

impl Shelf for Notebook {
    fn keep(&self, _: &Tx<'_>, note: &Note<'_>, _: Timestamp) -> rusqlite::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(note.source.to_owned(), note.text.to_owned());
        Ok(())
    }

    fn drop(&self, _: &Tx<'_>, source: &str) -> rusqlite::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
        Ok(())
    }
}

impl House for Notebook {
    fn begin(&self, _: &Tx<'_>, request: &Request, _: Timestamp) -> rusqlite::Result<TaskId> {
        Ok(TaskId::from(request.task_id.as_str()))
    }

    fn resume(&self, _: &Tx<'_>, _: &WaitsFor, _: Timestamp) -> rusqlite::Result<Option<TaskId>> {
        Ok(None)
    }

    fn moved(&self, _: usize, _: Vec<TaskId>) {}

    fn shelf(&self) -> &dyn Shelf {
        self
    }

    fn can_think(&self) -> watch::Receiver<bool> {
        watch::channel(false).1
    }
}

/// The core of a hub called `hub` in the group `g1`, at [`NOW`], and its house.
pub(super) async fn core() -> (Arc<Core>, Arc<Notebook>, Clock) {
    core_of("hub").await
}

pub(super) async fn core_of(me: &str) -> (Arc<Core>, Arc<Notebook>, Clock) {
    core_with(me, |_| ()).await
}

/// With a configuration of one's own.
pub(super) async fn core_with(me: &str, change: impl FnOnce(&mut Config)) -> (Arc<Core>, Arc<Notebook>, Clock) {
    let migrations = [
        timeline::MIGRATIONS,
        bus::MIGRATIONS,
        policy::MIGRATIONS,
        orchestrator::MIGRATIONS,
        knowledge::MIGRATIONS,
        crate::group::MIGRATIONS,
    ];
    let db = Db::memory_for_tests(&migrations);
    let (clock, house) = (Clock::manual(NOW), Arc::new(Notebook::default()));
    let mut config = config(me);
    change(&mut config);
    let parts = Parts {
        db,
        clock: clock.clone(),
        house: house.clone(),
        config,
        address: Address {
            brokers: Broker::list("127.0.0.1:9").expect("a broker"),
            security: Security::new(SecurityWords::default()).expect("security"),
            client_id: me.to_owned(),
        },
        lfs_proxy_url: String::new(),
        seed: 0,
    };
    let core = Core::load(parts).await.expect("a core");
    (Arc::new(core), house, clock)
}

/// What waits to be sent, oldest first.
pub(super) async fn said(core: &Arc<Core>) -> Vec<domain::Record> {
    let plan = outbox::Plan {
        boundary: 0,
        live_after: 0,
        live_rows_max: 1_000,
        live_bytes_max: u64::MAX,
        backlog_after: 0,
        backlog_rows_max: 0,
        backlog_bytes_max: 0,
    };
    let batch = core.db.read(move |conn| outbox::read(conn, &plan)).await.expect("read");
    batch.live.into_iter().map(|row| row.record).collect()
}

/// The core hears a record, as from the broker.
pub(super) async fn hear(core: &Arc<Core>, topic: &str, value: &[u8]) {
    let record = Record::apart(topic, (0, 0), value.to_vec());
    let shared = core.clone();
    let heard = core.db.write(move |tx| {
        let mut after = After::default();
        Hearing::new(&shared, tx, NOW).take(&record, &mut after)
    });
    heard.await.expect("heard");
}

fn config(me: &str) -> Config {
    let me = PeerId::from(me);
    let group = GroupName::parse("g1").expect("a name");
    Config {
        topics: Topics::new(group, knowledge::wire::Topics::of_group("kafclaw")),
        consumer_group: me.to_string(),
        heartbeat: Duration::from_secs(30),
        sweep: Duration::from_secs(600),
        task: task::Config::of(me.clone()),
        bounds: inbox::Bounds::default(),
        limits: outbox::Limits::default(),
        pace: outbox::Pace::default(),
        wire: wire::Limits::default(),
        connectivity: connectivity::Config::default(),
        orchestrator: orchestrator::Config::default(),
        knowledge: knowledge::Config::default(),
        signer: None,
        proxy: None,
        watch: crate::group::trace::Config::default(),
        onboarding: onboarding::Config::of(me.clone(), "g1"),
        me: identity(me),
    }
}

fn identity(id: PeerId) -> Identity {
    Identity {
        name: id.to_string(),
        id,
        soul: String::new(),
        capabilities: Vec::new(),
        skills: Vec::new(),
        channels: Vec::new(),
        model: String::new(),
        status: "active".to_owned(),
        role: "worker".to_owned(),
        parent: None,
        zone: None,
        endpoint: None,
        joined_at: None,
        public_key: None,
        load: None,
        can_think: None,
    }
}
