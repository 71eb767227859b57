//! Figures about the topics, from the log of messages, in KafClaw's shapes (group specification §7).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;

use crate::base::clock::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);
/// Who speaks within this time after somebody else is taken to have heard it.
const FLOW_WINDOW: Duration = Duration::from_secs(300);
const EDGES_MAX: usize = 200;
/// Over how many hours the rate of a topic is taken.
const RATE_HOURS: u32 = 4;
const DENSITY_HOURS_MAX: u32 = 24 * 31;

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TopicStats {
    pub topic_name: String,
    /// Empty, as KafClaw leaves it: the manifest knows.
    pub category: &'static str,
    pub description: &'static str,
    pub message_count: i64,
    pub last_24h: i64,
    pub last_7d: i64,
    pub unique_agents: i64,
    /// `YYYY-MM-DD HH:MM:SS`.
    pub last_message_at: String,
    pub avg_payload_size: f64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edge {
    pub source_agent_id: String,
    pub topic_name: String,
    pub target_agent_id: String,
    pub message_count: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Health {
    pub topic_name: String,
    /// 100 is good, 20 is silence.
    pub score: u8,
    pub messages_per_hour: f64,
    pub active_agents: i64,
    pub is_stale: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Bucket {
    pub bucket_start: Timestamp,
    pub bucket_end: Timestamp,
    pub count: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Density {
    /// One per hour, oldest first.
    pub buckets: Vec<Bucket>,
    pub envelope_types: BTreeMap<String, u64>,
    pub hours: u32,
    pub topic: String,
}

/// Figures of every topic on which something was said, by name.
pub fn topic_stats(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<TopicStats>> {
    connection
        .prepare_cached(
            "SELECT topic_name, count(*), sum(created_at >= ?1), sum(created_at >= ?2), count(DISTINCT sender_id),
                substr(max(created_at), 1, 19), avg(payload_size)
             FROM topic_message_log GROUP BY topic_name ORDER BY topic_name",
        )?
        .query_map((now.minus(HOUR * 24), now.minus(HOUR * 24 * 7)), |row| {
            Ok(TopicStats {
                topic_name: row.get(0)?,
                category: "",
                description: "",
                message_count: row.get(1)?,
                last_24h: row.get(2)?,
                last_7d: row.get(3)?,
                unique_agents: row.get(4)?,
                last_message_at: row.get(5)?,
                avg_payload_size: row.get(6)?,
            })
        })?
        .collect()
}

/// Who speaks after whom on which topic, most often first; from the last day.
pub fn flow(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Edge>> {
    let mut select = connection.prepare_cached(
        "SELECT topic_name, sender_id, created_at FROM topic_message_log WHERE created_at >= ?1 ORDER BY topic_name, id",
    )?;
    let mut rows = select.query([now.minus(HOUR * 24)])?;
    let mut edges: HashMap<(String, String, String), u64> = HashMap::new();
    let mut topic = String::new();
    // Who spoke within the window, the last time each.
    let mut heard: VecDeque<(String, Timestamp)> = VecDeque::new();
    while let Some(row) = rows.next()? {
        let (name, sender, at): (String, String, Timestamp) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if name != topic {
            heard.clear();
            topic = name;
        }
        while heard.front().is_some_and(|(_, then)| at.since(*then) > FLOW_WINDOW) {
            heard.pop_front();
        }
        for (source, _) in heard.iter().filter(|(source, _)| *source != sender) {
            *edges.entry((source.clone(), topic.clone(), sender.clone())).or_default() += 1;
        }
        heard.retain(|(known, _)| *known != sender);
        heard.push_back((sender, at));
    }
    let named = |((source_agent_id, topic_name, target_agent_id), message_count)| Edge {
        source_agent_id,
        topic_name,
        target_agent_id,
        message_count,
    };
    let mut edges: Vec<Edge> = edges.into_iter().map(named).collect();
    edges.sort_by(|one, other| {
        let names = |edge: &Edge| (edge.topic_name.clone(), edge.source_agent_id.clone(), edge.target_agent_id.clone());
        other.message_count.cmp(&one.message_count).then_with(|| names(one).cmp(&names(other)))
    });
    edges.truncate(EDGES_MAX);
    Ok(edges)
}

/// How lively every topic is.
pub fn health(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Health>> {
    connection
        .prepare_cached(
            "SELECT topic_name, sum(created_at >= ?1), count(DISTINCT CASE WHEN created_at >= ?2 THEN sender_id END)
             FROM topic_message_log GROUP BY topic_name ORDER BY topic_name",
        )?
        .query_map((now.minus(HOUR * RATE_HOURS), now.minus(HOUR)), |row| {
            let messages_per_hour = row.get::<_, f64>(1)? / f64::from(RATE_HOURS);
            let active_agents: i64 = row.get(2)?;
            let is_stale = active_agents == 0;
            let score = match messages_per_hour {
                _ if is_stale => 20,
                rate if rate < 1.0 => 50,
                rate if rate < 5.0 => 75,
                _ => 100,
            };
            Ok(Health { topic_name: row.get(0)?, score, messages_per_hour, active_agents, is_stale })
        })?
        .collect()
}

/// Messages per hour on one topic, up to now.
pub fn density(connection: &Connection, topic: &str, hours: u32, now: Timestamp) -> rusqlite::Result<Density> {
    let hours = hours.clamp(1, DENSITY_HOURS_MAX);
    let start = now.minus(HOUR * hours);
    let bucket = |number: u32| Bucket {
        bucket_start: start.plus(HOUR * number),
        bucket_end: start.plus(HOUR * (number + 1)),
        count: 0,
    };
    let mut buckets: Vec<Bucket> = (0..hours).map(bucket).collect();
    let mut envelope_types = BTreeMap::new();
    let mut select = connection.prepare_cached(
        "SELECT created_at, envelope_type FROM topic_message_log WHERE topic_name = ?1 AND created_at >= ?2",
    )?;
    let mut rows = select.query((topic, start))?;
    while let Some(row) = rows.next()? {
        let at: Timestamp = row.get(0)?;
        let hour = usize::try_from(at.since(start).as_secs() / HOUR.as_secs()).unwrap_or(usize::MAX);
        // What is dated later than now was written before the clock was set back.
        if let Some(bucket) = buckets.get_mut(hour) {
            bucket.count += 1;
            *envelope_types.entry(row.get(1)?).or_default() += 1;
        }
    }
    Ok(Density { buckets, envelope_types, hours, topic: topic.to_owned() })
}
