//! A microphone while somebody speaks into it: sound comes in piece by piece, and each time the words so far go back.
//!
//! A piece is samples of 16 bits, little endian, one channel, 16,000 a second, of any length that a body may have; the page's
//! are a quarter of a second, so that words appear while they are spoken. One piece follows the answer to the one before it: a
//! house that cannot keep up makes them longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::json;

use crate::api::port::{Hearing, Listening, Reason, Refusal};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::random_hex;
use crate::base::shutdown::Shutdown;
use crate::dashboard::Dashboard;
use crate::dashboard::voice::{language, refused};
use crate::http::{Request, Response, error};
use crate::inference::microphone::Words;

/// Microphones that are open at a time.
const OPEN_MAX: usize = 4;
/// One that brings nothing for so long was forgotten.
const SILENT_MAX: Duration = Duration::from_secs(20);
const RATE_HZ: usize = 16_000;
/// Nobody says more at one go; a forgotten microphone goes off.
const SAMPLES_MAX: usize = 600 * RATE_HZ;
const ID_BYTES: usize = 8;

/// Those that are open.
#[derive(Default)]
pub struct Microphones(Mutex<HashMap<String, Open>>);

struct Open {
    heard_at: Timestamp,
    /// Nobody wants the words any more, also those of a piece that is being heard.
    closed: Shutdown,
    /// None once a piece could not be understood.
    ear: Arc<tokio::sync::Mutex<Option<Ear>>>,
}

struct Ear {
    listening: Box<dyn Listening>,
    samples: usize,
}

/// Opens one: `?language` helps when it is known.
pub(super) async fn open(it: Arc<Dashboard>, request: Request) -> Response {
    let language = match language(&request) {
        Ok(language) => language,
        Err(wrong) => return wrong,
    };
    let hearing = Hearing { language, ..Hearing::default() };
    let opened = match it.speech.listen("", hearing).await {
        Ok(listening) => it.microphones.open(listening, it.clock.now()),
        Err(refusal) => Err(refusal),
    };
    match opened {
        Ok(id) => {
            tokio::spawn(let_go_when_forgotten(Arc::downgrade(&it), id.clone()));
            Response::json(&json!({"id": id, "rate_hz": RATE_HZ, "seconds_max": SAMPLES_MAX / RATE_HZ}))
        }
        Err(refusal) => refused(&refusal),
    }
}

/// A page that was closed says nothing; what it had opened must not keep a model busy.
async fn let_go_when_forgotten(it: Weak<Dashboard>, id: String) {
    loop {
        tokio::time::sleep(SILENT_MAX).await;
        let Some(it) = it.upgrade() else { return };
        it.microphones.let_go(it.clock.now());
        if !it.microphones.table().contains_key(&id) {
            return;
        }
    }
}

/// The body is the next piece of sound.
pub(super) async fn hear(it: Arc<Dashboard>, request: Request) -> Response {
    let Some(samples) = samples_of(&request.body) else {
        return error(400, "the body is samples of 16 bits, and it ends within one", None);
    };
    match it.microphones.hear(request.param("id"), samples, &it.clock).await {
        Some(Ok(words)) => {
            Response::json(&json!({"said": words.said, "guess": words.guess, "language": words.language}))
        }
        Some(Err(refusal)) => refused(&refusal),
        None => closed(),
    }
}

/// Nothing follows; answers when all of it is understood.
pub(super) async fn end(it: Arc<Dashboard>, request: Request) -> Response {
    let understood = tokio::select! {
        understood = it.microphones.end(request.param("id")) => understood,
        () = request.left.triggered() => return error(503, "nobody waits for the answer", None),
    };
    match understood {
        Some(Ok((words, seconds))) => {
            Response::json(&json!({"text": words.said, "language": words.language, "duration": seconds}))
        }
        Some(Err(refusal)) => refused(&refusal),
        None => closed(),
    }
}

/// Nobody wants the words any more.
pub(super) fn close(it: &Dashboard, request: &Request) -> Response {
    match it.microphones.close(request.param("id")) {
        Some(_) => Response::json(&json!({"status": "closed"})),
        None => closed(),
    }
}

