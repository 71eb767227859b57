//! `kafclaw token`: the key to the house's own API.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::base::id::random_hex;
use crate::cli::client::{Client, token_file};
use crate::cli::{Failure, Terminal};

/// Random bytes in a token; it is written in hexadecimal.
const TOKEN_BYTES: usize = 32;

const AFTER_HELP: &str = "\
The gateway makes a token at its first start and keeps it in gateway.token, which only its user may read. Programs send it as
`Authorization: Bearer <token>`; people have a password (`kafclaw setup-code`). A token in the configuration (gateway.authToken)
counts instead.

Examples:
  kafclaw token
  curl -H \"Authorization: Bearer $(kafclaw token)\" http://127.0.0.1:18791/api/v1/devices";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Replace the token by a new one; whoever knows the old one is locked out after a restart of the gateway.
    #[arg(long)]
    rotate: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = terminal.load_config()?.config;
        let file = token_file(&config.paths);
        let configured = &config.gateway.auth_token;
        match (self.rotate, configured.is_empty()) {
            (false, false) => terminal.print(configured.reveal()),
            (true, false) => Err(Failure::Outcome(
                "the token comes from gateway.authToken; change it there, or remove it with `kafclaw config unset gateway.authToken`"
                    .to_owned(),
            )),
            (false, true) => match fs::read_to_string(&file) {
                Ok(token) if !token.trim().is_empty() => terminal.print(token.trim()),
                Ok(_) => Err(no_token()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_token()),
                Err(source) => Err(Failure::File { attempt: format!("read {}", file.display()), source }),
            },
            (true, true) => {
                let token = write_new(&file)?;
                if Client::find(&config).is_ok_and(|gateway| gateway.is_alive()) {
                    terminal.note("Restart the gateway: until then it asks for the old token.");
                }
                terminal.print(&token)
            }
        }
    }
}

fn no_token() -> Failure {
    Failure::Outcome(
        "there is no token yet: the gateway makes one at its first start, or make one with `kafclaw token --rotate`"
            .to_owned(),
    )
}

/// Makes a token that only the owner of `file` may read, and puts it there as a whole.
pub fn write_new(file: &Path) -> Result<String, Failure> {
    let token = random_hex(TOKEN_BYTES);
    let folder = file.parent().unwrap_or(Path::new("/"));
    let draft = folder.join(format!(".token-{}.draft", random_hex(8)));
    let written = (|| {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        open.write_all(format!("{token}\n").as_bytes())?;
        open.sync_all()?;
        fs::rename(&draft, file)?;
        fs::File::open(folder)?.sync_all()
    })();
    match written {
        Ok(()) => Ok(token),
        Err(source) => {
            let _ = fs::remove_file(&draft);
            Err(Failure::File { attempt: format!("write {}", file.display()), source })
        }
    }
}
