//! TLS to the broker: a Unix socket that rumqttc speaks plain MQTT to, and behind it rustls. rumqttc's own TLS feature pins a
//! rustls-webpki with known holes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Address, MqttError};
use crate::base::shutdown::Shutdown;

/// Where Debian, JetPack and Fedora keep the authorities they trust.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

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

/// One connection at a time: there is one client.
async fn serve(listener: UnixListener, target: Target, shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.triggered() => return,
        };
        let Ok((client, _)) = accepted else { continue };
        if let Err(error) = target.carry(client).await {
            *target.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

impl Target {
    async fn carry(&self, mut client: UnixStream) -> std::io::Result<()> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let mut broker = self.connector.connect(self.server.clone(), stream).await?;
        tokio::io::copy_bidirectional(&mut client, &mut broker).await.map(drop)
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
