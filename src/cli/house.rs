//! On a machine that is the product's own, commands are about its house, whoever types them: root comes in by ssh and has no house.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::config::Variables;
use crate::reset::{Reach, reach};

/// Where the house of an image is, and whose it is (`image/rootfs`).
const HOME: &str = "/var/lib/kafclaw";
const USER: &str = "kafclaw";
/// Commands that root itself carries out; `doctor` only when it marks the system as good.
const OF_ROOT: [&str; 2] = ["update", "factory-reset"];
/// Those that are about no house.
const OF_NOBODY: [&str; 3] = ["completion", "version", "help"];

/// How a command gets to the house.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// It is there, or there is none.
    Here,
    /// As root, who is told where the house is.
    AsRoot,
    /// As the house's user, so that root leaves nothing there which that user cannot read.
    AsUser,
}

/// Sees to it that the command `args` of root on an image is about the house of that machine.
pub(super) fn enter(args: &[OsString], variables: &mut Variables) {
    let is_root = rustix::process::geteuid().is_root();
    let is_image = || reach() == Reach::Machine && Path::new(HOME).is_dir();
    let has_home = variables.get("KAFCLAW_HOME").is_some_and(|home| !home.is_empty());
    match way(args, is_root && !has_home && is_image()) {
        Way::Here => {}
        Way::AsRoot => variables.add("KAFCLAW_HOME", HOME),
        Way::AsUser => {
            let Ok(program) = std::env::current_exe() else { return };
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]).arg(program).args(&args[1..]);
            let error = command.env("HOME", HOME).env("KAFCLAW_HOME", HOME).exec();
            // It comes here only when there is no such program.
            eprintln!("kafclaw: could not become {USER} with setpriv: {error}");
            variables.add("KAFCLAW_HOME", HOME);
        }
    }
}

fn way(args: &[OsString], is_roots_on_an_image: bool) -> Way {
    let words: Vec<_> = args.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let Some(command) = words.iter().find(|word| !word.starts_with('-')) else { return Way::Here };
    let asks_for_help = words.iter().any(|word| word == "--help" || word == "-h");
    if !is_roots_on_an_image || asks_for_help || OF_NOBODY.contains(&command.as_ref()) {
        return Way::Here;
    }
    let marks = command == "doctor" && words.iter().any(|word| word == "--confirm");
    if marks || OF_ROOT.contains(&command.as_ref()) { Way::AsRoot } else { Way::AsUser }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_speaks_for_the_house_of_its_machine() {
        for (line, expected) in [
            ("kafclaw", Way::Here),
            ("kafclaw --help", Way::Here),
            ("kafclaw token --help", Way::Here),
            ("kafclaw version", Way::Here),
            ("kafclaw token", Way::AsUser),
            ("kafclaw config set mqtt.url mqtt://x", Way::AsUser),
            ("kafclaw doctor --json", Way::AsUser),
            ("kafclaw doctor --json --confirm", Way::AsRoot),
            ("kafclaw update status", Way::AsRoot),
            ("kafclaw factory-reset --yes", Way::AsRoot),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(way(&args, true), expected, "{line}");
            assert_eq!(way(&args, false), Way::Here, "{line}");
        }
    }
}
