//! The bus as its neighbors see it, on a real database.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::base::clock::Timestamp;
use crate::base::id::{ApprovalId, TraceId};
use crate::bus::delivery::Next;
use crate::domain::message::{Channel, DeliveryFailure, Origin, Outbound, Route};
use crate::domain::task::{DeliveryStatus, TaskStatus};
use crate::timeline;

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test: nothing is found by looking again, only by being told.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

/// A message of a conversation `channel:chat`.
pub(super) fn inbound(session: &str, text: &str) -> Inbound {
    let (channel, chat) = session.split_once(':').expect("a session key");
    Inbound {
        channel: Channel::new(channel),
        chat_id: chat.to_owned(),
        thread_id: None,
        sender_id: "tester".to_owned(),
        session: session.into(),
        trace_id: TraceId::random(),
        idempotency_key: None,
        message_id: None,
        content: text.to_owned(),
        origin: Origin::Internal,
        reply_hint: None,
        received_at: Timestamp::from_millis(0),
    }
}

fn keyed(session: &str, key: &str) -> Inbound {
    Inbound { idempotency_key: Some(key.to_owned()), ..inbound(session, "text") }
}

fn database() -> Db {
    Db::memory_for_tests(&[timeline::MIGRATIONS, MIGRATIONS])
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_787_063_412_000))
}

/// Answers with the text it was given.
struct Echo {
    db: Db,
    bus: Bus,
}

impl Worker for Echo {
    fn run(&self, leased: Leased) -> BoxFuture<'static, ()> {
        let (db, bus) = (self.db.clone(), self.bus.clone());
        Box::pin(async move {
            assert_ne!(leased.inbound.content, "panic", "as the test wants");
            let (ended, now) = (leased.clone(), bus.clock.now());
            let text = leased.inbound.content.clone();
            let reply = text.clone();
            db.write(move |tx| task::finish(tx, &ended, &reply, Route::Intent, now)).await.expect("stored");
            bus.announce(&leased, &Answered::Completed { text, route: Route::Intent });
        })
    }
}

async fn echoing(db: &Db, clock: Clock) -> (Bus, Shutdown) {
    let bus = Bus::open(db.clone(), clock).await.expect("a bus");
    let shutdown = Shutdown::default();
    let worker = Arc::new(Echo { db: db.clone(), bus: bus.clone() });
    tokio::spawn(bus.clone().run(worker, shutdown.clone()));
    (bus, shutdown)
}

async fn row(db: &Db, task_id: &TaskId) -> row::Row {
    let id = task_id.clone();
    db.read(move |connection| row::get(connection, &id)).await.expect("read").expect("a task")
}

#[tokio::test]
async fn a_question_is_answered_and_a_repeated_one_gets_the_same_answer() {
    let db = database();
    let (bus, _shutdown) = echoing(&db, clock()).await;
    let (accepted, answer) = bus.ask(keyed("local:a", "k"), None).await.expect("accepted");
    let answer = answer.await.expect("answered");
    assert_eq!(answer, Answered::Completed { text: "text".to_owned(), route: Route::Intent });
    let (again, repeated) = bus.ask(keyed("local:a", "k"), None).await.expect("accepted");
    assert_eq!(again, Accepted::Duplicate(accepted.task_id().clone()));
    assert_eq!(repeated.await.expect("answered"), answer);
    assert_eq!(bus.open_len(), 0);
    let stored = row(&db, accepted.task_id()).await;
    assert_eq!((stored.status, stored.delivery_status), (TaskStatus::Completed, DeliveryStatus::Skipped));
}

#[tokio::test]
async fn a_panicking_turn_is_a_failed_task_and_its_conversation_goes_on() {
    let db = database();
    let (bus, _shutdown) = echoing(&db, clock()).await;
    let (_, answer) = bus.ask(inbound("local:a", "panic"), None).await.expect("accepted");
    assert!(matches!(answer.await.expect("answered"), Answered::Failed { .. }));
    let (_, answer) = bus.ask(inbound("local:a", "next"), None).await.expect("accepted");
    assert_eq!(answer.await.expect("answered").text(), "next");
}

#[tokio::test]
async fn what_a_dead_process_left_waits_again_and_is_given_up_after_three_interruptions() {
    let db = database();
    let bus = Bus::open(db.clone(), clock()).await.expect("a bus");
    let task_id = bus.accept(inbound("mqtt:a", "text")).await.expect("accepted").task_id().clone();
    for attempt in 1..=4 {
        let (id, now) = (task_id.clone(), bus.clock.now());
        db.write(move |tx| task::begin(tx, &id, now)).await.expect("begun");
        assert_eq!(row(&db, &task_id).await.status, TaskStatus::Processing);
        let reopened = Bus::open(db.clone(), clock()).await.expect("a bus");
        assert_eq!(reopened.open_len(), usize::from(attempt <= 3));
    }
    let stored = row(&db, &task_id).await;
    assert_eq!((stored.status, stored.delivery_status), (TaskStatus::Failed, DeliveryStatus::Pending));
    assert!(stored.error_text.contains("ask again"), "{}", stored.error_text);
}

