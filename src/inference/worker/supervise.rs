//! The loop around [`Machine`]: takes requests, keeps a worker for them, and gives everybody an answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::inference::worker::line::{Incoming, Line};
use crate::inference::worker::message::{FaultKind, ModelSpec, Order, PROTOCOL, Report, Setup};
use crate::inference::worker::port::Minds;
use crate::inference::worker::start;
use crate::inference::worker::state::{Ending, Fact, Load, Machine, Rung, Step};
use crate::inference::worker::{Config, EngineError, Status};

/// Requests that wait for a worker.
const WAITING_MAX: usize = 16;
/// What may wait of their audio.
const WAITING_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What a caller wants, and where it hears.
pub(super) struct Request {
    pub model: ModelSpec,
    pub job: Value,
    pub audio: Bytes,
    pub events: mpsc::Sender<Event>,
}

/// What a caller hears.
#[derive(Debug)]
pub(super) enum Event {
    Piece(Value),
    Done(Value),
    Failed(EngineError),
}

struct Sent {
    request: Request,
    has_heard: bool,
}

pub(super) struct Supervisor {
    config: Config,
    minds: Arc<dyn Minds>,
    machine: Machine,
    line: Option<Line>,
    waiting: VecDeque<Request>,
    sent: BTreeMap<u64, Sent>,
    next_id: u64,
    began: Instant,
    /// Why there is no worker, in words.
    last_end: String,
    status: watch::Sender<Status>,
}

enum Happened {
    Request(Request),
    Line(Incoming),
    CallerLeft,
    Tick,
    Shutdown,
}

impl Supervisor {
    pub(super) fn new(config: Config, minds: Arc<dyn Minds>, status: watch::Sender<Status>) -> Self {
        let machine = Machine::new(start::ladder(&config), config.patience);
        Self {
            config,
            minds,
            machine,
            line: None,
            waiting: VecDeque::new(),
            sent: BTreeMap::new(),
            next_id: 1,
            began: Instant::now(),
            last_end: String::new(),
            status,
        }
    }

