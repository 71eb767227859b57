//! One trace as a graph: what led to what (specification §3.4). KafClaw's graphs had no edges, because its events had no
//! spans (§15 P12); ours have.

use std::collections::HashMap;

use serde::Serialize;

use super::approval::TraceApproval;
use super::event::StepKind;
use super::task::TraceTask;
use super::trace::{self, TraceDecision};
use super::{null_when_empty, time_of_day};
use crate::approval::Request;
use crate::base::clock::Timestamp;
use crate::base::id::TaskId;
use crate::bus;
use crate::policy::Decided;
use crate::timeline;

/// `GET /api/v1/trace-graph/{trace_id}`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Graph {
    pub nodes: Option<Vec<Node>>,
    pub edges: Option<Vec<Edge>>,
    pub task: Option<TraceTask>,
    pub policy_decisions: Option<Vec<TraceDecision>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<TraceApproval>,
}

/// One step. The keys behind `output` are ours: KafClaw's times have no date.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Node {
    pub id: String,
    pub span_id: String,
    pub parent_span_id: String,
    #[serde(rename = "type")]
    pub(super) kind: StepKind,
    pub title: String,
    pub start_time: String,
    pub end_time: String,
    pub duration_ms: i64,
    pub agent_id: String,
    pub output: String,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
}

/// From the id of a node to the id of one that it led to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edge {
    pub source: String,
    pub target: String,
}

/// What is known about a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphFacts<'a> {
    /// Newest first, as [`timeline::by_trace`] reads them.
    pub events: &'a [timeline::Row],
    pub task: Option<&'a bus::row::Row>,
    pub decisions: &'a [Decided],
    pub approvals: &'a [Request],
}

/// Nodes are oldest first, so that a parent stands before its children.
pub fn graph(facts: &GraphFacts<'_>) -> Graph {
    let mut nodes: Vec<Node> = facts.events.iter().rev().map(event_node).collect();
    nodes.extend(facts.decisions.iter().map(decision_node));
    nodes.extend(facts.approvals.iter().map(approval_node));
    Graph {
        edges: null_when_empty(edges(&nodes)),
        nodes: null_when_empty(nodes),
        task: facts.task.map(TraceTask::from),
        policy_decisions: null_when_empty(facts.decisions.iter().map(TraceDecision::from).collect()),
        approvals: facts.approvals.iter().map(TraceApproval::from).collect(),
    }
}

/// Edges between nodes that are there: an event may have aged out before the ones it led to.
fn edges(nodes: &[Node]) -> Vec<Edge> {
    let mut by_span: HashMap<&str, &str> = HashMap::with_capacity(nodes.len());
    for node in nodes.iter().filter(|node| !node.span_id.is_empty()) {
        by_span.entry(&node.span_id).or_insert(&node.id);
    }
    let edge = |node: &Node| {
        let source = by_span.get(node.parent_span_id.as_str()).filter(|source| **source != node.id)?;
        Some(Edge { source: (*source).to_owned(), target: node.id.clone() })
    };
    nodes.iter().filter_map(edge).collect()
}

fn event_node(row: &timeline::Row) -> Node {
    let span = trace::span(row);
    Node {
        start_time: time_of_day(span.started_at),
        end_time: time_of_day(span.ended_at),
        id: span.id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        kind: span.kind,
        title: span.title,
        duration_ms: span.duration_ms,
        agent_id: "local".to_owned(),
        output: span.output,
        started_at: span.started_at,
        ended_at: span.ended_at,
    }
}

fn decision_node(decided: &Decided) -> Node {
    let verdict = if decided.allowed { "allowed" } else { "denied" };
    Node {
        kind: StepKind::Policy,
        title: format!("Policy: {} (tier {}) → {verdict}", decided.tool, decided.tier),
        output: decided.reason.clone(),
        ..moment(
            format!("policy-{}", decided.id),
            &TaskId::from(decided.task_id.as_str()),
            decided.created_at,
            decided.created_at,
        )
    }
}

