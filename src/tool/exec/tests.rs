//! Real child processes: their results, their limits and their end.

use std::fs;
use std::time::Instant;

use rustix::process::{Pid, test_kill_process};

use super::*;
use crate::domain::call::OutcomeStatus;
use crate::tool::file;

const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    folder: tempfile::TempDir,
    files: Files,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("repo/sub")).expect("created");
        let config = file::Config { work_repo: Some(folder.path().join("repo")), ..file::Config::default() };
        Self { files: Files::start(config).expect("started"), folder }
    }

    /// A tool that may also run `sh`, and a script with this body for it. The script is not executable, because a file that
    /// another thread's child still has open for writing cannot be executed.
    fn exec(&self, body: &str, config: Config) -> Exec {
        fs::write(self.folder.path().join("repo/task"), format!("{body}\n")).expect("written");
        let programs = config.programs.iter().cloned().chain(["sh".to_owned()]).collect();
        Exec::new(Config { programs, ..config }, self.files.clone())
    }

    /// The command that runs the script.
    fn task(&self) -> String {
        format!("sh {}/repo/task", self.folder.path().display())
    }

    async fn ran(&self, body: &str, config: Config) -> Outcome {
        self.exec(body, config).execute(&self.task(), "").await
    }

    /// Waits until the script has written the id of the process it started.
    async fn pid(&self) -> Pid {
        let started = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.path().join("repo/pid")).unwrap_or_default();
            if let Some(pid) = text.strip_suffix('\n').and_then(|text| text.parse().ok()).and_then(Pid::from_raw) {
                return pid;
            }
            assert!(started.elapsed() < PATIENCE, "the script did not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn dies(pid: Pid) {
    let started = Instant::now();
    // A zombie that init has not reaped yet still answers to a signal; its state tells.
    let is_alive = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        test_kill_process(pid).is_ok() && !stat.contains(") Z ")
    };
    while is_alive() {
        assert!(started.elapsed() < PATIENCE, "process {pid:?} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn results_have_kafclaws_form() {
    let house = House::new();
    for (body, text, status) in [
        ("echo hi", "hi\n", OutcomeStatus::Done),
        ("true", "(no output)", OutcomeStatus::Done),
        ("echo hi; echo oh >&2", "hi\nSTDERR:\noh\n", OutcomeStatus::Done),
        ("printf hi; echo oh >&2; exit 3", "hi\nSTDERR:\noh\n\nExit code: 3", OutcomeStatus::Failed),
        ("kill -9 $$", "\nExit code: -1", OutcomeStatus::Failed),
        ("cat", "(no output)", OutcomeStatus::Done),
    ] {
        let outcome = house.ran(body, Config::default()).await;
        assert_eq!((outcome.text.as_str(), outcome.status), (text, status), "{body}");
    }
}

#[tokio::test]
async fn words_arrive_as_they_were_quoted() {
    let house = House::new();
    let exec = house.exec("for word; do echo \"<$word>\"; done", Config::default());
    let outcome = exec.execute(&format!("{} 'a  b' \"c;d\" e\\ f '' '$HOME'", house.task()), "").await;
    assert_eq!(outcome.text, "<a  b>\n<c;d>\n<e f>\n<>\n<$HOME>\n");
}

#[tokio::test]
async fn the_environment_is_ours_alone() {
    let house = House::new();
    assert!(std::env::vars().count() > 0);
    let outcome = house.ran("/usr/bin/env | cut -d= -f1 | sort | tr '\\n' ' '", Config::default()).await;
    for name in outcome.text.split_whitespace() {
        let is_known =
            name.starts_with("GIT_") || ["PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name);
        assert!(is_known, "{name} leaked");
    }
}

#[tokio::test]
async fn it_works_in_the_repo_or_in_a_folder_of_it() {
    let house = House::new();
    let exec = house.exec("pwd -P", Config::default());
    let repo = house.folder.path().join("repo").canonicalize().expect("there");
    assert_eq!(exec.execute(&house.task(), "").await.text, format!("{}\n", repo.display()));
    assert_eq!(exec.execute(&house.task(), "sub").await.text, format!("{}\n", repo.join("sub").display()));
    let outcome = exec.execute(&house.task(), "..").await;
    assert_eq!(outcome.status, OutcomeStatus::Denied);
    assert_eq!(exec.execute(&house.task(), "/").await.text, "Error: path outside work repo and workspace.");
}

#[tokio::test]
async fn a_timeout_kills_what_the_program_started_and_keeps_what_it_said() {
    let house = House::new();
    let config = Config { timeout: Duration::from_secs(5), ..Config::default() };
    let outcome = house.ran("echo begun; sleep 600 & echo $! > pid; wait", config).await;
    assert_eq!(outcome.text, "Error: command timed out after 5s\nbegun\n");
    dies(house.pid().await).await;
}

#[tokio::test]
async fn a_cancelled_call_kills_what_the_program_started() {
    let house = House::new();
    let exec = house.exec("sleep 600 & echo $! > pid; wait", Config::default());
    let task = house.task();
    let pid = tokio::select! {
        outcome = exec.execute(&task, "") => panic!("ended early: {outcome:?}"),
        pid = house.pid() => pid,
    };
    dies(pid).await;
}

#[tokio::test]
async fn nothing_stays_in_the_background_after_a_normal_end() {
    let house = House::new();
    let outcome = house.ran("sleep 600 & echo $! > pid; echo done", Config::default()).await;
    assert_eq!(outcome.text, "done\n");
    dies(house.pid().await).await;
}

#[tokio::test]
async fn output_is_kept_up_to_its_limit_and_a_flood_is_stopped() {
    let house = House::new();
    let config = || Config { output_bytes_max: 1_000, ..Config::default() };
    let outcome = house.ran("printf '%02000d' 0", config()).await;
    assert_eq!(outcome.text, format!("{}\n[output truncated: 1000 of 2000 bytes shown]", "0".repeat(1_000)));
    let outcome = house.ran("yes", config()).await;
    assert!(outcome.text.starts_with("Error: the command printed too much and was stopped\ny\n"), "{}", outcome.text);
    assert!(outcome.text.len() < 1_200);
}

#[tokio::test]
async fn refusals_are_sentences_unless_compatibility_is_wanted() {
    let house = House::new();
    let exec = house.exec("true", Config::default());
    let outcome = exec.execute("rm -rf x", "").await;
    assert_eq!(outcome.status, OutcomeStatus::Denied);
    assert!(outcome.text.starts_with("Error: rm may not be run; allowed are git, "), "{}", outcome.text);
    let exec = house.exec("true", Config { denial_text: DenialText::Kafclaw, ..Config::default() });
    assert_eq!(exec.execute("rm -rf x", "").await.text, "Ey, du spinnst wohl? Hä?");
    assert_eq!(exec.execute("cat ../x", "").await.text, "Error: path traversal not allowed");
    assert_eq!(exec.execute("  ", "").await.text, "Error: command is required");
    assert!(exec.execute("nonesuch", "").await.text.starts_with("Ey"));
}

#[tokio::test]
async fn a_program_that_is_not_installed_is_an_error_not_a_panic() {
    let house = House::new();
    let config = Config { programs: vec!["kafclaw-nonesuch".to_owned()], ..Config::default() };
    let exec = Exec::new(config, house.files.clone());
    assert!(exec.execute("kafclaw-nonesuch", "").await.text.starts_with("Error executing command: "));
}
