//! Remembering by meaning: what was told about something, what is to be forgotten, and answers from the memory while no model
//! can be reached. Every answer says where it comes from.

use rusqlite::Connection;

use crate::agent::answer::Answer;
use crate::agent::gate::Judged;
use crate::agent::memo::{Candidate, Memo};
use crate::agent::sentence::{SOURCE, after};
use crate::agent::{Agent, Work};
use crate::base::clock::Timestamp;
use crate::base::error::chain;
use crate::bus::Answered;
use crate::db::{DbError, Tx};
use crate::domain::message::{Origin, Route};
use crate::intent::{Intent, IntentKind, LanguageId, NoteOrigin, Noted};
use crate::memory;
use crate::recall::{self, Found, Mode, Wanted};

/// Memories that are read out.
const RECALLED_MAX: usize = 5;
/// Looked at for them.
const LOOKED_AT: usize = 20;
/// How much worse than the best a memory may fit to be read out beside it.
const RELEVANCE_GAP: f64 = 0.15;
/// How well a memory must fit to answer a question that was not asked as one about memories.
const ANSWER_RELEVANCE_MIN: f64 = 0.42;
/// How well one must fit to be offered for forgetting.
const FORGET_RELEVANCE_MIN: f64 = 0.28;
/// Memories offered for forgetting.
const FORGET_MAX: usize = 4;
/// Read out of one memory, in bytes.
const SAID_BYTES_MAX: usize = 400;

impl Agent {
    /// What the memory holds about `text`, best first; nothing when it cannot be searched (the log says why).
    pub(super) async fn find(&self, work: &Work, text: &str, count_max: usize) -> Vec<Found> {
        self.found(Wanted::anywhere(text, count_max, work.ctx.now)).await
    }

