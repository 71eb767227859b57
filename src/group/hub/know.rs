//! This member's words about what the group knows: each is written and put into the outbox in one transaction, connected or not.

use crate::base::clock::Timestamp;
use crate::base::id::TraceId;
use crate::db::{DbError, Tx};
use crate::domain::event::Event;
use crate::knowledge::ballot;
use crate::knowledge::wire::VoteWord;
use crate::knowledge::{self, Context, FactDraft, Outgoing, ProposalDraft, PublishRefusal};
use crate::timeline;

use super::Group;
use super::core::Core;
use super::say::undone;

/// A word that the group will hear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Of the proposal or the fact.
    pub id: String,
    pub idempotency_key: String,
}

/// How a proposal stands after our vote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Voted {
    /// `approved`, `rejected`, `expired` or `pending`.
    pub status: &'static str,
    pub yes: usize,
    pub no: usize,
    pub reason: String,
    /// Members that could vote.
    pub pool: usize,
}

impl Group {
    /// How this member shares knowledge.
    pub fn knowledge(&self) -> &knowledge::Config {
        &self.core.config.knowledge
    }

    /// Names of the knowledge's topics.
    pub fn knowledge_topics(&self) -> &knowledge::wire::Topics {
        self.core.config.topics.knowledge()
    }

    pub async fn propose(&self, draft: ProposalDraft) -> Result<Result<Known, PublishRefusal>, DbError> {
        self.say_known(move |tx, context| {
            let proposed = knowledge::propose(tx, context, &draft)?;
            Ok(proposed.map(|outgoing| (known(&outgoing), vec![outgoing])))
        })
        .await
    }

    /// Publishes a fact, or its next version.
    pub async fn publish_fact(&self, draft: FactDraft) -> Result<Result<Known, PublishRefusal>, DbError> {
        self.say_known(move |tx, context| {
            let published = knowledge::publish_fact(tx, context, &draft)?;
            Ok(published.map(|outgoing| (known(&outgoing), vec![outgoing])))
        })
        .await
    }

    pub async fn vote(
        &self,
        proposal: String,
        word: VoteWord,
        reason: String,
    ) -> Result<Result<Voted, PublishRefusal>, DbError> {
        self.say_known(move |tx, context| {
            let outgoing = match knowledge::vote(tx, context, &proposal, word, &reason)? {
                Ok(outgoing) => outgoing,
                Err(refusal) => return Ok(Err(refusal)),
            };
            Ok(Ok((voted(tx, context, &proposal)?, outgoing)))
        })
        .await
    }

    /// Does `say` and tells the group, both or neither.
    async fn say_known<R: Send + 'static>(
        &self,
        say: impl Fn(&Tx<'_>, &Context<'_>) -> rusqlite::Result<Result<(R, Vec<Outgoing>), PublishRefusal>> + Send + 'static,
    ) -> Result<Result<R, PublishRefusal>, DbError> {
        let core = self.core.clone();
        let written = self.core.db.write(move |tx| {
            let now = core.clock.now();
            let context = core.known(now);
            let (result, outgoing) = match say(tx, &context)? {
                Ok(said) => said,
                Err(refusal) => return Ok(Err(refusal)),
            };
            core.tell_own(tx, &outgoing, now)?;
            core.say_known(tx, outgoing, now).map_err(undone)?;
            Ok(Ok(result))
        });
        let written = written.await?;
        self.core.queued.notify_one();
        Ok(written)
    }
}

impl Core {
    /// Our own words stand in the timeline like those of others: `KNOWLEDGE_<TYPE>_SAID`.
    fn tell_own(&self, tx: &Tx<'_>, outgoing: &[Outgoing], now: Timestamp) -> rusqlite::Result<()> {
        for Outgoing { key, message, .. } in outgoing {
            let classification = format!("knowledge_{}_said", message.body.type_name()).to_uppercase();
            let event = Event::system("KNOW", TraceId::new(message.head.trace_id.as_str()), now, classification);
            timeline::append(tx, &Event { content: key.clone(), ..event })?;
        }
        Ok(())
    }
}

fn known(outgoing: &Outgoing) -> Known {
    Known { id: outgoing.key.clone(), idempotency_key: outgoing.message.head.idempotency_key.clone() }
}

fn voted(tx: &Tx<'_>, context: &Context<'_>, id: &str) -> rusqlite::Result<Voted> {
    let pool = context.pool;
    let Some(proposal) = knowledge::proposal(tx, id)? else {
        return Ok(Voted { status: "pending", yes: 0, no: 0, reason: String::new(), pool });
    };
    if let Some(outcome) = proposal.outcome {
        let (yes, no) = (proposal.tally.yes, proposal.tally.no);
        return Ok(Voted { status: outcome.as_str(), yes, no, reason: proposal.reason, pool });
    }
    let policy = &context.config.policy;
    let question = proposal.question(policy.open_max);
    let standing = ballot::standing(policy, &question, &knowledge::ballots(tx, id)?, pool, context.now);
    // Whatever the votes say, the proposer decides; until we hear of it, it is open.
    let (yes, no) = (standing.tally.yes, standing.tally.no);
    Ok(Voted { status: "pending", yes, no, reason: standing.reason.to_owned(), pool })
}
