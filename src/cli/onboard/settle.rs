//! Writes what was chosen: configuration, folders, soul files, token, unit. Remembers each step for whoever reads.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::client::{Client, token_file};
use crate::cli::onboard::choice::Choice;
use crate::cli::onboard::unit::{Owner, Unit};
use crate::cli::onboard::{Args, ResetScope, soul};
use crate::cli::{Failure, Terminal, setup_code, token};
use crate::config::edit::Editing;
use crate::config::{self, Config, Loaded, Reader};
use crate::db;
use crate::owner::FILE as OWNER_FILE;

/// Folders of the work repository (specification §1.7).
const WORK_FOLDERS: [&str; 4] = ["requirements", "tasks", "docs", "memory"];
const UNIT_NAME: &str = "kafclaw-gateway.service";

/// What was done, and with which outcome.
pub struct Done {
    pub config: Config,
    pub steps: Vec<String>,
    /// Not wrong, but good to know.
    pub remarks: Vec<String>,
    /// What a person would do now.
    pub next: Vec<String>,
}

pub fn settle(args: &Args, choice: &Choice, terminal: &mut Terminal<'_>) -> Result<Done, Failure> {
    let owner = if args.systemd { Some(owner(args)?) } else { None };
    let stamp = terminal.clock.now().to_utc().format("%Y%m%d-%H%M%S").to_string();
    let mut steps = Vec::new();
    reset(args, &stamp, &mut steps, terminal)?;
    let loaded = configure(args, choice, &mut steps, terminal)?;
    let config = loaded.config;
    folders(&config, &mut steps)?;
    souls(args, &config, &stamp, &mut steps)?;
    if !config.gateway.host.is_loopback() && config.gateway.auth_token.is_empty() {
        let file = token_file(&config.paths);
        if !file.exists() {
            token::write_new(&file)?;
            steps.push(format!("Made a token for other machines: {}", file.display()));
        }
    }
    let mut next = Vec::new();
    match owner {
        Some(owner) => write_unit(args, owner, &config, &mut steps, &mut next)?,
        None => next.push("kafclaw gateway                          start the assistant".to_owned()),
    }
    next.push("kafclaw agent -m 'what can you do?'      talk to it".to_owned());
    next.push(match setup_code::code(&config.paths, terminal)? {
        // A log keeps what it is told; a person's screen does not.
        Some(code) if terminal.output_is_person => {
            format!("{}                                what the web page asks for, to set your password", code.shown())
        }
        Some(_) => {
            "kafclaw setup-code                       what the web page asks for, to set your password".to_owned()
        }
        None => {
            "kafclaw password reset                   when you have forgotten the password of the web page".to_owned()
        }
    });
    next.push("kafclaw token                            the key for programs".to_owned());
    let remarks = remarks(&config);
    Ok(Done { config, steps, remarks, next })
}

/// Sets aside what is not wanted any more. Nothing is deleted.
fn reset(args: &Args, stamp: &str, steps: &mut Vec<String>, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let scope = match (args.reset_scope, args.force) {
        (ResetScope::None, true) => ResetScope::Config,
        (scope, _) => scope,
    };
    if scope == ResetScope::None {
        return Ok(());
    }
    let file = config::locate(terminal.variables.clone(), &Reader::disk()).map_err(Failure::Config)?;
    if scope == ResetScope::Full {
        reset_state(stamp, steps, terminal)?;
    }
    set_aside(&file, stamp, steps)
}

