//! The way to a running worker: frames out, reports in, its end last.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::inference::worker::frame::{self, FrameError};
use crate::inference::worker::message::{Order, Report};
use crate::inference::worker::start::{Process, Started};
use crate::inference::worker::state::Ending;

/// Orders on their way.
const ORDERS_LEN: usize = 64;
/// Reports that wait to be read; more stay in the socket.
const REPORTS_LEN: usize = 256;
/// What the loader of programs says when a library is missing.
const STATUS_NOT_LOADED: i32 = 127;

/// What comes from a worker.
#[derive(Debug)]
pub(super) enum Incoming {
    Report(Report),
    /// Nothing follows.
    Ended {
        ending: Ending,
        why: String,
    },
}

pub(super) struct Line {
    orders: Option<mpsc::Sender<(Vec<u8>, Bytes)>>,
    incoming: mpsc::Receiver<Incoming>,
    killed: Arc<Notify>,
    pub pid: Option<u32>,
}

impl Line {
    /// Must be called inside a runtime.
    pub(super) fn open(started: Started) -> Self {
        let (orders, orders_receiver) = mpsc::channel(ORDERS_LEN);
        let (sender, incoming) = mpsc::channel(REPORTS_LEN);
        let killed = Arc::new(Notify::new());
        let pid = started.process.as_ref().and_then(Process::id);
        let (reader, writer) = started.stream.into_split();
        tokio::spawn(write(writer, orders_receiver));
        tokio::spawn(read(reader, started.process, sender, killed.clone()));
        Self { orders: Some(orders), incoming, killed, pid }
    }

    /// Refuses at once when too much is on its way.
    pub(super) fn send(&self, order: &Order, payload: Bytes) -> Result<(), FrameError> {
        let opening = frame::opening(order, payload.len())?;
        let full = || FrameError::Write { source: std::io::ErrorKind::WouldBlock.into() };
        let orders = self.orders.as_ref().ok_or_else(full)?;
        orders.try_send((opening, payload)).map_err(|_| full())
    }

    /// The worker ends by itself once it finds the socket closed.
    pub(super) fn stop(&mut self) {
        self.orders = None;
    }

    pub(super) fn kill(&mut self) {
        self.orders = None;
        self.killed.notify_one();
    }

    pub(super) async fn next(&mut self) -> Incoming {
        let gone = || Incoming::Ended { ending: Ending::Failed, why: "nobody knows how it ended".to_owned() };
        self.incoming.recv().await.unwrap_or_else(gone)
    }
}

async fn write(mut socket: OwnedWriteHalf, mut orders: mpsc::Receiver<(Vec<u8>, Bytes)>) {
    while let Some((opening, payload)) = orders.recv().await {
        let written = async {
            socket.write_all(&opening).await?;
            socket.write_all(&payload).await
        };
        if written.await.is_err() {
            // The reader hears of the end too, and knows more about it.
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn read(
    mut socket: OwnedReadHalf,
    mut process: Option<Process>,
    sender: mpsc::Sender<Incoming>,
    killed: Arc<Notify>,
) {
    let mut unfit = None;
    let mut strange = None;
    loop {
        let frame = tokio::select! {
            frame = frame::read_async(&mut socket) => frame,
            () = killed.notified() => {
                match &mut process {
                    Some(process) => process.kill(),
                    None => break,
                }
                continue;
            }
        };
        match frame.and_then(|frame| frame.map(|frame| frame.read_head()).transpose()) {
            Ok(Some(Report::Unfit { why })) => unfit = Some(why),
            Ok(Some(report)) => {
                if sender.send(Incoming::Report(report)).await.is_err() {
                    break;
                }
            }
            Ok(None) | Err(FrameError::Read { .. }) => break,
            Err(error) => {
                strange = Some(format!("it said what is not understood ({error})"));
                if let Some(process) = &mut process {
                    process.kill();
                }
                break;
            }
        }
    }
    drop(socket);
    let (end, status) = match process {
        Some(process) => process.end().await,
        None => ("its thread ended".to_owned(), None),
    };
    let cannot = unfit.is_some() || status.and_then(|status| status.code()) == Some(STATUS_NOT_LOADED);
    let ending = if cannot { Ending::Unfit } else { Ending::Failed };
    let _ = sender.send(Incoming::Ended { ending, why: unfit.or(strange).unwrap_or(end) }).await;
}