    /// Ends when the house goes down or nobody can ask any more.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>, left: Arc<Notify>, shutdown: Shutdown) {
        let mut is_down = false;
        while !is_down || self.line.is_some() {
            let wake = self.machine.wake_at(self.load()).map(|at| self.began + at);
            let happened = tokio::select! {
                request = requests.recv(), if !is_down => request.map_or(Happened::Shutdown, Happened::Request),
                incoming = next(&mut self.line) => Happened::Line(incoming),
                () = left.notified() => Happened::CallerLeft,
                () = sleep_until(wake.unwrap_or(self.began)), if wake.is_some() => Happened::Tick,
                () = shutdown.triggered(), if !is_down => Happened::Shutdown,
            };
            match happened {
                Happened::Request(request) => self.take(request),
                Happened::Line(incoming) => self.hear(incoming),
                Happened::CallerLeft => self.cancel_the_left(),
                Happened::Tick => self.fact(Fact::Tick),
                Happened::Shutdown => {
                    is_down = true;
                    self.fact(Fact::Shutdown);
                }
            }
        }
    }

    fn load(&self) -> Load {
        Load { waiting: self.waiting.len(), sent: self.sent.len() }
    }

    fn take(&mut self, request: Request) {
        let bytes: usize = self.waiting.iter().map(|request| request.audio.len()).sum();
        if self.waiting.len() >= WAITING_MAX || bytes + request.audio.len() > WAITING_BYTES_MAX {
            let _ = request.events.try_send(Event::Failed(EngineError::Busy));
            return;
        }
        self.waiting.push_back(request);
        self.fact(Fact::Wanted);
    }

    fn fact(&mut self, fact: Fact) {
        let mut facts = VecDeque::from([fact]);
        while let Some(fact) = facts.pop_front() {
            let now = self.began.elapsed();
            for step in self.machine.next(fact, self.load(), now) {
                facts.extend(self.carry_out(step));
            }
        }
        self.tell(|_| {});
    }

    fn carry_out(&mut self, step: Step) -> Option<Fact> {
        match step {
            Step::Start(rung) => return self.start(rung),
            Step::Send => self.send_waiting(),
            Step::Ping => self.order(&Order::Ping),
            Step::Stop => self.line.as_mut().map_or((), Line::stop),
            Step::Kill => self.line.as_mut().map_or((), Line::kill),
            Step::Return => self.take_back(),
            Step::FailSent => {
                let end = self.end();
                for sent in std::mem::take(&mut self.sent).into_values() {
                    fail(&sent.request, EngineError::Crashed { end: end.clone() });
                }
            }
            Step::FailWaiting => {
                let why = self.end();
                for request in std::mem::take(&mut self.waiting) {
                    fail(&request, EngineError::Unavailable { why: why.clone() });
                }
            }
            Step::Say { left, now } => {
                let (left, now) = (name(left), name(now));
                tracing::warn!(peer = now, error = self.last_end, "The {left} does not work; another place computes.");
            }
        }
        None
    }

    /// Why there is no worker.
    fn end(&self) -> String {
        if self.last_end.is_empty() { "the house is going down".to_owned() } else { self.last_end.clone() }
    }

    fn start(&mut self, rung: Rung) -> Option<Fact> {
        match start::start(rung, &self.config, &self.minds) {
            Ok(started) => {
                let line = Line::open(started);
                let setup = Setup {
                    device: start::device_of(&self.config, rung),
                    threads: self.config.threads,
                    unload_after_ms: u64::try_from(self.config.patience.idle.as_millis()).unwrap_or(u64::MAX),
                };
                let version = env!("CARGO_PKG_VERSION").to_owned();
                // The way is empty: this cannot be refused.
                let _ = line.send(&Order::Hello { protocol: PROTOCOL, version, setup }, Bytes::new());
                tracing::debug!(peer = name(rung), "A worker starts.");
                self.line = Some(line);
                None
            }
            Err(error) => {
                self.last_end = chain(&error);
                Some(Fact::Ended(Ending::Unfit))
            }
        }
    }

    fn send_waiting(&mut self) {
        while let Some(mut request) = self.waiting.pop_front() {
            if request.events.is_closed() {
                continue;
            }
            let Some(line) = &self.line else { return };
            let (id, job) = (self.next_id, std::mem::take(&mut request.job));
            let order = Order::Run { id, model: request.model.clone(), job };
            let sent = line.send(&order, request.audio.clone());
            if let Order::Run { job, .. } = order {
                request.job = job;
            }
            match sent {
                Ok(()) => {
                    self.next_id += 1;
                    if self.machine.rung() != Rung::Gpu {
                        // It is not sent twice.
                        request.audio = Bytes::new();
                    }
                    self.sent.insert(id, Sent { request, has_heard: false });
                }
                Err(error) => fail(&request, EngineError::Unsent { why: error.to_string() }),
            }
        }
    }

    fn order(&self, order: &Order) {
        if let Some(line) = &self.line {
            // One that is lost is asked again, or its answer comes too late for anybody.
            let _ = line.send(order, Bytes::new());
        }
    }

    /// Who has heard a part already would hear it twice.
    fn take_back(&mut self) {
        let end = self.end();
        for sent in std::mem::take(&mut self.sent).into_values().rev() {
            if sent.has_heard {
                fail(&sent.request, EngineError::Crashed { end: end.clone() });
            } else {
                self.waiting.push_front(sent.request);
            }
        }
    }

    fn hear(&mut self, incoming: Incoming) {
        let report = match incoming {
            Incoming::Report(report) => report,
            Incoming::Ended { ending, why } => {
                if !self.sent.is_empty() || !self.machine.is_ready() {
                    tracing::debug!(error = why, "A worker has ended.");
                }
                (self.line, self.last_end) = (None, why);
                self.tell(|status| {
                    status.restarts += u64::from(ending == Ending::Failed);
                    (status.device, status.loaded, status.resident_bytes) = (None, Vec::new(), 0);
                });
                self.fact(Fact::Ended(ending));
                return;
            }
        };
        match report {
            Report::Welcome { device, .. } => {
                tracing::info!(peer = device, "A worker is ready.");
                self.tell(|status| status.device = Some(device));
                self.fact(Fact::Welcomed);
            }
            Report::Pong { loaded, resident_bytes } => {
                self.tell(|status| (status.loaded, status.resident_bytes) = (loaded, resident_bytes));
                self.fact(Fact::Heard);
            }
            Report::Piece { id, piece } => {
                self.pass_on(id, piece);
                self.fact(Fact::Heard);
            }
            Report::Done { id, result } => self.finish(id, Event::Done(result), Fact::Finished),
            Report::Failed { id, fault } => {
                let is_ours_to_mend = fault.kind == FaultKind::Broken && self.machine.rung() == Rung::Gpu;
                if is_ours_to_mend && self.sent.get(&id).is_some_and(|sent| !sent.has_heard) {
                    self.last_end = fault.why;
                    self.fact(Fact::Broke);
                } else {
                    self.finish(id, Event::Failed(EngineError::Fault(fault)), Fact::Finished);
                }
            }
            // The line keeps it for the end.
            Report::Unfit { .. } => {}
        }
    }

    fn finish(&mut self, id: u64, event: Event, fact: Fact) {
        if let Some(sent) = self.sent.remove(&id) {
            // A full queue has room for the end soon; its listener is awake.
            let events = sent.request.events;
            if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
                tokio::spawn(async move {
                    let _ = events.send(event).await;
                });
            }
        }
        self.order(&Order::Ping);
        self.fact(fact);
    }

    fn pass_on(&mut self, id: u64, piece: Value) {
        let Some(sent) = self.sent.get_mut(&id) else { return };
        sent.has_heard = true;
        if let Err(mpsc::error::TrySendError::Full(_)) = sent.request.events.try_send(Event::Piece(piece)) {
            self.order(&Order::Cancel { id });
            if let Some(sent) = self.sent.remove(&id) {
                let events = sent.request.events;
                tokio::spawn(async move {
                    let _ = events.send(Event::Failed(EngineError::Slow)).await;
                });
            }
        }
    }

    fn cancel_the_left(&mut self) {
        self.waiting.retain(|request| !request.events.is_closed());
        // They stay in the list until the worker says that it has let go.
        for (id, _) in self.sent.iter().filter(|(_, sent)| sent.request.events.is_closed()) {
            self.order(&Order::Cancel { id: *id });
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            change(status);
            status.place = self.line.as_ref().map(|_| name(self.machine.rung()));
            status.pid = self.line.as_ref().and_then(|line| line.pid);
            (status.waiting, status.running) = (self.waiting.len(), self.sent.len());
            status.last_end.clone_from(&self.last_end);
        });
    }
}

async fn next(line: &mut Option<Line>) -> Incoming {
    match line {
        Some(line) => line.next().await,
        None => std::future::pending().await,
    }
}

fn fail(request: &Request, error: EngineError) {
    // A listener that has left needs no word; one whose queue is full finds it closed.
    let _ = request.events.try_send(Event::Failed(error));
}

pub(super) const fn name(rung: Rung) -> &'static str {
    match rung {
        Rung::Gpu => "GPU worker",
        Rung::Cpu => "CPU worker",
        Rung::Here => "gateway itself",
    }
}

/// How long a request may wait for the next event before somebody asks what is wrong.
pub(super) const EVENTS_LEN: usize = 1024;
/// Longest wait in the queue of requests.
pub(super) const TAKE_MAX: Duration = Duration::from_secs(5);
