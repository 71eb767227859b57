//! A consistent copy of the database while the house runs, as one file.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::base::id::random_hex;
use crate::dashboard::{Dashboard, unstored};
use crate::http::{Body, Response, error};

const PIECE_BYTES: usize = 64 * 1024;
/// Pieces on their way to the client.
const PIECES_LEN: usize = 4;

pub(super) async fn stream(it: Arc<Dashboard>) -> Response {
    let path = it.run_dir.join(format!("backup-{}.db", random_hex(6)));
    if let Err(problem) = it.db.copy_to(path.clone()).await {
        let _ = std::fs::remove_file(&path);
        return unstored(&problem);
    }
    let opened = tokio::fs::File::open(&path).await;
    // The open file outlives its name, so that nothing stays behind whatever happens to the client.
    let _ = std::fs::remove_file(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(problem) => {
            tracing::error!(error = %problem, "A backup could not be read back.");
            return error(503, "the backup could not be read back", None);
        }
    };
    let (sender, pieces) = mpsc::channel(PIECES_LEN);
    tokio::spawn(async move {
        let mut buffer = vec![0; PIECE_BYTES];
        // The empty piece that marks the end is the read of nothing at the end of the file.
        while let Ok(count) = file.read(&mut buffer).await
            && sender.send(Bytes::copy_from_slice(&buffer[..count])).await.is_ok()
            && count > 0
        {}
    });
    let name = format!("attachment; filename=\"kafclaw-{}.db\"", it.clock.now().to_utc().format("%Y%m%d-%H%M%S"));
    Response {
        status: 200,
        headers: vec![("Content-Type", "application/octet-stream".to_owned()), ("Content-Disposition", name)],
        body: Body::Whole(pieces),
    }
}
