//! Outgoing HTTP: one client with bounds on everything, and a guarded fetch for pages that somebody else names.
//!
//! Nothing is built and no root certificate is read before the first request that needs it: a house that only talks to
//! its own network never pays for TLS. Absent on purpose: proxies from the environment, cookies, redirects that the
//! caller did not ask for.

mod address;
mod client;
mod error;
mod fetch;

pub use address::{AddressPolicy, is_local_host};
pub use client::{Body, Client, Config, Cut, Request, Response};
pub use error::HttpError;
pub use fetch::{FetchError, FetchLimits, Fetched, Fetcher};
pub use reqwest::Url;
