//! Zones and the giving out of tasks on a real broker: who is meant gets it, and whoever is not of the zone neither asks nor is asked.

use serde_json::{Value, json};

use crate::group::{hub, sees};
use crate::support::{Gateway, Kafka, PATIENCE, Plan, eventually};

fn placed(agent: &str, group: &str, port: u16) -> Plan {
    // No model answers in these tests: only a skill makes them able.
    hub(agent, group, port).with("KAFCLAW_ORCHESTRATOR_ENABLED", "true").with("KAFCLAW_GROUP_SKILLS", "clock")
}

fn zone(gateway: &Gateway, id: &str) -> Option<Value> {
    let zones = gateway.dashboard().get("/api/v1/orchestrator/zones").json();
    zones.as_array()?.iter().find(|zone| zone["zone_id"] == id).cloned()
}

fn change(gateway: &Gateway, body: &Value) -> (u16, Value) {
    let reply = gateway.dashboard().post("/api/v1/orchestrator/zones", body);
    (reply.status, reply.json())
}

fn dispatch(gateway: &Gateway, body: &Value) -> (u16, Value) {
    let reply = gateway.dashboard().post("/api/v1/orchestrator/dispatch", body);
    (reply.status, reply.json())
}

fn outgoing(gateway: &Gateway, id: &Value) -> Value {
    let tasks = gateway.dashboard().get("/api/v1/group/tasks?direction=outgoing").json();
    tasks.as_array().and_then(|tasks| tasks.iter().find(|task| task["task_id"] == *id)).cloned().unwrap_or_default()
}

#[test]
fn a_task_goes_to_a_member_of_its_zone_and_to_nobody_else() {
    let port = Kafka::shared().plaintext;
    let plan = placed("kitchen-hub", "it-zones", port);
    let mut kitchen = plan.start();
    let garage = placed("garage-hub", "it-zones", port).with("KAFCLAW_ORCHESTRATOR_PARENT_ID", "kitchen-hub").start();
    let attic = placed("attic-hub", "it-zones", port).start();
    eventually("all hubs see each other", PATIENCE * 2, || {
        ["garage-hub", "attic-hub"].iter().all(|other| sees(&kitchen, other)) && sees(&attic, "kitchen-hub")
    });
    eventually("everybody knows who stands where", PATIENCE, || {
        let agents = attic.dashboard().get("/api/v1/orchestrator/agents").json();
        let ids: Vec<&Value> = agents.as_array().into_iter().flatten().map(|agent| &agent["agent_id"]).collect();
        ids == ["attic-hub", "garage-hub", "kitchen-hub"] && agents[1]["above"] == "kitchen-hub"
    });
    let made =
        change(&kitchen, &json!({"zone_id": "workshop", "visibility": "private", "allowed_ids": ["garage-hub"]}));
    assert_eq!((made.0, &made.1["zone"]["owner_id"]), (200, &json!("kitchen-hub")), "{made:?}");
    assert_eq!(change(&kitchen, &json!({"zone_id": "workshop"})).0, 409, "it is there already");
    for other in [&garage, &attic] {
        eventually("the others hear of the zone", PATIENCE, || zone(other, "workshop").is_some());
        assert_eq!(change(other, &json!({"zone_id": "workshop", "action": "delete"})).1["reason"], "not_owner");
    }
    let order =
        json!({"description": "the time", "content": "what time is it", "target_zone": "workshop", "skill": "clock"});
    let (status, given) = dispatch(&kitchen, &order);
    assert_eq!(
        (status, &given["status"], &given["member"]),
        (200, &json!("dispatched"), &json!("garage-hub")),
        "{given}"
    );
    eventually("it is answered", PATIENCE, || outgoing(&kitchen, &given["task_id"])["status"] == "completed");
    assert_eq!(attic.dashboard().get("/api/v1/group/tasks?direction=incoming").json(), json!([]));
    let (status, refused) = dispatch(&attic, &order);
    assert_eq!((status, &refused["reason"]), (403, &json!("zone")), "{refused}");
    assert_eq!(refused["error"], "agent attic-hub not allowed in zone workshop");
    let unable = dispatch(&kitchen, &json!({"description": "cook", "skill": "cooking"}));
    assert_eq!((unable.0, &unable.1["reason"]), (409, &json!("nobody_able")), "{unable:?}");

    let deep = dispatch(&kitchen, &json!({"description": "cook", "skill": "clock", "delegation_depth": 3}));
    assert_eq!((deep.0, &deep.1["reason"]), (409, &json!("too_deep")), "{deep:?}");

    // A zone that changes is another one everywhere, also for whoever starts again.
    let changed = change(&kitchen, &json!({"zone_id": "workshop", "action": "update", "allowed_ids": ["attic-hub"]}));
    assert_eq!(changed.0, 200, "{changed:?}");
    for other in [&garage, &attic] {
        eventually("the others hear of the change", PATIENCE, || {
            zone(other, "workshop").is_some_and(|zone| zone["allowed_ids"] == json!(["attic-hub"]))
        });
    }
    assert!(kitchen.terminate().success());
    let mut kitchen = plan.start();
    eventually("the attic is seen again", PATIENCE, || sees(&kitchen, "attic-hub") && sees(&kitchen, "garage-hub"));
    assert_eq!(zone(&kitchen, "workshop").expect("a zone")["allowed_ids"], json!(["attic-hub"]));
    assert_eq!(dispatch(&kitchen, &order).1["member"], "attic-hub");
    let status = kitchen.dashboard().get("/api/v1/orchestrator/status").json();
    assert_eq!(
        (&status["agent_count"], &status["zone_count"], &status["active"]),
        (&json!(3), &json!(2), &json!(true))
    );
    assert!(kitchen.terminate().success());
}

