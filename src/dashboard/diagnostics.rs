//! A file for somebody who helps: what `kafclaw diagnostics` writes, sent as it comes.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc};

use crate::dashboard::Dashboard;
use crate::http::{Body, Request, Response, error};

const PIECE_BYTES: usize = 64 * 1024;
/// Pieces on their way to the client.
const PIECES_LEN: usize = 4;
/// How long it may take altogether.
const TIME_MAX: Duration = Duration::from_secs(180);

/// One at a time: it looks at the whole machine.
static TURN: Semaphore = Semaphore::const_new(1);

/// Runs the program once more, so that what it reads and holds is gone afterwards.
pub(super) async fn stream(it: &Dashboard, request: &Request) -> Response {
    let Ok(turn) = TURN.try_acquire() else {
        return error(503, "diagnostics are being collected already", Some("try again in a minute"))
            .with("Retry-After", "30");
    };
    let texts = matches!(request.query("texts"), Some("1" | "true"));
    let mut child = match start(texts) {
        Ok(child) => child,
        Err(problem) => {
            tracing::error!(error = %problem, "The program that collects diagnostics could not be started.");
            return error(503, "diagnostics cannot be collected right now", None);
        }
    };
    let (sender, pieces) = mpsc::channel(PIECES_LEN);
    tokio::spawn(async move {
        let _turn = turn;
        match tokio::time::timeout(TIME_MAX, pass(&mut child, &sender)).await {
            // The empty piece says that the file is whole.
            Ok(true) => {
                let _ = sender.send(Bytes::new()).await;
            }
            Ok(false) => tracing::warn!("Diagnostics were not collected to their end."),
            Err(_) => tracing::warn!("Collecting diagnostics took too long."),
        }
    });
    let name = format!(
        "attachment; filename=\"kafclaw-diagnostics-{}.tar.gz\"",
        it.clock.now().to_utc().format("%Y%m%d-%H%M%S")
    );
    Response {
        status: 200,
        headers: vec![("Content-Type", "application/gzip".to_owned()), ("Content-Disposition", name)],
        body: Body::Whole(pieces),
    }
}

fn start(texts: bool) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["diagnostics", "--output", "-"]).args(texts.then_some("--with-texts"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()
}

/// Whether everything came and was taken.
async fn pass(child: &mut Child, sender: &mpsc::Sender<Bytes>) -> bool {
    let Some(mut stdout) = child.stdout.take() else { return false };
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match stdout.read(&mut buffer).await {
            Ok(0) => return child.wait().await.is_ok_and(|status| status.success()),
            Ok(count) => {
                if sender.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}
