//! systemd: sockets handed over, readiness, a watchdog fed only while the doors answer.

use std::net::TcpListener;
use std::time::Duration;

use systemd::daemon;

use crate::base::shutdown::Shutdown;
use crate::http::ServerHandle;

/// Tells the service manager how things are; without one this does nothing.
pub(super) fn tell(state: &[(&str, &str)]) {
    if std::env::var_os("NOTIFY_SOCKET").is_some()
        && let Err(error) = daemon::notify(state.iter())
    {
        tracing::debug!(error = %error, "The service manager could not be told.");
    }
}

/// Listening sockets that the service manager opened for us.
pub(super) fn inherited_sockets() -> Vec<TcpListener> {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return Vec::new();
    }
    let Ok(descriptors) = daemon::listen_fds() else { return Vec::new() };
    descriptors.iter().filter_map(|descriptor| daemon::tcp_listener(descriptor).ok()).collect()
}

/// Feeds the watchdog as long as every door answers a probe.
pub(super) async fn feed_watchdog(doors: Vec<ServerHandle>, shutdown: Shutdown) {
    let Some(interval) = watchdog_interval() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval / 2) => {}
            () = shutdown.triggered() => return,
        }
        let probes = futures_util::future::join_all(doors.iter().map(ServerHandle::probe)).await;
        if probes.iter().all(|is_well| *is_well) {
            tell(&[("WATCHDOG", "1")]);
        } else {
            tracing::error!("A door does not answer; the watchdog is not fed.");
        }
    }
}

fn watchdog_interval() -> Option<Duration> {
    let is_ours = std::env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (is_ours && micros > 0).then(|| Duration::from_micros(micros))
}
