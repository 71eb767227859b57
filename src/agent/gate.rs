//! Before a call runs: the policy's judgment, recorded, and a person's word where that is needed.

use crate::agent::{Agent, Work};
use crate::approval::{self, Status};
use crate::base::id::ApprovalId;
use crate::bus::{Answered, WaitsFor, task};
use crate::db::{DbError, Tx};
use crate::domain::call::{Call, Outcome, OutcomeStatus, Tier};
use crate::policy::{self, Judgment, Question, Verdict};
use crate::settings;

/// What may happen with a call.
pub(super) enum Gate {
    Open(Judged),
    Closed {
        judged: Judged,
        outcome: Outcome,
    },
    /// A person was asked; the task is parked and the turn is over for now.
    Parked(Answered),
}

/// A judgment that is still to be recorded, in the transaction that follows from it.
#[derive(Clone)]
pub(super) struct Judged {
    tool: String,
    tier: Tier,
    judgment: Judgment,
}

impl Judged {
    pub(super) fn record(&self, tx: &Tx<'_>, work: &Work) -> rusqlite::Result<()> {
        let question = question(work, &self.tool, self.tier);
        policy::record(
            tx,
            &policy::Decision {
                question: &question,
                judgment: &self.judgment,
                trace_id: &work.ctx.trace_id,
                task_id: &work.ctx.task_id,
                at: work.ctx.now,
            },
        )
    }
}

fn question<'a>(work: &'a Work, tool: &'a str, tier: Tier) -> Question<'a> {
    Question { tool, tier, origin: work.ctx.origin, sender: &work.ctx.sender_id, session: &work.ctx.session }
}

impl Agent {
    /// Judges `call`. `also` is written with the question to the person, when one is asked.
    pub(super) async fn gate<F>(&self, work: &Work, call: &Call, tier: Tier, also: F) -> Result<Gate, DbError>
    where
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        let judgment = policy::judge(&self.config.policy, &question(work, &call.tool, tier));
        let judged = Judged { tool: call.tool.clone(), tier, judgment };
        match judged.judgment.verdict {
            Verdict::Allowed => Ok(Gate::Open(judged)),
            Verdict::Denied => {
                let outcome = denied(format!("Policy denied: {}", judged.judgment.reason));
                Ok(Gate::Closed { judged, outcome })
            }
            Verdict::NeedsApproval => self.ask_person(work, call, judged, also).await,
        }
    }

    async fn ask_person<F>(&self, work: &Work, call: &Call, judged: Judged, also: F) -> Result<Gate, DbError>
    where
        F: FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        let (task_id, call_id) = (work.ctx.task_id.clone(), call.id.clone());
        let known = self.db.read(move |conn| approval::for_call(conn, &task_id, &call_id)).await?;
        match known.map(|request| request.status) {
            Some(Status::Approved) => return Ok(Gate::Open(judged)),
            Some(Status::Denied) => {
                return Ok(Gate::Closed { judged, outcome: denied("Policy denied: approval_denied") });
            }
            Some(Status::Timeout) => {
                return Ok(Gate::Closed { judged, outcome: denied("Policy denied: approval_timeout") });
            }
            Some(Status::Pending) | None => {}
        }
        let (work, call, now) = (work.clone(), call.clone(), self.clock.now());
        let fallback = self.config.approval.timeout;
        let prompted = self.db.write(move |tx| {
            judged.record(tx, &work)?;
            let timeout = match settings::get(tx, "approval_timeout_seconds")? {
                Some(_) => settings::approval_timeout(tx)?,
                None => fallback,
            };
            let request = approval::request(
                tx,
                &approval::NewRequest {
                    id: &ApprovalId::random(),
                    trace_id: &work.ctx.trace_id,
                    task_id: &work.ctx.task_id,
                    call: &call,
                    tier: judged.tier,
                    asker: &approval::Asker::from(&work.leased.inbound),
                    asked_at: now,
                    expires_at: now.plus(timeout),
                },
            )?;
            also(tx)?;
            let prompt = request.prompt();
            task::park(tx, &work.leased, &WaitsFor::Approval(request.id.clone()), &prompt, now)?;
            Ok(Answered::Parked { prompt, approval_id: request.id.to_string() })
        });
        let prompted = prompted.await?;
        self.decider.wake_expiry();
        Ok(Gate::Parked(prompted))
    }
}

fn denied(text: impl Into<String>) -> Outcome {
    Outcome { text: text.into(), status: OutcomeStatus::Denied }
}
