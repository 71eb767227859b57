//! Tasks in the database, each inside the transaction of what happened to them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, TaskId};
use crate::db::{Tx, time};
use crate::domain::peer::Request;
use crate::group::task::{Direction, Status, Step, Task};

/// Events of delegations that are kept.
const EVENTS_MAX: i64 = 50_000;
/// Tasks that are due at once.
const DUE_AT_ONCE_MAX: u32 = 200;
/// Rows deleted by one call of [`prune`].
const PRUNE_PIECE_LEN: u32 = 1_000;

const COLUMNS: &str = "task_id, coalesce(description, ''), coalesce(content, ''), direction, requester_id, responder_id,
    response_content, status, created_at, responded_at, parent_task_id, coalesce(delegation_depth, 0),
    original_requester_id, deadline_at, accepted_at, target_id, zone_id, skill, progress_percent, wake_at, local_task_id";

/// Stores a new task; false when there is one of that requester and id already.
pub fn insert(tx: &Tx<'_>, task: &Task) -> rusqlite::Result<bool> {
    let request = &task.request;
    let added = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO group_tasks (task_id, description, content, direction, requester_id, responder_id,
                response_content, status, created_at, responded_at, parent_task_id, delegation_depth,
                original_requester_id, deadline_at, accepted_at, target_id, zone_id, skill, progress_percent, wake_at,
                local_task_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        )?
        .execute(params![
            request.task_id,
            request.description,
            request.content,
            task.direction.as_str(),
            request.requester,
            task.responder,
            task.response,
            task.status.as_str(),
            task.created_at,
            task.responded_at,
            request.parent_task_id.as_deref().unwrap_or_default(),
            request.depth,
            request.original_requester.as_ref().map(PeerId::as_str).unwrap_or_default(),
            request.deadline_at,
            task.accepted_at,
            request.target,
            request.zone,
            request.skill,
            task.progress_percent,
            task.wake_at,
            task.local,
        ])?;
    Ok(added > 0)
}

/// Writes what a machine changed.
pub fn store(tx: &Tx<'_>, task: &Task) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE group_tasks SET responder_id = ?4, response_content = ?5, status = ?6, responded_at = ?7, accepted_at = ?8,
            progress_percent = ?9, wake_at = ?10, local_task_id = ?11
         WHERE direction = ?1 AND requester_id = ?2 AND task_id = ?3",
    )?
    .execute(params![
        task.direction.as_str(),
        task.request.requester,
        task.request.task_id,
        task.responder,
        task.response,
        task.status.as_str(),
        task.responded_at,
        task.accepted_at,
        task.progress_percent,
        task.wake_at,
        task.local,
    ])
    .map(drop)
}

/// Notes the task of this house that waits for, or works on, the group's.
pub fn set_local(tx: &Tx<'_>, task: &mut Task, local: TaskId) -> rusqlite::Result<()> {
    task.local = Some(local);
    store(tx, task)
}

/// Writes the events among `steps`.
pub fn log(tx: &Tx<'_>, task: &Task, steps: &[Step], me: &PeerId, now: Timestamp) -> rusqlite::Result<()> {
    for step in steps {
        let Step::Log { event, peer } = step else { continue };
        let id = tx
            .prepare_cached(
                "INSERT INTO delegation_events (task_id, event_type, sender_id, receiver_id, summary, depth, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .insert(params![
                task.request.task_id,
                event,
                me,
                peer.as_ref().map(PeerId::as_str).unwrap_or_default(),
                task.request.description,
                task.request.depth,
                now,
            ])?;
        tx.prepare_cached("DELETE FROM delegation_events WHERE id <= ?1")?.execute([id - EVENTS_MAX])?;
    }
    Ok(())
}

/// A task by its requester's id for it.
pub fn load(
    connection: &Connection,
    direction: Direction,
    requester: &PeerId,
    task_id: &str,
) -> rusqlite::Result<Option<Task>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_tasks WHERE direction = ?1 AND requester_id = ?2 AND task_id = ?3"
        ))?
        .query_row((direction.as_str(), requester, task_id), task)
        .optional()
}

