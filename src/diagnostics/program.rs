//! Asks a program of the machine, for so long and for so much.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::diagnostics::{PART_BYTES_MAX, PROGRAM_MAX};

/// Fields of a journal's entry that say who wrote it and when; the others with such names are systemd's own and many.
const KEPT: &[&str] = &["__REALTIME_TIMESTAMP", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "_PID", "_BOOT_ID"];

/// What `command` prints; why not, when it does not.
pub(super) async fn printed(command: &[&str]) -> Result<String, String> {
    let [program, arguments @ ..] = command else { return Err("there is no program".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be run ({error})"))?;
    let Some(stdout) = child.stdout.take() else { return Err(format!("{program} has no output")) };
    let mut bytes = Vec::new();
    let read = async {
        stdout.take(PART_BYTES_MAX as u64).read_to_end(&mut bytes).await?;
        // What is beyond the bound is not wanted; a program that still writes ends of it.
        child.wait().await
    };
    match tokio::time::timeout(PROGRAM_MAX, read).await {
        Ok(Ok(status)) if status.success() || !bytes.is_empty() => {}
        Ok(Ok(status)) => return Err(format!("{program} failed ({status})")),
        Ok(Err(error)) => return Err(format!("{program} could not be read ({error})")),
        Err(_) if bytes.is_empty() => return Err(format!("{program} did not answer in time")),
        Err(_) => {}
    }
    Ok(slim(&String::from_utf8_lossy(&bytes)))
}

/// Takes out of a journal's entries what systemd adds to each (`systemd.journal-fields(7)`).
fn slim(text: &str) -> String {
    let slim_line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut fields)) if fields.contains_key("__REALTIME_TIMESTAMP") => {
            fields.retain(|name, _| !name.starts_with('_') || KEPT.contains(&name.as_str()));
            Value::Object(fields).to_string()
        }
        _ => line.to_owned(),
    };
    text.lines().map(|line| slim_line(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_journal_lose_what_is_the_same_in_all() {
        let entry =
            r#"{"__REALTIME_TIMESTAMP":"1","_MACHINE_ID":"x","_PID":"7","MESSAGE":"Hello.","F_ELAPSED_MS":"3"}"#;
        let slimmed: Value = serde_json::from_str(&slim(entry)).expect("JSON");
        let expected =
            serde_json::json!({"__REALTIME_TIMESTAMP": "1", "_PID": "7", "MESSAGE": "Hello.", "F_ELAPSED_MS": "3"});
        assert_eq!(slimmed, expected);
        assert_eq!(slim("no journal\n"), "no journal\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_fails_is_told() {
        assert!(printed(&["no-such-program-here"]).await.expect_err("no program").contains("cannot be run"));
        assert!(printed(&["false"]).await.expect_err("a failure").contains("failed"));
        assert_eq!(printed(&["echo", "hello"]).await.expect("words"), "hello\n");
        let endless = printed(&["yes"]).await.expect("as much as is taken");
        assert!(endless.len() <= PART_BYTES_MAX + 2);
    }
}
