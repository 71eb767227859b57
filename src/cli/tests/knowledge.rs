//! What the group knows, from the command line.

use super::*;
use crate::cli::client::testing::{Fake, Script};

const GATEWAY: Script = &[
    (
        "POST /api/v1/knowledge/vote",
        200,
        r#"{"action":"vote","status":"ok","proposalId":"kp-1","queued":true,
            "decision":{"Status":"pending","Yes":1,"No":0,"Reason":"waiting for votes"}}"#,
    ),
    ("POST /api/v1/knowledge/propose", 400, r#"{"error":"knowledge governance is disabled","hint":"Set it."}"#),
];

#[test]
fn what_is_said_is_posted_and_what_came_of_it_is_printed() {
    let home = tempfile::tempdir().expect("a home");
    let gateway = Fake::start(home.path(), GATEWAY);
    let vote = ["knowledge", "vote", "--proposal-id", "kp-1", "--vote", "YES"];
    let (code, out, err) = kafclaw(home.path(), &vote);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("knowledge vote: ok") && out.contains("pending (1 yes, 0 no"), "{out}");
    assert!(gateway.asked()[0].body.contains(r#""proposalId":"kp-1""#));
    let (code, _, err) = kafclaw(home.path(), &["knowledge", "propose", "--statement", "x"]);
    assert!(code == 1 && err.contains("knowledge governance is disabled Set it."), "{err}");
    let as_another = [&vote[..], &["--as-claw", "b"]].concat();
    assert_eq!(kafclaw(home.path(), &as_another).0, 64, "nobody votes for another");
}

#[test]
fn without_a_gateway_it_says_how_to_start_one() {
    let home = tempfile::tempdir().expect("a home");
    let (code, _, err) = kafclaw(home.path(), &["knowledge", "facts"]);
    assert!(code == 69 && err.contains("kafclaw gateway"), "{code} {err}");
}
