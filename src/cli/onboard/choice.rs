//! What is to be set up: from the flags, or from a person's answers. Knows the models, touches no file.

use crate::base::secret::Secret;
use crate::cli::onboard::Args;
use crate::cli::{Failure, Terminal};

/// A model server that can be chosen by name.
struct Preset {
    names: &'static [&'static str],
    /// Its id in the configuration.
    provider: &'static str,
    /// Asked for when the model is not named; blank when one has to be.
    model: &'static str,
    /// The address when none is given; blank for the provider's own.
    api_base: &'static str,
    needs_token: bool,
}

const PRESETS: &[Preset] = &[
    preset(&["ollama"], "ollama", "", "http://127.0.0.1:11434/v1", false),
    preset(&["llamacpp", "llama.cpp"], "llamacpp", "default", "http://127.0.0.1:8080/v1", false),
    preset(&["vllm"], "vllm", "", "http://127.0.0.1:8000/v1", false),
    preset(&["claude", "anthropic"], "anthropic", "claude-sonnet-4-5", "", true),
    preset(&["openai"], "openai", "gpt-5-mini", "", true),
    preset(&["gemini", "google"], "gemini", "gemini-2.5-flash", "", true),
    preset(&["xai", "grok"], "xai", "grok-4", "", true),
    preset(&["openrouter"], "openrouter", "", "", true),
    preset(&["deepseek"], "deepseek", "deepseek-chat", "", true),
    preset(&["groq"], "groq", "", "", true),
];

const fn preset(
    names: &'static [&'static str],
    provider: &'static str,
    model: &'static str,
    api_base: &'static str,
    needs_token: bool,
) -> Preset {
    Preset { names, provider, model, api_base, needs_token }
}

/// Modes of KafClaw that this version cannot set up, under all their names.
const OTHER_MODES: [&str; 5] = ["local-kafka", "local+kafka", "kafka-local", "remote", "remote-gateway"];
/// Ways to a model of KafClaw that this version does not know.
const OTHER_LLMS: [&str; 4] = ["cli-token", "gemini-cli", "openai-codex", "scalytics-copilot"];

/// The model that answers what no offline rule understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Llm {
    /// Its id in the configuration.
    pub provider: String,
    pub model: String,
    /// Blank for the provider's own.
    pub api_base: String,
    pub token: Secret<String>,
}

/// Everything that was chosen; none leaves the configuration as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    pub llm: Option<Llm>,
    pub mqtt_url: Option<String>,
    pub gateway_port: Option<u16>,
    pub gateway_host: Option<String>,
}

/// What the flags alone say; complains about what they lack.
pub fn from_flags(args: &Args) -> Result<Choice, Failure> {
    mode(args.mode.as_deref())?;
    let llm = match args.llm.as_deref() {
        None if args.llm_model.is_some() || args.llm_api_base.is_some() || args.llm_token.is_some() => {
            return Err(Failure::usage("--llm-model, --llm-api-base and --llm-token need --llm"));
        }
        None | Some("skip") => None,
        Some(name) => {
            let field = |field: &Option<String>| field.clone().unwrap_or_default();
            Some(llm(name, field(&args.llm_api_base), field(&args.llm_model), field(&args.llm_token))?)
        }
    };
    Ok(Choice {
        llm,
        mqtt_url: args.mqtt_url.clone(),
        gateway_port: args.gateway_port,
        gateway_host: args.gateway_host.map(|host| host.to_string()),
    })
}

/// Refuses what a program has to say and did not.
pub fn require_flags(args: &Args) -> Result<(), Failure> {
    let missing: Vec<&str> = [
        (args.accept_risk, "--accept-risk"),
        (args.mode.is_some(), "--mode local"),
        (args.llm.is_some(), "--llm (skip, openai-compatible, ollama, ...)"),
    ]
    .iter()
    .filter(|(given, _)| !given)
    .map(|(_, flag)| *flag)
    .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::usage(format!("without somebody to ask, {} must be given", missing.join(", ")))),
    }
}

fn mode(mode: Option<&str>) -> Result<(), Failure> {
    match mode {
        None | Some("local") => Ok(()),
        Some(other) if OTHER_MODES.contains(&other) => Err(Failure::usage(format!(
            "mode `{other}` is not in this version, which sets up a home that stands alone; use --mode local"
        ))),
        Some(other) => Err(Failure::usage(format!("`{other}` is no mode; use --mode local"))),
    }
}

