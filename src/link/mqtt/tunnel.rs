//! TLS to the broker: a Unix socket that rumqttc speaks plain MQTT to, and behind it rustls. rumqttc's own TLS feature pins a
//! rustls-webpki with known holes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Address, MqttError};
use crate::base::shutdown::Shutdown;

/// Where Debian, JetPack and Fedora keep the authorities they trust.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Time for TCP and TLS to the broker.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Pause when no connection can be accepted, as without file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

pub struct Tunnel {
    pub socket_path: PathBuf,
    error: Arc<Mutex<Option<String>>>,
}

impl Tunnel {
    /// Why the last connection failed; rumqttc only sees that its socket was closed.
    pub fn take_error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Opens the socket in `run_dir` and serves it until shutdown.
pub fn open(
    address: &Address,
    ca_file: Option<&Path>,
    run_dir: &Path,
    shutdown: Shutdown,
) -> Result<Tunnel, MqttError> {
    let failed = |reason: String| MqttError::Tls { reason };
    let server =
        ServerName::try_from(address.host.clone()).map_err(|error| failed(format!("{}: {error}", address.host)))?;
    let connector = TlsConnector::from(Arc::new(client_config(ca_file).map_err(failed)?));
    let socket_path = run_dir.join("mqtt-tls.sock");
    // Left over from a process that was killed; the state directory's lock says that nobody uses it.
    let _ = std::fs::remove_file(&socket_path);
    let listener =
        UnixListener::bind(&socket_path).map_err(|error| failed(format!("{}: {error}", socket_path.display())))?;
    std::fs::set_permissions(&socket_path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| failed(format!("{}: {error}", socket_path.display())))?;
    let error = Arc::new(Mutex::new(None));
    let target = Target { host: address.host.clone(), port: address.port, server, connector, error: error.clone() };
    tokio::spawn(serve(listener, target, shutdown));
    Ok(Tunnel { socket_path, error })
}

struct Target {
    host: String,
    port: u16,
    server: ServerName<'static>,
    connector: TlsConnector,
    error: Arc<Mutex<Option<String>>>,
}

/// There is one client, so whoever comes takes the place of the one before, whose broker may be unreachable without a word.
async fn serve(listener: UnixListener, target: Target, shutdown: Shutdown) {
    let target = Arc::new(target);
    let mut carried: Option<JoinHandle<()>> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // A connection that is being carried ends when its client closes it, after the last words.
            () = shutdown.triggered() => return,
        };
        if let Some(before) = carried.take() {
            before.abort();
        }
        match accepted {
            Ok((client, _)) => carried = Some(tokio::spawn(Target::serve_one(Arc::clone(&target), client))),
            Err(error) => {
                target.failed(&error);
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Target {
    async fn serve_one(self: Arc<Self>, mut client: UnixStream) {
        if let Err(error) = self.carry(&mut client).await {
            // Before the client is closed, because that is when the reason is looked for.
            self.failed(&error);
        }
    }

    fn failed(&self, error: &std::io::Error) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// Ends with the first side that closes: the other one may be gone without a sign.
    async fn carry(&self, client: &mut UnixStream) -> std::io::Result<()> {
        let broker = tokio::time::timeout(CONNECT_MAX, self.connect()).await??;
        let (mut from_broker, mut to_broker) = tokio::io::split(broker);
        let (mut from_client, mut to_client) = client.split();
        tokio::select! {
            copied = tokio::io::copy(&mut from_client, &mut to_broker) => copied,
            copied = tokio::io::copy(&mut from_broker, &mut to_client) => copied,
        }
        .map(drop)
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        self.connector.connect(self.server.clone(), stream).await
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let path = match ca_file {
        Some(path) => path.to_owned(),
        None => SYSTEM_ROOTS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or("the system has no list of authorities; set mqtt.caFile")?,
    };
    let readable = CertificateDer::pem_file_iter(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(readable.filter_map(Result::ok));
    if added == 0 {
        return Err(format!("{} holds no certificate", path.display()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
