//! Members of a group that share no code with this program, from `tests/peers`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::{PATIENCE, wait_for};

/// A script with confluent-kafka that is told what to do, and tells what it sees.
pub struct ForeignPeer {
    child: Child,
    orders: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl ForeignPeer {
    /// Starts it and waits until it has joined. `more` are further arguments.
    #[track_caller]
    pub fn join(agent: &str, group: &str, port: u16, more: &[&str]) -> Self {
        let python = std::env::var("KAFCLAW_PEER_PYTHON").expect("KAFCLAW_PEER_PYTHON; does scripts/test.sh help?");
        let brokers = format!("127.0.0.1:{port}");
        let mut child = Command::new(python)
            .arg(script("foreign_peer.py"))
            .args(["--brokers", &brokers, "--group", group, "--agent", agent])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python");
        let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (log, output) = (seen.clone(), child.stdout.take().expect("its output"));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.lock().expect("the log").push(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let peer = Self { orders: child.stdin.take(), child, seen };
        peer.expect("that it has joined", |event| event["joined"] == true);
        peer
    }

    #[track_caller]
    pub fn tell(&mut self, order: &Value) {
        let orders = self.orders.as_mut().expect("a peer that has not left");
        writeln!(orders, "{order}").expect("a peer that listens");
    }

    pub fn seen(&self) -> Vec<Value> {
        self.seen.lock().expect("the log").clone()
    }

    /// The first event that fits, now or soon.
    #[track_caller]
    pub fn expect(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = wait_for(PATIENCE, || self.seen().into_iter().find(&fits));
        found.unwrap_or_else(|| panic!("never seen {what}; seen {:#?}", self.seen()))
    }

    /// The payload of the answer to a task of its own.
    #[track_caller]
    pub fn answer(&self, task_id: &str) -> Value {
        self.expect(&format!("an answer to {task_id}"), |event| is_answer(event, task_id))["payload"].clone()
    }

    pub fn answers(&self, task_id: &str) -> usize {
        self.seen().iter().filter(|event| is_answer(event, task_id)).count()
    }

    /// It says good-bye and ends.
    #[track_caller]
    pub fn leave(mut self) {
        drop(self.orders.take());
        let left = wait_for(PATIENCE, || self.child.try_wait().expect("a child"));
        assert!(left.is_some_and(|status| status.success()), "the foreign peer did not leave: {left:?}");
    }
}

impl Drop for ForeignPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell with kcat that joins, asks the group and leaves; its output is the record of the answer.
#[track_caller]
pub fn ask_from_a_shell(agent: &str, group: &str, port: u16, words: &str) -> Value {
    let output = Command::new(script("shell_peer.sh"))
        .args([&format!("127.0.0.1:{port}"), group, agent, words])
        .output()
        .expect("a shell");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn is_answer(event: &Value, task_id: &str) -> bool {
    event["topic"] == "responses" && event["payload"]["task_id"] == task_id
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}
