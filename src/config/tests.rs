//! The configuration as a whole: layers, includes, mistakes, and a walk along every key.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::key::{Key, Kind};
use super::*;
use crate::domain::call::Tier;

const FILE: &str = "/h/.kafclaw/config.json";

/// A disk of texts.
#[derive(Default)]
struct Disk(BTreeMap<PathBuf, String>);

impl Disk {
    fn with(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).map(|text| text.as_bytes().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let mut all: Vec<(String, String)> = vec![("KAFCLAW_HOME".to_owned(), "/h".to_owned())];
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        load(all.into_iter().collect(), &Reader::new(&|path| self.read(path)))
    }
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Disk::with(&[(FILE, text)]).load(variables)
}

fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load_text(text, variables).expect_err("mistakes").problems.iter().map(ToString::to_string).collect()
}

fn at<'a>(loaded: &'a Loaded, path: &str) -> &'a Value {
    loaded.effective.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null)
}

#[test]
fn without_a_file_the_defaults_are_in_effect_and_everything_is_below_the_home() {
    let loaded = Disk::default().load(&[]).expect("defaults load");
    let config = &loaded.config;
    assert!(!loaded.file_found && loaded.warnings.is_empty());
    assert_eq!(config.paths.database, Path::new("/h/.kafclaw/timeline.db"));
    assert_eq!(config.paths.workspace, Path::new("/h/KafClaw-Workspace"));
    assert_eq!(config.paths.system_repo, None);
    assert_eq!(
        (config.gateway.port, config.gateway.dashboard_port, config.gateway.control_port),
        (18790, 18791, 18789)
    );
    assert_eq!(config.policy.max_auto_tier, Tier::Write);
    assert_eq!(config.model.order, ["anthropic/claude-sonnet-4-5"]);
    assert_eq!(config.exec.timeout, Duration::from_secs(60));
    assert!(!config.mqtt.enabled);
    assert_eq!(config.mqtt.client_id, "kafclaw-default");
    assert!(config.providers.is_empty() && config.scheduler.enabled);
    assert!(!loaded.effective.to_string().contains("kamir"), "no developer's path is a default");
}

