//! Tasks both ways: single machines, the matching of answers, and a model of a group with delays and deaths.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::incoming::{self, Will};
use super::outgoing::{self, SubmitError};
use super::*;
use crate::db::Db;
use crate::domain::peer::WorkStatus;
use crate::group;
use crate::group::inbox::Objection;
use crate::timeline;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

fn peer(name: &str) -> PeerId {
    PeerId::from(name)
}

fn config(name: &str) -> Config {
    Config::of(peer(name))
}

fn request(target: Option<&str>) -> Request {
    Request {
        task_id: "t1".to_owned(),
        requester: peer("a"),
        description: "d".to_owned(),
        content: "say hello".to_owned(),
        parent_task_id: None,
        depth: 0,
        original_requester: None,
        deadline_at: None,
        target: target.map(peer),
        zone: None,
        skill: None,
    }
}

fn report(from: &str, status: WorkStatus) -> Report {
    let summary = String::new();
    Report { task_id: "t1".to_owned(), peer: peer(from), status, summary, lease_until: None, progress_percent: None }
}

fn answer(from: &str, outcome: AnswerStatus) -> Answer {
    Answer { task_id: "t1".to_owned(), responder: peer(from), content: "hello".to_owned(), outcome }
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn ask(target: Option<&str>) -> Task {
    outgoing::submit(request(target), &config("a"), NOW).expect("submitted").0
}

fn hear(task: &mut Task, from: &str, status: WorkStatus, now: Timestamp) -> Vec<Step> {
    let report = report(from, status);
    outgoing::next(task, outgoing::Fact::Reported { report: &report, from: &peer(from) }, &config("a"), now)
}

fn hear_answer(task: &mut Task, from: &str, outcome: AnswerStatus) -> Vec<Step> {
    let answer = answer(from, outcome);
    outgoing::next(task, outgoing::Fact::Answered { answer: &answer, from: &peer(from) }, &config("a"), NOW)
}

#[test]
fn a_task_that_cannot_be_asked_is_refused_with_the_reason() {
    let refused = |change: fn(&mut Request)| {
        let mut request = request(None);
        change(&mut request);
        outgoing::submit(request, &config("a"), NOW).expect_err("refused")
    };
    assert_eq!(refused(|request| request.depth = 3), SubmitError::TooDeep { depth: 3, depth_max: 3 });
    assert_eq!(refused(|request| request.content = " ".to_owned()), SubmitError::Empty);
    assert_eq!(refused(|request| request.deadline_at = Some(NOW)), SubmitError::DeadlinePassed);
    assert_eq!(ask(None).request.depth, 1);
}

#[test]
fn a_task_goes_its_way_and_ends_once() {
    let mut task = ask(Some("b"));
    outgoing::next(&mut task, outgoing::Fact::Sent, &config("a"), NOW);
    assert_eq!(task.status, Status::Sent);
    hear(&mut task, "b", WorkStatus::Claimed, later(1));
    assert_eq!((task.status, task.responder.clone()), (Status::Accepted, Some(peer("b"))));
    hear(&mut task, "b", WorkStatus::InProgress, later(2));
    hear(&mut task, "b", WorkStatus::Renewed, later(30));
    assert_eq!(task.status, Status::InProgress);
    assert_eq!(hear_answer(&mut task, "c", AnswerStatus::Completed), [], "nobody asked this one");
    assert!(hear_answer(&mut task, "b", AnswerStatus::Completed).contains(&Step::Resume));
    assert_eq!((task.status, task.response.as_deref()), (Status::Completed, Some("hello")));
    assert_eq!(hear_answer(&mut task, "b", AnswerStatus::Completed), []);
    assert_eq!(outgoing::next(&mut task, outgoing::Fact::TimePassed, &config("a"), later(99_999)), []);
}

#[test]
fn a_claim_whose_owner_falls_silent_is_free_again() {
    let mut task = ask(None);
    hear(&mut task, "b", WorkStatus::Claimed, NOW);
    assert_eq!(hear(&mut task, "c", WorkStatus::Claimed, NOW), [], "one at a time");
    let steps = outgoing::next(&mut task, outgoing::Fact::TimePassed, &config("a"), later(120));
    assert_eq!(steps, [logged("lease_expired", Some(&peer("b")))]);
    hear(&mut task, "c", WorkStatus::Claimed, later(121));
    assert_eq!(task.responder, Some(peer("c")));
    hear(&mut task, "c", WorkStatus::Released, later(122));
    assert_eq!((task.status, task.responder.clone()), (Status::Sent, None));
    assert_eq!(hear_answer(&mut task, "d", AnswerStatus::Rejected), [logged("rejected", Some(&peer("d")))]);
    assert!(hear_answer(&mut task, "e", AnswerStatus::Failed).contains(&Step::Resume));
    assert_eq!(task.status, Status::Failed);
}

#[test]
fn what_ends_a_task_wakes_whoever_waits() {
    type End = fn(&mut Task) -> Vec<Step>;
    let ends: [(End, Status); 4] = [
        (|task| outgoing::next(task, outgoing::Fact::Dropped, &config("a"), NOW), Status::Expired),
        (|task| outgoing::next(task, outgoing::Fact::Canceled, &config("a"), NOW), Status::Canceled),
        (|task| outgoing::next(task, outgoing::Fact::TimePassed, &config("a"), later(3_600)), Status::Expired),
        (|task| hear_answer(task, "b", AnswerStatus::Rejected), Status::Rejected),
    ];
    for (end, status) in ends {
        let mut task = ask(Some("b"));
        assert!(end(&mut task).contains(&Step::Resume), "{status:?}");
        assert_eq!((task.status, task.wake_at), (status, None));
    }
}

#[test]
fn a_request_to_us_is_claimed_and_begun_at_once() {
    let config = config("b");
    let (mut task, steps) = incoming::offered(request(Some("b")), Will::Able, 5, &config, NOW).expect("for us");
    assert!(matches!(&steps[1], Step::Say(report) if report.status == WorkStatus::Claimed));
    assert_eq!(steps.last(), Some(&Step::Start));
    let renewed = incoming::next(&mut task, incoming::Fact::TimePassed, &config, later(30));
    assert!(matches!(&renewed[..], [Step::Say(report)] if report.status == WorkStatus::Renewed));
    let done = incoming::Fact::Finished { content: "hello", outcome: AnswerStatus::Completed };
    let steps = incoming::next(&mut task, done, &config, later(31));
    assert_eq!(steps[0], Step::Answer(answer("b", AnswerStatus::Completed)), "under the requester's id");
    assert_eq!(incoming::next(&mut task, done, &config, later(32)), []);
    let again = incoming::next(&mut task, incoming::Fact::Repeated, &config, later(40));
    assert_eq!(again, [Step::Answer(answer("b", AnswerStatus::Completed))]);
}

#[test]
fn a_request_that_we_cannot_do_is_rejected_if_it_is_to_us() {
    let unable = Will::Unable("There is no model here.");
    let (task, steps) = incoming::offered(request(Some("b")), unable, 0, &config("b"), NOW).expect("for us");
    assert_eq!(task.status, Status::Rejected);
    assert!(matches!(&steps[1], Step::Answer(answer) if answer.outcome == AnswerStatus::Rejected));
    assert_eq!(incoming::offered(request(None), unable, 0, &config("b"), NOW), None);
    let rejection = incoming::rejection(&request(Some("b")), Objection::TooDeep, &config("b"));
    assert_eq!(rejection.map(|answer| answer.outcome), Some(AnswerStatus::Rejected));
    assert_eq!(incoming::rejection(&request(None), Objection::TooDeep, &config("b")), None);
    assert_eq!(incoming::rejection(&request(Some("b")), Objection::BadSignature, &config("b")), None);
}

#[test]
fn only_the_requester_cancels() {
    let config = config("b");
    let (mut task, _) = incoming::offered(request(Some("b")), Will::Able, 0, &config, NOW).expect("for us");
    let cancel = report("a", WorkStatus::Cancel);
    let from = |name: &str, task: &mut Task| {
        incoming::next(task, incoming::Fact::Reported { report: &cancel, from: &peer(name) }, &config, NOW)
    };
    assert_eq!(from("c", &mut task), []);
    let steps = from("a", &mut task);
    assert_eq!(steps[0], Step::Stop);
    assert!(matches!(&steps[1], Step::Say(report) if report.status == WorkStatus::Canceled));
    assert_eq!(task.status, Status::Canceled);
}

#[test]
fn all_hubs_agree_on_a_rank_and_take_turns() {
    let hubs: Vec<PeerId> = ["a", "b", "c", "d"].map(peer).into();
    let mut first = std::collections::BTreeMap::<PeerId, u32>::new();
    for number in 0..400 {
        let task = format!("task-{number}");
        let mut ranks: Vec<u32> = hubs.iter().map(|me| rank(&task, me, hubs.iter())).collect();
        let leader = ranks.iter().position(|rank| *rank == 0).expect("a first one");
        *first.entry(hubs[leader].clone()).or_default() += 1;
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3]);
    }
    assert!(first.values().all(|count| *count > 50), "{first:?}");
}

