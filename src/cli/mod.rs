//! Floor 8: the command line.
//!
//! A command is one file with `Args` (its flags and its help) and `Args::run`, and one row in the list below. Commands print to a
//! [`Terminal`] and fail with a [`Failure`]; which exit code that is, `exit` alone decides.
//!
//! Absent on purpose: work. A command reads its arguments, calls the module that does it, and prints what came of it.

mod agent;
mod approvals;
mod backup;
mod client;
mod completion;
mod config;
mod devices;
mod diagnostics;
mod doctor;
mod exit;
mod factory_reset;
mod gateway;
mod group;
mod house;
mod jobs;
mod knowledge;
mod kshark;
mod memory;
mod models;
mod onboard;
mod password;
mod read_document;
mod restore;
mod sessions;
mod setup_code;
mod show;
mod status;
mod task;
mod terminal;
mod token;
mod transcribe;
mod update;
mod version;
mod worker;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use exit::Failure;
pub use terminal::Terminal;

use crate::base::clock::Clock;
use crate::base::leave::leave;
use crate::config::Variables;

const AFTER_HELP: &str = "\
Everything is kept in ~/.kafclaw, or in $KAFCLAW_HOME/.kafclaw when KAFCLAW_HOME is set.
Every key of the configuration can be given as a variable too: KAFCLAW_GATEWAY_PORT for gateway.port.

First steps:
  kafclaw onboard                          set up this machine
  kafclaw gateway                          run the assistant
  kafclaw setup-code                       what its web page asks for at the first visit
  kafclaw agent -m 'what can you do?'      talk to it

Exit codes: 0 done, 1 failed, 64 wrong use, 69 the gateway is not running, 74 output failed,
78 mistakes in the configuration.";

/// The brain of a home that works with the cable pulled.
#[derive(Parser, Debug)]
#[command(name = "kafclaw", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// The list of commands: a row makes the variant and its way to `Args::run`.
macro_rules! commands {
    ($($(#[$about:meta])+ $name:ident($file:ident)),+ $(,)?) => {
        #[derive(clap::Subcommand, Debug)]
        enum Command {
            $($(#[$about])+ $name($file::Args)),+
        }

        impl Command {
            fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
                match self {
                    $(Self::$name(args) => args.run(terminal)),+
                }
            }
        }
    };
}

commands! {
    /// Set up this machine: configuration, workspace, and the files that make the assistant who it is.
    Onboard(onboard),
    /// Run the house: doors, assistant, devices.
    Gateway(gateway),
    /// Say something to the assistant, or talk with it.
    Agent(agent),
    /// Show what is configured and how the running gateway is.
    Status(status),
    /// List, name, place and switch the devices of the home.
    Devices(devices),
    /// Plan reminders, alarms and recurring questions.
    Jobs(jobs),
    /// Answer what the assistant may only do when somebody agrees.
    Approvals(approvals),
    /// Look at what was asked and what became of it.
    Task(task),
    /// Add documents to what the house remembers, search it, carry it away.
    Memory(memory),
    /// See the other hubs and agents, and ask them.
    Group(group),
    /// Agree with the other hubs on what is so.
    Knowledge(knowledge),
    /// List, read and delete conversations.
    Sessions(sessions),
    /// List, get, check and remove the models that run on this machine.
    Models(models),
    /// Write down what is said in recordings.
    Transcribe(transcribe),
    /// Show the setup code that the web page asks for at the first visit.
    SetupCode(setup_code),
    /// Let the owner set a new password.
    Password(password),
    /// Show or replace the token that programs send to the API.
    Token(token),
    /// Look at the whole machine and this home: what works, what does not, and what to do about it.
    Doctor(doctor),
    /// Write one file for somebody who helps: how this home is, without its secrets.
    Diagnostics(diagnostics),
    /// Look at every step between this machine and a Kafka broker, and say what to do about what fails.
    Kshark(kshark),
    /// Bring the whole system to a newer version, and back.
    Update(update),
    /// Write everything worth keeping into one file, while the gateway runs.
    Backup(backup),
    /// Bring back what a backup holds.
    Restore(restore),
    /// Forget everything this home has told.
    FactoryReset(factory_reset),
    /// Read, change and check the configuration.
    Config(config),
    /// Print what completes `kafclaw` commands in a shell.
    Completion(completion),
    /// Run speech and language models for the gateway, which starts this by itself.
    Worker(worker),
    /// Print the version.
    Version(version),
    /// Read one document from the standard input.
    #[command(hide = true)]
    ReadDocument(read_document),
}

/// Runs the command line of this process, and ends it.
pub fn main() -> ! {
    // Not locked: the gateway's threads write their logs beside this one.
    let (mut input, mut out, mut err) = (std::io::stdin().lock(), std::io::stdout(), std::io::stderr());
    let (input_is_person, output_is_person) = (input.is_terminal(), out.is_terminal());
    let args: Vec<OsString> = std::env::args_os().collect();
    let mut variables = Variables::of_process();
    house::enter(&args, &mut variables);
    let mut terminal = Terminal {
        variables,
        clock: Clock::System,
        input: &mut input,
        out: &mut out,
        err: &mut err,
        input_is_person,
        output_is_person,
    };
    leave(run(args, &mut terminal))
}

/// Runs the command that `args` name, the program's own name first, and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let result = match Cli::try_parse_from(args) {
        Ok(Cli { command: Some(command) }) => command.run(terminal),
        Ok(Cli { command: None }) => terminal.print(&Cli::command().render_help().to_string()),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            terminal.print(&error.render().to_string())
        }
        Err(error) => Err(Failure::Usage(error)),
    };
    match result {
        Ok(()) => exit::DONE,
        Err(failure) => failure.report(terminal),
    }
}