fn closed() -> Response {
    error(404, "no such microphone is open", Some("POST /api/v1/voice/live opens one"))
}

/// None when the bytes end within a sample.
fn samples_of(bytes: &[u8]) -> Option<Vec<f32>> {
    let (whole, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| whole.iter().map(|two| f32::from(i16::from_le_bytes(*two)) / 32_768.0).collect())
}

impl Microphones {
    fn table(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, listening: Box<dyn Listening>, now: Timestamp) -> Result<String, Refusal> {
        self.let_go(now);
        let mut table = self.table();
        if table.len() >= OPEN_MAX {
            return Err(Refusal::new(Reason::Busy, "too many microphones are open"));
        }
        let id = random_hex(ID_BYTES);
        let ear = Arc::new(tokio::sync::Mutex::new(Some(Ear { listening, samples: 0 })));
        table.insert(id.clone(), Open { heard_at: now, closed: Shutdown::default(), ear });
        Ok(id)
    }

    /// Closes those that were forgotten. One whose last piece is still being heard was not: it waits for its answer.
    fn let_go(&self, now: Timestamp) {
        let is_wanted = |open: &Open| open.ear.try_lock().is_err() || now.since(open.heard_at) <= SILENT_MAX;
        self.table().retain(|_, open| is_wanted(open));
    }

    /// None when it is not open.
    async fn hear(&self, id: &str, samples: Vec<f32>, clock: &Clock) -> Option<Result<Words, Refusal>> {
        let (ear, closed) = {
            let table = self.table();
            let open = table.get(id)?;
            (open.ear.clone(), open.closed.clone())
        };
        let mut turn = ear.lock().await;
        let ear = turn.as_mut()?;
        ear.samples += samples.len();
        let heard = if ear.samples > SAMPLES_MAX {
            Err(Refusal::new(Reason::Input, "this microphone was open for ten minutes; open another one"))
        } else {
            tokio::select! {
                heard = ear.listening.hear(samples) => heard,
                () = closed.triggered() => {
                    *turn = None;
                    return None;
                }
            }
        };
        if heard.is_err() {
            *turn = None;
            self.close(id);
        } else if let Some(open) = self.table().get_mut(id) {
            // Now: a slow house is no forgotten microphone.
            open.heard_at = clock.now();
        }
        Some(heard)
    }

    /// What was said, and how many seconds of sound it was.
    async fn end(&self, id: &str) -> Option<Result<(Words, f64), Refusal>> {
        let open = self.table().remove(id)?;
        let ear = open.ear.lock().await.take()?;
        let seconds = ear.samples as f64 / RATE_HZ as f64;
        Some(ear.listening.finish().await.map(|words| (words, seconds)))
    }

    fn close(&self, id: &str) -> Option<()> {
        self.table().remove(id).map(|open| open.closed.trigger())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use proptest::prelude::*;

    use super::*;

    /// Repeats how many samples it has heard; silence breaks it.
    #[derive(Default)]
    struct Parrot(usize);

    impl Listening for Parrot {
        fn hear(&mut self, samples: Vec<f32>) -> BoxFuture<'_, Result<Words, Refusal>> {
            self.0 += samples.len();
            let words = Words { guess: self.0.to_string(), ..Words::default() };
            let broken = Refusal::new(Reason::Unavailable, "it broke");
            Box::pin(async move { if samples == [0.0] { Err(broken) } else { Ok(words) } })
        }

        fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Words, Refusal>> {
            Box::pin(async move { Ok(Words { said: self.0.to_string(), ..Words::default() }) })
        }
    }

    fn parrot() -> Box<dyn Listening> {
        Box::<Parrot>::default()
    }

    #[tokio::test]
    async fn pieces_are_heard_until_the_end_and_not_after() {
        let (microphones, clock) = (Microphones::default(), Clock::System);
        let id = microphones.open(parrot(), clock.now()).expect("open");
        for heard in ["8000", "16000"] {
            let words = microphones.hear(&id, vec![0.1; 8_000], &clock).await.expect("open").expect("words");
            assert_eq!(words.guess, heard);
        }
        let (words, seconds) = microphones.end(&id).await.expect("open").expect("words");
        assert_eq!((words.said.as_str(), seconds), ("16000", 1.0));
        assert!(microphones.hear(&id, vec![], &clock).await.is_none() && microphones.end(&id).await.is_none());
    }

