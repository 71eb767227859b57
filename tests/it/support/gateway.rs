//! A gateway in a home of its own, as a user would start it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{Door, FakeModel, Mosquitto, PATIENCE, wait_for};

/// Starts another build of the program than the one that belongs to these tests: one for boards under emulation (`tests/image/smoke.sh`).
const PROGRAM_VARIABLE: &str = "KAFCLAW_TEST_PROGRAM";

/// How a gateway is to be started. Clones share the home, so that a clone started later finds what was kept.
#[derive(Clone)]
pub struct Plan {
    home: Arc<TempDir>,
    variables: Vec<(String, String)>,
    /// Runs before the program in the same process: `ulimit -n 64`.
    prelude: String,
}

impl Plan {
    pub fn new() -> Self {
        let home = Arc::new(TempDir::new().expect("a home"));
        let plan = Self { home, variables: Vec::new(), prelude: String::new() };
        ["PORT", "DASHBOARD_PORT", "CONTROL_PORT"]
            .iter()
            .fold(plan, |plan, door| plan.with(&format!("KAFCLAW_GATEWAY_{door}"), "0"))
            .with("KAFCLAW_LOG_LEVEL", "debug")
    }

    /// Sets a variable; the last one of a name counts.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_broker(self, broker: &Mosquitto) -> Self {
        self.with("KAFCLAW_MQTT_URL", &broker.url())
    }

    /// The model is the only one that is asked.
    pub fn with_model(self, model: &FakeModel) -> Self {
        self.with("KAFCLAW_MODEL_NAME", "vllm/parrot").with("KAFCLAW_PROVIDERS_VLLM_API_BASE", &model.base())
    }

    pub fn with_prelude(mut self, prelude: &str) -> Self {
        self.prelude = prelude.to_owned();
        self
    }

    /// `KAFCLAW_HOME`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where all state lies.
    pub fn state(&self) -> PathBuf {
        self.home().join(".kafclaw")
    }

    /// Starts a gateway and waits until it is ready.
    #[track_caller]
    pub fn start(&self) -> Gateway {
        let mut gateway = self.launch();
        let doors = wait_for(PATIENCE, || {
            assert!(gateway.process.exited().is_none(), "the gateway ended instead of getting ready");
            self.doors(gateway.process.id())
        });
        let (chat, dashboard) = doors.expect("the gateway is never ready");
        let token = fs::read_to_string(self.state().join("gateway.token")).map(|text| text.trim().to_owned());
        let token = token.ok().or_else(|| self.variable("KAFCLAW_GATEWAY_AUTH_TOKEN")).expect("a token");
        gateway.chat = Some(Door::new(chat, &token));
        gateway.dashboard = Some(Door::new(dashboard, &token));
        gateway
    }

    /// Starts a gateway that is not expected to get ready, or not for long.
    pub fn launch(&self) -> Gateway {
        let _ = fs::remove_file(self.doors_file());
        let process = Process::start("the gateway", self.command(&["gateway"]), &self.home().join("gateway.log"));
        Gateway { plan: self.clone(), process, chat: None, dashboard: None }
    }

    /// The program with this home, for any of its commands.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| env!("CARGO_BIN_EXE_kafclaw").into());
        let mut command = if self.prelude.is_empty() {
            Command::new(program)
        } else {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{}; exec \"$@\"", self.prelude), "sh"]).arg(program);
            shell
        };
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("KAFCLAW_") || name_text.starts_with("MIKROBOT_") {
                command.env_remove(&name);
            }
        }
        command.args(args).env("KAFCLAW_HOME", self.home()).env("HOME", self.home()).current_dir(self.home());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn doors_file(&self) -> PathBuf {
        self.state().join("run/gateway.json")
    }

    /// Addresses of both doors, once process `pid` has written them.
    fn doors(&self, pid: u32) -> Option<(SocketAddr, SocketAddr)> {
        let doors: Value = serde_json::from_slice(&fs::read(self.doors_file()).ok()?).ok()?;
        let address = |name: &str| doors[name].as_str()?.parse().ok();
        (doors["pid"] == pid).then(|| Some((address("chat")?, address("dashboard")?)))?
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

pub struct Gateway {
    /// Before the home: what it said is in there.
    process: Process,
    plan: Plan,
    chat: Option<Door>,
    dashboard: Option<Door>,
}

impl Gateway {
    /// Port 18790.
    pub fn chat(&self) -> &Door {
        self.chat.as_ref().expect("a gateway that was started, not launched")
    }

    /// Port 18791.
    pub fn dashboard(&self) -> &Door {
        self.dashboard.as_ref().expect("a gateway that was started, not launched")
    }

    pub fn token(&self) -> &str {
        self.chat().token()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The plug is pulled.
    pub fn kill9(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait(PATIENCE);
    }

    /// SIGTERM, as systemd sends it; returns how the gateway ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait(Duration::from_secs(10))
    }

    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE)
    }

    /// Starts another one in the same home after this one has ended.
    #[track_caller]
    pub fn start_again(mut self) -> Self {
        assert!(!self.is_running(), "the first one still runs");
        self.plan.clone().start()
    }
}
