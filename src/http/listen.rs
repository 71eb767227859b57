//! Sockets to listen on: ours, or those that systemd has opened; and, when a port is taken, by whom.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::path::Path;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("port {port} is already taken by {holder}; stop it, or choose another port in the configuration")]
    Busy { port: u16, holder: String },
    #[error("could not listen on {address}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("could not use a socket that systemd handed over")]
    Inherited { source: std::io::Error },
}

/// Sockets handed over by systemd, by port, to be used before new ones are opened.
#[derive(Default, Debug)]
pub struct Listeners {
    inherited: VecDeque<StdListener>,
}

impl Listeners {
    pub fn new(inherited: impl IntoIterator<Item = StdListener>) -> Self {
        Self { inherited: inherited.into_iter().collect() }
    }

    /// The handed-over socket of that port, or a new one. Must be called inside a runtime.
    pub fn open(&mut self, host: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
        let position = self
            .inherited
            .iter()
            .position(|listener| port != 0 && listener.local_addr().is_ok_and(|address| address.port() == port));
        if let Some(listener) = position.and_then(|index| self.inherited.remove(index)) {
            let failed = |source| ListenError::Inherited { source };
            listener.set_nonblocking(true).map_err(failed)?;
            return TcpListener::from_std(listener).map_err(failed);
        }
        let address = SocketAddr::new(host, port);
        bind(address).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ListenError::Busy { port, holder: holder(port) },
            _ => ListenError::Bind { address, source },
        })
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Program and process id of whoever listens on `port`, as far as we may see.
fn holder(port: u16) -> String {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = processes
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .find(|entry| holds_any(&entry.path(), &inodes));
    match found {
        Some(entry) => {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            format!("{} (process {})", name.trim(), entry.file_name().to_string_lossy())
        }
        None => "a program of another user".to_owned(),
    }
}

/// Inodes of listening sockets in a `/proc/net/tcp` table.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&wanted) && row[3] == LISTENING)
        .map(|row| row[9].to_owned())
        .collect()
}

fn holds_any(process: &Path, inodes: &[String]) -> bool {
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        inodes.iter().any(|inode| *target == format!("socket:[{inode}]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_port_names_who_holds_it() {
        let taken = StdListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let refused = Listeners::default().open("127.0.0.1".parse().expect("an address"), port);
        let Err(ListenError::Busy { holder, .. }) = refused else { panic!("{refused:?}") };
        assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
    }

    #[tokio::test]
    async fn a_socket_handed_over_is_used() {
        let given = StdListener::bind("127.0.0.1:0").expect("a port");
        let address = given.local_addr().expect("an address");
        let mut listeners = Listeners::new([given]);
        let opened = listeners.open(address.ip(), address.port()).expect("the same socket");
        assert_eq!(opened.local_addr().expect("an address"), address);
    }
}
