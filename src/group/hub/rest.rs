//! Gives memory back when the connection to the broker has come or gone: making a client touches most of librdkafka once.

use std::time::Duration;

use crate::base::trim;
use crate::group::connectivity::Connectivity;

/// From a change to the rest that follows it.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Ends with the connectivity. Every attempt to reach a broker is a change too.
pub(super) async fn run(connectivity: Connectivity) {
    let mut status = connectivity.watch();
    // Nobody here keeps the connectivity alive.
    drop(connectivity);
    while status.changed().await.is_ok() {
        tokio::time::sleep(SETTLED_AFTER).await;
        status.mark_unchanged();
        trim::heap();
        trim::code();
    }
}