#[test]
fn comments_includes_and_variables_in_texts_are_understood() {
    let disk = Disk::with(&[
        (
            FILE,
            "\u{feff}{ // mine\n \"$include\": [\"base.json\", \"./more/more.json\",],\n \"node\": {\"displayName\": \"${ROOM} hub ${NOPE}\"} }",
        ),
        ("/h/.kafclaw/base.json", r#"{"node": {"displayName": "base", "clawId": "base"}, "gateway": {"port": 1}}"#),
        ("/h/.kafclaw/more/more.json", r#"{"$include": "../deep.json", "gateway": {"port": "${P}"}}"#),
        ("/h/.kafclaw/deep.json", r#"{"gateway": {"port": 3, "controlPort": 4}}"#),
    ]);
    let loaded = disk.load(&[("ROOM", "kitchen"), ("P", "2")]).expect("it loads");
    assert_eq!(loaded.config.node.display_name, "kitchen hub ${NOPE}");
    assert_eq!(loaded.config.node.claw_id, "base");
    assert_eq!((loaded.config.gateway.port, loaded.config.gateway.control_port), (2, 4));
}

#[test]
fn includes_in_a_circle_and_missing_ones_are_mistakes() {
    let disk = Disk::with(&[
        (FILE, r#"{"$include": ["a.json", "gone.json", 5]}"#),
        ("/h/.kafclaw/a.json", r#"{"$include": "sub/../config.json"}"#),
    ]);
    let problems = disk.load(&[]).expect_err("mistakes").problems;
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text[0].starts_with("/h/.kafclaw/a.json:1:14: $include: ") && text[0].contains("circle"), "{text:?}");
    assert!(text[1].contains("gone.json does not exist"), "{text:?}");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place_and_what_would_be_valid() {
    let text = r#"{
  "gatway": {},
  "gateway": {"prot": 1, "port": 70000, "host": "example.org", "dashboardPort": 18789},
  "mqtt": {"url": "http://broker", "confirmTimeout": "soon", "password": 5},
  "scheduler": {"missed": "run-onse", "missed": "skip"},
  "model": [],
  "providers": {"opnai": {"apiKey": "k"}},
  "channels": {"slack": {"accounts": [{"id": "a", "bottoken": "x"}]}},
  "controlPort": 1,
}"#;
    let problems = mistakes(text, &[("KAFCLAW_MQTT_ENABLED", "maybe"), ("MIKROBOT_GATEWAY_TLS_CERT", "/c.pem")]);
    for expected in [
        "/h/.kafclaw/config.json:2:13: gatway: found an unknown key; did you mean gateway?",
        "/h/.kafclaw/config.json:3:23: gateway.prot: found an unknown key; did you mean gateway.port?",
        "/h/.kafclaw/config.json:3:34: gateway.port: found 70000; valid is a whole number from 0 to 65535",
        "/h/.kafclaw/config.json:3:49: gateway.host: found \"example.org\"; valid is an IP address to listen on, or localhost",
        "/h/.kafclaw/config.json:3:81: gateway.dashboardPort: found 18789, which is gateway.controlPort too; each door needs its own port",
        "/h/.kafclaw/config.json:4:19: mqtt.url: found a hidden value; valid is an address that begins with mqtt:// or mqtts://",
        "/h/.kafclaw/config.json:5:39: scheduler.missed: found this key twice; write it once",
        "/h/.kafclaw/config.json:7:26: providers.opnai: found an unknown provider without apiBase; did you mean providers.openai? A server of your own needs apiBase",
        "/h/.kafclaw/config.json:8:63: channels.slack.accounts[0].bottoken: found an unknown key; did you mean channels.slack.accounts[0].botToken?",
        "/h/.kafclaw/config.json:9:18: controlPort: found an unknown key; did you mean gateway.controlPort?",
        "variable KAFCLAW_MQTT_ENABLED: mqtt.enabled: found \"maybe\"; valid is true or false",
        "variable MIKROBOT_GATEWAY_TLS_CERT: gateway.tlsCert: found a value without gateway.tlsKey; set gateway.tlsKey too, or clear gateway.tlsCert",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "missing: {expected}\nin: {problems:#?}");
    }
    assert!(
        problems.iter().any(|problem| problem.contains("confirmTimeout: found \"soon\"; valid is a duration")),
        "{problems:#?}"
    );
    assert!(
        problems.iter().any(|problem| problem.contains("model: found a list; valid is an object with: name,")),
        "{problems:#?}"
    );
}

#[test]
fn broken_json_is_reported_with_line_and_column() {
    assert_eq!(
        mistakes("{\n  \"a\" 1}", &[]),
        [
            "/h/.kafclaw/config.json:2:7: found a mistake in the JSON; Expected colon after the string or word in object property"
        ]
    );
    assert_eq!(
        mistakes("[1]", &[]),
        ["/h/.kafclaw/config.json:1:1: found a value that is no object; the file must be one object: { ... }"]
    );
}

#[test]
fn a_mistake_does_not_show_what_a_variable_put_into_the_file() {
    let problems =
        mistakes(r#"{"gateway": {"port": "${TOKEN}", "dashboardPort": "${UNSET}"}}"#, &[("TOKEN", "geheim")]);
    assert!(!problems.concat().contains("geheim"), "{problems:?}");
    assert!(problems[1].contains("(the variable UNSET is not set)"), "{problems:?}");
}

#[test]
fn bare_names_do_not_leak_in_and_kafclaw_outweighs_mikrobot() {
    let loaded = load_text(
        "{}",
        &[
            ("PORT", "1"),
            ("HOST", "0.0.0.0"),
            ("ENABLED", "true"),
            ("GROUP", "x"),
            ("MIKROBOT_GATEWAY_PORT", "2"),
            ("MIKROBOT_AGENTS_MODEL", "old/one"),
            ("MIKROBOT_MODEL_MAX_TOKENS", "7"),
            ("KAFCLAW_AGENTS_MAX_TOKENS", "8"),
            ("KAFCLAW_MODEL_TEMPERATURE", ""),
            ("KAFCLAW_GATEWAY_CONTROL_PORT", "3"),
            ("KAFCLAW_GATEWAY_DASHBOARD_PORT", "4"),
            ("MIKROBOT_GATEWAY_DASHBOARD_PORT", "5"),
            ("KAFCLAW_MQTT_URL", "mqtts://me:p%40ss@[::1]"),
            ("KAFCLAW_TOOLS_EXEC_EXEC_RESTRICT_WORKSPACE", "false"),
            ("OPENAI_API_KEY", "sk-bare"),
        ],
    )
    .expect("it loads");
    let config = &loaded.config;
    assert_eq!((config.gateway.port, config.gateway.control_port, config.gateway.dashboard_port), (2, 3, 4));
    assert!(config.gateway.host.is_loopback());
    assert_eq!(at(&loaded, "group.enabled"), &json!(false));
    assert_eq!(config.model.name, "old/one");
    assert_eq!(config.model.max_tokens, 8, "any new name outweighs every old one");
    assert!(!config.exec.restrict_to_workspace);
    assert_eq!(config.providers["openai"].api_key.reveal(), "sk-bare");
    assert!(config.mqtt.enabled, "an address is enough");
    assert_eq!(config.mqtt.url.reveal(), "mqtts://me:p%40ss@[::1]");
}

#[test]
fn environment_files_add_what_is_not_set_and_mistyped_variables_are_pointed_out() {
    let disk = Disk::with(&[
        ("/h/.config/kafclaw/env", "# mine\nexport KAFCLAW_GATEWAY_PORT='1001'\nKAFCLAW_NODE_CLAW_ID=\"first\"\n"),
        ("/h/.kafclaw/.env", "KAFCLAW_NODE_CLAW_ID=second\nKAFCLAW_GATEWAY_DASHBORD_PORT=5\n"),
        ("/extra", "KAFCLAW_GATEWAY_PORT=1000\n"),
    ]);
    let loaded = disk.load(&[("KAFCLAW_ENV_FILE", "/extra"), ("KAFCLAW_ASSISTANT_NAME", "Ada")]).expect("it loads");
    assert_eq!(loaded.config.gateway.port, 1000);
    assert_eq!(loaded.config.node.claw_id, "first");
    assert_eq!(loaded.config.assistant.name, "Ada");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "variable KAFCLAW_GATEWAY_DASHBORD_PORT: found a name that sets nothing; did you mean KAFCLAW_GATEWAY_DASHBOARD_PORT?"
        ]
    );

    let problems =
        Disk::with(&[("/h/.kafclaw/env", "nonsense\n")]).load(&[("KAFCLAW_ENV_FILE", "/gone")]).expect_err("mistakes");
    assert_eq!(problems.problems.len(), 2, "{problems}");
}

/// Root's programs read these files too, and the house's user writes them.
#[test]
fn an_environment_file_does_not_say_which_machine_root_updates() {
    for name in
        ["KAFCLAW_UPDATE_ROOT", "MIKROBOT_UPDATE_ROOT", "KAFCLAW_CONFIRM_STEADY_S", "KAFCLAW_CONFIRM_PATIENCE_S"]
    {
        let text = format!("export {name}=/dev/shm\n");
        let disk = Disk::with(&[("/h/.kafclaw/env", &text)]);
        let said = disk.load(&[]).expect_err("a mistake").to_string();
        assert!(said.contains(name) && said.contains("which no file may set"), "{said}");
        let variables = Variables::from([("KAFCLAW_HOME", "/h")]);
        let loaded = load_or_defaults(variables, &Reader::new(&|path| disk.read(path))).expect("defaults");
        assert_eq!(loaded.variables.get(name), None);
    }
    let loaded = Disk::with(&[]).load(&[("KAFCLAW_UPDATE_ROOT", "/test")]).expect("it loads");
    assert_eq!(loaded.variables.get("KAFCLAW_UPDATE_ROOT"), Some("/test"));
}

#[test]
fn the_variable_names_that_kafclaw_reads_are_known() {
    let known: Vec<String> = table::keys().flat_map(|key| key.variables()).collect();
    for name in "PATHS_WORKSPACE PATHS_WORK_REPO_PATH PATHS_SYSTEM_REPO_PATH MODEL_MODEL MODEL_MAX_TOKENS MODEL_TEMPERATURE
        MODEL_MAX_TOOL_ITERATIONS MODEL_TASKROUTING OPENAI_API_KEY OPENAI_API_BASE CHANNELS_TELEGRAM_TELEGRAM_TOKEN
        CHANNELS_SLACK_SLACK_BOT_TOKEN CHANNELS_WHATSAPP_WHATSAPP_ENABLED CHANNELS_SLACK_ALLOWFROM CHANNELS_SLACK_DMPOLICY
        CHANNELS_MSTEAMS_GROUPPOLICY CHANNELS_MSTEAMS_MSTEAMS_APP_PASSWORD GATEWAY_HOST GATEWAY_PORT GATEWAY_DASHBOARD_PORT
        GATEWAY_AUTH_TOKEN GATEWAY_TLS_CERT GATEWAY_TLS_KEY GATEWAY_DAEMON_RUNTIME NODE_CLAW_ID NODE_INSTANCE_ID NODE_DISPLAY_NAME
        MEMORY_EMBEDDING_ENABLED MEMORY_EMBEDDING_CACHE_DIR MEMORY_EMBEDDING_AUTO_DOWNLOAD MEMORY_EMBEDDING_STARTUP_TIMEOUT_SEC
        MEMORY_SEARCH_MODE MEMORY_SEARCH_MAX_RESULTS MEMORY_SEARCH_MIN_SCORE KNOWLEDGE_ENABLED KNOWLEDGE_GOVERNANCE_ENABLED
        KNOWLEDGE_GROUP KNOWLEDGE_SHARE_MODE KNOWLEDGE_TOPICS_TOPIC_CAPABILITIES KNOWLEDGE_VOTING_MIN_POOL_SIZE
        KNOWLEDGE_VOTING_QUORUM_YES KNOWLEDGE_VOTING_ALLOW_SELF_VOTE TOOLS_EXEC_TIMEOUT TOOLS_EXEC_EXEC_RESTRICT_WORKSPACE
        TOOLS_WEB_SEARCH_BRAVE_API_KEY TOOLS_WEB_SEARCH_MAXRESULTS TOOLS_SUBAGENTS_MAX_CONCURRENT TOOLS_SUBAGENTS_MEMORY_SHARE_MODE
        AGENTS_DEFAULTS_SUBAGENTS_ALLOW_AGENTS SKILLS_ENABLED SKILLS_NODE_MANAGER SKILLS_RUNTIME_ISOLATION GROUP_ENABLED
        GROUP_GROUP_NAME GROUP_KAFSCALE_LFS_PROXY_URL GROUP_KAFKA_BROKERS GROUP_KAFKA_SECURITY_PROTOCOL GROUP_KAFKA_SASL_MECHANISM
        GROUP_KAFKA_TLS_CA_FILE GROUP_KAFKA_CONSUMER_GROUP GROUP_AGENT_ID GROUP_POLL_INTERVAL_MS GROUP_ONBOARD_MODE
        GROUP_MAX_DELEGATION_DEPTH ORCHESTRATOR_ENABLED ORCHESTRATOR_ROLE ORCHESTRATOR_ZONE_ID ORCHESTRATOR_PARENT_ID
        SCHEDULER_ENABLED SCHEDULER_TICK_INTERVAL SCHEDULER_MAX_CONC_LLM ER1_URL ER1_API_KEY ER1_USER_ID ER1_SYNC_INTERVAL
        OBSERVER_ENABLED OBSERVER_MODEL OBSERVER_MSG_THRESHOLD OBSERVER_MAX_OBS AGENTS_WORKSPACE AGENTS_WORK_REPO_PATH AGENTS_MODEL"
        .split_whitespace()
    {
        assert!(known.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn places_follow_the_variables() {
    let find = |variables: &[(&str, &str)]| {
        let variables: Variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(variables, &Reader::new(&|_| Err(io::ErrorKind::NotFound.into()))).map(|loaded| loaded.config.paths)
    };
    let paths = find(&[("HOME", "/u"), ("MIKROBOT_HOME", "~/old"), ("KAFCLAW_CONFIG", "~/c.json")]).expect("it loads");
    assert_eq!((paths.home.as_path(), paths.config_file.as_path()), (Path::new("/u/old"), Path::new("/u/old/c.json")));
    assert_eq!(find(&[("HOME", "/u")]).expect("it loads").config_file, Path::new("/u/.kafclaw/config.json"));
    assert!(find(&[]).is_err() && find(&[("KAFCLAW_HOME", "relative")]).is_err());
}

#[test]
fn a_file_that_kafclaw_wrote_loads() {
    let text = r#"{"paths": {"workspace": "~/KafClaw-Workspace", "systemRepoPath": "/Users/kamir/GITHUB.kamir/KafClaw/kafclaw"},
      "model": {"name": "openai/gpt-4o", "maxTokens": 8192, "temperature": 0.7, "maxToolIterations": 20, "taskRouting": null},
      "agents": {"defaults": {"workspace": "/ws", "subagents": {"maxConcurrent": 3, "allowAgents": null, "tools": {"allow": null, "deny": null}}},
                 "list": [{"id": "main", "model": {"primary": "a/b", "fallbacks": []}, "cascade": {"enabled": true}}]},
      "channels": {"telegram": {"enabled": false, "token": "", "allowFrom": null}, "slack": {"accounts": [], "dmPolicy": "pairing"}},
      "providers": {"openai": {"apiKey": "k"}, "localWhisper": {"enabled": true, "model": "base", "binaryPath": "/opt/homebrew/bin/whisper"}},
      "tools": {"exec": {"timeout": 60000000000, "restrictToWorkspace": true}, "subagents": {"maxConcurrent": 0}},
      "scheduler": {"enabled": false, "tickInterval": 60000000000}, "group": {"onboardMode": "", "kafkaSecurityProtocol": ""},
      "knowledge": {"group": "home", "topics": {"facts": "group.kafclaw.knowledge.facts", "votes": "mine"}},
      "finops": {"enabled": false, "pricing": {"openai": {"promptPer1kTokens": 0.5, "completionPer1kTokens": 1}}},
      "skills": {"entries": {"x": {"enabled": true}}}}"#;
    let loaded = load_text(text, &[]).expect("it loads");
    assert_eq!(loaded.config.paths.system_repo, None);
    assert_eq!(loaded.config.paths.workspace, Path::new("/h/KafClaw-Workspace"), "the new place outweighs the old one");
    assert_eq!(at(&loaded, "tools.subagents.maxConcurrent"), &json!(8));
    assert_eq!(at(&loaded, "knowledge.topics.facts"), &json!("group.home.knowledge.facts"));
    assert_eq!(at(&loaded, "knowledge.topics.votes"), &json!("mine"));
    assert_eq!(loaded.config.scheduler.tick_interval, Duration::from_secs(60));
    assert!(loaded.config.section::<bool>("/skills/entries/x/enabled").expect("a flag"));
    assert_eq!(loaded.config.providers.keys().collect::<Vec<_>>(), ["openai"]);
}

#[test]
fn old_names_fill_in_what_is_not_set() {
    let loaded = load_text(
        r#"{"agents": {"defaults": {"model": "old/m", "maxTokens": 5, "workspace": "/ws"}}}"#,
        &[("KAFCLAW_MODEL_MAX_TOKENS", "6")],
    )
    .expect("it loads");
    assert_eq!((loaded.config.model.name.as_str(), loaded.config.model.max_tokens), ("old/m", 6));
    assert_eq!(loaded.config.paths.workspace, Path::new("/ws"));
}

#[test]
fn open_doors_are_for_loopback_only() {
    assert!(load_text(r#"{"gateway": {"compat": true}}"#, &[]).is_ok());
    let problems = mistakes(r#"{"gateway": {"compat": true, "host": "0.0.0.0"}}"#, &[]);
    assert!(problems[0].contains("loopback only"), "{problems:?}");
}

/// Two values that every relation between keys allows, in the form of a variable.
fn samples(key: &Key) -> [String; 2] {
    fn of(kind: &Kind) -> [String; 2] {
        match kind {
            Kind::Flag => ["true".to_owned(), "false".to_owned()],
            Kind::Whole(_, max) | Kind::Count(max) => [(max - 1).to_string(), max.to_string()],
            Kind::Number(min, max) => [((min + max) / 2.0).to_string(), max.to_string()],
            Kind::Duration => ["7s".to_owned(), "1h30m".to_owned()],
            Kind::Text | Kind::Segment | Kind::Topic => ["one".to_owned(), "two".to_owned()],
            Kind::Path => ["/one".to_owned(), "/two".to_owned()],
            Kind::Url(schemes) => {
                schemes.first().map(|s| [format!("{s}://one"), format!("{s}://two")]).expect("a scheme")
            }
            Kind::OneOf(words) => [words[0].to_owned(), words.last().copied().unwrap_or_default().to_owned()],
            Kind::Host => ["127.0.0.2".to_owned(), "127.0.0.3".to_owned()],
            Kind::Window => ["01:00-02:00".to_owned(), "23:00-04:30".to_owned()],
            Kind::List(inner) => of(inner),
            Kind::Map(inner) => of(inner).map(|value| format!("a:{value}")),
        }
    }
    of(&key.kind)
}

/// `{"a": {"b": value}}` for `a.b`, and the list in the middle where there is one.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, step| match step.strip_suffix("[]") {
        Some(name) => json!({name: [inner]}),
        None => json!({step: inner}),
    })
}

fn resolved(text: &str, variables: &[(&str, &str)]) -> (Value, Vec<Problem>) {
    let mut all: Vec<(String, String)> = vec![("KAFCLAW_HOME".to_owned(), "/h".to_owned())];
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let disk = Disk::with(&[(FILE, text)]);
    let mut layers = Layers::read(all.into_iter().collect(), &Reader::new(&|path| disk.read(path)));
    let effective = check::resolve(&layers.root, &layers.home, &mut layers.problems);
    (effective, layers.problems.into_sorted())
}

#[test]
fn for_every_key_the_file_outweighs_the_default_and_every_variable_outweighs_the_file() {
    let home = Path::new("/h");
    for key in table::keys().filter(|key| key.is_single()) {
        let [in_file, in_variable] = samples(key);
        let value = |text: &str| key.kind.read(text, home).unwrap_or_else(|| panic!("{}: {text}", key.path));
        let text = nested(key.path, value(&in_file)).to_string();
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let (effective, problems) = resolved(&text, &[]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(effective.pointer(&pointer), Some(&value(&in_file)), "{}", key.path);
        for name in key.variables() {
            let (old, new) = (format!("MIKROBOT_{name}"), format!("KAFCLAW_{name}"));
            for variables in [
                vec![(old.as_str(), in_variable.as_str())],
                vec![(old.as_str(), "nonsense"), (new.as_str(), in_variable.as_str())],
            ] {
                let (effective, problems) = resolved(&text, &variables);
                assert!(problems.is_empty(), "{variables:?}: {problems:?}");
                assert_eq!(effective.pointer(&pointer), Some(&value(&in_variable)), "{variables:?}");
            }
        }
    }
}

#[test]
fn set_keeps_comments_and_refuses_what_would_not_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(".kafclaw/config.json");
    let variables: Variables = [("KAFCLAW_HOME".to_owned(), folder.path().display().to_string())].into_iter().collect();
    let editing = edit::Editing { file: &file, variables: &variables, reader: Reader::disk() };
    editing.set(&[("gateway.port", "1000")]).expect("a new file");
    std::fs::write(&file, "{\n  // the chat\n  \"gateway\": {\n    \"port\": 1000, // here\n  },\n}\n")
        .expect("written");
    editing.set(&[("gateway.authToken", "12345")]).expect("a text that looks like a number");
    editing.set(&[("channels.slack.accounts[0].id", "main")]).expect("lists grow");
    editing.set(&[("intents.languages", "de,en")]).expect("lists in short");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(
        text.contains("// the chat") && text.contains("// here") && text.contains("\"authToken\": \"12345\""),
        "{text}"
    );

    let refused = editing.set(&[("gateway.prot", "1")]).expect_err("refused").to_string();
    assert!(refused.contains("did you mean gateway.port?"), "{refused}");
    assert!(editing.set(&[("gateway.port", "70000")]).is_err() && editing.set(&[("gateway.port[0]", "1")]).is_err());
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text, "nothing was written");

    editing.unset("gateway.port").expect("it was there");
    assert!(matches!(editing.unset("gateway.port"), Err(edit::EditError::NotFound(_))));
    let loaded = load(variables.clone(), &Reader::disk()).expect("it loads");
    assert_eq!(loaded.config.gateway.port, 18790);
    assert_eq!(edit::get(&loaded.effective, "gateway.authToken", edit::Secrets::Masked).expect("a value"), "***");
    assert_eq!(edit::get(&loaded.effective, "gateway.authToken", edit::Secrets::Shown).expect("a value"), "12345");
    assert!(matches!(
        edit::get(&loaded.effective, "gateway.x", edit::Secrets::Masked),
        Err(edit::EditError::NotFound(_))
    ));

    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
    assert_eq!(
        std::fs::read_dir(file.parent().expect("a folder")).expect("entries").count(),
        1,
        "no drafts stay behind"
    );
}

#[test]
fn keys_that_need_each_other_are_set_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    let variables: Variables = [("KAFCLAW_HOME".to_owned(), folder.path().display().to_string())].into_iter().collect();
    let editing = edit::Editing { file: &file, variables: &variables, reader: Reader::disk() };
    assert!(editing.set(&[("gateway.tlsCert", "c.pem")]).is_err());
    editing.set(&[("gateway.tlsCert", "c.pem"), ("gateway.tlsKey", "k.pem")]).expect("both");
}

#[test]
fn a_file_with_mistakes_can_be_corrected_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"gateway": {"prot": 1, "port": 70000}}"#).expect("written");
    let variables: Variables = [("KAFCLAW_HOME".to_owned(), folder.path().display().to_string())].into_iter().collect();
    let editing = edit::Editing { file: &file, variables: &variables, reader: Reader::disk() };
    editing.set(&[("gateway.port", "1")]).expect("one mistake less");
    editing.unset("gateway.prot").expect("none left");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), r#"{"gateway": { "port": 1}}"#);
    std::fs::write(&file, "{").expect("written");
    assert!(matches!(editing.set(&[("gateway.port", "1")]), Err(edit::EditError::Syntax { .. })));
}