fn fresh() -> Db {
    Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS])
}

#[test]
fn tasks_read_back_and_are_found_when_they_are_due() {
    let db = fresh();
    let mut asked = ask(Some("b"));
    asked.request.parent_task_id = Some("p".to_owned());
    asked.request.zone = Some("z".into());
    let (mut done, steps) = incoming::offered(request(Some("b")), Will::Able, 0, &config("b"), NOW).expect("for us");
    done.request.original_requester = Some(peer("z"));
    let tasks = [asked.clone(), done.clone()];
    db.write_blocking(move |tx| {
        for task in &tasks {
            assert!(insert(tx, task)?);
            assert!(!insert(tx, task)?, "the same id of the same requester");
        }
        log(tx, &tasks[1], &steps, &peer("b"), NOW)?;
        set_local(tx, &mut tasks[1].clone(), TaskId::from("local"))
    })
    .expect("written");
    done.local = Some(TaskId::from("local"));
    let found = db
        .read_blocking(|conn| {
            let asked = load(conn, Direction::Outgoing, &peer("a"), "t1")?;
            assert_eq!(next_due(conn)?, Some(later(30)));
            assert_eq!(open_len(conn, Direction::Incoming)?, 1);
            assert_eq!(incoming_called(conn, "t1")?.len(), 1);
            Ok((asked, by_local(conn, &TaskId::from("local"))?, due(conn, later(60))?))
        })
        .expect("read");
    assert_eq!(found, (Some(asked), vec![done.clone()], vec![done]));
    let filter = TaskFilter { direction: "incoming".to_owned(), status: String::new(), limit: 5, offset: 0 };
    let shown = db.read_blocking(move |conn| list(conn, &filter)).expect("read");
    assert_eq!(
        (shown.len(), shown[0].status.as_str(), shown[0].original_requester_id.as_str()),
        (1, "in_progress", "z")
    );
    assert_eq!(db.read_blocking(|conn| chain(conn, "p")).expect("read").len(), 2);
    let filter = AuditFilter { event_type: String::new(), agent_id: "a".to_owned(), limit: 9, offset: 0 };
    let audit = db.read_blocking(move |conn| delegation_audit(conn, &filter)).expect("read");
    assert_eq!(audit.iter().map(|row| row.event_type.as_str()).collect::<Vec<_>>(), ["claimed", "received"]);
    assert_eq!(db.write_blocking(|tx| prune(tx, later(9))).expect("written"), 0, "open tasks stay");
}

