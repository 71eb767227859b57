//! Answers of this house to members of the group: into the outbox, from where they find their way.

use futures_util::future::BoxFuture;

use crate::base::error::chain;
use crate::bus::{Courier, Undelivered, row};
use crate::db::Db;
use crate::domain::message::{DeliveryFailure, Outbound};
use crate::domain::peer::AnswerStatus;
use crate::domain::task::TaskStatus;
use crate::group::membership::Membership;

pub(in crate::app) struct GroupCourier {
    pub membership: Membership,
    pub db: Db,
}

impl Courier for GroupCourier {
    fn deliver<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            // A reminder, or an announcement: nobody in the group asked for it.
            let Some(task_id) = outbound.task_id.clone() else { return Ok(()) };
            let failed = |error: &dyn std::error::Error| {
                tracing::error!(task_id = %task_id, error = chain(error), "An answer for the group could not be stored.");
                Undelivered::Failed(DeliveryFailure::SendFailed)
            };
            let id = task_id.clone();
            let row = self.db.read(move |conn| row::get(conn, &id)).await.map_err(|error| failed(&error))?;
            let outcome = match row.map(|row| row.status) {
                Some(TaskStatus::Completed) => AnswerStatus::Completed,
                Some(TaskStatus::Failed) => AnswerStatus::Failed,
                // A question to a person of the house: the answer is still to come.
                Some(TaskStatus::Pending | TaskStatus::Processing) | None => return Ok(()),
            };
            // Who leaves gives back what it was asked: nobody waits for this any more.
            let Some(group) = self.membership.current() else { return Ok(()) };
            let stored = group.finished(task_id.clone(), outbound.content.clone(), outcome).await;
            stored.map_err(|error| failed(&error))
        })
    }
}
