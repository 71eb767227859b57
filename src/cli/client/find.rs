//! Where the gateway of this home listens, and the token it wants.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::secret::Secret;
use crate::cli::client::{Client, ClientError, pin};
use crate::config::{Config, Paths};

/// Where the token came from, for messages: never the token itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenPlace {
    Config,
    File(PathBuf),
    /// No token was found here.
    Nowhere(PathBuf),
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("the token of gateway.authToken"),
            Self::File(path) => write!(f, "the token of {}", path.display()),
            Self::Nowhere(path) => write!(f, "a request without a token (there is no {})", path.display()),
        }
    }
}

/// The generated token, when the configuration has none.
pub fn token_file(paths: &Paths) -> PathBuf {
    paths.state_dir.join("gateway.token")
}

/// What the gateway writes when it is ready.
#[derive(Deserialize)]
struct RunFile {
    pid: u32,
    chat: SocketAddr,
    dashboard: SocketAddr,
    #[serde(default)]
    onnx_runtime: Option<PathBuf>,
}

impl Client {
    /// The gateway of this home: as its run file tells, else as the configuration says. Whether it runs is not looked at.
    pub fn find(config: &Config) -> Result<Self, ClientError> {
        let gateway = &config.gateway;
        let (token, token_place) = token(config)?;
        let (chat, dashboard, pid, onnx_runtime) = match run_file(&config.paths)? {
            Some(run) => (run.chat, run.dashboard, Some(run.pid), run.onnx_runtime),
            None if gateway.port == 0 || gateway.dashboard_port == 0 => {
                return Err(ClientError::NoAddress { run_file: run_path(&config.paths) });
            }
            None => {
                let at = |port| SocketAddr::new(gateway.host, port);
                (at(gateway.port), at(gateway.dashboard_port), None, None)
            }
        };
        let tls = match &gateway.tls.tls_cert {
            Some(path) => Some(pin::only(path)?),
            None => None,
        };
        Ok(Self { chat: near(chat), dashboard: near(dashboard), pid, onnx_runtime, token, token_place, tls })
    }
}

fn run_path(paths: &Paths) -> PathBuf {
    paths.run_dir.join("gateway.json")
}

fn run_file(paths: &Paths) -> Result<Option<RunFile>, ClientError> {
    let path = run_path(paths);
    match read(&path)? {
        Some(text) => serde_json::from_str(&text).map(Some).map_err(|_| ClientError::RunFile { path }),
        None => Ok(None),
    }
}

fn token(config: &Config) -> Result<(Option<Secret<String>>, TokenPlace), ClientError> {
    if !config.gateway.auth_token.is_empty() {
        return Ok((Some(config.gateway.auth_token.clone()), TokenPlace::Config));
    }
    let path = token_file(&config.paths);
    // What cannot be in a header cannot be a token.
    let text =
        read(&path)?.map(|text| text.trim().to_owned()).filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    match text {
        Some(text) if !text.is_empty() => Ok((Some(Secret::new(text)), TokenPlace::File(path))),
        _ => Ok((None, TokenPlace::Nowhere(path))),
    }
}

fn read(path: &Path) -> Result<Option<String>, ClientError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClientError::Unreadable { path: path.to_owned(), source }),
    }
}

/// A gateway that listens everywhere is reached on loopback.
fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