    async fn found(&self, wanted: Wanted) -> Vec<Found> {
        match self.ports.memories.find(wanted).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = chain(&error), "The memory could not be searched.");
                Vec::new()
            }
        }
    }

    /// "What did I tell you about ...?"
    pub(super) async fn recall(&self, work: &Work, intent: &Intent, topic: &str) -> Result<String, DbError> {
        let found = self.find(work, topic, LOOKED_AT).await;
        // Asked for what was told; what stands in files, or came from others, answers only where nothing was.
        let is_foreign =
            |hit: &Found| matches!(origin_of(&hit.source), Some(NoteOrigin::File(_) | NoteOrigin::Peer(_)));
        let (told, written): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|hit| !is_foreign(hit));
        let mut notes = worth_saying(&told, 0.0);
        if notes.is_empty() {
            notes = worth_saying(&written, 0.0);
        }
        Ok(self.say(&intent.language).recalled(Some(topic), &notes))
    }

    /// "Forget ...": what holds every word goes and is named; what only means the same is asked about first.
    pub(super) async fn forget(
        &self,
        work: &Work,
        memo: Memo,
        intent: &Intent,
        topic: &str,
        judged: Judged,
    ) -> Result<Answered, DbError> {
        let (wanted, now) = (topic.to_owned(), work.ctx.now);
        let is_worded = self.db.read(move |conn| memory_holds(conn, &wanted, now)).await?;
        if is_worded {
            let (agent, work_, intent_, topic) = (self.clone(), work.clone(), intent.clone(), topic.to_owned());
            let answer = Answer::of_deed(move |tx| {
                let (gone, done) = memory::forget_matching(tx, &topic, SOURCE, work_.ctx.now)?;
                let say = agent.say(&intent_.language);
                if !done {
                    return Ok(say.forget_too_many(&topic, gone.len() - 1));
                }
                let texts: Vec<String> = gone.into_iter().map(|hit| hit.content).collect();
                forget_traces(tx, &texts, work_.ctx.now)?;
                Ok(say.forgotten(&topic, &texts))
            });
            let next = after(&memo, intent, memo.recent.clone());
            return self.finish(work, answer.remembering(memo, next).judged(judged)).await;
        }
        let wanted =
            Wanted { source_prefix: SOURCE.to_owned(), mode: Mode::Hybrid, ..Wanted::anywhere(topic, FORGET_MAX, now) };
        let mut found = self.found(wanted).await;
        found.retain(|hit| hit.source == SOURCE && hit.relevance >= FORGET_RELEVANCE_MIN);
        let forgetting: Vec<Candidate> =
            found.into_iter().map(|hit| Candidate { id: hit.id, text: shortened(&hit.content) }).collect();
        let texts: Vec<String> = forgetting.iter().map(|candidate| candidate.text.clone()).collect();
        let say = self.say(&intent.language);
        let text = if texts.is_empty() { say.forgotten(topic, &[]) } else { say.forget_which(&texts) };
        let next = Memo { forgetting, ..after(&memo, intent, memo.recent.clone()) };
        self.finish(work, Answer::new(text, Route::Intent).remembering(memo, next).judged(judged)).await
    }

    /// The answer to "shall I forget it?".
    pub(super) async fn forget_chosen(
        &self,
        work: &Work,
        memo: Memo,
        choice: Vec<Candidate>,
    ) -> Result<Answered, DbError> {
        let (agent, language, now) = (self.clone(), self.spoken(&memo), work.ctx.now);
        let next = Memo { forgetting: Vec::new(), ..memo.clone() };
        let answer = Answer::of_deed(move |tx| {
            let say = agent.matcher.say(language.as_ref());
            if choice.is_empty() {
                return Ok(say.kept());
            }
            let mut gone = Vec::new();
            for candidate in &choice {
                let whole = memory::find(tx, &candidate.id)?.map(|hit| hit.content);
                if memory::forget(tx, &candidate.id)? {
                    forget_traces(tx, &whole.into_iter().collect::<Vec<_>>(), now)?;
                    gone.push(candidate.text.clone());
                }
            }
            Ok(say.forgotten("", &gone))
        });
        self.finish(work, answer.remembering(memo, next)).await
    }

    /// Without a model: a statement is kept as if the person had asked for it, and a question is answered with what the memory
    /// holds about it. None when it is neither.
    pub(super) async fn answer_from_memory(
        &self,
        work: &Work,
        memo: &Memo,
        found: &[Found],
    ) -> Result<Option<Answered>, DbError> {
        if work.ctx.origin != Origin::Internal {
            return Ok(None);
        }
        if recall::is_statement(work.text()) {
            let language = self.spoken(memo).unwrap_or_else(|| LanguageId::new("en"));
            let text = work.text().trim().trim_end_matches(['.', '!']).to_owned();
            let intent = Intent { language, kind: IntentKind::Remember { text } };
            return Box::pin(self.act(work, memo.clone(), intent)).await.map(Some);
        }
        let notes = worth_saying(found, ANSWER_RELEVANCE_MIN);
        if notes.is_empty() {
            return Ok(None);
        }
        let text = self.matcher.say(self.spoken(memo).as_ref()).recalled(None, &notes);
        let next = Memo { question: None, forgetting: Vec::new(), ..memo.clone() };
        self.finish(work, Answer::new(text, Route::Intent).remembering(memo.clone(), next)).await.map(Some)
    }

    /// The language of this conversation, as far as it is known.
    fn spoken(&self, memo: &Memo) -> Option<LanguageId> {
        memo.language.clone().or_else(|| self.config.language.clone())
    }
}

/// Those that are read out: people's own words, conversations and files that fit about as well as the best one.
fn worth_saying(found: &[Found], relevance_min: f64) -> Vec<Noted> {
    let said: Vec<(&Found, NoteOrigin)> = found.iter().filter_map(|hit| Some((hit, origin_of(&hit.source)?))).collect();
    let best = said.iter().map(|(hit, _)| hit.relevance).fold(0.0, f64::max);
    let floor = relevance_min.max(best - RELEVANCE_GAP);
    let fits = said.into_iter().filter(|(hit, _)| hit.relevance >= floor && hit.relevance > 0.0).take(RECALLED_MAX);
    fits.map(|(hit, origin)| Noted { text: shortened(&hit.content), at: hit.created_at, origin }).collect()
}