#[test]
fn answers_of_agents_in_go_are_matched_by_their_traces() {
    let db = fresh();
    let foreign = Answer { task_id: "c18d35e5".to_owned(), ..answer("go", AnswerStatus::Completed) };
    let other = Answer { content: "something else".to_owned(), ..foreign.clone() };
    db.write_blocking(move |tx| {
        insert(tx, &ask(None))?;
        let go = peer("go");
        assert_eq!(stray::traced(tx, "unknown", &go, "hello", NOW)?, None);
        assert_eq!(stray::answered(tx, &foreign, &go, NOW)?, None, "its trace is not here yet");
        assert_eq!(stray::traced(tx, "t1", &peer("liar"), "hello", NOW)?, None, "somebody else's trace");
        let found = stray::traced(tx, "t1", &go, "hello", NOW)?.expect("matched");
        assert_eq!((found.task_id.as_str(), found.answer), ("t1", answer("go", AnswerStatus::Completed)));
        // The other way round.
        assert_eq!(stray::traced(tx, "t1", &go, "hello", NOW)?, None);
        assert_eq!(stray::answered(tx, &other, &go, NOW)?, None);
        assert_eq!(stray::answered(tx, &foreign, &go, NOW)?.map(|found| found.task_id).as_deref(), Some("t1"));
        // Nothing waits for ever, and not without end.
        stray::traced(tx, "t1", &go, "hello", NOW)?;
        assert_eq!(stray::answered(tx, &foreign, &go, later(601))?, None);
        for number in 0..1_000 {
            let text = number.to_string();
            stray::traced(tx, "t1", &go, &text, later(700 + number))?;
            stray::answered(tx, &Answer { content: text + "!", ..foreign.clone() }, &go, later(700 + number))?;
        }
        for table in ["group_task_strays", "group_task_hints"] {
            let left: i64 = tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            assert!(left <= 258, "{table}: {left}");
        }
        Ok(())
    })
    .expect("written");
}

