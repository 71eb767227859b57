//! Where reading a topic begins.

use std::time::Duration;

/// Where reading begins; "where it ended" is the last position that was told as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Where it ended; the first time at what comes from now on.
    Now,
    /// Where it ended, but nothing older than this by the record's own time; the first time everything younger.
    Within(Duration),
    /// Where it ended; the first time at the beginning.
    Beginning,
    /// Always at the beginning: for topics that hold a state.
    Replay,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicStart {
    pub topic: String,
    pub start: Start,
}

/// What is known of a partition when its reading begins.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub first: i64,
    /// Behind the last record.
    pub end: i64,
    pub committed: Option<i64>,
    /// The first record that is young enough; only looked up for [`Start::Within`], none when all are too old.
    pub young: Option<i64>,
}

impl Start {
    /// The offset to begin with; always between the first and the end of what is there.
    pub fn offset(self, known: Known) -> i64 {
        // Reading ended behind the end: the topic was made anew, and nothing of it was read.
        let committed = known.committed.map(|committed| if committed > known.end { known.first } else { committed });
        let wanted = match (self, committed) {
            (Self::Replay, _) | (Self::Beginning, None) => known.first,
            (Self::Now, None) => known.end,
            (Self::Now | Self::Beginning, Some(committed)) => committed,
            (Self::Within(_), committed) => known.young.unwrap_or(known.end).max(committed.unwrap_or(0)),
        };
        wanted.clamp(known.first, known.end.max(known.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known { first: 10, end: 90, committed: None, young: None };
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn every_policy_begins_where_it_says() {
        let committed = Known { committed: Some(40), ..KNOWN };
        let young = Known { young: Some(60), ..KNOWN };
        let cases = [
            (Start::Now, KNOWN, 90),
            (Start::Now, committed, 40),
            (Start::Beginning, KNOWN, 10),
            (Start::Beginning, committed, 40),
            (Start::Replay, committed, 10),
            (Start::Within(HOUR), KNOWN, 90),
            (Start::Within(HOUR), young, 60),
            (Start::Within(HOUR), Known { committed: Some(40), ..young }, 60),
            (Start::Within(HOUR), Known { committed: Some(70), ..young }, 70),
            // Deleted by retention, or a topic that was made anew.
            (Start::Now, Known { committed: Some(3), ..KNOWN }, 10),
            (Start::Now, Known { committed: Some(300), ..KNOWN }, 10),
        ];
        for (start, known, expected) in cases {
            assert_eq!(start.offset(known), expected, "{start:?} {known:?}");
        }
    }
}