/// What `get` shows after `set`; none for what is no text: `null` is the default, and a list or an object is refused.
fn shown_after_set(key: &Key, text: &str, home: &Path) -> Option<String> {
    match (key.kind, serde_json::from_str(text)) {
        (Kind::Text, Ok(Value::Null | Value::Array(_) | Value::Object(_))) => None,
        (Kind::Text, Ok(Value::String(inner))) => Some(inner),
        _ => Some(match key.kind.read(text, home).expect("a value") {
            Value::String(text) => text,
            other => serde_json::to_string_pretty(&other).expect("JSON"),
        }),
    }
}

#[test]
fn a_text_that_reads_as_json_is_taken_as_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(".kafclaw/config.json");
    let variables: Variables = [("KAFCLAW_HOME".to_owned(), folder.path().display().to_string())].into_iter().collect();
    let editing = edit::Editing { file: &file, variables: &variables, reader: Reader::disk() };
    let key = "gateway.authToken";
    let shown = || {
        let loaded = load(variables.clone(), &Reader::disk()).expect("it loads");
        edit::get(&loaded.effective, key, edit::Secrets::Shown).ok()
    };
    let default = shown();
    for (text, expected) in
        [(r#""x""#, "x"), (r#"" \"x\" ""#, r#" "x" "#), ("x\"", "x\""), ("12", "12"), ("true", "true")]
    {
        editing.set(&[(key, text)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(shown().as_deref(), Some(expected), "{text}");
    }
    for text in ["[]", r#"{"a": 1}"#] {
        assert!(editing.set(&[(key, text)]).is_err(), "{text}");
    }
    editing.set(&[(key, "null")]).expect("the default");
    assert_eq!(shown(), default);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z$.]{0,6}", inner, 0..4).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_text_never_panics_the_loader(text in ".*", env in ".*") {
        let _ = Disk::with(&[(FILE, &text), ("/h/.kafclaw/env", &env)]).load(&[]);
        let _ = load_text(&format!("{{\"gateway\": {{{text}}}}}"), &[("KAFCLAW_GATEWAY_PORT", &env)]);
    }

    #[test]
    fn arbitrary_values_for_every_key_never_panic(value in any_json(), offset in 0_usize..16) {
        // Every 16th key per case: all of them come around many times.
        for key in table::keys().skip(offset).step_by(16) {
            let path = key.path.replace('*', "x");
            if let Err(error) = load_text(&nested(&path, value.clone()).to_string(), &[]) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_set_is_what_get_shows(text in "[^\\$]{1,20}", which in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(".kafclaw/config.json");
        let variables: Variables = [("KAFCLAW_HOME".to_owned(), folder.path().display().to_string())].into_iter().collect();
        let reader = Reader::disk();
        let editing = edit::Editing { file: &file, variables: &variables, reader };
        let keys: Vec<&Key> = table::keys().filter(|key| key.is_single() && !key.path.starts_with("agents")).collect();
        let key = which.get(&keys);
        let text = if key.kind == Kind::Text { text } else { samples(key)[1].clone() };
        let Some(expected) = shown_after_set(key, &text, folder.path()) else { return Ok(()) };
        if editing.set(&[(key.path, &text)]).is_err() {
            // Some keys want another one too; they can be set together.
            prop_assert!(["mqtt.enabled", "gateway.tls", "group.kafkaTls"].iter().any(|start| key.path.starts_with(start)), "{}", key.path);
            return Ok(());
        }
        let shown = edit::get(&load(variables.clone(), &reader).expect("it loads").effective, key.path, edit::Secrets::Shown).expect("a value");
        prop_assert_eq!(shown, expected);
    }
}
