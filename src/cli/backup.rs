//! `kafclaw backup`: everything worth keeping, in one file.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::backup::{self, BackupError, Options, Packed, Places};
use crate::base::id::random_hex;
use crate::cli::client::token_file;
use crate::cli::show::{count, size};
use crate::cli::{Failure, Terminal};
use crate::config::Paths;

const AFTER_HELP: &str = "\
Holds the database, config.json, env files, old session files and the workspace; the gateway may run meanwhile. The file
can be read with `tar`, and only by its owner: the configuration may hold passwords. Files named by $include, what links
lead to, and empty folders are not in it.

Examples:
  kafclaw backup                             into ~/.kafclaw/backups
  kafclaw backup /media/stick/home.tar
  kafclaw backup - | ssh nas 'cat > home.tar'";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Where to write it; `-` is the standard output. A file with today's date in the backups folder when left out.
    file: Option<PathBuf>,
    /// Leave the workspace out.
    #[arg(long)]
    without_workspace: bool,
    /// Keep the generated token too, so that clients go on working on another machine.
    #[arg(long)]
    with_token: bool,
    /// Replace a file that exists.
    #[arg(short, long)]
    force: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let paths = terminal.load_config()?.config.paths;
        let options = Options { workspace: !self.without_workspace, token: self.with_token };
        let now = terminal.clock.now();
        if self.file.as_deref() == Some(Path::new("-")) {
            let packed = backup::write(&places(&paths), options, now, terminal.out, &mut |_| {});
            let packed = packed.map_err(Failure::Backup)?;
            terminal.note(&left_out(&packed));
            return Ok(());
        }
        let stamp = now.to_utc().format("%Y%m%d-%H%M%S");
        let file = self.file.clone().unwrap_or_else(|| paths.backups_dir.join(format!("kafclaw-{stamp}.tar")));
        if file.exists() && !self.force {
            return Err(Failure::Outcome(format!("{} exists; give another name, or --force", file.display())));
        }
        let tells = terminal.output_is_person;
        let mut progress = |text: &str| {
            if tells {
                terminal.note(text)
            }
        };
        let packed = write_file(&file, |out| backup::write(&places(&paths), options, now, out, &mut progress))
            .map_err(Failure::Backup)?;
        terminal.print(&format!(
            "{} with {} ({}){}",
            file.display(),
            count(packed.files as u64, "file"),
            size(packed.bytes),
            left_out(&packed)
        ))
    }
}

/// What of this home a backup holds.
pub fn places(paths: &Paths) -> Places {
    Places {
        state_dir: paths.state_dir.clone(),
        database: paths.database.clone(),
        config_file: paths.config_file.clone(),
        token_file: token_file(paths),
        workspace: paths.workspace.clone(),
    }
}

fn left_out(packed: &Packed) -> String {
    match packed.left_out.as_slice() {
        [] => String::new(),
        [first, ..] => format!(
            "\nLeft out, because they are links or no files: {} ({} first)",
            packed.left_out.len(),
            first.display()
        ),
    }
}

/// The file appears under its name when it is complete, not before.
fn write_file(
    file: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<Packed, BackupError>,
) -> Result<Packed, BackupError> {
    let failed = |source| BackupError::Write { path: file.to_owned(), source };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let draft = folder.join(format!(".kafclaw-backup-{}.draft", random_hex(8)));
    let result = (|| {
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
        let mut out = BufWriter::with_capacity(128 * 1024, open);
        let packed = write(&mut out)?;
        let synced = out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|open| open.sync_all());
        synced.and_then(|()| fs::rename(&draft, file)).map_err(failed)?;
        Ok(packed)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&draft);
    }
    result
}
