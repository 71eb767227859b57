//! Gives memory back when the connection to the broker has come or gone (making a client touches most of librdkafka once), and the code
//! that an attempt in vain has touched.

use std::time::Duration;

use crate::base::trim;
use crate::group::connectivity::{Connectivity, State};

/// From a change to the rest that follows it; attempts that follow each other sooner share one.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Ends with the connectivity.
pub(super) async fn run(connectivity: Connectivity) {
    let mut status = connectivity.watch();
    // Nobody here keeps the connectivity alive.
    drop(connectivity);
    let mut was_online = None;
    loop {
        tokio::time::sleep(SETTLED_AFTER).await;
        let is_online = matches!(status.borrow_and_update().state, State::Online { .. });
        if was_online.replace(is_online) == Some(is_online) {
            trim::code();
        } else {
            trim::all();
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