/// What others asked of us under this id; ids are their requesters' own, so more than one may have it.
pub fn incoming_called(connection: &Connection, task_id: &str) -> rusqlite::Result<Vec<Task>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_tasks WHERE direction = 'incoming' AND task_id = ?1 ORDER BY id"
        ))?
        .query_map([task_id], task)?
        .collect()
}

/// What we asked of others under this id, whatever this hub was called then.
pub fn outgoing_called(connection: &Connection, task_id: &str) -> rusqlite::Result<Option<Task>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_tasks WHERE direction = 'outgoing' AND task_id = ?1 ORDER BY id DESC LIMIT 1"
        ))?
        .query_row([task_id], task)
        .optional()
}

/// Every task that is not closed, the oldest first.
pub fn open(connection: &Connection) -> rusqlite::Result<Vec<Task>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_tasks
             WHERE status IN ('pending', 'sent', 'accepted', 'in_progress', 'yielded') ORDER BY id"
        ))?
        .query_map([], task)?
        .collect()
}

/// The tasks of the group that a task of this house waits for, or works on.
pub fn by_local(connection: &Connection, local: &TaskId) -> rusqlite::Result<Vec<Task>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM group_tasks WHERE local_task_id = ?1 ORDER BY id"))?
        .query_map([local], task)?
        .collect()
}

/// Open tasks for which time has come, the longest due first.
pub fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Task>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM group_tasks WHERE wake_at IS NOT NULL AND wake_at <= ?1 ORDER BY wake_at LIMIT ?2"
        ))?
        .query_map((now, DUE_AT_ONCE_MAX), task)?
        .collect()
}

/// When [`due`] finds the next task.
pub fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT min(wake_at) FROM group_tasks WHERE wake_at IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Open tasks of a direction.
pub fn open_len(connection: &Connection, direction: Direction) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM group_tasks
             WHERE direction = ?1 AND status IN ('pending', 'sent', 'accepted', 'in_progress', 'yielded')",
        )?
        .query_row([direction.as_str()], |row| row.get::<_, i64>(0))
        .map(|count| u64::try_from(count).unwrap_or(0))
}

/// Forgets closed tasks that are older than `before`, a bounded piece at a time; returns how many.
pub fn prune(tx: &Tx<'_>, before: Timestamp) -> rusqlite::Result<usize> {
    tx.execute(
        "DELETE FROM group_tasks WHERE id IN (SELECT id FROM group_tasks WHERE created_at < ?1
            AND status NOT IN ('pending', 'sent', 'accepted', 'in_progress', 'yielded') ORDER BY id LIMIT ?2)",
        (before, PRUNE_PIECE_LEN),
    )
}

fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    let filled = |column: usize| -> rusqlite::Result<Option<String>> {
        Ok(row.get::<_, Option<String>>(column)?.filter(|text| !text.is_empty()))
    };
    Ok(Task {
        // Words that we do not know were not written by us; a closed task is the safe reading.
        direction: Direction::parse(&row.get::<_, String>(3)?).unwrap_or(Direction::Outgoing),
        status: Status::parse(&row.get::<_, String>(7)?).unwrap_or(Status::Expired),
        request: Request {
            task_id: row.get(0)?,
            requester: row.get(4)?,
            description: row.get(1)?,
            content: row.get(2)?,
            parent_task_id: filled(10)?,
            depth: row.get(11)?,
            original_requester: filled(12)?.map(PeerId::from),
            deadline_at: time(row, 13)?,
            target: row.get(15)?,
            zone: row.get(16)?,
            skill: row.get(17)?,
        },
        responder: filled(5)?.map(PeerId::from),
        response: row.get(6)?,
        progress_percent: row.get(18)?,
        wake_at: time(row, 19)?,
        local: row.get(20)?,
        created_at: time(row, 8)?.unwrap_or_default(),
        accepted_at: time(row, 14)?,
        responded_at: time(row, 9)?,
    })
}