#[test]
fn whoever_asks_is_let_into_a_private_zone_by_its_owner_only() {
    let port = Kafka::shared().plaintext;
    let kitchen = placed("kitchen-hub", "it-door", port)
        .with("KAFCLAW_ORCHESTRATOR_ZONE_ID", "upstairs")
        .with("KAFCLAW_ORCHESTRATOR_ZONE_VISIBILITY", "private")
        .start();
    let garage = placed("garage-hub", "it-door", port).start();
    eventually("the garage hears of the zone", PATIENCE * 2, || zone(&garage, "upstairs").is_some());
    eventually("both see each other", PATIENCE, || sees(&garage, "kitchen-hub") && sees(&kitchen, "garage-hub"));
    let order = json!({"description": "what time is it", "target_zone": "upstairs", "skill": "clock"});
    assert_eq!(dispatch(&garage, &order).0, 403);
    assert_eq!(dispatch(&kitchen, &order).1["reason"], "nobody_allowed");
    assert_eq!(change(&garage, &json!({"zone_id": "upstairs", "action": "join"})).0, 200);
    eventually("the owner hears of the wish", PATIENCE, || {
        zone(&kitchen, "upstairs").is_some_and(|zone| zone["waiting"] == json!(["garage-hub"]))
    });
    assert_eq!(dispatch(&garage, &order).0, 403, "asking is not enough");
    let approve = json!({"zone_id": "upstairs", "action": "approve", "agent_id": "garage-hub"});
    assert_eq!(change(&kitchen, &approve).0, 200);
    eventually("the garage is let in", PATIENCE, || {
        zone(&garage, "upstairs").is_some_and(|zone| zone["members"] == json!(["garage-hub", "kitchen-hub"]))
    });
    let (_, given) = dispatch(&garage, &order);
    assert_eq!(given["member"], "kitchen-hub", "{given}");
    eventually("it is answered", PATIENCE, || outgoing(&garage, &given["task_id"])["status"] == "completed");
    // What the configuration says is not changed behind its back.
    let open = change(&kitchen, &json!({"zone_id": "upstairs", "action": "update", "visibility": "public"}));
    assert_eq!((open.0, &open.1["reason"]), (409, &json!("configured")), "{open:?}");
}

#[test]
fn without_a_group_the_orchestrator_says_why_it_does_nothing() {
    let gateway = Plan::new().with("KAFCLAW_ORCHESTRATOR_ENABLED", "true").start();
    let said = gateway.dashboard().get("/api/v1/orchestrator/status").json();
    assert_eq!(said, json!({"active": false, "enabled": true}));
    for path in ["hierarchy", "agents", "zones"] {
        assert_eq!(gateway.dashboard().get(&format!("/api/v1/orchestrator/{path}")).json(), json!([]), "{path}");
    }
    assert_eq!(dispatch(&gateway, &json!({"description": "x"})).0, 503);
    assert_eq!(dispatch(&Plan::new().start(), &json!({"description": "x"})).0, 400);
}