/// How a source is called in an answer; none for what is not read out (tools' results, the assistant's own files).
fn origin_of(source: &str) -> Option<NoteOrigin> {
    let (layer, rest) = source.split_once(':').unwrap_or((source, ""));
    match layer {
        "soul" | "tool" => None,
        "conversation" | "observation" => Some(NoteOrigin::Talk),
        "group" => Some(NoteOrigin::Peer(rest.split(':').next().unwrap_or(rest).to_owned())),
        "document" => Some(NoteOrigin::File(rest.rsplit('/').next().unwrap_or(rest).to_owned())),
        _ => Some(NoteOrigin::Told),
    }
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    let cut = text.floor_char_boundary(SAID_BYTES_MAX);
    let dots = if cut < text.len() { "…" } else { "" };
    format!("{}{dots}", &text[..cut])
}

/// Which of `waiting` an answer means: none of them for a no. None when the text is something else altogether.
pub(super) fn choice(waiting: &[Candidate], text: &str) -> Option<Vec<Candidate>> {
    const YES: &[&str] =
        &["yes", "y", "yes please", "sure", "do it", "ok", "okay", "ja", "ja bitte", "klar", "mach das", "tu das"];
    const NO: &[&str] = &[
        "no",
        "n",
        "none",
        "keep it",
        "never mind",
        "nevermind",
        "no thanks",
        "nein",
        "keine",
        "keins",
        "lass",
        "lass es",
        "nein danke",
    ];
    const ALL: &[&str] = &["all", "both", "all of them", "both of them", "alle", "beide", "alles"];
    if waiting.is_empty() {
        return None;
    }
    let folded: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
    let folded = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    if NO.contains(&folded.as_str()) {
        return Some(Vec::new());
    }
    if ALL.contains(&folded.as_str()) || (YES.contains(&folded.as_str()) && waiting.len() == 1) {
        return Some(waiting.to_vec());
    }
    let number = folded.trim_start_matches("number ").trim_start_matches("nummer ");
    let number: usize = number.parse().ok()?;
    Some(vec![waiting.get(number.checked_sub(1)?)?.clone()])
}

/// Whether something that people told holds every word of `topic`.
fn memory_holds(conn: &Connection, topic: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let query = memory::Query::new(topic);
    if query.is_empty() {
        return Ok(false);
    }
    let hits = memory::search(conn, topic, LOOKED_AT * 5, now)?;
    let holds = |hit: &memory::Hit| {
        let text = hit.content.to_lowercase().replace('ß', "ss");
        query.words().iter().all(|word| text.contains(word.as_str()))
    };
    Ok(hits.iter().any(|hit| hit.source == SOURCE && holds(hit)))
}

/// What conversations and observations repeat of what was forgotten is forgotten with it.
fn forget_traces(tx: &Tx<'_>, texts: &[String], now: Timestamp) -> rusqlite::Result<()> {
    for text in texts {
        let folded = text.trim().trim_end_matches('.').to_lowercase();
        for hit in memory::search(tx, text, LOOKED_AT * 5, now)? {
            let is_trace = hit.source.starts_with("conversation:") || hit.source.starts_with("observation:");
            if is_trace && !folded.is_empty() && hit.content.to_lowercase().contains(&folded) {
                memory::forget(tx, &hit.id)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(count: usize) -> Vec<Candidate> {
        (1..=count).map(|number| Candidate { id: number.to_string(), text: "x".to_owned() }).collect()
    }

    #[test]
    fn answers_to_which_one_are_understood() {
        for (count, text, expected) in [
            (1, "Yes!", Some(vec!["1"])),
            (2, "yes", None),
            (2, "2", Some(vec!["2"])),
            (2, "Nummer 1.", Some(vec!["1"])),
            (2, "both", Some(vec!["1", "2"])),
            (2, "3", None),
            (2, "0", None),
            (3, "Nein, danke", Some(vec![])),
            (1, "turn on the lamp", None),
            (0, "yes", None),
        ] {
            let chosen = choice(&waiting(count), text);
            let ids = chosen.as_ref().map(|chosen| chosen.iter().map(|one| one.id.as_str()).collect::<Vec<_>>());
            assert_eq!(ids, expected, "{text}");
        }
    }
}
