//! The worker's side of the socket: jobs in, pieces and results out, until the gateway closes it.
//!
//! One thread reads orders and answers what needs no model; each kind of model has a thread of its own. The end of the socket
//! is the end of the worker, whatever it is doing: a gateway that was killed leaves none behind.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::inference::worker::budget;
use crate::inference::worker::frame::{self, FrameError};
use crate::inference::worker::message::{Fault, FaultKind, Kind, ModelSpec, Order, PROTOCOL, Report, Setup};
use crate::inference::worker::port::Minds;
use crate::inference::worker::rack::{Job, Rack};

/// Jobs that wait for one kind of model.
const JOBS_LEN: usize = 32;
/// Models compute on their own stack now and then.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How often idle models are looked at, while there are any.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A gateway that reads nothing for so long is not there any more.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gateway says what is not understood")]
    Frame { source: FrameError },
    #[error("the gateway speaks version {theirs} and this worker version {PROTOCOL}; install both from one package")]
    Protocol { theirs: u32 },
    #[error("the gateway does not introduce itself")]
    NoHello,
    #[error("this worker cannot work here: {why}")]
    Unfit { why: String },
    #[error("could not start a thread")]
    Thread { source: std::io::Error },
    #[error("could not use the socket")]
    Socket { source: std::io::Error },
}

struct Task {
    id: u64,
    model: ModelSpec,
    job: Value,
    audio: Bytes,
    is_cancelled: Arc<AtomicBool>,
}

type Flags = Arc<Mutex<HashMap<u64, Arc<AtomicBool>>>>;

#[derive(Clone)]
struct Reports(Arc<Mutex<UnixStream>>);

impl Reports {
    /// Breaks when nobody reads any more.
    fn send(&self, report: &impl Serialize) -> ControlFlow<()> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match frame::write(&mut *stream, report, &[]) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Works for the gateway at the other end of `stream` until that closes it.
pub fn serve(mut stream: UnixStream, minds: Arc<dyn Minds>) -> Result<(), ServeError> {
    let socket = |source| ServeError::Socket { source };
    let writer = stream.try_clone().map_err(socket)?;
    writer.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(socket)?;
    let reports = Reports(Arc::new(Mutex::new(writer)));
    let setup = greet(&mut stream, &reports, &*minds)?;
    let rack = Arc::new(Rack::new(minds, setup));
    let flags = Flags::default();
    let mut queues = Vec::new();
    for kind in Kind::ALL {
        let (queue, jobs) = sync_channel(JOBS_LEN);
        let bench = Bench { rack: rack.clone(), reports: reports.clone(), flags: flags.clone() };
        start(kind.as_str(), move || bench.work(&jobs))?;
        queues.push(queue);
    }
    // Dropped at the end, which is how the sweeper hears of it.
    let (_alive, end) = sync_channel::<()>(1);
    let swept = rack.clone();
    start("sweeper", move || sweep(&swept, &end))?;
    let outcome = take_orders(&mut stream, &rack, &reports, &flags, &queues);
    flags.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|flag| flag.store(true, Ordering::Relaxed));
    // The benches hold the socket too, and may still be busy.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    outcome
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ServeError> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop).map_err(|source| ServeError::Thread { source })
}

fn greet(stream: &mut UnixStream, reports: &Reports, minds: &dyn Minds) -> Result<Setup, ServeError> {
    let first = frame::read(stream).map_err(|source| ServeError::Frame { source })?.ok_or(ServeError::NoHello)?;
    let Ok(Order::Hello { protocol, setup, .. }) = first.read_head() else { return Err(ServeError::NoHello) };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    if protocol != PROTOCOL {
        let error = ServeError::Protocol { theirs: protocol };
        let _ = reports.send(&Report::Unfit { why: error.to_string() });
        return Err(error);
    }
    match minds.prepare(&setup) {
        Ok(device) => {
            let _ = reports.send(&Report::Welcome { protocol: PROTOCOL, version, device });
            Ok(setup)
        }
        Err(fault) => {
            let _ = reports.send(&Report::Unfit { why: fault.why.clone() });
            Err(ServeError::Unfit { why: fault.why })
        }
    }
}

fn take_orders(
    stream: &mut UnixStream,
    rack: &Rack,
    reports: &Reports,
    flags: &Flags,
    queues: &[SyncSender<Task>],
) -> Result<(), ServeError> {
    while let Some(frame) = frame::read(stream).map_err(|source| ServeError::Frame { source })? {
        let order = frame.read_head().map_err(|source| ServeError::Frame { source })?;
        match order {
            // Nothing is introduced twice.
            Order::Hello { .. } => return Err(ServeError::NoHello),
            Order::Ping => {
                let pong = Report::Pong { loaded: rack.loaded(), resident_bytes: budget::resident_bytes() };
                let _ = reports.send(&pong);
            }
            Order::Cancel { id } => {
                let flags = flags.lock().unwrap_or_else(PoisonError::into_inner);
                flags.get(&id).inspect(|flag| flag.store(true, Ordering::Relaxed));
            }
            Order::Run { id, .. } if frame.lost_bytes > 0 => {
                let mib = frame.lost_bytes.div_ceil(1024 * 1024);
                let fault = Fault::new(FaultKind::Memory, format!("there is no memory for a recording of {mib} MiB"));
                let _ = reports.send(&Report::Failed { id, fault });
            }
            Order::Run { id, model, job } => {
                let is_cancelled = Arc::new(AtomicBool::new(false));
                flags.lock().unwrap_or_else(PoisonError::into_inner).insert(id, is_cancelled.clone());
                let queue = &queues[model.kind as usize];
                if queue.try_send(Task { id, model, job, audio: frame.payload, is_cancelled }).is_err() {
                    flags.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    let fault = Fault::new(FaultKind::Busy, "too many jobs wait for this model");
                    let _ = reports.send(&Report::Failed { id, fault });
                }
            }
        }
    }
    Ok(())
}

