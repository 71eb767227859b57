//! Figures about the whole group, over the tables of its parts, in KafClaw's shapes (group specification §7).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;

use crate::base::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Members in a list of figures.
const LISTED_MAX: usize = 200;

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Stats {
    pub tasks_by_status: BTreeMap<String, i64>,
    pub tasks_last_24h: i64,
    pub tasks_last_7d: i64,
    pub avg_response_secs: f64,
    pub max_response_secs: f64,
    pub avg_delegation_depth: f64,
    pub max_delegation_depth: i64,
    /// Null when there is none, as in Go.
    pub member_activity: Option<Vec<Activity>>,
    pub trace_performance: Option<Vec<Performance>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Activity {
    pub agent_id: String,
    pub tasks_requested: i64,
    pub tasks_responded: i64,
    pub tasks_completed: i64,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Performance {
    pub agent_id: String,
    pub trace_count: i64,
    pub avg_duration_ms: f64,
    pub max_duration_ms: i64,
}

/// What a member has earned: 10 for a task, 5 for a span, 15 for a memory item, 25 for a skill.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AgentXp {
    pub agent_id: String,
    pub agent_name: String,
    pub total_xp: i64,
    /// The square root of a tenth of it.
    pub level: i64,
    pub rank: &'static str,
    pub tasks_completed: i64,
    pub traces_shared: i64,
    pub memories_shared: i64,
    pub skills_registered: i64,
}

pub fn stats(connection: &Connection, now: Timestamp) -> rusqlite::Result<Stats> {
    let tasks_by_status = connection
        .prepare_cached("SELECT status, count(*) FROM group_tasks GROUP BY status")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (last_24h, last_7d, avg_depth, max_depth) = connection
        .prepare_cached(
            "SELECT coalesce(sum(created_at >= ?1), 0), coalesce(sum(created_at >= ?2), 0),
                coalesce(avg(delegation_depth), 0.0), coalesce(max(delegation_depth), 0) FROM group_tasks",
        )?
        .query_row((now.minus(DAY), now.minus(DAY * 7)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    let (avg_response_secs, max_response_secs) = response_secs(connection)?;
    Ok(Stats {
        tasks_by_status,
        tasks_last_24h: last_24h,
        tasks_last_7d: last_7d,
        avg_response_secs,
        max_response_secs,
        avg_delegation_depth: avg_depth,
        max_delegation_depth: max_depth,
        member_activity: Some(activity(connection)?).filter(|list| !list.is_empty()),
        trace_performance: Some(performance(connection)?).filter(|list| !list.is_empty()),
    })
}

/// Who has earned most, first.
pub fn xp(connection: &Connection) -> rusqlite::Result<Vec<AgentXp>> {
    let mut agents: HashMap<String, AgentXp> = HashMap::new();
    type Field = fn(&mut AgentXp) -> &mut i64;
    let counts: [(&str, Field); 4] = [
        (
            "SELECT responder_id, count(*) FROM group_tasks
             WHERE status = 'completed' AND coalesce(responder_id, '') <> '' GROUP BY responder_id",
            |agent| &mut agent.tasks_completed,
        ),
        (
            "SELECT source_agent_id, count(*) FROM group_traces WHERE coalesce(span_type, '') <> 'AUDIT' GROUP BY source_agent_id",
            |agent| &mut agent.traces_shared,
        ),
        ("SELECT author_id, count(*) FROM group_memory_items GROUP BY author_id", |agent| &mut agent.memories_shared),
        ("SELECT registered_by, count(*) FROM group_skill_channels GROUP BY registered_by", |agent| {
            &mut agent.skills_registered
        }),
    ];
    for (sql, field) in counts {
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            *field(agents.entry(id).or_default()) = row.get(1)?;
        }
    }
    let mut select = connection.prepare_cached("SELECT agent_id, coalesce(agent_name, '') FROM group_members")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        agents.entry(row.get(0)?).or_default().agent_name = row.get(1)?;
    }
    let mut list: Vec<AgentXp> =
        agents.into_iter().map(|(agent_id, agent)| graded(AgentXp { agent_id, ..agent })).collect();
    list.sort_by(|one, other| other.total_xp.cmp(&one.total_xp).then_with(|| one.agent_id.cmp(&other.agent_id)));
    list.truncate(LISTED_MAX);
    Ok(list)
}

fn graded(agent: AgentXp) -> AgentXp {
    let total_xp = 10 * agent.tasks_completed
        + 5 * agent.traces_shared
        + 15 * agent.memories_shared
        + 25 * agent.skills_registered;
    let rank = match total_xp {
        350.. => "Diamond",
        150.. => "Gold",
        50.. => "Silver",
        _ => "Bronze",
    };
    AgentXp { total_xp, level: (total_xp / 10).isqrt(), rank, ..agent }
}

/// Average and longest time from question to answer, of tasks that were answered.
fn response_secs(connection: &Connection) -> rusqlite::Result<(f64, f64)> {
    connection
        .prepare_cached(
            "SELECT coalesce(avg(seconds), 0.0), coalesce(max(seconds), 0.0) FROM (
                SELECT (julianday(responded_at) - julianday(created_at)) * 86400.0 AS seconds FROM group_tasks
                WHERE responded_at IS NOT NULL AND status IN ('completed', 'failed', 'rejected'))",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn activity(connection: &Connection) -> rusqlite::Result<Vec<Activity>> {
    let mut agents: BTreeMap<String, Activity> = BTreeMap::new();
    let mut select = connection.prepare_cached(
        "SELECT requester_id, coalesce(responder_id, ''), status = 'completed', responded_at IS NOT NULL FROM group_tasks",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (requester, responder): (String, String) = (row.get(0)?, row.get(1)?);
        let (is_completed, is_answered): (bool, bool) = (row.get(2)?, row.get(3)?);
        agents.entry(requester).or_default().tasks_requested += 1;
        if !responder.is_empty() && is_answered {
            let agent = agents.entry(responder).or_default();
            agent.tasks_responded += 1;
            agent.tasks_completed += i64::from(is_completed);
        }
    }
    let named = agents.into_iter().filter(|(id, _)| !id.is_empty());
    Ok(named.map(|(agent_id, activity)| Activity { agent_id, ..activity }).take(LISTED_MAX).collect())
}

fn performance(connection: &Connection) -> rusqlite::Result<Vec<Performance>> {
    connection
        .prepare_cached(
            "SELECT source_agent_id, count(*), coalesce(avg(duration_ms), 0.0), coalesce(max(duration_ms), 0)
             FROM group_traces GROUP BY source_agent_id ORDER BY count(*) DESC LIMIT ?1",
        )?
        .query_map([i64::try_from(LISTED_MAX).unwrap_or(i64::MAX)], |row| {
            Ok(Performance {
                agent_id: row.get(0)?,
                trace_count: row.get(1)?,
                avg_duration_ms: row.get(2)?,
                max_duration_ms: row.get(3)?,
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::PeerId;
    use crate::db::Db;
    use crate::group::trace::{self, Span};
    use crate::group::{self, roster};
    use crate::timeline;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    #[test]
    fn an_empty_group_has_figures_too() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        let figures = db.read_blocking(|conn| stats(conn, NOW)).expect("read");
        assert_eq!((figures.tasks_last_24h, figures.member_activity, figures.avg_response_secs), (0, None, 0.0));
        assert_eq!(db.read_blocking(xp).expect("read"), []);
    }

    #[test]
    fn members_earn_by_what_they_do() {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
        db.write_blocking(|tx| {
            tx.execute_batch(
                "INSERT INTO group_tasks (task_id, requester_id, responder_id, status, created_at, responded_at)
                    VALUES ('t1', 'a', 'b', 'completed', '2026-08-18 16:30:00.000', '2026-08-18 16:30:04.000'),
                           ('t2', 'a', 'b', 'failed', '2026-08-18 16:30:00.000', '2026-08-18 16:30:02.000'),
                           ('t3', 'a', NULL, 'pending', '2026-08-01 16:30:00.000', NULL)",
            )?;
            for duration_ms in [10, 30] {
                trace::store(tx, &PeerId::from("b"), &Span { duration_ms, ..Span::default() }, NOW)?;
            }
            roster::register_skill(tx, "g", "weather", &PeerId::from("b"), NOW)
        })
        .expect("written");
        let figures = db.read_blocking(|conn| stats(conn, NOW)).expect("read");
        assert_eq!((figures.tasks_last_24h, figures.tasks_last_7d), (2, 2));
        assert!((figures.avg_response_secs - 3.0).abs() < 0.01 && (figures.max_response_secs - 4.0).abs() < 0.01);
        let activity = figures.member_activity.expect("somebody");
        assert_eq!((activity[0].tasks_requested, activity[1].tasks_responded, activity[1].tasks_completed), (3, 2, 1));
        let performance = figures.trace_performance.expect("somebody");
        assert_eq!((performance[0].trace_count, performance[0].max_duration_ms), (2, 30));
        let earned = db.read_blocking(xp).expect("read");
        assert_eq!((earned[0].agent_id.as_str(), earned[0].total_xp, earned[0].level), ("b", 10 + 10 + 25, 2));
        assert_eq!(earned[0].rank, "Bronze");
        assert_eq!(graded(AgentXp { skills_registered: 14, ..AgentXp::default() }).rank, "Diamond");
    }
}
