//! Waiting for a moment that may never come.

use std::time::Duration;

/// Sleeps for `wait`; without one for ever, so that whatever else is waited for comes first.
pub async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