#[test]
fn words_of_states_read_back() {
    assert!(Status::ALL.into_iter().all(|status| Status::parse(status.as_str()) == Some(status)));
    assert_eq!(Direction::parse("incoming"), Some(Direction::Incoming));
}

#[derive(Clone, Debug)]
enum Said {
    Request(Request),
    Report(Report),
    Answer(Answer),
}

/// A hub of the model: what it has not read yet, and its task.
struct Hub {
    config: Config,
    unread: VecDeque<(PeerId, Said)>,
    task: Option<Task>,
    works: bool,
    begun: u32,
    is_dead: bool,
}

struct Model {
    hubs: Vec<Hub>,
    asked: Task,
    unread: VecDeque<(PeerId, Said)>,
    resumed: u32,
    answers: u32,
    now: Timestamp,
}

impl Model {
    fn new(hubs: usize) -> Self {
        let hub = |number| Hub {
            config: config(&format!("hub-{number}")),
            unread: VecDeque::new(),
            task: None,
            works: false,
            begun: 0,
            is_dead: false,
        };
        let mut model = Self {
            hubs: (0..hubs).map(hub).collect(),
            asked: ask(None),
            unread: VecDeque::new(),
            resumed: 0,
            answers: 0,
            now: NOW,
        };
        let request = model.asked.request.clone();
        model.say(&peer("a"), &Said::Request(request));
        model
    }

    /// Everybody hears everything, some later.
    fn say(&mut self, from: &PeerId, said: &Said) {
        for hub in &mut self.hubs {
            hub.unread.push_back((from.clone(), said.clone()));
        }
        self.unread.push_back((from.clone(), said.clone()));
    }

    fn follow(&mut self, number: usize, steps: Vec<Step>) {
        let me = self.hubs[number].config.agent_id.clone();
        for step in steps {
            match step {
                Step::Say(report) => self.say(&me, &Said::Report(report)),
                Step::Answer(answer) => {
                    self.answers += 1;
                    self.say(&me, &Said::Answer(answer));
                }
                Step::Start => (self.hubs[number].works, self.hubs[number].begun) = (true, self.hubs[number].begun + 1),
                Step::Stop => self.hubs[number].works = false,
                Step::Log { .. } => {}
                Step::Resume => panic!("nobody waits at a hub that works"),
            }
        }
    }

    /// A hub reads one message.
    fn read(&mut self, number: usize) {
        let names: Vec<PeerId> = self.hubs.iter().map(|hub| hub.config.agent_id.clone()).collect();
        let hub = &mut self.hubs[number];
        let Some((from, said)) = hub.unread.pop_front() else { return };
        if hub.is_dead || from == hub.config.agent_id {
            return;
        }
        let steps = match (&said, &mut hub.task) {
            (Said::Request(request), task @ None) => {
                let rank = rank(&request.task_id, &hub.config.agent_id, names.iter());
                let offered = incoming::offered(request.clone(), Will::Able, rank, &hub.config, self.now);
                let (new, steps) = offered.expect("able");
                *task = Some(new);
                steps
            }
            (Said::Report(report), Some(task)) => {
                incoming::next(task, incoming::Fact::Reported { report, from: &from }, &hub.config, self.now)
            }
            (Said::Answer(_), Some(task)) => {
                incoming::next(task, incoming::Fact::AnsweredBy(&from), &hub.config, self.now)
            }
            _ => Vec::new(),
        };
        self.follow(number, steps);
    }

