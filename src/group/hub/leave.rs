//! Ending what is open, because this hub leaves: nobody of the group will answer it any more, and it answers nobody.

use crate::base::clock::Timestamp;
use crate::base::id::TaskId;
use crate::bus::WaitsFor;
use crate::db::{DbError, Tx};
use crate::domain::peer::AnswerStatus;
use crate::group::task::{self, Direction, Step, incoming, outgoing};

use super::Group;
use super::port::House;
use super::work::After;

/// What members hear whose tasks this hub was at work on.
const FAREWELL: &str = "This hub is leaving the group.";

impl Group {
    /// Calls off what was asked of others, and gives back what others asked.
    pub async fn call_off(&self) -> Result<(), DbError> {
        let core = self.core.clone();
        let after = self.core.db.write(move |tx| {
            let mut after = After::default();
            let (config, now) = (&core.config.task, core.clock.now());
            for mut task in task::open(tx)? {
                let steps = match task.direction {
                    Direction::Outgoing => outgoing::next(&mut task, outgoing::Fact::Canceled, config, now),
                    Direction::Incoming => {
                        let fact = incoming::Fact::Finished { content: FAREWELL, outcome: AnswerStatus::Failed };
                        incoming::next(&mut task, fact, config, now)
                    }
                };
                core.carry_out(tx, &mut task, steps, &mut after)?;
            }
            Ok(after)
        });
        self.core.settle(after.await?);
        Ok(())
    }
}

/// Where there is no group any more, there is nobody to tell; but whoever waits goes on. Returns the tasks of the house that do.
pub fn call_off_alone(tx: &Tx<'_>, house: &dyn House, now: Timestamp) -> rusqlite::Result<Vec<TaskId>> {
    let mut resumed = Vec::new();
    for mut task in task::open(tx)? {
        if task.direction != Direction::Outgoing {
            continue;
        }
        let me = task.request.requester.clone();
        let steps = outgoing::next(&mut task, outgoing::Fact::Canceled, &task::Config::of(me.clone()), now);
        task::store(tx, &task)?;
        task::log(tx, &task, &steps, &me, now)?;
        if steps.contains(&Step::Resume) {
            resumed.extend(house.resume(tx, &WaitsFor::Peer(task.request.task_id.clone()), now)?);
        }
    }
    Ok(resumed)
}
