//! Floor 5: what fills the memory and what a prompt gets of it. The memory itself (chunks, vectors, search) is `memory`, below.
//!
//! Who may do what: [`index::run`] follows the timeline with a durable cursor and writes what a finished turn leaves behind
//! (conversation and tool chunks, the conversation's working memory, the observer's queue, experience with tools);
//! [`observe::run`] condenses long conversations through the port [`Condenser`]; [`soul::index`] and [`source::replace`] keep
//! files in step with their chunks; [`document`] makes text of files; [`prompt_section`] fences all of it as data. Owner of
//! tables `working_memory`, `observations`, `observations_queue`, `agent_expertise`, `skill_events`, `recall_cursors`,
//! `recall_sources` and `recall_source_chunks`.
//!
//! Absent on purpose: callbacks (nothing is told to index; whoever stops early finds the cursor where it was), search and
//! embedding (port [`Finder`], adapted by assembly), and the words of people who are not of the household: what outsiders
//! say is never remembered, or a stranger could plant it in a member's prompt.

pub mod document;
pub mod index;
pub mod observe;
mod port;
mod prompt;
mod schema;
mod skill;
mod slate;
pub mod soul;
pub mod source;
mod statement;
mod turn;
mod working;

pub use port::{CondenseError, Condenser, FindError, Finder, Found, Mode, Wanted};
pub use prompt::{Budget, Kept, Section, kept, note_overflow, prompt_section};
pub use schema::{MIGRATIONS, prune};
pub use skill::{Expertise, Trend, expertise};
pub use statement::is_statement;
pub use working::{
    NOTE_BYTES_MAX, Working, newest as newest_working, note, read as read_working, reset as reset_working,
};

/// What people ask to be remembered is worth more than anything that is gathered, 0 to 1.
pub const TOLD_IMPORTANCE: f32 = 0.8;

/// What the layers do, as the configuration says it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub index: index::Config,
    pub observe: observe::Config,
}

#[cfg(test)]
mod tests;
