//! The plug is pulled at every named place of a message's life. Afterwards the message is answered once, and no device was
//! switched twice behind the household's back.

mod group;

use std::collections::BTreeSet;

use kafclaw::base::fault::POINTS;
use serde_json::{Value, json};

use crate::support::{FakeModel, Lamp, Mosquitto, Mqtt, PATIENCE, Plan, eventually};

/// A house whose gateway dies at `point` when it gets there.
struct Stage {
    /// Lives as long as the stage.
    _broker: Mosquitto,
    lamp: Lamp,
    person: Mqtt,
    plan: Plan,
}

impl Stage {
    fn set(plan: Plan) -> Self {
        let broker = Mosquitto::start();
        let lamp = Lamp::in_kitchen(&broker);
        let person = Mqtt::connect(&broker, &["kafclaw/default/out/#"]);
        let plan = plan.with_broker(&broker);
        Self { _broker: broker, lamp, person, plan }
    }

    /// Runs `act` with a gateway that dies at `point`, then starts one that does not.
    fn crash(&self, point: &str, act: impl FnOnce(&crate::support::Gateway)) -> crate::support::Gateway {
        let mut doomed = self.plan.clone().with("KAFCLAW_FAULT", point).start();
        self.lamp.wait_until_known(doomed.dashboard());
        act(&doomed);
        let status = doomed.wait_for_exit();
        assert!(!status.success(), "{point} is never passed:\n{}", doomed.log());
        let gateway = self.plan.start();
        self.lamp.wait_until_known(gateway.dashboard());
        gateway
    }

    fn say(&self, id: &str, text: &str) {
        self.person.publish("kafclaw/default/in/hall", json!({"id": id, "text": text}).to_string());
    }

    fn answer(&self, id: &str) -> Value {
        self.person.expect(&format!("an answer to {id}"), |heard| heard.json()["in_reply_to"] == id).json()
    }

    /// Different answers to a message; a repeated one counts once.
    fn answers(&self, id: &str) -> BTreeSet<String> {
        let heard = self.person.heard();
        let answers = heard.iter().map(|heard| heard.json()).filter(|answer| answer["in_reply_to"] == id);
        answers.map(|answer| format!("{} {}", answer["id"], answer["text"])).collect()
    }

    /// What must hold after a message that switches the lamp on.
    fn judge(&self, point: &str) {
        let answer = self.answer("m-1");
        let said = answer["text"].as_str().unwrap_or_default().to_lowercase();
        // A later message of the same conversation is answered later: whatever was to come for the first one has come.
        self.say("m-2", "what time is it?");
        self.answer("m-2");
        assert_eq!(self.answers("m-1").len(), 1, "{point}: {:?}", self.answers("m-1"));
        let commands = self.lamp.commands();
        assert!(commands.len() <= 1, "{point}: the lamp was told {commands:?}, the person {said:?}");
        let admits_doubt = ["unknown", "don't know", "cannot know"].iter().any(|word| said.contains(word));
        assert!(commands.len() == 1 || admits_doubt, "{point}: nothing was switched, but the answer is {said:?}");
    }
}

/// Fault points of a life: `message`, `job`, or `group` (those of [`group`]).
fn points_of(life: &str) -> Vec<&'static str> {
    let life_of = |point: &str| match point.split('.').next() {
        Some("job") => "job",
        Some("inbox" | "outbox") => "group",
        _ => "message",
    };
    POINTS.iter().copied().filter(|point| life_of(point) == life).collect()
}

#[test]
fn a_sentence_survives_every_fault_point() {
    for point in points_of("message") {
        let stage = Stage::set(Plan::new());
        let _gateway = stage.crash(point, |_| stage.say("m-1", "turn on the kitchen lamp"));
        stage.judge(point);
    }
}

#[test]
fn a_model_that_uses_a_device_survives_every_fault_point() {
    for point in points_of("message").into_iter().filter(|point| point.starts_with("call.")) {
        let model = FakeModel::start();
        let stage = Stage::set(Plan::new().with_model(&model));
        let call = json!({"entity": "kitchen lamp", "action": "turn_on"});
        model.will_call("device_control", &call);
        model.will_say("I cannot know more; please check the lamp.");
        model.will_say("I cannot know more; please check the lamp.");
        let _gateway = stage.crash(point, |_| stage.say("m-1", "I would like to read where the stove is"));
        stage.judge(point);
    }
}

#[test]
fn a_job_survives_every_fault_point() {
    for point in points_of("job") {
        let stage = Stage::set(Plan::new());
        let gateway = stage.crash(point, |gateway| {
            let job = json!({"kind": "ask", "text": "turn on the kitchen lamp", "in": "1s"});
            let made = gateway.dashboard().try_call(
                "POST",
                "/api/v1/jobs",
                &["Content-Type: application/json"],
                job.to_string().as_bytes(),
            );
            if let Ok(reply) = made {
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        });
        eventually("the job's task is completed", PATIENCE, || {
            let tasks = gateway.dashboard().get("/api/v1/tasks?channel=scheduler").json();
            tasks.as_array().is_some_and(|tasks| tasks.iter().any(|task| task["status"] == "completed"))
        });
        let tasks = gateway.dashboard().get("/api/v1/tasks?channel=scheduler").json();
        assert_eq!(tasks.as_array().map(Vec::len), Some(1), "{point}: {tasks}");
        assert_eq!(stage.lamp.commands(), [json!({"state": "ON"})], "{point}");
    }
}

#[test]
fn every_fault_point_belongs_to_a_test() {
    let lives = ["message", "job", "group"].map(points_of);
    assert_eq!(lives.iter().map(Vec::len).sum::<usize>(), POINTS.len());
    assert!(lives.iter().all(|points| !points.is_empty()));
    assert_eq!(lives[2], ["inbox.before_commit", "outbox.after_produce"], "what the group's test pulls");
}
