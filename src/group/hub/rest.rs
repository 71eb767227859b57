//! Gives memory back when the connection to the broker has come or gone: making a client touches most of librdkafka once.

use std::time::Duration;

use crate::base::trim;
use crate::group::connectivity::{Connectivity, State};

/// From a change to the rest that follows it.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Ends with the connectivity.
pub(super) async fn run(connectivity: Connectivity) {
    let mut status = connectivity.watch();
    // Nobody here keeps the connectivity alive.
    drop(connectivity);
    loop {
        let is_online = matches!(status.borrow_and_update().state, State::Online { .. });
        tokio::time::sleep(SETTLED_AFTER).await;
        trim::all();
        let is_other = status.wait_for(|status| matches!(status.state, State::Online { .. }) != is_online);
        if is_other.await.is_err() {
            return;
        }
    }
}
