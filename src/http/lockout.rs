//! Addresses that guess tokens have to wait, longer each time. A value without a clock of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::clock::Timestamp;

/// Wrong tokens before the first wait.
const FREE_TRIES: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(900);
/// A quiet address is forgiven after this.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3600);
/// Addresses remembered; the longest quiet one makes room.
const ADDRESSES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Timestamp,
}

#[derive(Default, Debug)]
pub(super) struct Lockout {
    records: HashMap<IpAddr, Record>,
}

impl Lockout {
    /// How long `peer` still has to wait; none when it may try.
    pub(super) fn wait(&self, peer: IpAddr, now: Timestamp) -> Option<Duration> {
        let record = self.records.get(&household_line(peer))?;
        let until = record.last.plus(wait_after(record.failures)?);
        // A clock that was set back must not lock anybody out for longer than the longest wait.
        (until > now).then(|| until.since(now)).filter(|wait| *wait <= WAIT_MAX)
    }

    pub(super) fn failed(&mut self, peer: IpAddr, now: Timestamp) {
        let peer = household_line(peer);
        self.records.retain(|_, record| now.since(record.last) < FORGIVEN_AFTER);
        if self.records.len() >= ADDRESSES_MAX
            && !self.records.contains_key(&peer)
            && let Some(oldest) = self.records.iter().min_by_key(|(_, record)| record.last).map(|(peer, _)| *peer)
        {
            self.records.remove(&oldest);
        }
        let record = self.records.entry(peer).or_insert(Record { failures: 0, last: now });
        record.failures = record.failures.saturating_add(1);
        record.last = now;
    }

    pub(super) fn succeeded(&mut self, peer: IpAddr) {
        self.records.remove(&household_line(peer));
    }
}

/// One line into a house has 2^64 addresses of IPv6; they count as one.
pub(super) fn household_line(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        peer => peer,
    }
}

fn wait_after(failures: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(FREE_TRIES)?;
    Some(WAIT_MIN.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    #[test]
    fn guessing_gets_slower_and_slower_and_time_forgives() {
        let mut lockout = Lockout::default();
        let mut now = Timestamp::from_millis(1_000_000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            lockout.failed(EVE, now);
            waits.push(lockout.wait(EVE, now).map_or(0, |wait| wait.as_secs()));
            now = now.plus(Duration::from_secs(1));
        }
        assert_eq!(waits, [0, 0, 0, 0, 5, 10, 20, 40]);
        assert_eq!(lockout.wait(EVE, now.plus(Duration::from_secs(40))), None);
        lockout.succeeded(EVE);
        assert_eq!(lockout.wait(EVE, now), None);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_years() {
        let mut lockout = Lockout::default();
        let now = Timestamp::from_millis(2_000_000_000_000);
        (0..9).for_each(|_| lockout.failed(EVE, now));
        assert!(lockout.wait(EVE, now).is_some());
        assert_eq!(lockout.wait(EVE, Timestamp::from_millis(1_000)), None);
    }

    #[test]
    fn all_addresses_of_one_line_count_together() {
        let mut lockout = Lockout::default();
        let now = Timestamp::from_millis(1_000_000);
        for number in 0..8_u128 {
            lockout.failed(IpAddr::from((0x2001_0db8_u128 << 96 | number).to_be_bytes()), now);
        }
        assert!(lockout.wait("2001:db8::ffff".parse().expect("an address"), now).is_some());
        assert_eq!(lockout.wait("2001:db8:0:1::1".parse().expect("an address"), now), None);
    }

    #[test]
    fn the_table_stays_small_whoever_tries() {
        let mut lockout = Lockout::default();
        for number in 0..5_000_u32 {
            lockout.failed(IpAddr::from(number.to_be_bytes()), Timestamp::from_millis(i64::from(number)));
        }
        assert!(lockout.records.len() <= ADDRESSES_MAX);
    }
}