fn llm(name: &str, api_base: String, model: String, token: String) -> Result<Llm, Failure> {
    if name == "openai-compatible" {
        if api_base.is_empty() || model.is_empty() {
            return Err(Failure::usage("--llm openai-compatible needs --llm-api-base and --llm-model"));
        }
        return Ok(Llm { provider: "openai".to_owned(), model, api_base, token: Secret::new(token) });
    }
    let known = PRESETS.iter().find(|preset| preset.names.contains(&name));
    let Some(preset) = known else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.names[0]).collect();
        let what = if OTHER_LLMS.contains(&name) { "is not in this version" } else { "is not known" };
        let list = names.join(", ");
        return Err(Failure::usage(format!("--llm {name} {what}; use skip, openai-compatible, {list}")));
    };
    if model.is_empty() && preset.model.is_empty() {
        return Err(Failure::usage(format!("--llm {name} needs --llm-model")));
    }
    if token.is_empty() && preset.needs_token {
        return Err(Failure::usage(format!("--llm {name} needs --llm-token")));
    }
    let or = |given: String, default: &str| if given.is_empty() { default.to_owned() } else { given };
    let (model, api_base) = (or(model, preset.model), or(api_base, preset.api_base));
    Ok(Llm { provider: preset.provider.to_owned(), model, api_base, token: Secret::new(token) })
}

const WELCOME: &str = "\
KafClaw is the assistant of a home. It runs here and needs no internet: lamps, timers, reminders and questions about the
home work at once. A language model, here or elsewhere, is asked for everything else.

It can switch devices, read and write its workspace and run programs there. Policies say what it may do alone; the rest
it asks you for. Enter takes what is in brackets.
";

/// Asks a person what the flags left open.
pub fn from_person(mut choice: Choice, args: &Args, terminal: &mut Terminal<'_>) -> Result<Choice, Failure> {
    terminal.note(WELCOME);
    if !args.accept_risk {
        let answer = ask(terminal, "Set it up on this machine? [yes] ", "yes")?;
        if !matches!(answer.to_lowercase().as_str(), "yes" | "y") {
            return Err(Failure::Outcome("nothing was changed".to_owned()));
        }
    }
    if choice.mqtt_url.is_none() {
        let url = ask(terminal, "MQTT broker of your devices, such as mqtt://127.0.0.1:1883 [none yet] ", "")?;
        choice.mqtt_url = Some(url).filter(|url| !url.is_empty());
    }
    if args.llm.is_none() {
        choice.llm = ask_llm(terminal)?;
    }
    Ok(choice)
}

fn ask_llm(terminal: &mut Terminal<'_>) -> Result<Option<Llm>, Failure> {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.names[0]).collect();
    terminal.note(&format!("Language models: skip, openai-compatible, {}", names.join(", ")));
    loop {
        let name = ask(terminal, "Which one? [skip] ", "skip")?;
        if name == "skip" {
            return Ok(None);
        }
        let known = PRESETS.iter().find(|preset| preset.names.contains(&name.as_str()));
        let default = |text: &'static str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        let (base, model, needs_token) = match known {
            Some(preset) => (preset.api_base, preset.model, preset.needs_token),
            None if name == "openai-compatible" => ("", "", false),
            None => {
                terminal.note(&format!("`{name}` is not in the list."));
                continue;
            }
        };
        let api_base = match known.is_some() && base.is_empty() {
            true => String::new(),
            false => ask(terminal, &format!("Address [{}] ", default(base)), base)?,
        };
        let model = ask(terminal, &format!("Model [{}] ", default(model)), model)?;
        let hint = if needs_token { "" } else { " [none]" };
        let token = ask(terminal, &format!("Key, visible while you type{hint} "), "")?;
        match llm(&name, api_base, model, token) {
            Ok(llm) => return Ok(Some(llm)),
            Err(failure) => terminal.note(&failure.to_string()),
        }
    }
}

/// The answer, or `default` for a blank one. The end of the input is no answer.
fn ask(terminal: &mut Terminal<'_>, question: &str, default: &str) -> Result<String, Failure> {
    match terminal.ask(question)? {
        Some(answer) if answer.is_empty() => Ok(default.to_owned()),
        Some(answer) => Ok(answer),
        None => Err(Failure::Outcome("nothing was changed, because the input ended".to_owned())),
    }
}
