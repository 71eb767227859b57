//! What the tools need from the rest of the house, as small traits; assembly adapts the modules to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::future::BoxFuture;

use crate::base::clock::Timestamp;
use crate::base::id::{EntityId, JobId};
use crate::domain::household::{Action, CommandResult, Household};
use crate::tool::ToolContext;

/// Why a port could not do what it was asked. `Display` goes to the model and may reach a person.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The part of the house behind the port is off or not set up.
    #[error("this is not available right now")]
    NotAvailable,
    #[error("there is nothing named {name}")]
    NotFound { name: String },
    /// It understood and will not; the sentence says why.
    #[error("{why}")]
    Refused { why: String },
    /// It tried and failed; the inside of the failure is in the log.
    #[error("{attempt} failed")]
    Failed { attempt: &'static str },
}

/// The home's devices.
pub trait Devices: Send + Sync {
    fn household(&self) -> Arc<Household>;

    /// Sends the commands and waits, for a bounded time, for the devices to report; one result each, in order.
    fn command<'a>(
        &'a self,
        ctx: &'a ToolContext,
        commands: Vec<(EntityId, Action)>,
    ) -> BoxFuture<'a, Vec<(EntityId, CommandResult)>>;
}

/// When something shall happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum When {
    In(Duration),
    At(Timestamp),
    /// On the household's wall clock, in whatever zone that is.
    AtLocal(NaiveDateTime),
    /// A cron expression of five fields, on the household's wall clock.
    Cron(String),
}

/// What a job does when it comes due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Tells the person that the time has come.
    Ring,
    /// Hands this text to the assistant as if the person had said it.
    Say(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTimer {
    /// What people call it; may be empty.
    pub label: String,
    pub when: When,
    pub purpose: Purpose,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timer {
    pub id: JobId,
    pub label: String,
    /// When it comes due next, as a person reads it.
    pub due: String,
    /// The cron expression of one that repeats.
    pub cron: Option<String>,
}

/// Timers, alarms, reminders and scheduled jobs; the context says who asked and where the answer goes.
pub trait Timers: Send + Sync {
    /// Setting the same timer for the same call again must not make a second one; `ctx.task_id` and the timer identify it.
    fn set<'a>(&'a self, ctx: &'a ToolContext, timer: NewTimer) -> BoxFuture<'a, Result<Timer, PortError>>;

    fn list<'a>(&'a self, ctx: &'a ToolContext) -> BoxFuture<'a, Result<Vec<Timer>, PortError>>;

    /// Cancels by id or by label.
    fn cancel<'a>(&'a self, ctx: &'a ToolContext, which: &'a str) -> BoxFuture<'a, Result<Timer, PortError>>;
}

#[derive(Clone, PartialEq, Debug)]
pub struct Recalled {
    pub id: String,
    pub text: String,
    pub source: String,
    /// 0 to 1.
    pub score: f64,
}

/// What the house was told to remember.
pub trait Memories: Send + Sync {
    /// Returns the new memory's id.
    fn remember<'a>(
        &'a self,
        ctx: &'a ToolContext,
        content: &'a str,
        tags: &'a str,
    ) -> BoxFuture<'a, Result<String, PortError>>;

    /// Best first.
    fn recall<'a>(
        &'a self,
        ctx: &'a ToolContext,
        query: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Recalled>, PortError>>;

    fn forget<'a>(&'a self, ctx: &'a ToolContext, id: &'a str) -> BoxFuture<'a, Result<(), PortError>>;
}

/// Which addresses a fetch may reach. A redirect is never followed by the port, and a name is checked by the addresses it
/// resolves to, not only as it is written: otherwise a name that points at the router would pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Public addresses only, see [`is_public`].
    Public,
    Anywhere,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchRequest {
    pub url: String,
    pub reach: Reach,
    pub body_bytes_max: usize,
    pub timeout: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    pub status: u16,
    /// The header `Content-Type`, empty when there is none.
    pub content_type: String,
    /// The header `Location` of a redirect.
    pub location: Option<String>,
    /// At most `body_bytes_max`.
    pub body: Vec<u8>,
    pub is_cut: bool,
}

/// One HTTP GET.
pub trait Fetch: Send + Sync {
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, PortError>>;
}

/// Whether `address` lies outside the house: not loopback, private, link-local, carrier-grade, multicast or reserved.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_special = v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a, b, c) == (192, 0, 0);
            !is_special
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // Global unicast only; without documentation addresses and the tunnels that embed an IPv4 address.
            (first & 0xe000) == 0x2000 && first != 0x2002 && !(first == 0x2001 && matches!(second, 0 | 0x0db8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_house_are_not_public() {
        for (address, public) in [
            ("1.1.1.1", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("172.31.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("2606:4700:4700::1111", true),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:1.1.1.1", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2002:7f00:1::", false),
            ("64:ff9b::7f00:1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }
}
