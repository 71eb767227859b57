//! The loop around the machine: waits for whatever comes first, and carries out what the machine decides.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Config;
use super::port::{ClientFactory, Probed, Prober};
use super::state::{Action, Fact, Health, Machine, State};
use crate::base::error::chain;
use crate::base::wait;
use crate::link::route::{Change, RouteWatch};

/// Facts that wait for the loop; each is small, and the loop never waits itself.
const FACTS_LEN: usize = 64;

/// What the loop is made of.
pub struct Parts<P, F> {
    pub config: Config,
    pub prober: Arc<P>,
    /// Makes the factory, given the way its facts take.
    pub factory: Box<dyn FnOnce(Connectivity) -> F + Send>,
    /// The last epoch that was ever announced.
    pub epoch: u64,
    pub seed: u64,
}

/// How it stands, for people and for the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub state: State,
    pub health: Health,
    pub is_wanted: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Why the last probe or client failed, and what to do; none while all is well.
    pub reason: Option<String>,
    pub advice: Option<String>,
}

/// Handle; clones tell the same loop.
#[derive(Clone)]
pub struct Connectivity {
    facts: mpsc::Sender<Fact>,
    status: watch::Receiver<Status>,
}

impl Connectivity {
    /// Starts the loop; it does nothing until [`Fact::Configured`] and ends with [`Fact::Shutdown`].
    pub fn start<P: Prober, F: ClientFactory>(parts: Parts<P, F>) -> (Self, JoinHandle<()>) {
        let (facts, receiver) = mpsc::channel(FACTS_LEN);
        let machine = Machine::new(parts.config.clone(), parts.epoch, parts.seed);
        let (publish, status) = watch::channel(status(&machine, None));
        let handle = Self { facts, status };
        let factory = (parts.factory)(handle.clone());
        let driver = Driver {
            machine,
            config: parts.config,
            prober: parts.prober,
            factory,
            facts: receiver,
            publish,
            started: Instant::now(),
            probe: None,
            routes: Routes::Closed,
            failed: None,
        };
        (handle, tokio::spawn(driver.run()))
    }

    /// Tells a fact; waits only while many others are waiting.
    pub async fn tell(&self, fact: Fact) {
        // Nobody is there to hear it when the loop has ended.
        let _ = self.facts.send(fact).await;
    }