/// Needs the configuration once more, to know where the state is; a broken one is as good as none for that.
fn reset_state(stamp: &str, steps: &mut Vec<String>, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let loaded = config::load(terminal.variables.clone(), &Reader::disk())
        .or_else(|_| config::load(terminal.variables.clone(), &Reader::new(&nothing)));
    let config = loaded.map_err(Failure::Config)?.config;
    let paths = &config.paths;
    let is_running = Client::find(&config).is_ok_and(|gateway| gateway.is_alive());
    if is_running || db::is_in_use(&paths.database).unwrap_or(true) {
        return Err(Failure::Outcome("the gateway is running; stop it before resetting everything".to_owned()));
    }
    let owner_file = paths.state_dir.join(OWNER_FILE);
    for path in [paths.database.clone(), paths.sessions_dir.clone(), token_file(paths), owner_file] {
        set_aside(&path, stamp, steps)?;
    }
    // They belong to the file that was set aside.
    for end in ["-wal", "-shm", ".open"] {
        let mut name = paths.database.clone().into_os_string();
        name.push(end);
        let _ = fs::remove_file(PathBuf::from(name));
    }
    Ok(())
}

fn set_aside(path: &Path, stamp: &str, steps: &mut Vec<String>) -> Result<(), Failure> {
    let aside = PathBuf::from(format!("{}.old-{stamp}", path.display()));
    match fs::rename(path, &aside) {
        Ok(()) => steps.push(format!("Set aside {} as {}", path.display(), name(&aside))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Failure::File { attempt: format!("set {} aside", path.display()), source }),
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Changes the file, and loads what came of it.
fn configure(
    args: &Args,
    choice: &Choice,
    steps: &mut Vec<String>,
    terminal: &mut Terminal<'_>,
) -> Result<Loaded, Failure> {
    let before = terminal.load_config()?;
    let file = &before.config.paths.config_file;
    let mut pairs = pairs(choice);
    let host = choice.gateway_host.clone().unwrap_or_else(|| before.config.gateway.host.to_string());
    let is_near = host.parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback());
    if !is_near && !args.allow_non_loopback {
        return Err(Failure::Outcome(format!(
            "gateway.host is {host}, so other machines could reach the gateway; agree with --allow-non-loopback, or keep it to this \
             machine with --gateway-host 127.0.0.1"
        )));
    }
    if !before.file_found && choice.gateway_host.is_none() {
        pairs.push(("gateway.host".to_owned(), host));
    }
    if !pairs.is_empty() {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let editing = Editing { file, variables: &terminal.variables, reader: Reader::disk() };
        editing.set(&pairs).map_err(Failure::Edit)?;
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| *key).collect();
        steps.push(format!("Wrote {} to {}", keys.join(", "), file.display()));
    } else {
        steps.push(format!("Kept {} as it is", file.display()));
    }
    config::load(terminal.variables.clone(), &Reader::disk()).map_err(Failure::Config)
}

/// Keys and values as the file gets them.
fn pairs(choice: &Choice) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
    if let Some(host) = &choice.gateway_host {
        put("gateway.host", host.clone());
    }
    if let Some(port) = choice.gateway_port {
        put("gateway.port", port.to_string());
    }
    if let Some(url) = &choice.mqtt_url {
        put("mqtt.url", url.clone());
    }
    if let Some(llm) = &choice.llm {
        put("model.name", format!("{}/{}", llm.provider, llm.model));
        for (key, value) in [("apiBase", llm.api_base.as_str()), ("apiKey", llm.token.reveal())] {
            if !value.is_empty() {
                put(&format!("providers.{}.{key}", llm.provider), value.to_owned());
            }
        }
    }
    pairs
}

fn folders(config: &Config, steps: &mut Vec<String>) -> Result<(), Failure> {
    let paths = &config.paths;
    let work = WORK_FOLDERS.iter().map(|name| paths.work_repo.join(name));
    for folder in [paths.state_dir.clone(), paths.workspace.clone()].into_iter().chain(work) {
        if folder.is_dir() {
            continue;
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| Failure::File { attempt: format!("make the folder {}", folder.display()), source })?;
        steps.push(format!("Made {}", folder.display()));
    }
    Ok(())
}

