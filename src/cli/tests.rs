//! The command line from its arguments to its exit code.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::*;
use crate::base::clock::Timestamp;

mod gateway;
mod house;
mod knowledge;
mod memory;

/// Runs a command in `home`: exit code, output, and what was said beside it.
fn kafclaw(home: &Path, args: &[&str]) -> (u8, String, String) {
    typing(home, args, "", Seat::Program)
}

/// Who reads and writes what the command says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    Person,
    Program,
}

fn typing(home: &Path, args: &[&str], input: &str, seat: Seat) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let variables = [("KAFCLAW_HOME".to_owned(), home.display().to_string())].into_iter().collect();
    let is_person = seat == Seat::Person;
    let mut terminal = Terminal {
        variables,
        clock: Clock::manual(Timestamp::from_millis(1_787_063_412_123)), // 2026-08-18 14:30:12 UTC
        input: &mut input,
        out: &mut out,
        err: &mut err,
        input_is_person: is_person,
        output_is_person: is_person,
    };
    let args = std::iter::once("kafclaw").chain(args.iter().copied()).map(OsString::from);
    let code = run(args, &mut terminal);
    (code, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
}

#[test]
fn every_command_and_every_argument_explains_itself() {
    fn check(command: &clap::Command, way: &str) {
        let name = format!("{way} {}", command.get_name());
        assert!(command.get_about().is_some(), "{name} has no sentence");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name} {} has no sentence", argument.get_id());
        }
        for inner in command.get_subcommands() {
            check(inner, &name);
        }
    }
    let command = Cli::command();
    command.clone().debug_assert();
    check(&command, "");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let home = tempfile::tempdir().expect("a folder");
    for (args, expected) in [
        (&[][..], 0),
        (&["--help"], 0),
        (&["config", "--help"], 0),
        (&["--version"], 0),
        (&["version"], 0),
        (&["config"], 64),
        (&["nonsense"], 64),
        (&["config", "set", "gateway.port"], 64),
        (&["config", "set", "gateway.port", "1", "gateway.host"], 64),
        (&["config", "set", "gateway..port", "1"], 64),
        (&["config", "set", "gateway.prot", "1"], 78),
        (&["config", "get", "gateway.prot"], 1),
        (&["config", "unset", "gateway.port"], 1),
        (&["config", "validate"], 0),
        (&["config", "set", "gateway.port", "-1"], 78),
        (&["config", "set", "gateway.port", "1"], 0),
        (&["completion", "tcsh"], 64),
    ] {
        let (code, out, err) = kafclaw(home.path(), args);
        assert_eq!(code, expected, "{args:?}\n{out}\n{err}");
        assert_eq!(code == 0, err.is_empty(), "{args:?}: complaints go beside the output: {err}");
    }
}

#[test]
fn the_configuration_is_read_changed_and_checked() {
    let home = tempfile::tempdir().expect("a folder");
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.port"]).1, "18790\n");
    let (code, out, _) =
        kafclaw(home.path(), &["config", "set", "gateway.port", "1000", "gateway.authToken", "geheim"]);
    assert!(code == 0 && out.starts_with("gateway.port, gateway.authToken written to /"), "{out}");
    let (_, out, _) = kafclaw(home.path(), &["config", "get", "gateway"]);
    assert!(
        out.contains("\"port\": 1000") && out.contains("\"authToken\": \"***\"") && !out.contains("geheim"),
        "{out}"
    );
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.authToken", "--show-secrets"]).1, "geheim\n");
    assert!(kafclaw(home.path(), &["config", "validate"]).1.contains("config.json is valid."));
    assert_eq!(kafclaw(home.path(), &["config", "unset", "gateway.port"]).0, 0);
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.port"]).1, "18790\n");

    std::fs::write(home.path().join(".kafclaw/config.json"), r#"{"gatway": 1, "model": {"name": 5}}"#)
        .expect("written");
    let (code, out, err) = kafclaw(home.path(), &["config", "validate"]);
    assert!(
        code == 78 && out.is_empty() && err.contains("2 mistakes") && err.contains("did you mean gateway?"),
        "{err}"
    );
}

#[test]
fn the_schema_and_the_completions_are_printed() {
    let home = tempfile::tempdir().expect("a folder");
    let (_, out, _) = kafclaw(home.path(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(schema["properties"]["gateway"]["properties"]["controlPort"]["default"], 18789);
    for shell in ["bash", "zsh", "fish"] {
        assert!(kafclaw(home.path(), &["completion", shell]).1.contains("validate"), "{shell}");
    }
    assert!(kafclaw(home.path(), &["version"]).1.contains("\nVersion: "));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut err = Vec::new();
    let mut terminal = Terminal {
        variables: Variables::default(),
        clock: Clock::System,
        input: &mut io::empty(),
        out: &mut Gone,
        err: &mut err,
        input_is_person: false,
        output_is_person: false,
    };
    assert_eq!(run(["kafclaw", "version"].map(OsString::from), &mut terminal), 0);
    assert!(err.is_empty());
}
