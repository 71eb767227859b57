//! Watches the kernel's links and routes (rtnetlink), so that nobody has to ask whether the cable is back.
//!
//! One socket, read when the kernel has something to say: a house whose network stands still is never woken.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Groups of `rtnetlink(7)`: links, addresses and routes of both families.
const GROUPS: u32 = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV4_ROUTE: u32 = 0x40;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;
const RTMGRP_IPV6_ROUTE: u32 = 0x400;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER_LEN: usize = 16;
/// `struct ifinfomsg`.
const LINK_LEN: usize = 16;
/// `struct rtmsg`.
const ROUTE_LEN: usize = 12;
/// `IFF_LOWER_UP`: there is a carrier.
const LOWER_UP: u32 = 0x1_0000;
/// `IFF_LOOPBACK`.
const LOOPBACK: u32 = 0x8;
/// `RT_TABLE_MAIN` and `RTN_UNICAST`: the routes that packets of this machine take.
const TABLE_MAIN: u8 = 254;
const UNICAST: u8 = 1;
/// The kernel's messages are at most this long (`NLMSG_GOODSIZE` is a page).
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// What the network did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    DefaultRouteAppeared,
    DefaultRouteVanished,
    /// A link has a carrier, or an address came.
    LinkUp,
    /// A link lost its carrier, or an address went.
    LinkDown,
    /// More happened than the kernel could keep; anything may have changed.
    Lost,
}

#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("could not open a socket to the kernel's routes")]
    Open(#[source] io::Error),
    #[error("could not read the kernel's routes")]
    Read(#[source] io::Error),
}

pub struct RouteWatch {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

impl RouteWatch {
    /// Must be called in a runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe; what it is unsound about needs a type that changes its descriptor"
    )]
    pub fn open() -> Result<Self, RouteError> {
        let open = || -> io::Result<AsyncFd<OwnedFd>> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // No protocol means number 0, which is NETLINK_ROUTE.
            let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            AsyncFd::with_interest(socket, Interest::READABLE)
        };
        Ok(Self { socket: open().map_err(RouteError::Open)?, buffer: vec![0; MESSAGE_BYTES_MAX] })
    }

    /// The next changes, at least one. May be cancelled.
    pub async fn next(&mut self) -> Result<Vec<Change>, RouteError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(RouteError::Read)?;
            let buffer = &mut self.buffer;
            let read = ready.try_io(|socket| {
                let (len, _) = rustix::net::recv(socket.get_ref(), buffer.as_mut_slice(), RecvFlags::empty())?;
                Ok(len)
            });
            match read {
                Err(_nothing_there) => {}
                Ok(Ok(len)) => {
                    let changes = parse(&self.buffer[..len.min(self.buffer.len())]);
                    if !changes.is_empty() {
                        return Ok(changes);
                    }
                }
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(vec![Change::Lost]);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(RouteError::Read(error)),
            }
        }
    }
}

/// The changes in a datagram of the kernel; what is cut short or unknown is passed over.
fn parse(datagram: &[u8]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut rest = datagram;
    while let Some(head) = rest.first_chunk::<HEADER_LEN>() {
        let len = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        let Some(body) = rest.get(HEADER_LEN..len) else { break };
        if let Some(change) = change(kind, body)
            && changes.last() != Some(&change)
        {
            changes.push(change);
        }
        // Messages begin at multiples of four.
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    changes
}

fn change(kind: u16, body: &[u8]) -> Option<Change> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => {
            let link = body.first_chunk::<LINK_LEN>()?;
            let flags = u32::from_ne_bytes([link[8], link[9], link[10], link[11]]);
            if flags & LOOPBACK != 0 {
                return None;
            }
            let is_up = kind == RTM_NEWLINK && flags & LOWER_UP != 0;
            Some(if is_up { Change::LinkUp } else { Change::LinkDown })
        }
        RTM_NEWADDR => Some(Change::LinkUp),
        RTM_DELADDR => Some(Change::LinkDown),
        RTM_NEWROUTE | RTM_DELROUTE => {
            let route = body.first_chunk::<ROUTE_LEN>()?;
            let (destination_bits, table, kind_of_route) = (route[1], route[4], route[7]);
            let is_default = destination_bits == 0 && table == TABLE_MAIN && kind_of_route == UNICAST;
            let change = if kind == RTM_NEWROUTE { Change::DefaultRouteAppeared } else { Change::DefaultRouteVanished };
            is_default.then_some(change)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER_LEN + body.len()).expect("short");
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER_LEN, 0);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(flags: u32) -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body
    }

    fn route(bits: u8, table: u8) -> Vec<u8> {
        vec![2, bits, 0, 0, table, 3, 0, UNICAST, 0, 0, 0, 0]
    }

    #[test]
    fn what_the_kernel_says_is_understood() {
        let cases: [(u16, Vec<u8>, &[Change]); 8] = [
            (RTM_NEWROUTE, route(0, TABLE_MAIN), &[Change::DefaultRouteAppeared]),
            (RTM_DELROUTE, route(0, TABLE_MAIN), &[Change::DefaultRouteVanished]),
            (RTM_NEWROUTE, route(24, TABLE_MAIN), &[]),
            (RTM_NEWROUTE, route(0, 255), &[]),
            (RTM_NEWLINK, link(LOWER_UP), &[Change::LinkUp]),
            (RTM_NEWLINK, link(0), &[Change::LinkDown]),
            (RTM_NEWLINK, link(LOWER_UP | LOOPBACK), &[]),
            (RTM_NEWADDR, vec![2; 8], &[Change::LinkUp]),
        ];
        for (kind, body, expected) in cases {
            assert_eq!(parse(&message(kind, &body)), expected, "{kind} {body:?}");
        }
    }

    #[test]
    fn several_messages_in_one_datagram_are_told_in_order_and_repetitions_once() {
        let parts =
            [(RTM_NEWLINK, link(0)), (RTM_DELROUTE, route(0, TABLE_MAIN)), (RTM_DELROUTE, route(0, TABLE_MAIN))];
        let datagram: Vec<u8> = parts.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
        assert_eq!(parse(&datagram), [Change::LinkDown, Change::DefaultRouteVanished]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_kernel_can_be_watched_and_says_nothing_by_itself() {
        use futures_util::FutureExt as _;
        let mut watch = RouteWatch::open().expect("a watch");
        assert!(watch.next().now_or_never().is_none_or(|changes| changes.is_ok()));
    }

    proptest::proptest! {
        #[test]
        fn datagrams_of_any_bytes_are_read(bytes: Vec<u8>) {
            proptest::prop_assert!(parse(&bytes).len() <= bytes.len() / HEADER_LEN);
        }

        #[test]
        fn a_cut_datagram_tells_a_beginning_of_the_whole(cut in 0_usize..200) {
            let parts = [(RTM_NEWLINK, link(0)), (RTM_NEWROUTE, route(0, TABLE_MAIN)), (RTM_NEWADDR, vec![0; 8])];
            let whole: Vec<u8> = parts.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
            let cut = cut.min(whole.len());
            proptest::prop_assert!(parse(&whole).starts_with(&parse(&whole[..cut])));
        }
    }
}