fn souls(args: &Args, config: &Config, stamp: &str, steps: &mut Vec<String>) -> Result<(), Failure> {
    for (name, text) in soul::FILES {
        let path = config.paths.workspace.join(name);
        if args.force && fs::read_to_string(&path).is_ok_and(|old| old != text) {
            set_aside(&path, stamp, steps)?;
        }
        match write_file(&path, text, 0o600) {
            Ok(()) => steps.push(format!("Wrote {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                steps.push(format!("Kept {} as it is", path.display()));
            }
            Err(source) => return Err(Failure::File { attempt: format!("write {}", path.display()), source }),
        }
    }
    Ok(())
}

/// Writes a file that must not exist.
fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Whose unit may be written.
fn owner(args: &Args) -> Result<Owner, Failure> {
    // Below another root, this is how an image is built, and nobody's rights are in question.
    let may = rustix::process::geteuid().is_root() || args.service_install_root != Path::new("/");
    match (args.user, may) {
        (true, _) => Ok(Owner::User),
        (false, true) => Ok(Owner::System { user: args.service_user.clone() }),
        (false, false) => Err(Failure::usage(
            "--systemd needs root for the system's unit; write one for yourself with --systemd --user",
        )),
    }
}

fn write_unit(
    args: &Args,
    owner: Owner,
    config: &Config,
    steps: &mut Vec<String>,
    next: &mut Vec<String>,
) -> Result<(), Failure> {
    let paths = &config.paths;
    let folder = match owner {
        Owner::User => paths.home.join(".config/systemd/user"),
        Owner::System { .. } => args.service_install_root.join("etc/systemd/system"),
    };
    let program = match &args.service_binary {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(|source| Failure::File { attempt: "find out where this program is".to_owned(), source })?,
    };
    let unit = Unit {
        owner: owner.clone(),
        program: &program,
        home: &paths.home,
        state_dir: &paths.state_dir,
        workspace: &paths.workspace,
        work_repo: &paths.work_repo,
    };
    let path = folder.join(UNIT_NAME);
    let text = unit.text();
    let written = fs::create_dir_all(&folder).and_then(|()| match fs::read_to_string(&path) {
        Ok(old) if old == text => Ok(()),
        // A unit is ours as a whole; what people change belongs into a drop-in, which stays.
        _ => fs::remove_file(&path)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .and_then(|()| write_file(&path, &text, 0o644)),
    });
    written.map_err(|source| Failure::File { attempt: format!("write {}", path.display()), source })?;
    steps.push(format!("Wrote {}", path.display()));
    match owner {
        Owner::User => {
            next.push(format!("systemctl --user daemon-reload && systemctl --user enable --now {UNIT_NAME}"));
            next.push("loginctl enable-linger                   keep it running when you log out".to_owned());
        }
        Owner::System { user } => {
            let (home, state, workspace) = (paths.home.display(), paths.state_dir.display(), paths.workspace.display());
            next.push(format!("id {user} || useradd --system --home-dir '{home}' {user}"));
            // Who set this up keeps the own home.
            if std::env::var_os("HOME").is_none_or(|own| own != paths.home.as_os_str()) {
                next.push(format!("chown {user}: '{home}'"));
            }
            next.push(format!("chown -R {user}: '{state}' '{workspace}'"));
            next.push(format!("systemctl daemon-reload && systemctl enable --now {UNIT_NAME}"));
        }
    }
    Ok(())
}

fn remarks(config: &Config) -> Vec<String> {
    let mut remarks = Vec::new();
    if !config.scheduler.enabled {
        remarks.push(
            "scheduler.enabled is false, as KafClaw used to write it: timers and reminders will not come; \
             change it with `kafclaw config set scheduler.enabled true`"
                .to_owned(),
        );
    }
    if config.providers.is_empty() {
        remarks.push("No language model is set up; what devices, timers and memory do works without one".to_owned());
    }
    if !config.mqtt.enabled {
        remarks
            .push("No MQTT broker is set up; devices appear after `kafclaw config set mqtt.url mqtt://...`".to_owned());
    }
    remarks
}
