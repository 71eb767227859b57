//! What can go wrong between us and a server, sorted by what a caller would do about it.

use std::error::Error;
use std::io;

use super::address::AddressDenied;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{url:?} is not a web address")]
    Url { url: String },
    #[error("could not prepare the HTTP client")]
    Setup { source: reqwest::Error },
    /// Name resolution, connecting, or a connection whose other end has gone.
    #[error("could not reach {host}")]
    Unreachable { host: String, source: reqwest::Error },
    /// The handshake failed: an expired clock, a captive portal, a forged certificate.
    #[error("could not agree on TLS with {host}")]
    Tls { host: String, source: reqwest::Error },
    #[error("{host} did not answer in time")]
    TimedOut { host: String, source: reqwest::Error },
    /// The connection ended before the answer did.
    #[error("{host} broke the connection")]
    Broken { host: String, source: reqwest::Error },
    #[error("{host} does not speak HTTP as it should")]
    Protocol { host: String, source: reqwest::Error },
    #[error("{host} answered with status {status}")]
    Status { host: String, status: u16 },
    #[error("{host} sent more than {bytes_max} bytes")]
    TooLarge { host: String, bytes_max: usize },
    /// Only from a guarded client.
    #[error("{host} is not on the public internet")]
    Denied { host: String },
}

impl HttpError {
    /// Whether the server could not be talked to at all, as opposed to having answered something.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Tls { .. } | Self::TimedOut { .. })
    }

    pub(super) fn sort(host: &str, source: reqwest::Error) -> Self {
        let host = host.to_owned();
        // A URL may carry what must not be logged.
        let source = source.without_url();
        if find::<AddressDenied>(&source).is_some() {
            return Self::Denied { host };
        }
        if source.is_builder() {
            return Self::Setup { source };
        }
        if has_tls_fault(&source) {
            return Self::Tls { host, source };
        }
        if source.is_connect() || source.is_dns() {
            return Self::Unreachable { host, source };
        }
        if source.is_timeout() {
            // The kernel's own timeout (unacknowledged data) is a pulled cable; ours is a slow server.
            let from_kernel = find::<io::Error>(&source).is_some_and(|io| io.raw_os_error().is_some());
            return if from_kernel { Self::Unreachable { host, source } } else { Self::TimedOut { host, source } };
        }
        match find::<io::Error>(&source).map(io::Error::kind) {
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown) => {
                Self::Unreachable { host, source }
            }
            Some(_) => Self::Broken { host, source },
            None if ended_early(&source) => Self::Broken { host, source },
            None => Self::Protocol { host, source },
        }
    }
}

/// hyper's own words for "the other end closed"; its error type is not in our reach.
fn ended_early(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text.contains("connection closed before message completed") || text.contains("unexpected EOF") {
            return true;
        }
        next = error.source();
    }
    false
}

fn has_tls_fault(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inside_io = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inside_io.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        next = error.source();
    }
    false
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
