//! The scheduler as a whole: power cuts, clocks that are set, jobs that fail, all with a manual clock.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::base::id::SessionKey;
use crate::db::Migration;
use crate::domain::message::{Channel, Origin};
use crate::timeline;

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

pub(super) fn target() -> Target {
    Target {
        channel: Channel::new("mqtt"),
        chat_id: "kitchen".to_owned(),
        thread_id: None,
        session: SessionKey::from("mqtt:kitchen"),
        sender_id: "anna".to_owned(),
        origin: Origin::Internal,
        reply_hint: Some("json".to_owned()),
    }
}

fn new_job(when: When) -> NewJob {
    NewJob {
        kind: Kind::Say,
        category: Category::Reminder,
        label: "Tea".to_owned(),
        text: "The tea is ready.".to_owned(),
        target: target(),
        when,
        missed: None,
        created_by: "api".to_owned(),
    }
}

pub(super) fn one_shot(time: &str) -> Job {
    Job::plan(new_job(When::At(at(time))), at("2026-01-01 00:00:00")).expect("a job")
}

pub(super) fn cron_job(cron: &str, next: &str) -> Job {
    let zone = Zone::parse("UTC").expect("a zone");
    let when = When::Cron { cron: cron.parse().expect("a cron text"), zone };
    let mut job = Job::plan(new_job(when), at("2026-01-01 00:00:00")).expect("a job");
    job.next_run_at = Some(at(next));
    job
}

/// What was fired; written in the same transaction, as the bus would.
const FIRED: &[Migration] = &[Migration {
    number: 1,
    name: "fired",
    apply: |conn| conn.execute_batch("CREATE TABLE fired (job_id TEXT, scheduled_for TEXT)"),
}];

/// Fires into the table, unless the power goes off just then.
#[derive(Default)]
struct Wire {
    cuts: Mutex<u32>,
}

impl Firing for Wire {
    fn fire(&self, tx: &Tx<'_>, fire: &Fire) -> rusqlite::Result<()> {
        tx.execute("INSERT INTO fired VALUES (?1, ?2)", (&fire.job.id, fire.scheduled_for))?;
        let mut cuts = self.cuts.lock().expect("no test panicked");
        if *cuts > 0 {
            *cuts -= 1;
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        Ok(())
    }
}

struct House {
    scheduler: Scheduler,
    clock: Clock,
    wire: Arc<Wire>,
    db: Db,
    begun: Instant,
}

impl House {
    fn new(start: &str) -> Self {
        let db = Db::memory_for_tests(&[timeline::MIGRATIONS, MIGRATIONS, FIRED]);
        let clock = Clock::manual(at(start));
        let wire = Arc::new(Wire::default());
        let scheduler = Scheduler::new(db.clone(), clock.clone(), wire.clone(), Config::default());
        Self { scheduler, clock, wire, db, begun: Instant::now() }
    }

    async fn add(&self, job: &Job) {
        let (this, job) = (self.scheduler.clone(), job.clone());
        assert!(self.db.write(move |tx| this.add_in(tx, &job)).await.expect("written"));
    }

    async fn pass(&self) -> Duration {
        self.scheduler.pass(&mut Drift::default(), self.begun).await.expect("a pass")
    }

    async fn fired(&self, job: &Job) -> u32 {
        let id = job.id.clone();
        let count = self
            .db
            .read(move |conn| conn.query_row("SELECT count(*) FROM fired WHERE job_id = ?1", [id], |row| row.get(0)));
        count.await.expect("a count")
    }

    async fn outcomes(&self, job: &Job) -> Vec<Outcome> {
        let runs = self.scheduler.history(Some(job.id.clone()), 100).await.expect("a history");
        runs.into_iter().rev().map(|run| run.outcome).collect()
    }