    #[tokio::test]
    async fn one_that_breaks_or_is_never_closed_goes_off() {
        let (microphones, clock) = (Microphones::default(), Clock::System);
        let now = clock.now();
        let id = microphones.open(parrot(), now).expect("open");
        assert!(microphones.hear(&id, vec![0.0], &clock).await.expect("open").is_err());
        assert!(microphones.hear(&id, vec![0.1], &clock).await.is_none());
        let id = microphones.open(parrot(), now).expect("open");
        let endless = microphones.hear(&id, vec![0.1; SAMPLES_MAX + 1], &clock).await.expect("open");
        assert_eq!(endless.map_err(|refusal| refusal.reason), Err(Reason::Input));
        assert!(microphones.close(&id).is_none());
    }

    #[test]
    fn few_are_open_at_a_time_and_those_that_were_forgotten_make_room() {
        let (microphones, now) = (Microphones::default(), Clock::System.now());
        for _ in 0..OPEN_MAX {
            assert!(microphones.open(parrot(), now).is_ok());
        }
        assert_eq!(microphones.open(parrot(), now).map_err(|refusal| refusal.reason), Err(Reason::Busy));
        let later = now.plus(SILENT_MAX + Duration::from_secs(1));
        assert!(microphones.open(parrot(), later).is_ok());
        assert_eq!(microphones.table().len(), 1);
    }

    /// Hears for as long as nobody lets it go on; `heard` is told when it begins.
    struct Slow {
        heard: Shutdown,
        goes_on: Shutdown,
    }

    impl Listening for Slow {
        fn hear(&mut self, _: Vec<f32>) -> BoxFuture<'_, Result<Words, Refusal>> {
            self.heard.trigger();
            Box::pin(async {
                self.goes_on.triggered().await;
                Ok(Words::default())
            })
        }

        fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Words, Refusal>> {
            Box::pin(async { Ok(Words::default()) })
        }
    }

    #[tokio::test]
    async fn a_slow_house_forgets_no_microphone_and_a_closed_one_waits_for_nobody() {
        let (microphones, clock) = (Microphones::default(), Clock::System);
        let later = || clock.now().plus(SILENT_MAX + Duration::from_secs(1));
        let (heard, goes_on) = (Shutdown::default(), Shutdown::default());
        let slow = Slow { heard: heard.clone(), goes_on: goes_on.clone() };
        let id = microphones.open(Box::new(slow), clock.now()).expect("open");
        let others = async {
            heard.triggered().await;
            microphones.let_go(later());
            goes_on.trigger();
        };
        let (words, ()) = tokio::join!(microphones.hear(&id, vec![0.1], &clock), others);
        assert!(words.expect("open").is_ok());
        microphones.let_go(later());
        assert!(microphones.close(&id).is_none(), "its page is gone");

        let heard = Shutdown::default();
        let endless = Slow { heard: heard.clone(), goes_on: Shutdown::default() };
        let id = microphones.open(Box::new(endless), clock.now()).expect("open");
        let closing = async {
            heard.triggered().await;
            microphones.close(&id)
        };
        let (words, closed) = tokio::join!(microphones.hear(&id, vec![0.1], &clock), closing);
        assert!(words.is_none() && closed.is_some());
    }

    proptest! {
        #[test]
        fn whole_samples_are_read_within_full_scale(samples in proptest::collection::vec(any::<i16>(), 0..50)) {
            let mut bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let read = samples_of(&bytes).expect("whole samples");
            prop_assert!(read.iter().zip(&samples).all(|(read, sample)| (read * 32_768.0) as i16 == *sample));
            prop_assert!(read.len() == samples.len() && read.iter().all(|sample| sample.abs() <= 1.0));
            bytes.push(0);
            prop_assert!(samples_of(&bytes).is_none());
        }
    }
}
