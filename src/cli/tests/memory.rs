//! `kafclaw memory`, against a gateway that answers from a script.

use serde_json::Value;

use super::*;
use crate::cli::client::testing::{Fake, Script};

const SCRIPT: Script = &[
    (
        "GET /api/v1/memory/search?q=spare%20key&limit=10&layer=&mode=hybrid",
        200,
        r#"{"query":"spare key","results":[{"id":"m1","source":"user","relevance":0.82,"content":"It is in the shed","created_at":"x"}]}"#,
    ),
    (
        "GET /api/v1/memory/chunks?limit=20&layer=user",
        200,
        r#"[{"id":"m1","source":"user","created_at":"x","content":"Tea"}]"#,
    ),
    ("POST /api/v1/memory/chunks", 200, r#"{"id":"m2","status":"ok"}"#),
    ("DELETE /api/v1/memory/chunk?id=m1", 200, r#"{"deleted":1,"status":"ok"}"#),
    ("DELETE /api/v1/memory/chunk?id=m9", 404, r#"{"error":"there is no memory m9"}"#),
    ("POST /api/v1/memory/reset", 200, r#"{"deleted":7,"status":"ok"}"#),
    ("GET /api/v1/memory/documents", 200, "[]"),
    ("POST /api/v1/memory/documents", 200, r#"{"chunks":2,"complete":true,"status":"ok"}"#),
    ("GET /api/v1/memory/export?after=0&vectors=false", 200, r#"{"lines":["{\"content\":\"a\"}"],"next":7}"#),
    ("GET /api/v1/memory/export?after=7&vectors=false", 200, r#"{"lines":["{\"content\":\"b\"}"],"next":null}"#),
    (
        "POST /api/v1/memory/import",
        200,
        r#"{"new":1,"known":1,"full":0,"bad":[{"line":2,"error":"no"}],"status":"ok"}"#,
    ),
];

#[test]
fn what_is_remembered_is_shown_added_and_forgotten() {
    let home = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(home.path(), SCRIPT);
    for (args, code, expected) in [
        (&["memory", "search", "spare", "key"][..], 0, " 82%  user  x  m1\n      It is in the shed\n"),
        (&["memory", "list", "--layer", "user"], 0, "m1  user    x      Tea\n"),
        (&["memory", "list", "--documents"], 0, "No documents yet"),
        (&["memory", "remember", "tea", "at", "five"], 0, "Remembered as m2.\n"),
        (&["memory", "forget", "m1"], 0, "m1 is forgotten.\n"),
        (&["memory", "forget", "--layer", "tool", "--yes"], 0, "7 memories are forgotten.\n"),
        (&["memory", "export"], 0, "{\"content\":\"a\"}\n{\"content\":\"b\"}\n"),
    ] {
        let (got, out, err) = kafclaw(home.path(), args);
        assert_eq!((got, err.as_str()), (code, ""), "{args:?}");
        assert!(out.contains(expected), "{args:?}: {out}");
    }
    let (code, _, err) = kafclaw(home.path(), &["memory", "forget", "m9"]);
    assert!(code == 1 && err.contains("there is no memory m9"), "{err}");
    let (code, _, err) = kafclaw(home.path(), &["memory", "forget", "--layer", "tool"]);
    assert!(code == 1 && err.contains("nothing was forgotten"), "{err}");
    let asked = fake.asked();
    let body = |line: &str| asked.iter().find(|asked| asked.line == line).map(|asked| asked.body.clone());
    assert_eq!(body("POST /api/v1/memory/chunks").as_deref(), Some(r#"{"content":"tea at five","tags":""}"#));
    assert_eq!(body("POST /api/v1/memory/reset").as_deref(), Some(r#"{"layer":"tool"}"#));
}

#[test]
fn a_folder_is_read_here_and_its_text_is_sent() {
    let home = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(home.path(), SCRIPT);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("boiler.md"), "# Boiler\n\n## Care\n\nClean it twice a year.\n")
        .expect("written");
    std::fs::write(folder.path().join("blob"), [0_u8, 1, 2]).expect("written");
    let path = folder.path().to_string_lossy().into_owned();
    let (code, out, err) = kafclaw(home.path(), &["memory", "add", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("1 document added (1 piece), 1 no documents."), "{out}");
    let sent = fake.asked().into_iter().find(|asked| asked.line == "POST /api/v1/memory/documents").expect("sent");
    let sent: Value = serde_json::from_str(&sent.body).expect("JSON");
    assert!(sent["path"].as_str().is_some_and(|path| path.ends_with("/boiler.md")));
    assert_eq!((sent["title"].as_str(), sent["last"].as_bool()), (Some("Boiler"), Some(true)));
    assert_eq!(sent["pieces"][0]["content"], "Boiler > Care\nClean it twice a year.");
    let (code, _, err) = kafclaw(home.path(), &["memory", "add", &format!("{path}/blob")]);
    assert!(code == 1 && err.contains("blob: it is no text, Markdown, HTML or PDF\n"), "{err}");
    let (code, _, err) = kafclaw(home.path(), &["memory", "add", &format!("{path}/none")]);
    assert!(code == 1 && err.contains("could not read"), "{err}");
}

#[test]
fn exported_lines_are_taken_and_bad_ones_are_told() {
    let home = tempfile::tempdir().expect("a folder");
    let fake = Fake::start(home.path(), SCRIPT);
    let file = home.path().join("memories.jsonl");
    let name = file.to_string_lossy().into_owned();
    let (code, out, _) = kafclaw(home.path(), &["memory", "export", &name]);
    assert_eq!((code, out), (0, format!("{name} with 2 lines\n")));
    let (code, out, err) = kafclaw(home.path(), &["memory", "import", &name]);
    assert_eq!((code, out.as_str()), (1, "1 taken, 1 known already.\n"));
    assert!(err.contains("warning: line 2: no") && err.contains("1 line could not be read"), "{err}");
    let sent = fake.asked().into_iter().find(|asked| asked.line == "POST /api/v1/memory/import").expect("sent");
    assert_eq!(sent.body, r#"{"lines":["{\"content\":\"a\"}","{\"content\":\"b\"}"]}"#);
}
