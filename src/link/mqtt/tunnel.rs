//! The way to the broker: a Unix socket that rumqttc speaks plain MQTT to, and behind it TCP, with rustls where the address says so.
//!
//! rumqttc's own TLS feature pins a rustls-webpki with known holes, and its TCP socket delays acknowledgements. mosquitto, as it is
//! delivered, holds its next small packet back until the one before is acknowledged (Nagle), so that a lamp's answer behind a PUBACK
//! came 40 ms late; with prompt acknowledgements a command and its confirmation take 0.3 ms together.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::{Config, Encryption, MqttError};
use crate::base::error::chain;
use crate::base::shutdown::Shutdown;
use crate::link::roots::roots;

/// Time for TCP and TLS to the broker; less than the link gives a connection as a whole.
const CONNECT_MAX: Duration = Duration::from_secs(8);
/// Letters of the client id in the socket's name.
const CLIENT_ID_LETTERS_MAX: usize = 24;
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

/// Opens a socket in the configured directory and serves it until shutdown.
pub fn open(config: &Config, shutdown: Shutdown) -> Result<Tunnel, MqttError> {
    let address = &config.address;
    let encrypted = match address.encryption {
        Encryption::Plain => None,
        Encryption::Tls => Some(encryption(&address.host, config.ca_file.as_deref())?),
    };
    let socket_path = config.run_dir.join(socket_name(&config.client_id));
    // Left over from a process that was killed; the state directory's lock says that nobody uses it.
    let _ = std::fs::remove_file(&socket_path);
    let failed = |source: std::io::Error| MqttError::Socket { path: socket_path.clone(), reason: source.to_string() };
    let listener = UnixListener::bind(&socket_path).map_err(failed)?;
    std::fs::set_permissions(&socket_path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let error = Arc::new(Mutex::new(None));
    let target = Target { host: address.host.clone(), port: address.port, encrypted, error: error.clone() };
    tokio::spawn(serve(listener, target, shutdown));
    Ok(Tunnel { socket_path, error })
}

/// One per client, because the tests have several in one directory.
fn socket_name(client_id: &str) -> String {
    let letters = client_id.chars().take(CLIENT_ID_LETTERS_MAX);
    let name: String = letters.map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    format!("mqtt-{name}.sock")
}

struct Target {
    host: String,
    port: u16,
    encrypted: Option<(TlsConnector, ServerName<'static>)>,
    error: Arc<Mutex<Option<String>>>,
}

/// A connection to the broker, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

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

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let prompt = Prompt(stream);
        Ok(match &self.encrypted {
            None => Box::new(prompt),
            Some((connector, server)) => Box::new(connector.connect(server.clone(), prompt).await?),
        })
    }
}

/// TCP that acknowledges what it received at once. The kernel forgets the wish whenever it answers with data.
struct Prompt(TcpStream);

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(ctx, buffer);
        if matches!(read, Poll::Ready(Ok(()))) {
            // Only speed depends on it.
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.0, true);
        }
        read
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(ctx)
    }
}

fn encryption(host: &str, ca_file: Option<&Path>) -> Result<(TlsConnector, ServerName<'static>), MqttError> {
    let failed = |reason: String| MqttError::Tls { reason };
    let server = ServerName::try_from(host.to_owned()).map_err(|error| failed(format!("{host}: {error}")))?;
    let connector = TlsConnector::from(Arc::new(client_config(ca_file).map_err(failed)?));
    Ok((connector, server))
}

fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = roots(ca_file).map_err(|error| chain(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