    fn set_clock(&self, time: &str) {
        let Clock::Manual(millis) = &self.clock else { panic!("a manual clock") };
        millis.store(at(time).as_millis(), std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_job_reads_back_as_it_was_stored() {
    let house = House::new("2026-08-18 06:00:00");
    for when in [
        When::At(at("2026-08-18 07:00:00")),
        When::In(Duration::from_secs(600)),
        When::Cron { cron: "0 7 * * *".parse().expect("a cron text"), zone: Zone::parse("+02:00").expect("a zone") },
    ] {
        let job = house.scheduler.create(new_job(when)).await.expect("created");
        assert_eq!(house.scheduler.find(job.id.clone()).await.expect("found"), job);
    }
    let jobs = house.scheduler.list().await.expect("a list");
    assert_eq!(jobs[0].schedule, Schedule::In, "the next one comes first");
    assert_eq!(jobs[0].remaining(house.clock.now()), Some(Duration::from_secs(600)));
}

#[tokio::test]
async fn a_one_shot_fires_once_and_is_over() {
    let house = House::new("2026-08-18 06:59:30");
    let job = one_shot("2026-08-18 07:00:00");
    house.add(&job).await;
    assert_eq!(house.pass().await, Duration::from_secs(30), "sleeps until it is due");
    house.clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        house.pass().await;
    }
    assert_eq!(house.fired(&job).await, 1);
    let stored = house.scheduler.find(job.id.clone()).await.expect("found");
    assert!(stored.is_over() && stored.run_count == 1 && stored.last_outcome == Some(Outcome::Fired));
    let again = house.scheduler.set_enabled(job.id.clone(), true).await;
    assert!(matches!(again, Err(SchedulerError::Past(_))), "{again:?}");
}

#[tokio::test]
async fn power_lost_while_firing_fires_again_and_leaves_no_half() {
    let house = House::new("2026-08-18 07:00:00");
    let job = one_shot("2026-08-18 07:00:00");
    house.add(&job).await;
    *house.wire.cuts.lock().expect("no panic") = 2;
    assert_eq!(house.pass().await, RETRY_WAIT, "a job that fails is not tried in a tight loop");
    house.pass().await;
    assert_eq!(house.fired(&job).await, 0);
    house.pass().await;
    assert_eq!(house.fired(&job).await, 1);
    assert_eq!(house.outcomes(&job).await, [Outcome::Fired]);
}

#[tokio::test]
async fn a_clock_set_back_does_not_fire_twice_and_does_not_silence_a_job() {
    let house = House::new("2026-08-18 06:59:00");
    let job = cron_job("0 * * * *", "2026-08-18 07:00:00");
    house.add(&job).await;
    for time in [
        "2026-08-18 07:00:00",
        "2026-08-18 08:00:00",
        "2026-08-18 06:30:00",
        "2026-08-18 07:00:00",
        "2026-08-18 07:30:00",
    ] {
        house.set_clock(time);
        house.pass().await;
    }
    assert_eq!(house.fired(&job).await, 2, "seven and eight, once each");
    for time in ["2026-08-18 08:00:00", "2026-08-18 09:00:00"] {
        house.set_clock(time);
        house.pass().await;
    }
    assert_eq!(house.fired(&job).await, 3, "nine is new");
}

#[tokio::test]
async fn a_timer_moves_along_when_the_clock_is_set_and_an_alarm_does_not() {
    let house = House::new("2026-08-18 06:00:00");
    let timer = house.scheduler.create(new_job(When::In(Duration::from_secs(600)))).await.expect("created");
    let alarm = house.scheduler.create(new_job(When::At(at("2026-08-18 20:00:00")))).await.expect("created");
    let now = at("2026-08-18 14:00:00");
    house.db.write(move |tx| fire::adjust(tx, 8 * 3_600_000, now)).await.expect("adjusted");
    let next = |job: &Job| house.scheduler.find(job.id.clone());
    assert_eq!(next(&timer).await.expect("found").remaining(now), Some(Duration::from_secs(600)));
    assert_eq!(next(&alarm).await.expect("found").next_run_at, Some(at("2026-08-18 20:00:00")));
}

#[tokio::test]
async fn jobs_are_cancelled_switched_off_and_run_out_of_turn() {
    let house = House::new("2026-08-18 06:00:00");
    let daily = cron_job("0 7 * * *", "2026-08-18 07:00:00");
    house.add(&daily).await;
    house.scheduler.set_enabled(daily.id.clone(), false).await.expect("off");
    house.set_clock("2026-08-18 07:00:00");
    house.pass().await;
    assert_eq!(house.fired(&daily).await, 0);
    let on = house.scheduler.set_enabled(daily.id.clone(), true).await.expect("on");
    assert_eq!(on.next_run_at, Some(at("2026-08-19 07:00:00")));
    house.scheduler.run_now(daily.id.clone()).await.expect("ran");
    assert_eq!(house.fired(&daily).await, 1);
    house.scheduler.cancel(daily.id.clone()).await.expect("cancelled");
    assert!(matches!(house.scheduler.cancel(daily.id.clone()).await, Err(SchedulerError::Unknown(_))));
    assert_eq!(house.outcomes(&daily).await, [Outcome::Manual, Outcome::Cancelled]);
}

#[tokio::test]
async fn one_job_too_many_is_refused_but_those_that_are_over_do_not_count() {
    let house = House::new("2026-08-18 07:00:00");
    let scheduler = house.scheduler.clone();
    let stored = house.db.write(move |tx| {
        let mut stored = 0;
        for _ in 0..limits::JOBS_MAX + 5 {
            stored += usize::from(scheduler.add_in(tx, &one_shot("2026-08-18 07:00:00"))?);
        }
        Ok(stored)
    });
    assert_eq!(stored.await.expect("written"), limits::JOBS_MAX);
    let refused = house.scheduler.create(new_job(When::In(Duration::from_secs(1)))).await;
    assert!(matches!(refused, Err(SchedulerError::Full)), "{refused:?}");
    for _ in 0..=limits::JOBS_MAX / 100 {
        house.pass().await;
    }
    house.scheduler.create(new_job(When::In(Duration::from_secs(1)))).await.expect("room again");
}

#[tokio::test]
async fn rows_of_kafclaw_are_left_alone() {
    let house = House::new("2026-08-18 07:00:00");
    house
        .db
        .write(|tx| tx.execute("INSERT INTO scheduled_jobs (job_name, last_status) VALUES ('daily', 'dispatched')", []))
        .await
        .expect("written");
    assert_eq!(house.scheduler.list().await.expect("a list"), []);
    house.pass().await;
}

#[tokio::test]
async fn the_loop_wakes_for_a_job_that_was_just_added() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, MIGRATIONS, FIRED]);
    let scheduler = Scheduler::new(db.clone(), Clock::System, Arc::new(Wire::default()), Config::default());
    let shutdown = Shutdown::default();
    let running = tokio::spawn(scheduler.clone().run(shutdown.clone()));
    let mut committed = db.committed();
    let job = scheduler.create(new_job(When::In(Duration::from_millis(30)))).await.expect("created");
    let fired = async {
        while scheduler.find(job.id.clone()).await.expect("found").last_outcome.is_none() {
            committed.changed().await.expect("the database is open");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), fired).await.expect("fired");
    shutdown.trigger();
    running.await.expect("the loop ended");
}

