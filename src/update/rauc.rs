//! RAUC through its command line, which speaks to its service: `rauc info`, `rauc install`, `rauc status` (RAUC 1.8, `rauc(1)`).

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::update::errors::UpdateError;
use crate::update::ledger::{Bundle, short};
use crate::update::port::Slots;

const RAUC: &str = "rauc";
/// Of what it says while it works; more is read and dropped.
const SAID_BYTES_MAX: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, Default)]
pub struct Rauc;

impl Slots for Rauc {
    fn read(&self, bundle: &Path) -> Result<Bundle, UpdateError> {
        let bytes = crate::update::shape::check(bundle)?;
        let path = bundle.display().to_string();
        let output = run(RAUC, &["info", "--output-format=json", &path])?;
        if !output.status.success() {
            return Err(unreadable(&said(&output.stderr)));
        }
        read_info(&output.stdout, bytes).ok_or_else(|| UpdateError::Words { program: "rauc info".to_owned() })
    }

    fn install(&self, bundle: &Path, tell: &mut dyn FnMut(u8, &str)) -> Result<(), UpdateError> {
        let mut command = Command::new(RAUC);
        command.arg("install").arg(bundle).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let broken = |source| UpdateError::Program { program: "rauc install".to_owned(), source };
        let mut child = command.spawn().map_err(broken)?;
        let errors = child.stderr.take().map(|errors| {
            // Read beside the progress, so that neither pipe can fill up and stop it.
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let mut errors = BufReader::new(errors);
                let _ = errors.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut text);
                let _ = std::io::copy(&mut errors, &mut std::io::sink());
                text
            })
        });
        let mut last_error = None;
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some((percent, words)) = progress(&line) {
                    tell(percent, words);
                } else if let Some(error) = line.trim().strip_prefix("LastError:") {
                    last_error = Some(short(error));
                }
            }
        }
        let status = child.wait().map_err(broken)?;
        let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(UpdateError::Install { said: last_error.unwrap_or_else(|| said(&errors)) })
    }

    fn mark_good(&self) -> Result<(), UpdateError> {
        mark(&["status", "mark-good"])
    }

    fn mark_bad(&self) -> Result<(), UpdateError> {
        mark(&["status", "mark-bad"])
    }

    fn choose_other(&self) -> Result<(), UpdateError> {
        mark(&["status", "mark-active", "other"])
    }

    fn bar_other(&self) -> Result<(), UpdateError> {
        mark(&["status", "mark-bad", "other"])
    }

    fn choose_this(&self) -> Result<(), UpdateError> {
        mark(&["status", "mark-active", "booted"])
    }

    fn restart(&self) -> Result<(), UpdateError> {
        done("systemctl", &["--no-block", "reboot"])
    }
}

fn mark(arguments: &[&str]) -> Result<(), UpdateError> {
    done(RAUC, arguments)
}

fn done(program: &str, arguments: &[&str]) -> Result<(), UpdateError> {
    let output = run(program, arguments)?;
    if output.status.success() {
        return Ok(());
    }
    let program = format!("{program} {}", arguments.join(" "));
    Err(UpdateError::Failed { program, said: said(&output.stderr) })
}

fn run(program: &str, arguments: &[&str]) -> Result<Output, UpdateError> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.map_err(|source| UpdateError::Program { program: format!("{program} {}", arguments[0]), source })
}

/// The last line that says something.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say why");
    short(last.strip_prefix("rauc: ").unwrap_or(last))
}

/// RAUC's sentence for a signature is told from others by its word.
fn unreadable(said: &str) -> UpdateError {
    let lower = said.to_lowercase();
    let said = said.to_owned();
    if ["signature", "certificate", "verif"].iter().any(|word| lower.contains(word)) {
        UpdateError::Signature { said }
    } else {
        UpdateError::Unreadable { said }
    }
}

/// `rauc info --output-format=json`.
fn read_info(bytes: &[u8], length: u64) -> Option<Bundle> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| value[name].as_str().map(short);
    Some(Bundle {
        version: text("version")?,
        compatible: text("compatible")?,
        build: text("build").unwrap_or_default(),
        bytes: length,
    })
}

/// ` 20% Checking bundle done.`
fn progress(line: &str) -> Option<(u8, &str)> {
    let (percent, words) = line.trim().split_once('%')?;
    let percent: u8 = percent.trim().parse().ok().filter(|percent| *percent <= 100)?;
    Some((percent, words.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rauc_is_understood() {
        assert_eq!(progress(" 20% Checking bundle done."), Some((20, "Checking bundle done.")));
        assert_eq!((progress("installing"), progress("200% x"), progress("x% y")), (None, None, None));
        let info = br#"{"compatible": "kafclaw-x", "version": "0.2.0", "description": null, "build": "20261120T000000Z", "images": []}"#;
        let bundle = read_info(info, 9).expect("understood");
        assert_eq!((bundle.version.as_str(), bundle.build.as_str(), bundle.bytes), ("0.2.0", "20261120T000000Z", 9));
        assert_eq!(read_info(b"{}", 9), None);
        assert!(matches!(unreadable("failed to verify signature: self signed"), UpdateError::Signature { .. }));
        assert!(matches!(unreadable("squashfs is odd"), UpdateError::Unreadable { .. }));
        assert_eq!(said(b"rauc: first\nrauc: last\n\n"), "last");
    }

    proptest::proptest! {
        #[test]
        fn whatever_rauc_says_is_read(line in "\\PC{0,40}", bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            if let Some((percent, _)) = progress(&line) {
                proptest::prop_assert!(percent <= 100);
            }
            let _ = read_info(&bytes, 0);
            proptest::prop_assert!(!said(&bytes).contains('\n'));
        }
    }
}
