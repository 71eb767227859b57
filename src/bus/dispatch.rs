//! Who is next: conversations side by side, the messages of one conversation in order. A value without I/O.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::base::id::{SessionKey, TaskId};
use crate::bus::Leased;

/// Tasks held in memory; the rest waits in the table.
const QUEUE_LEN_MAX: usize = 512;

/// A waiting task with its row number, which is the order of acceptance.
#[derive(Debug)]
pub(super) struct Waiting {
    pub row: i64,
    pub leased: Leased,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Row number of the newest task read.
    cursor: i64,
    /// Conversations with something to do and nothing running, oldest first.
    ready: VecDeque<SessionKey>,
    waiting: HashMap<SessionKey, VecDeque<Leased>>,
    running: HashSet<SessionKey>,
    known: HashSet<TaskId>,
}

impl Queue {
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    /// How many more tasks may be read now.
    pub(super) fn room(&self) -> usize {
        QUEUE_LEN_MAX.saturating_sub(self.known.len())
    }

    pub(super) fn add(&mut self, waiting: Vec<Waiting>) {
        for Waiting { row, leased } in waiting {
            self.cursor = self.cursor.max(row);
            if !self.known.insert(leased.task_id.clone()) {
                continue;
            }
            let session = leased.inbound.session.clone();
            let line = self.waiting.entry(session.clone()).or_default();
            line.push_back(leased);
            if line.len() == 1 && !self.running.contains(&session) {
                self.ready.push_back(session);
            }
        }
    }

    /// The next task that may run; its conversation is taken until [`Queue::ended`].
    pub(super) fn take(&mut self) -> Option<Leased> {
        let session = self.ready.pop_front()?;
        let leased = self.waiting.get_mut(&session)?.pop_front()?;
        self.known.remove(&leased.task_id);
        self.running.insert(session);
        Some(leased)
    }

    pub(super) fn ended(&mut self, session: &SessionKey) {
        self.running.remove(session);
        match self.waiting.get(session) {
            Some(line) if !line.is_empty() => self.ready.push_back(session.clone()),
            _ => {
                self.waiting.remove(session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bus::tests::inbound;

    fn waiting(row: i64, session: &str) -> Waiting {
        let leased =
            Leased { task_id: TaskId::new(row.to_string()), inbound: inbound(session, "text"), interrupted: 0 };
        Waiting { row, leased }
    }

    proptest! {
        /// Random arrivals and endings: one task of a conversation at a time, in order, and none is forgotten.
        #[test]
        fn conversations_stay_in_order_and_nothing_is_lost(sessions in proptest::collection::vec(0_u8..4, 1..60), seed in any::<u64>()) {
            let mut queue = Queue::default();
            let mut running: Vec<(SessionKey, i64)> = Vec::new();
            let mut last: HashMap<SessionKey, i64> = HashMap::new();
            let mut done = 0;
            let mut dice = seed;
            let mut arrivals = sessions.iter().enumerate().map(|(row, name)| waiting(row as i64 + 1, &format!("local:{name}")));
            let mut arriving = true;
            while arriving || done < sessions.len() {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if arriving && dice >> 63 == 0 {
                    match arrivals.next() {
                        Some(next) => queue.add(vec![next]),
                        None => arriving = false,
                    }
                    continue;
                }
                if let Some(leased) = queue.take() {
                    let row: i64 = leased.task_id.as_str().parse().expect("a row");
                    let session = leased.inbound.session;
                    prop_assert!(running.iter().all(|(other, _)| *other != session), "two at once");
                    prop_assert!(last.insert(session.clone(), row).is_none_or(|before| before < row), "out of order");
                    running.push((session, row));
                } else if !running.is_empty() {
                    let (session, _) = running.remove((dice % running.len() as u64) as usize);
                    queue.ended(&session);
                    done += 1;
                }
            }
            prop_assert_eq!(done, sessions.len());
        }
    }
}