#[tokio::test]
async fn a_parked_task_lets_its_conversation_go_on_and_resumes_when_decided() {
    let db = database();
    let bus = Bus::open(db.clone(), clock()).await.expect("a bus");
    let task_id = bus.accept(inbound("local:a", "first")).await.expect("accepted").task_id().clone();
    let leased = {
        let id = task_id.clone();
        let found = db.read(move |connection| task::waiting_by_id(connection, &id)).await.expect("read");
        found.expect("ready").leased
    };
    let approval = ApprovalId::from("a1");
    let (parked, id, now) = (leased.clone(), approval.clone(), bus.clock.now());
    db.write(move |tx| task::park(tx, &parked, &WaitsFor::Approval(id), "May I?", now)).await.expect("parked");
    let waiting = db.read(|connection| task::waiting_after(connection, 0, 10)).await.expect("read");
    assert!(waiting.is_empty(), "a parked task is not ready");
    assert_eq!(row(&db, &task_id).await.answered().expect("the question").text(), "May I?");
    let resumed = db.write(move |tx| task::unpark(tx, &WaitsFor::Approval(approval), now)).await.expect("decided");
    assert_eq!(resumed, Some(task_id.clone()));
    let (_, worker) = (bus.resume(task_id.clone()), Arc::new(Echo { db: db.clone(), bus: bus.clone() }));
    tokio::spawn(bus.clone().run(worker, Shutdown::default()));
    let mut committed = db.committed();
    while row(&db, &task_id).await.status != TaskStatus::Completed {
        tokio::time::timeout(PATIENCE, committed.changed()).await.expect("in time").expect("open");
    }
}

/// Takes texts, or refuses the first so many.
#[derive(Default)]
struct FakeCourier {
    refuse: Mutex<Vec<Undelivered>>,
    /// A refusal is told when the test lets it.
    told: Option<Notify>,
    taken: Mutex<Vec<Outbound>>,
    seen: Notify,
}

impl Courier for FakeCourier {
    fn deliver<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async {
            self.seen.notify_one();
            let refusal = self.refuse.lock().expect("unpoisoned").pop();
            if let Some(refusal) = refusal {
                if let Some(told) = &self.told {
                    told.notified().await;
                }
                return Err(refusal);
            }
            self.taken.lock().expect("unpoisoned").push(outbound.clone());
            Ok(())
        })
    }
}

async fn until(db: &Db, mut is_true: impl FnMut() -> bool) {
    let mut committed = db.committed();
    while !is_true() {
        let _ = tokio::time::timeout(Duration::from_millis(20), committed.changed()).await;
    }
}

#[tokio::test]
async fn texts_of_one_chat_stay_in_order_and_being_offline_costs_no_attempt() {
    let db = database();
    let (bus, _shutdown) = echoing(&db, clock()).await;
    let courier = Arc::new(FakeCourier { refuse: Mutex::new(vec![Undelivered::Offline]), ..FakeCourier::default() });
    for number in 0..5 {
        bus.accept(inbound("mqtt:a", &number.to_string())).await.expect("accepted");
    }
    until(&db, || bus.open_len() == 0).await;
    let couriers: courier::Couriers = HashMap::from([("mqtt", courier.clone() as Arc<dyn Courier>)]);
    tokio::spawn(courier::deliver_polling(bus.clone(), couriers, Shutdown::default(), NEVER));
    tokio::time::timeout(PATIENCE, courier.seen.notified()).await.expect("tried");
    bus.wake_couriers();
    tokio::time::timeout(PATIENCE, until(&db, || courier.taken.lock().expect("unpoisoned").len() == 5))
        .await
        .expect("sent");
    let texts: Vec<String> = courier.taken.lock().expect("unpoisoned").iter().map(|out| out.content.clone()).collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4"]);
    let attempts: i64 = db
        .read(|connection| connection.query_row("SELECT max(attempts) FROM deliveries", [], |row| row.get(0)))
        .await
        .expect("read");
    assert_eq!(attempts, 1);
}