/// One thing that happens to the house.
#[derive(Clone, Debug)]
enum Happening {
    Create { due_in_s: u64 },
    TimePasses { s: u64 },
    PowerCutsWhileFiring { count: u32 },
    PowerOff { s: u64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1_u64..200_000).prop_map(|due_in_s| Happening::Create { due_in_s }),
        (1_u64..600).prop_map(|due_in_s| Happening::Create { due_in_s }),
        (1_u64..120).prop_map(|s| Happening::TimePasses { s }),
        (1_u32..4).prop_map(|count| Happening::PowerCutsWhileFiring { count }),
        (1_u64..300_000).prop_map(|s| Happening::PowerOff { s }),
    ]
}

async fn live_through(happenings: Vec<Happening>) {
    let house = House::new("2026-08-18 07:00:00");
    let mut jobs: Vec<Job> = Vec::new();
    for happening in happenings {
        match happening {
            Happening::Create { due_in_s } => {
                let when = When::At(house.clock.now().plus(Duration::from_secs(due_in_s)));
                jobs.push(house.scheduler.create(new_job(when)).await.expect("created"));
            }
            Happening::TimePasses { s } => {
                house.clock.advance(Duration::from_secs(s));
                house.pass().await;
            }
            Happening::PowerCutsWhileFiring { count } => *house.wire.cuts.lock().expect("no panic") = count,
            // Nobody looks meanwhile; the next pass is the first of the new process.
            Happening::PowerOff { s } => house.clock.advance(Duration::from_secs(s)),
        }
    }
    *house.wire.cuts.lock().expect("no panic") = 0;
    house.clock.advance(Duration::from_secs(400_000));
    house.pass().await;
    for job in &jobs {
        let runs = house.scheduler.history(Some(job.id.clone()), 10).await.expect("a history");
        let [run] = &runs[..] else { panic!("one run each, not {runs:?}") };
        let late_by = run.fired_at.since(run.scheduled_for);
        let expected = match run.outcome {
            Outcome::Fired => late_by <= Duration::from_secs(120),
            Outcome::Late => late_by > Duration::from_secs(120) && late_by <= Duration::from_secs(86_400),
            Outcome::Missed => late_by > Duration::from_secs(86_400),
            _ => false,
        };
        assert!(expected, "{run:?}");
        assert_eq!(house.fired(job).await, u32::from(run.outcome != Outcome::Missed), "{run:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_one_shot_fires_exactly_once_or_is_marked_missed(happenings in proptest::collection::vec(happening(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(live_through(happenings));
    }
}