    /// As [`Self::tell`], from threads of clients; refused when too many wait, which the caller may repeat.
    pub fn try_tell(&self, fact: Fact) -> bool {
        !matches!(self.facts.try_send(fact), Err(mpsc::error::TrySendError::Full(_)))
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Told whenever the status changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

type Probing = Pin<Box<dyn Future<Output = (u64, Probed)> + Send>>;

/// The kernel's routes: watched only while there is a group.
enum Routes {
    Closed,
    Open(RouteWatch),
    /// The kernel does not let us; waits alone must do.
    Refused,
}

struct Driver<P, F> {
    machine: Machine,
    config: Config,
    prober: Arc<P>,
    factory: F,
    facts: mpsc::Receiver<Fact>,
    publish: watch::Sender<Status>,
    started: Instant,
    probe: Option<Probing>,
    routes: Routes,
    failed: Option<(String, String)>,
}

impl<P: Prober, F: ClientFactory> Driver<P, F> {
    async fn run(mut self) {
        loop {
            let fact = self.next_fact().await;
            if self.apply(fact) {
                return;
            }
        }
    }

    /// Whatever comes first.
    async fn next_fact(&mut self) -> Fact {
        loop {
            self.watch_routes();
            let timer = self.machine.timer().map(|at| at.saturating_sub(self.started.elapsed()));
            tokio::select! {
                fact = self.facts.recv() => return fact.unwrap_or(Fact::Shutdown),
                (number, probed) = pending_or(&mut self.probe) => return self.probed(number, probed),
                changes = next_changes(&mut self.routes) => {
                    if let Some(fact) = network(&changes) {
                        return fact;
                    }
                }
                () = wait::sleep(timer) => return Fact::TimeCame,
            }
        }
    }

    /// Carries out what follows from a fact; whether it was the last.
    fn apply(&mut self, fact: Fact) -> bool {
        let mut facts = vec![fact];
        let mut is_finished = false;
        while let Some(fact) = facts.pop() {
            for action in self.machine.next(fact, self.started.elapsed()) {
                is_finished |= action == Action::Finish;
                facts.extend(self.carry_out(action));
            }
        }
        if matches!(self.machine.state(), State::Online { .. }) || !self.machine.is_wanted() {
            self.failed = None;
        }
        let status = status(&self.machine, self.failed.as_ref());
        self.publish.send_if_modified(|published| {
            tell_log(published, &status);
            let is_new = *published != status;
            *published = status;
            is_new
        });
        is_finished
    }

    fn carry_out(&mut self, action: Action) -> Option<Fact> {
        match action {
            Action::StartProbe { number } => {
                let prober = self.prober.clone();
                self.probe = Some(Box::pin(async move { (number, prober.probe().await) }));
            }
            Action::CreateClient => {
                self.probe = None;
                if let Err(reason) = self.factory.create() {
                    self.failed = Some((reason, "See the reason.".to_owned()));
                    return Some(Fact::ClientFailed);
                }
            }
            Action::DestroyClient => self.factory.destroy(),
            Action::AnnounceJoin { epoch } => self.factory.announce_join(epoch),
            Action::Drain => self.factory.drain(self.config.drain_max),
            Action::AnnounceLeave { epoch } => self.factory.announce_leave(epoch),
            Action::Finish => self.probe = None,
        }
        None
    }

    fn probed(&mut self, number: u64, probed: Probed) -> Fact {
        self.probe = None;
        match probed {
            Probed::Passed => {
                self.failed = None;
                Fact::ProbePassed { number }
            }
            Probed::Failed { reason, advice, is_lasting } => {
                self.failed = Some((reason, advice));
                Fact::ProbeFailed { number, is_lasting }
            }
        }
    }

    fn watch_routes(&mut self) {
        match (&self.routes, self.machine.is_wanted()) {
            (Routes::Closed, true) => {
                self.routes = RouteWatch::open().map_or_else(
                    |error| {
                        tracing::warn!(
                            error = chain(&error),
                            "Routes cannot be watched; the broker is asked from time to time."
                        );
                        Routes::Refused
                    },
                    Routes::Open,
                );
            }
            (Routes::Open(_), false) => self.routes = Routes::Closed,
            _ => {}
        }
    }
}

/// A line for each change that a person would call one.
fn tell_log(before: &Status, now: &Status) {
    let error = now.reason.as_deref();
    match (before.state, now.state) {
        (State::Online { .. }, State::Online { .. }) => {}
        (_, State::Online { .. }) => tracing::info!("The group is joined."),
        (State::Online { .. }, State::Joining { .. }) => tracing::warn!("The way to the group is lost."),
        (State::Leaving { .. }, State::Offline { .. }) => tracing::info!("The group is left."),
        (State::Joining { .. }, State::Offline { .. }) => tracing::info!(error, "The group is out of reach."),
        (State::Probing { .. }, State::Offline { .. }) if now.failures == 1 => {
            tracing::info!(error, "The group's broker cannot be reached; it is tried again.");
        }
        _ => {}
    }
}

fn status(machine: &Machine, failed: Option<&(String, String)>) -> Status {
    Status {
        state: machine.state(),
        health: machine.health(),
        is_wanted: machine.is_wanted(),
        failures: machine.failures(),
        reason: failed.map(|(reason, _)| reason.clone()),
        advice: failed.map(|(_, advice)| advice.clone()),
    }
}

fn network(changes: &[Change]) -> Option<Fact> {
    let is_coming = |change: &Change| matches!(change, Change::DefaultRouteAppeared | Change::LinkUp | Change::Lost);
    if changes.is_empty() {
        None
    } else if changes.iter().any(is_coming) {
        Some(Fact::NetworkCame)
    } else {
        Some(Fact::NetworkWent)
    }
}

async fn pending_or(probe: &mut Option<Probing>) -> (u64, Probed) {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

async fn next_changes(routes: &mut Routes) -> Vec<Change> {
    let Routes::Open(watch) = routes else { return std::future::pending().await };
    match watch.next().await {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "Routes cannot be watched any more; the broker is asked from time to time."
            );
            *routes = Routes::Refused;
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Network {
        is_up: AtomicBool,
        probes: AtomicUsize,
        clients: AtomicUsize,
        clients_made: AtomicUsize,
    }

    impl Prober for Network {
        async fn probe(&self) -> Probed {
            assert_eq!(self.clients.load(Ordering::SeqCst), 0, "a probe beside a client");
            self.probes.fetch_add(1, Ordering::SeqCst);
            if self.is_up.load(Ordering::SeqCst) {
                return Probed::Passed;
            }
            Probed::Failed { reason: "down".to_owned(), advice: "wait".to_owned(), is_lasting: false }
        }
    }

    /// A client that is welcome at once.
    struct Client {
        network: Arc<Network>,
        handle: Connectivity,
    }

    impl ClientFactory for Client {
        fn create(&mut self) -> Result<(), String> {
            assert_eq!(self.network.clients.fetch_add(1, Ordering::SeqCst), 0, "two clients");
            self.network.clients_made.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn destroy(&mut self) {
            assert_eq!(self.network.clients.fetch_sub(1, Ordering::SeqCst), 1, "no client");
        }

        fn announce_join(&mut self, epoch: u64) {
            assert!(self.handle.try_tell(Fact::Joined { epoch }));
        }

        fn drain(&mut self, _: Duration) {
            assert!(self.handle.try_tell(Fact::Drained));
        }

        fn announce_leave(&mut self, _: u64) {
            assert!(self.handle.try_tell(Fact::Left));
        }
    }

    fn start(network: &Arc<Network>) -> (Connectivity, JoinHandle<()>) {
        let (factory_network, prober) = (network.clone(), network.clone());
        let millis = Duration::from_millis;
        let config = Config { probe_wait_min: millis(1), probe_wait_max: millis(5), ..Config::default() };
        let factory = Box::new(move |handle| Client { network: factory_network, handle });
        Connectivity::start(Parts { config, prober, factory, epoch: 3, seed: 1 })
    }

    async fn until(handle: &Connectivity, is_so: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = handle.watch();
        let status = tokio::time::timeout(PATIENCE, watch.wait_for(is_so)).await;
        status.expect("in time").expect("a loop").clone()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_group_is_joined_when_a_broker_answers_and_left_when_asked() {
        let network = Arc::new(Network::default());
        let (handle, driver) = start(&network);
        handle.tell(Fact::Configured).await;
        let waiting = until(&handle, |status| status.failures >= 3).await;
        assert_eq!((waiting.reason.as_deref(), waiting.advice.as_deref()), (Some("down"), Some("wait")));
        network.is_up.store(true, Ordering::SeqCst);
        let online = until(&handle, |status| status.state == State::Online { epoch: 4 }).await;
        assert!(online.health.can_speak && online.reason.is_none());
        handle.tell(Fact::ConnectionLost).await;
        until(&handle, |status| status.state == State::Online { epoch: 5 }).await;
        handle.tell(Fact::Leave).await;
        until(&handle, |status| status.state == State::Offline { probe_at: None }).await;
        handle.tell(Fact::Configured).await;
        until(&handle, |status| status.state == State::Online { epoch: 6 }).await;
        handle.tell(Fact::Shutdown).await;
        tokio::time::timeout(PATIENCE, driver).await.expect("in time").expect("the loop");
        assert_eq!(network.clients.load(Ordering::SeqCst), 0);
        assert_eq!(network.clients_made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_a_group_nobody_is_asked_and_the_kernel_is_not_watched() {
        let network = Arc::new(Network::default());
        let (handle, driver) = start(&network);
        handle.tell(Fact::Thinking(true)).await;
        until(&handle, |status| status.health.can_think).await;
        assert_eq!(network.probes.load(Ordering::SeqCst), 0);
        handle.tell(Fact::Shutdown).await;
        tokio::time::timeout(PATIENCE, driver).await.expect("in time").expect("the loop");
    }
}
