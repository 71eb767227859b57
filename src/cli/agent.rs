//! `kafclaw agent`: saying something to the running gateway.

use std::io::{self, Read, Write};

use serde_json::{Value, json};

use crate::base::id::random_hex;
use crate::base::limits::MESSAGE_BYTES_MAX;
use crate::cli::client::{Client, Progress};
use crate::cli::show::printable;
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
Without a message, what is piped in is the message; on a terminal, a conversation begins that ends with `exit` or Ctrl-D.
The gateway has to run; what devices do and what needs no model works without the internet.

Examples:
  kafclaw agent -m 'turn on the kitchen lamp'
  kafclaw agent -m 'is the garage door open?' --json
  uptime | kafclaw agent -s cli:server
  kafclaw agent";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// What to say.
    #[arg(short, long)]
    message: Option<String>,
    /// The conversation it belongs to; each has its own memory of what was said.
    #[arg(short, long, default_value = "cli:default")]
    session: String,
    /// Print the whole answer as JSON: reply, session, trace_id, task_id, route.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        if self.message.as_deref().is_some_and(|message| message.trim().is_empty()) {
            return Err(Failure::usage("the message is blank"));
        }
        let client = terminal.gateway()?;
        match &self.message {
            Some(message) => self.say(message, &client, terminal),
            None if terminal.input_is_person => self.converse(&client, terminal),
            None => {
                let message = piped(terminal)?;
                self.say(&message, &client, terminal)
            }
        }
    }

    fn converse(&self, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        terminal.note("Say something; `exit` or Ctrl-D ends.");
        while let Some(line) = terminal.ask("> ")? {
            match line.as_str() {
                "" => {}
                "exit" | "quit" => break,
                message => match self.say(message, client, terminal) {
                    // A refused message does not end the conversation.
                    Err(failure @ Failure::Client(_)) => {
                        failure.report(terminal);
                    }
                    result => result?,
                },
            }
        }
        Ok(())
    }

    fn say(&self, message: &str, client: &Client, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let request = json!({ "message": message, "session": self.session });
        let key = random_hex(16);
        let streams = terminal.output_is_person && !self.json;
        let mut growing = Growing { text: String::new(), shown: String::new(), out: terminal.out, err: terminal.err };
        let mut progress = |step| if streams { growing.take(step) } else { Ok(()) };
        let answer = client.chat(&request, &key, &mut progress);
        let (text, shown) = (growing.text, growing.shown);
        if answer.is_err() && !shown.is_empty() {
            terminal.print_piece("\n")?;
        }
        let answer = answer.map_err(Failure::Client)?;
        if self.json {
            return terminal.print_json(&answer);
        }
        let reply = reply(&answer);
        match text == reply && !shown.is_empty() {
            true => terminal.print_piece(if shown.ends_with('\n') { "" } else { "\n" }),
            false => terminal.print(&format!("{}{reply}", if shown.is_empty() { "" } else { "\n" })),
        }
    }
}

/// What the assistant says, safe for a terminal.
fn reply(answer: &Value) -> String {
    printable(answer["reply"].as_str().unwrap_or_default())
}

fn piped(terminal: &mut Terminal<'_>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let input = &mut terminal.input;
    input.take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Failure::Input)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Failure::usage(format!("the message is longer than {MESSAGE_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    match text.is_empty() {
        true => Err(Failure::usage("there is no message: give one with -m, or pipe it in")),
        false => Ok(text),
    }
}

/// An answer that grows in front of a person.
struct Growing<'a> {
    /// The answer so far.
    text: String,
    /// What is on the screen, with what no longer counts.
    shown: String,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Growing<'_> {
    fn take(&mut self, step: Progress) -> io::Result<()> {
        match step {
            Progress::Text(piece) => {
                let piece = printable(&piece);
                self.text.push_str(&piece);
                self.put(&piece)
            }
            Progress::Restart if self.text.is_empty() => Ok(()),
            Progress::Restart => {
                self.text.clear();
                self.put("\n")
            }
            // In the middle of a line it would only disturb.
            Progress::Tool(tool) if self.shown.is_empty() => writeln!(self.err, "({})", printable(&tool)),
            Progress::Tool(_) => Ok(()),
        }
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.shown.push_str(text);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}
