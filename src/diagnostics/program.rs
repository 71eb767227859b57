//! Asks a program of the machine, for so long and for so much.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::diagnostics::{PART_BYTES_MAX, PROGRAM_MAX};

/// Asks `journalctl` for the newest entries first.
pub(super) const REVERSE: &str = "--reverse";
/// Stands where older entries would.
const CUT: &str = "(older entries are left out)";
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
    let mut is_cut = false;
    match tokio::time::timeout(PROGRAM_MAX, read).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(_)) if !bytes.is_empty() => is_cut = bytes.len() == PART_BYTES_MAX,
        Ok(Ok(status)) => return Err(format!("{program} failed ({status})")),
        Ok(Err(error)) => return Err(format!("{program} could not be read ({error})")),
        Err(_) if bytes.is_empty() => return Err(format!("{program} did not answer in time")),
        Err(_) => is_cut = true,
    }
    let text = slim(&String::from_utf8_lossy(&bytes));
    Ok(if arguments.contains(&REVERSE) { turned(&text, is_cut) } else { text })
}

/// The oldest line first, out of what came with the newest first; of what was cut, the last one is not whole.
fn turned(text: &str, is_cut: bool) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if is_cut {
        lines.pop();
        lines.push(CUT);
    }
    lines.into_iter().rev().map(|line| format!("{line}\n")).collect()
}

/// A field with a control character or what is no UTF-8 comes as an array of bytes (`journalctl(1)`, "json"): nobody would find a secret in it.
fn read_bytes(field: &mut Value) {
    let bytes = field.as_array().map(|items| items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect());
    if let Some(Some(bytes)) = bytes {
        let bytes: Vec<u8> = bytes;
        *field = Value::from(String::from_utf8_lossy(&bytes));
    }
}

/// Takes out of a journal's entries what systemd adds to each (`systemd.journal-fields(7)`).
fn slim(text: &str) -> String {
    let slim_line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut fields)) if fields.contains_key("__REALTIME_TIMESTAMP") => {
            fields.retain(|name, _| !name.starts_with('_') || KEPT.contains(&name.as_str()));
            fields.values_mut().for_each(read_bytes);
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
        let bytes = r#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[115,107,45,13]}"#;
        let slimmed: Value = serde_json::from_str(&slim(bytes)).expect("JSON");
        assert_eq!(slimmed["MESSAGE"], "sk-\r");
    }

    #[test]
    fn what_does_not_fit_of_a_journal_is_the_oldest() {
        assert_eq!(turned("c\nb\na\n", false), "a\nb\nc\n");
        assert_eq!(turned("c\nb\nha", true), "(older entries are left out)\nb\nc\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_fails_is_told() {
        assert!(printed(&["no-such-program-here"]).await.expect_err("no program").contains("cannot be run"));
        assert!(printed(&["false"]).await.expect_err("a failure").contains("failed"));
        assert_eq!(printed(&["echo", "hello"]).await.expect("words"), "hello\n");
        let endless = printed(&["yes"]).await.expect("as much as is taken");
        assert!(endless.len() <= PART_BYTES_MAX + 2);
        let endless = printed(&["yes", REVERSE]).await;
        assert!(endless.expect_err("yes knows no such option").contains("failed"));
        let cut = printed(&["sh", "-c", "yes", REVERSE]).await.expect("as much as is taken");
        assert!(cut.starts_with(CUT) && cut.ends_with("y\ny\n"));
    }
}