fn approval_node(request: &Request) -> Node {
    let ended_at = request.responded_at.unwrap_or(request.created_at);
    Node {
        kind: StepKind::Approval,
        title: request.title(),
        output: request.status.as_str().to_owned(),
        ..moment(format!("approval-{}", request.id), &request.task_id, request.created_at, ended_at)
    }
}

/// A node under the root of its task, with a span that nothing else hangs on.
fn moment(id: String, task_id: &TaskId, started_at: Timestamp, ended_at: Timestamp) -> Node {
    Node {
        span_id: id.clone(),
        id,
        parent_span_id: bus::task::root_span(task_id).to_string(),
        kind: StepKind::Event,
        title: String::new(),
        start_time: time_of_day(started_at),
        end_time: time_of_day(ended_at),
        duration_ms: i64::try_from(ended_at.since(started_at).as_millis()).unwrap_or(i64::MAX),
        agent_id: "local".to_owned(),
        output: String::new(),
        started_at,
        ended_at,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::approval::tests::request;
    use super::super::event::tests::row;
    use super::super::task::tests::task_row;
    use super::super::trace::tests::decided;
    use super::*;

    #[test]
    fn a_graph_of_nothing_is_all_null() {
        let text = serde_json::to_string(&graph(&GraphFacts::default())).expect("JSON");
        assert_eq!(text, r#"{"nodes":null,"edges":null,"task":null,"policy_decisions":null}"#);
    }

    #[test]
    fn steps_decisions_and_approvals_hang_together() {
        let task = task_row();
        let root = bus::task::root_span(&task.task_id).to_string();
        let inbound = timeline::Row { span_id: root.clone(), ..row(1, "LOCAL_INBOUND", "hi", Value::Null) };
        let model = timeline::Row {
            parent_span_id: root.clone(),
            duration_ms: 123,
            ..row(2, "LLM", "", json!({"response_text": "hello"}))
        };
        let orphan = timeline::Row { parent_span_id: "aged out".to_owned(), ..row(3, "TOOL", "", Value::Null) };
        let (decisions, approvals) = ([decided("exec", false)], [request()]);
        let facts = GraphFacts {
            events: &[orphan, model, inbound],
            task: Some(&task),
            decisions: &decisions,
            approvals: &approvals,
        };
        let value = serde_json::to_value(graph(&facts)).expect("JSON");
        assert_eq!(
            value["edges"],
            json!([
                {"source": "E_1", "target": "E_2"},
                {"source": "E_1", "target": "policy-4"},
                {"source": "E_1", "target": "approval-a1"},
            ])
        );
        assert_eq!(
            value["nodes"][1],
            json!({"id": "E_2", "span_id": "s2", "parent_span_id": root, "type": "LLM", "title": "LLM",
                "start_time": "14:30:12", "end_time": "14:30:12", "duration_ms": 123, "agent_id": "local", "output": "hello",
                "started_at": "2026-08-18T14:30:12.000Z", "ended_at": "2026-08-18T14:30:12.123Z"})
        );
        assert_eq!(value["nodes"][3]["type"], "POLICY");
        assert_eq!(value["nodes"][3]["title"], "Policy: exec (tier 2) → denied");
        assert_eq!(value["nodes"][4]["type"], "APPROVAL");
        assert_eq!(value["nodes"][4]["title"], "Approval: exec (tier 2) → pending");
        assert_eq!(
            value["approvals"],
            json!([{"approval_id": "a1", "channel": "local", "sender": "ann", "status": "pending", "tier": 2,
                "time": "14:30:12", "tool": "exec"}])
        );
    }

    #[test]
    fn a_span_that_is_its_own_parent_is_no_edge() {
        let odd = timeline::Row { parent_span_id: "s1".to_owned(), ..row(1, "LLM", "", Value::Null) };
        assert_eq!(graph(&GraphFacts { events: &[odd], ..GraphFacts::default() }).edges, None);
    }
}
