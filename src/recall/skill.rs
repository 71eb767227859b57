//! Experience with tools (specification §8.3): one event per call that really ran, and what follows from the last ones.
//! Tables `skill_events` and `agent_expertise`. Success is the outcome's own word, never guessed from a text; a call that
//! nobody allowed, or whose end nobody saw, says nothing about skill and is not counted.

use rusqlite::{Connection, params};
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::db::Tx;
use crate::domain::call::OutcomeStatus;

/// Events that the average quality looks at, and those that each half of the trend looks at.
const AVERAGE_LEN: u32 = 50;
const TREND_LEN: usize = 10;
/// How much the halves must differ.
const TREND_STEP: f64 = 0.1;
const QUALITY_DONE: f64 = 0.7;
const QUALITY_FAILED: f64 = 0.2;
/// Uses after which experience is full.
const USES_FULL: f64 = 100.0;

/// A call that ran.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Use {
    pub tool: String,
    pub task_id: Option<String>,
    pub status: OutcomeStatus,
    pub duration_ms: i64,
    pub at: Timestamp,
}

/// How it goes lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trend {
    Improving,
    Stable,
    Declining,
}

impl Trend {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Stable => "stable",
            Self::Declining => "declining",
        }
    }
}

/// One skill as the dashboard shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Expertise {
    pub skill: String,
    /// 0 to 1.
    pub score: f64,
    pub trend: String,
    pub uses: u64,
}

/// Every skill, best first.
pub fn expertise(conn: &Connection) -> rusqlite::Result<Vec<Expertise>> {
    let mut all = conn
        .prepare_cached("SELECT skill_name, success_count, failure_count, avg_quality, trend FROM agent_expertise")?
        .query_map([], |row| {
            let (done, failed): (u32, u32) = (row.get(1)?, row.get(2)?);
            let uses = done.saturating_add(failed);
            let score = score(done, uses, row.get(3)?);
            Ok(Expertise { skill: row.get(0)?, score, trend: row.get(4)?, uses: uses.into() })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.skill.cmp(&b.skill)));
    Ok(all)
}

/// Notes one use.
pub(super) fn learn(tx: &Tx<'_>, event: &Use) -> rusqlite::Result<()> {
    let quality = match event.status {
        OutcomeStatus::Done => QUALITY_DONE,
        OutcomeStatus::Failed => QUALITY_FAILED,
        OutcomeStatus::Denied | OutcomeStatus::Unknown => return Ok(()),
    };
    let (skill, is_done) = (skill_of(&event.tool), event.status == OutcomeStatus::Done);
    tx.prepare_cached(
        "INSERT INTO skill_events (skill_name, task_id, action, quality, duration_ms, metadata, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        skill,
        event.task_id,
        if is_done { "success" } else { "failure" },
        quality,
        event.duration_ms,
        json!({"tool": event.tool}).to_string(),
        event.at
    ])?;
    let last: Vec<f64> = tx
        .prepare_cached("SELECT quality FROM skill_events WHERE skill_name = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![skill, AVERAGE_LEN], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    tx.prepare_cached(
        "INSERT INTO agent_expertise (skill_name, success_count, failure_count, avg_quality, last_used, total_duration_ms, trend)
         VALUES (?1, ?2, 1 - ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (skill_name) DO UPDATE SET success_count = success_count + excluded.success_count,
            failure_count = failure_count + excluded.failure_count, avg_quality = excluded.avg_quality,
            last_used = excluded.last_used, total_duration_ms = total_duration_ms + excluded.total_duration_ms,
            trend = excluded.trend",
    )?
    .execute(params![skill, is_done, mean(&last), event.at, event.duration_ms, trend(&last).as_str()])
    .map(drop)
}

/// The family a tool belongs to; the names are KafClaw's.
pub(super) fn skill_of(tool: &str) -> &'static str {
    match tool {
        "read_file" | "write_file" | "edit_file" | "list_dir" | "resolve_path" => "filesystem",
        "exec" => "shell",
        "remember" | "recall" | "forget" | "update_working_memory" => "memory",
        "http_fetch" | "web_fetch" | "web_search" | "query_graph" => "research",
        "message" | "sessions_spawn" | "subagents" | "agents_list" => "communication",
        "set_timer" | "list_timers" | "cancel_timer" | "google_workspace_read" | "m365_read" => "day2day",
        "device_control" | "device_state" | "device_find" => "home",
        _ => "general",
    }
}

/// 0.6 success rate + 0.3 average quality + 0.1 experience.
fn score(done: u32, uses: u32, quality: f64) -> f64 {
    if uses == 0 {
        return 0.0;
    }
    0.6 * f64::from(done) / f64::from(uses)
        + 0.3 * quality.clamp(0.0, 1.0)
        + 0.1 * (f64::from(uses) / USES_FULL).min(1.0)
}

/// `last` is newest first.
fn trend(last: &[f64]) -> Trend {
    let (Some(new), Some(old)) = (last.get(..TREND_LEN), last.get(TREND_LEN..2 * TREND_LEN)) else {
        return Trend::Stable;
    };
    match mean(new) - mean(old) {
        step if step > TREND_STEP => Trend::Improving,
        step if step < -TREND_STEP => Trend::Declining,
        _ => Trend::Stable,
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    #[test]
    fn only_calls_that_ran_count_and_their_outcome_decides() {
        let db = Db::memory_for_tests(&[super::super::MIGRATIONS]);
        let uses = [OutcomeStatus::Done, OutcomeStatus::Failed, OutcomeStatus::Denied, OutcomeStatus::Unknown];
        db.write_blocking(move |tx| {
            for status in uses {
                let at = Timestamp::from_millis(1);
                learn(tx, &Use { tool: "exec".to_owned(), task_id: None, status, duration_ms: 5, at })?;
            }
            Ok(())
        })
        .expect("learned");
        let all = db.read_blocking(expertise).expect("read");
        assert_eq!((all.len(), all[0].skill.as_str(), all[0].uses, all[0].trend.as_str()), (1, "shell", 2, "stable"));
        assert!((all[0].score - (0.6 * 0.5 + 0.3 * 0.45 + 0.1 * 0.02)).abs() < 1e-9, "{}", all[0].score);
    }

    #[test]
    fn a_trend_needs_twenty_uses_and_a_clear_step() {
        assert_eq!(trend(&[QUALITY_DONE; 19]), Trend::Stable);
        let turned: Vec<f64> = [[QUALITY_DONE; 10], [QUALITY_FAILED; 10]].concat();
        assert_eq!(trend(&turned), Trend::Improving);
        assert_eq!(trend(&turned.iter().rev().copied().collect::<Vec<_>>()), Trend::Declining);
    }
}