/// Where the jobs of one kind are done, one after the other.
struct Bench {
    rack: Arc<Rack>,
    reports: Reports,
    flags: Flags,
}

impl Bench {
    fn work(&self, jobs: &Receiver<Task>) {
        while let Ok(task) = jobs.recv() {
            let report = match self.run(&task) {
                Ok(result) => Report::Done { id: task.id, result },
                Err(fault) => Report::Failed { id: task.id, fault },
            };
            self.flags.lock().unwrap_or_else(PoisonError::into_inner).remove(&task.id);
            if self.reports.send(&report).is_break() {
                return;
            }
        }
    }

    fn run(&self, task: &Task) -> Result<Value, Fault> {
        let cancelled = || Fault::new(FaultKind::Cancelled, "nobody waits for this any more");
        if task.is_cancelled.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        let mut hear = |piece: Value| {
            if task.is_cancelled.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            // A model may only ask whether it should go on.
            if piece.is_null() {
                ControlFlow::Continue(())
            } else {
                self.reports.send(&Report::Piece { id: task.id, piece })
            }
        };
        let job = Job { model: &task.model, job: &task.job, audio: &task.audio };
        let worked = self.rack.run(&job, &mut hear);
        if task.is_cancelled.load(Ordering::Relaxed) { Err(cancelled()) } else { worked }
    }
}

/// Looks after idle models until the worker ends. While none is loaded the kernel is not asked for anything.
fn sweep(rack: &Rack, end: &Receiver<()>) {
    use std::sync::mpsc::RecvTimeoutError;
    while end.recv_timeout(SWEEP_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if !rack.loaded().is_empty() {
            rack.sweep(Instant::now(), budget::is_under_pressure());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inference::worker::testing::{Parrots, model, setup};

    struct Client(UnixStream);

    impl Client {
        fn new() -> (Self, thread::JoinHandle<Result<(), ServeError>>) {
            let (ours, theirs) = UnixStream::pair().expect("two ends");
            let worker = thread::spawn(move || serve(theirs, Arc::new(Parrots::default())));
            ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
            (Self(ours), worker)
        }

        fn say(&mut self, order: &Order) {
            frame::write(&mut self.0, order, &[]).expect("the worker reads");
        }

        fn hear(&mut self) -> Report {
            frame::read(&mut self.0).expect("a frame").expect("one more").read_head().expect("a report")
        }

        fn greeted() -> (Self, thread::JoinHandle<Result<(), ServeError>>) {
            let (mut client, worker) = Self::new();
            client.say(&Order::Hello { protocol: PROTOCOL, version: "x".to_owned(), setup: setup() });
            assert!(matches!(client.hear(), Report::Welcome { .. }));
            (client, worker)
        }
    }

    fn run(id: u64, kind: Kind, text: &str) -> Order {
        Order::Run { id, model: model(kind, "parrot"), job: json!({"say": text}) }
    }

    #[test]
    fn pieces_come_before_the_result_and_the_end_of_the_socket_ends_the_worker() {
        let (mut client, worker) = Client::greeted();
        client.say(&run(7, Kind::Language, "one two"));
        assert_eq!(client.hear(), Report::Piece { id: 7, piece: json!("one") });
        assert_eq!(client.hear(), Report::Piece { id: 7, piece: json!("two") });
        assert!(matches!(client.hear(), Report::Done { id: 7, .. }));
        client.say(&Order::Ping);
        assert!(matches!(client.hear(), Report::Pong { loaded, .. } if loaded.len() == 1));
        drop(client);
        assert!(worker.join().expect("no panic").is_ok());
    }

    #[test]
    fn kinds_work_side_by_side_and_a_job_can_be_cancelled() {
        let (mut client, _worker) = Client::greeted();
        client.say(&run(1, Kind::Language, "forever"));
        assert!(matches!(client.hear(), Report::Piece { id: 1, .. }));
        client.say(&run(2, Kind::Language, "waits"));
        client.say(&Order::Cancel { id: 2 });
        client.say(&run(3, Kind::Speech, "quick"));
        let mut until_done = |wanted: u64, cancel: Option<u64>| {
            cancel.into_iter().for_each(|id| client.say(&Order::Cancel { id }));
            loop {
                match client.hear() {
                    Report::Done { id, .. } if id == wanted => return None,
                    Report::Failed { id, fault } if id == wanted => return Some(fault.kind),
                    _ => {}
                }
            }
        };
        assert_eq!(until_done(3, None), None, "speech does not wait for language");
        assert_eq!(until_done(1, Some(1)), Some(FaultKind::Cancelled));
        assert_eq!(until_done(2, None), Some(FaultKind::Cancelled), "cancelled before its turn");
    }

    #[test]
    fn hostile_frames_and_strangers_end_it_with_a_reason() {
        use std::io::Write as _;
        let (mut client, worker) = Client::greeted();
        client.0.write_all(b"KfW1\xff\xff\xff\xff\0\0\0\0").expect("written");
        assert!(matches!(worker.join().expect("no panic"), Err(ServeError::Frame { .. })));

        let (mut client, worker) = Client::new();
        client.say(&Order::Ping);
        assert!(matches!(worker.join().expect("no panic"), Err(ServeError::NoHello)));

        let (mut client, worker) = Client::new();
        client.say(&Order::Hello { protocol: 99, version: "x".to_owned(), setup: setup() });
        assert!(matches!(client.hear(), Report::Unfit { why } if why.contains("version 99")));
        assert!(matches!(worker.join().expect("no panic"), Err(ServeError::Protocol { theirs: 99 })));
    }
}