    fn finish(&mut self, number: usize) {
        let hub = &mut self.hubs[number];
        let Some(task) = hub.task.as_mut().filter(|_| hub.works && !hub.is_dead) else { return };
        hub.works = false;
        let done = incoming::Fact::Finished { content: "hello", outcome: AnswerStatus::Completed };
        let steps = incoming::next(task, done, &hub.config, self.now);
        self.follow(number, steps);
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(Duration::from_millis(ms));
        for number in 0..self.hubs.len() {
            let hub = &mut self.hubs[number];
            let Some(task) = hub.task.as_mut().filter(|_| !hub.is_dead) else { continue };
            let steps = incoming::next(task, incoming::Fact::TimePassed, &hub.config, self.now);
            self.follow(number, steps);
        }
        let steps = outgoing::next(&mut self.asked, outgoing::Fact::TimePassed, &config("a"), self.now);
        self.hear(steps);
    }

    /// The requester reads one message.
    fn read_back(&mut self) {
        let Some((from, said)) = self.unread.pop_front() else { return };
        let fact = match &said {
            Said::Report(report) => outgoing::Fact::Reported { report, from: &from },
            Said::Answer(answer) => outgoing::Fact::Answered { answer, from: &from },
            Said::Request(_) => return,
        };
        let steps = outgoing::next(&mut self.asked, fact, &config("a"), self.now);
        self.hear(steps);
    }

    fn hear(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Resume => self.resumed += 1,
                Step::Say(report) => self.say(&peer("a"), &Said::Report(report)),
                _ => {}
            }
        }
    }

    /// Everybody alive reads everything and works, for longer than any lease.
    fn settle(&mut self) {
        for _ in 0..60 {
            for number in 0..self.hubs.len() {
                while !self.hubs[number].unread.is_empty() {
                    self.read(number);
                }
                self.finish(number);
            }
            while !self.unread.is_empty() {
                self.read_back();
            }
            self.pass(7_000);
        }
    }
}

proptest! {
    #[test]
    fn a_request_to_nobody_in_particular_is_answered_while_one_hub_lives(
        acts in proptest::collection::vec((0_u8..5, 0_usize..3, 1_u64..3_000), 0..60),
        survivor in 0_usize..3,
    ) {
        let mut model = Model::new(3);
        for (act, number, ms) in acts {
            match act {
                0 | 1 => model.read(number),
                2 => model.read_back(),
                3 if number != survivor => model.hubs[number].is_dead |= ms < 300,
                3 => model.finish(number),
                _ => model.pass(ms),
            }
        }
        model.settle();
        prop_assert_eq!(model.resumed, 1, "{:?}", model.asked);
        prop_assert_eq!(model.asked.status, Status::Completed);
        for hub in model.hubs.iter().filter(|hub| !hub.is_dead) {
            prop_assert!(hub.task.as_ref().is_some_and(|task| !task.status.is_open()), "{:?}", hub.task);
            prop_assert!(!hub.works && hub.begun <= 1);
        }
    }

    #[test]
    fn one_hub_answers_when_all_hear_in_time(order in proptest::collection::vec(0_usize..4, 4..40)) {
        let mut model = Model::new(4);
        for number in order {
            model.read(number);
        }
        for _ in 0..8 {
            for number in 0..4 {
                while !model.hubs[number].unread.is_empty() {
                    model.read(number);
                }
            }
            model.pass(100);
        }
        model.settle();
        prop_assert_eq!((model.answers, model.resumed), (1, 1));
        prop_assert_eq!(model.hubs.iter().map(|hub| hub.begun).sum::<u32>(), 1);
    }
}