/// An attempt found no connection, the connection came back, and only then the attempt was over.
#[tokio::test]
async fn a_wake_up_during_an_attempt_is_not_lost() {
    let db = database();
    let (bus, _shutdown) = echoing(&db, clock()).await;
    let courier = Arc::new(FakeCourier {
        refuse: Mutex::new(vec![Undelivered::Offline]),
        told: Some(Notify::new()),
        ..FakeCourier::default()
    });
    let couriers: courier::Couriers = HashMap::from([("mqtt", courier.clone() as Arc<dyn Courier>)]);
    tokio::spawn(courier::deliver_polling(bus.clone(), couriers, Shutdown::default(), NEVER));
    let taken = |count| {
        let courier = courier.clone();
        tokio::time::timeout(PATIENCE, until(&db, move || courier.taken.lock().expect("unpoisoned").len() == count))
    };
    bus.accept(inbound("mqtt:a", "first")).await.expect("accepted");
    tokio::time::timeout(PATIENCE, courier.seen.notified()).await.expect("tried");
    // Its answer wakes the couriers as a new connection does; that it goes out shows that they have heard.
    bus.accept(inbound("mqtt:b", "second")).await.expect("accepted");
    taken(1).await.expect("the second was sent");
    courier.told.as_ref().expect("one that waits").notify_one();
    taken(2).await.expect("the first was tried again");
}

#[tokio::test]
async fn a_repeated_answer_keeps_its_id() {
    let db = database();
    let (bus, _shutdown) = echoing(&db, clock()).await;
    let task_id = bus.accept(inbound("mqtt:a", "x")).await.expect("accepted").task_id().clone();
    let courier = Arc::new(FakeCourier::default());
    let couriers: courier::Couriers = HashMap::from([("mqtt", courier.clone() as Arc<dyn Courier>)]);
    tokio::spawn(deliver_all(bus.clone(), couriers, Shutdown::default()));
    let waiting = || async { db.read(delivery::waiting_len).await.expect("read") };
    tokio::time::timeout(PATIENCE, until(&db, || courier.taken.lock().expect("unpoisoned").len() == 1))
        .await
        .expect("sent");
    while waiting().await > 0 {
        tokio::task::yield_now().await;
    }
    bus.repeat_answer(&task_id).await.expect("queued");
    tokio::time::timeout(PATIENCE, until(&db, || courier.taken.lock().expect("unpoisoned").len() == 2))
        .await
        .expect("sent");
    let taken = courier.taken.lock().expect("unpoisoned");
    assert_eq!(taken[0].id, taken[1].id);
}

#[test]
fn retries_double_up_to_five_minutes_and_end_after_the_fifth() {
    let now = Timestamp::from_millis(0);
    let mut waits = Vec::new();
    for attempts in 1..limits::DELIVERY_ATTEMPTS_MAX {
        match delivery::after_failure(DeliveryFailure::Network, attempts, now) {
            Next::RetryAt(at) => waits.push(at.since(now).as_secs()),
            Next::GiveUp(reason) => panic!("gave up after {attempts}: {reason}"),
        }
    }
    assert_eq!(waits, [30, 60, 120, 240]);
    assert_eq!(
        delivery::after_failure(DeliveryFailure::Network, limits::DELIVERY_ATTEMPTS_MAX, now),
        Next::GiveUp(DeliveryFailure::MaxRetriesExceeded)
    );
    assert_eq!(
        delivery::after_failure(DeliveryFailure::Unauthorized, 1, now),
        Next::GiveUp(DeliveryFailure::Unauthorized)
    );
}

#[tokio::test]
async fn tokens_of_today_are_counted_in_utc() {
    let db = database();
    let bus = Bus::open(db.clone(), clock()).await.expect("a bus");
    let task_id = bus.accept(inbound("local:a", "x")).await.expect("accepted").task_id().clone();
    let usage = task::Usage { prompt: 10, completion: 5 };
    db.write(move |tx| task::add_usage(tx, &task_id, usage, "ollama", "small")).await.expect("stored");
    let now = bus.clock.now();
    let used = db.read(move |connection| row::tokens_used_today(connection, now)).await.expect("read");
    assert_eq!(used, 15);
    let tomorrow = now.plus(Duration::from_secs(86_400));
    let used = db.read(move |connection| row::tokens_used_today(connection, tomorrow)).await.expect("read");
    assert_eq!(used, 0);
}

#[tokio::test]
async fn too_long_a_message_is_refused_with_its_length() {
    let db = database();
    let bus = Bus::open(db, clock()).await.expect("a bus");
    let long = "x".repeat(limits::MESSAGE_BYTES_MAX + 1);
    assert!(matches!(bus.accept(inbound("local:a", &long)).await, Err(BusError::TooLong { .. })));
    assert_eq!(bus.open_len(), 0);
}
