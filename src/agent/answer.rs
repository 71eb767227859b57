//! The end of a turn: one transaction with the answer, the transcript, the memo, the audit and the delivery.

use crate::agent::gate::Judged;
use crate::agent::memo::Memo;
use crate::agent::{Agent, Work, journal};
use crate::base::error::chain;
use crate::base::fault;
use crate::bus::{Answered, task};
use crate::db::{DbError, Tx};
use crate::domain::message::Route;
use crate::session::{self, Message, Role};

/// Something that is written with the answer and decides its words, such as a timer that is set.
type Deed = Box<dyn FnOnce(&Tx<'_>) -> rusqlite::Result<String> + Send>;

/// Something that is written with the answer.
type Write = Box<dyn FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send>;

enum Text {
    Known(String),
    Made(Deed),
}

/// What a turn ends with.
pub(super) struct Answer {
    text: Text,
    route: Route,
    memo: Option<(Memo, Memo)>,
    judged: Option<Judged>,
    also: Vec<Write>,
}

impl Answer {
    pub(super) fn new(text: String, route: Route) -> Self {
        Self { text: Text::Known(text), route, memo: None, judged: None, also: Vec::new() }
    }

    /// An answer whose words come from what `deed` does in the same transaction.
    pub(super) fn of_deed(deed: impl FnOnce(&Tx<'_>) -> rusqlite::Result<String> + Send + 'static) -> Self {
        Self { text: Text::Made(Box::new(deed)), route: Route::Intent, memo: None, judged: None, also: Vec::new() }
    }

    /// What the conversation remembered `before` and will `after`.
    pub(super) fn remembering(self, before: Memo, after: Memo) -> Self {
        Self { memo: Some((before, after)), ..self }
    }

    pub(super) fn judged(self, judged: Judged) -> Self {
        Self { judged: Some(judged), ..self }
    }

    pub(super) fn with(mut self, write: impl FnOnce(&Tx<'_>) -> rusqlite::Result<()> + Send + 'static) -> Self {
        self.also.push(Box::new(write));
        self
    }
}

impl Agent {
    pub(super) async fn finish(&self, work: &Work, answer: Answer) -> Result<Answered, DbError> {
        fault::point("answer.before_commit");
        let (work, now, route) = (work.clone(), self.clock.now(), answer.route);
        let text = self
            .db
            .write(move |tx| {
                for write in answer.also {
                    write(tx)?;
                }
                if let Some(judged) = &answer.judged {
                    judged.record(tx, &work)?;
                }
                let text = match answer.text {
                    Text::Known(text) => text,
                    Text::Made(deed) => deed(tx)?,
                };
                if let Some((before, after)) = &answer.memo {
                    after.store(tx, &work.ctx.session, before, work.ctx.now)?;
                }
                transcribe(tx, &work, &text, now)?;
                journal::clear(tx, &work.ctx.task_id)?;
                task::finish(tx, &work.leased, &text, route, now)?;
                Ok(text)
            })
            .await?;
        fault::point("answer.after_commit");
        Ok(Answered::Completed { text, route })
    }

    /// Ends a turn that failed inside; what happened is in the log. When even that cannot be written (the disk is full), the
    /// caller still hears it and the task waits for the next start.
    pub(super) async fn fail(&self, work: &Work) -> Answered {
        let text = self.matcher.say(self.config.language.as_ref()).failed();
        let (ended, now, reply) = (work.clone(), self.clock.now(), text.clone());
        let stored = self.db.write(move |tx| {
            journal::clear(tx, &ended.ctx.task_id)?;
            task::fail(tx, &ended.leased, &reply, now)
        });
        if let Err(error) = stored.await {
            tracing::error!(task_id = %work.ctx.task_id, error = chain(&error), "A failed turn could not be stored.");
        }
        Answered::Failed { text }
    }
}

fn transcribe(tx: &Tx<'_>, work: &Work, reply: &str, now: crate::base::clock::Timestamp) -> rusqlite::Result<()> {
    let said = |role, content: &str, timestamp| Message {
        role,
        content: content.to_owned(),
        timestamp,
        task_id: Some(work.ctx.task_id.clone()),
    };
    session::append(tx, &work.ctx.session, &said(Role::User, work.text(), work.ctx.now))?;
    session::append(tx, &work.ctx.session, &said(Role::Assistant, reply, now))?;
    Ok(())
}
