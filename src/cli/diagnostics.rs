//! `kafclaw diagnostics`: one file for somebody who helps, without a secret in it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::error::chain;
use crate::base::id::random_hex;
use crate::cli::client::token_file;
use crate::cli::show::size;
use crate::cli::{Failure, Terminal, doctor};
use crate::config::{self, Loaded, Paths, Reader, edit};
use crate::diagnostics::{self, Plan, Secrets, Texts, Written};
use crate::link::mqtt::ACCOUNTS_FILE;
use crate::owner;

const AFTER_HELP: &str = "\
Holds what doctor found, the configuration, the journal of the services, what happened last, versions, disks, slots. Tokens,
passwords and keys are replaced by ***, and what people said is left out unless --with-texts is given. Look through it before
you give it away: `tar -xzf` unpacks it.

Examples:
  kafclaw diagnostics
  kafclaw diagnostics --output - | ssh desk 'cat > hub.tar.gz'";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Where to write it; `-` is the standard output. A file with today's date in this folder when left out, or, where nobody may write, in that for temporary files.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Tell what people said, and who they are, too.
    #[arg(long)]
    with_texts: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let stamp = terminal.clock.now().to_utc().format("%Y%m%d-%H%M%S");
        let file = self.output.clone().unwrap_or_else(|| {
            // Root's own folder on an image can only be read, and it is the house's user who writes there.
            let can_write = rustix::fs::access(".", rustix::fs::Access::WRITE_OK).is_ok();
            let folder = if can_write { PathBuf::new() } else { std::env::temp_dir() };
            folder.join(format!("kafclaw-diagnostics-{stamp}.tar.gz"))
        });
        let is_file = file != Path::new("-");
        if is_file && file.exists() {
            return Err(Failure::Outcome(format!("{} exists; give another name", file.display())));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Failure::File { attempt: "start the runtime".to_owned(), source })?;
        let tells = terminal.output_is_person;
        tell(terminal, tells, "what works and what does not");
        let (plan, secrets) = plan(&self, &runtime, terminal)?;
        if !is_file {
            let written = runtime.block_on(diagnostics::write(&plan, &secrets, terminal.out, &mut |_| {}));
            written.map_err(Failure::Diagnostics)?;
            return Ok(());
        }
        let mut progress = |text: &str| tell(terminal, tells, text);
        let written =
            write_file(&file, |out| runtime.block_on(diagnostics::write(&plan, &secrets, out, &mut progress)))?;
        runtime.shutdown_background();
        for missing in written.missing.iter().filter(|_| tells) {
            terminal.note(&format!("  left out: {missing}"));
        }
        let bytes = fs::metadata(&file).map_or(0, |about| about.len());
        terminal.print(&format!("{} ({}, {} parts)", file.display(), size(bytes), written.parts))
    }
}

fn tell(terminal: &mut Terminal<'_>, tells: bool, text: &str) {
    if tells {
        terminal.note(&format!("  {text} ..."));
    }
}

/// What is told of this home. A configuration that cannot be used is told as its mistakes.
fn plan(args: &Args, runtime: &tokio::runtime::Runtime, terminal: &Terminal<'_>) -> Result<(Plan, Secrets), Failure> {
    let loaded = config::load_or_defaults(terminal.variables.clone(), &Reader::disk()).map_err(Failure::Config)?;
    let mistakes = loaded.mistakes.as_ref().map(|mistakes| chain(mistakes));
    let paths = &loaded.config.paths;
    let masked = edit::masked(&loaded.effective);
    let secrets = secrets(&loaded, &masked, terminal);
    let doctor = runtime.block_on(doctor::report(&loaded, &terminal.clock)).to_json();
    let plan = Plan {
        now: terminal.clock.now(),
        database: paths.database.clone(),
        state_dir: paths.state_dir.clone(),
        update_ledger: PathBuf::from("/persist/update/state.json"),
        config: mistakes.map_or(masked, |mistakes| json!({"mistakes": mistakes})),
        variables: loaded.variables.own_names().map(str::to_owned).collect(),
        doctor,
        texts: if args.with_texts { Texts::Told } else { Texts::LeftOut },
    };
    Ok((plan, secrets))
}

/// Every secret of this home that can be read from here.
fn secrets(loaded: &Loaded, masked: &Value, terminal: &Terminal<'_>) -> Secrets {
    let paths: &Paths = &loaded.config.paths;
    let mut secrets = Secrets::default();
    secrets.add_masked(&loaded.effective, masked);
    loaded.variables.all().for_each(|(name, value)| secrets.add_variable(name, value));
    let files = [
        token_file(paths),
        paths.state_dir.join("group.key"),
        // An image's broker, and its Wi-Fi.
        paths.home.join(ACCOUNTS_FILE),
        PathBuf::from("/persist/wifi.conf"),
    ];
    files.iter().for_each(|file| secrets.add_file(file));
    if paths.state_dir.join(owner::FILE).exists()
        && let Ok(Some(code)) = owner::Store::new(&paths.state_dir, terminal.clock.clone()).code()
    {
        secrets.add(&code.shown());
        secrets.add(&code.shown().replace('-', ""));
    }
    secrets.add_settings(&paths.database);
    secrets
}

/// The file appears under its name when it is complete, and only its owner may read it.
fn write_file(
    file: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<Written, diagnostics::DiagnosticsError>,
) -> Result<Written, Failure> {
    let failed = |source| Failure::File { attempt: format!("write {}", file.display()), source };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".kafclaw-diagnostics-{}.draft", random_hex(8)));
    let result = (|| {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        let written = write(&mut out).map_err(Failure::Diagnostics)?;
        out.sync_all().and_then(|()| fs::rename(&draft, file)).map_err(failed)?;
        Ok(written)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&draft);
    }
    result
}
