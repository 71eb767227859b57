//! Floor 7: the doors and the desk behind them. Bytes of strangers stop at the [`door`]; tiny_http, on a Unix socket that
//! nobody else may open, hands requests to the routes.
//!
//! Who may do what: `api` and `dashboard` bring tables of [`Route`]s; [`Server`] serves one table on one address. Who is
//! let in is decided in one place, [`Guard`].
//!
//! Absent on purpose: HTTP/2, WebSocket (the control port brings it), file serving from disk.

mod backend;
mod connection;
mod door;
mod exchange;
mod guard;
mod head;
mod listen;
mod lockout;
mod message;
pub mod multipart;
pub mod openapi;
mod route;
mod server;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
mod worker;

pub use guard::{Guard, GuardConfig, LOGIN_COOKIE};
pub use listen::{ListenError, Listeners};
pub use message::{Body, Request, Response, Status, error};
pub use route::{Access, Handler, Method, Route, Router};
pub use server::{Config, Server, ServerError, ServerHandle};
