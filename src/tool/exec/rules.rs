//! Which command lines may run: the program's name, its dangerous options, and the paths among its arguments.

use std::path::Path;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Objection {
    #[error("{program} may not be run; allowed are {allowed}")]
    Program { program: String, allowed: String },
    #[error("git {subcommand} may not be run; allowed are {allowed}")]
    GitSubcommand { subcommand: String, allowed: String },
    #[error("{program} may not be run with {option}")]
    Option { program: String, option: String },
    /// KafClaw's text.
    #[error("path traversal not allowed")]
    Traversal,
    #[error("path outside work repo and workspace: {path}")]
    Outside { path: String },
}

/// Subcommands of git that neither reach a network nor run what a repository tells them to.
const GIT: &[&str] = &[
    "add",
    "blame",
    "branch",
    "commit",
    "describe",
    "diff",
    "log",
    "ls-files",
    "rev-parse",
    "shortlog",
    "show",
    "status",
    "tag",
];

/// Options by which a listed program writes files or runs other programs.
const OPTIONS: &[(&str, &[&str])] = &[
    ("git", &["--output", "--ext-diff", "--textconv", "--edit-description", "--exec-path", "--git-dir", "--work-tree"]),
    ("rg", &["--pre", "--hostname-bin", "--search-zip", "-z"]),
    ("tail", &["--follow", "-f", "-F", "--retry"]),
];

/// Checks `words`; `is_inside` says whether an absolute path lies beneath a root.
pub(super) fn check(programs: &[String], words: &[String], is_inside: impl Fn(&Path) -> bool) -> Result<(), Objection> {
    let (program, arguments) = words.split_first().map_or(("", words), |(first, rest)| (first.as_str(), rest));
    if !programs.iter().any(|allowed| allowed == program) {
        let allowed = programs.join(", ");
        return Err(Objection::Program { program: program.to_owned(), allowed });
    }
    if program == "git" {
        check_git(arguments)?;
    }
    let forbidden = OPTIONS.iter().filter(|(name, _)| *name == program).flat_map(|(_, options)| *options);
    for option in forbidden {
        if arguments.iter().any(|argument| is_option(argument, option)) {
            return Err(Objection::Option { program: program.to_owned(), option: (*option).to_owned() });
        }
    }
    arguments.iter().try_for_each(|argument| check_path(argument, &is_inside))
}

/// Options before the subcommand (`-c`, `-C`, `--exec-path`) decide what git runs, so the subcommand comes first.
fn check_git(arguments: &[String]) -> Result<(), Objection> {
    let subcommand = arguments.first().map_or("", String::as_str);
    if GIT.contains(&subcommand) {
        return Ok(());
    }
    Err(Objection::GitSubcommand { subcommand: subcommand.to_owned(), allowed: GIT.join(", ") })
}

/// Whether `argument` is `option`, with or without a value, or an abbreviation of it, which long options permit.
fn is_option(argument: &str, option: &str) -> bool {
    if let Some(letter) = option.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
        // Short options are written together: `-nf`.
        return argument.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter));
    }
    let name = argument.split('=').next().unwrap_or(argument);
    name.len() > 4 && option.starts_with(name) || name == option
}

/// Refuses what climbs (`..`) and what is absolute and not beneath a root, also behind `--option=` and `-x`.
fn check_path(argument: &str, is_inside: impl Fn(&Path) -> bool) -> Result<(), Objection> {
    let value = match argument.strip_prefix('-') {
        Some(option) => match option.split_once('=') {
            Some((_, value)) => value,
            None => option.find('/').map_or("", |slash| &option[slash..]),
        },
        None => argument,
    };
    // A range of commits (`main..work`) is not a path; a component that is only dots is.
    if [argument, value].iter().any(|text| text.split(['/', '\\', ':']).any(|part| part == "..")) {
        return Err(Objection::Traversal);
    }
    if value.starts_with('/') && !is_inside(Path::new(value)) {
        return Err(Objection::Outside { path: value.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tool::exec::{Config, split};

    fn judged(command: &str) -> Result<(), String> {
        let words = split::split(command).expect("splits");
        check(&Config::default().programs, &words, |path| path.starts_with("/work"))
            .map_err(|objection| objection.to_string())
    }

    #[test]
    fn reading_programs_pass() {
        for command in [
            "git log main..work --oneline",
            "git diff -- a/b.txt",
            "git commit -m 'a; b'",
            "ls -la /work/sub",
            "grep -rn 'x' .",
            "rg --files",
            "tail -n 5 log...txt",
            "cat a..b",
            "echo and/or",
        ] {
            assert_eq!(judged(command), Ok(()), "{command}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for (command, reason) in [
            ("rm -rf x", "rm may not be run"),
            ("/bin/ls", "/bin/ls may not be run"),
            ("lsof", "lsof may not be run"),
            ("''", " may not be run"),
            ("sed -i s/a/b/ x", "sed may not be run"),
            ("git -c core.pager=id log", "git -c may not be run"),
            ("git clone ext::id", "git clone may not be run"),
            ("git", "git  may not be run"),
            ("git diff --ext-diff", "git may not be run with --ext-diff"),
            ("git diff --ext-d", "git may not be run with --ext-diff"),
            ("git log --output=x", "git may not be run with --output"),
            ("git log --outp x", "git may not be run with --output"),
            ("rg --pre=id x", "rg may not be run with --pre"),
            ("rg --pre id x", "rg may not be run with --pre"),
            ("tail -nf x", "tail may not be run with -f"),
            ("cat ../x", "path traversal not allowed"),
            ("cat a/../../x", "path traversal not allowed"),
            ("cat ..", "path traversal not allowed"),
            ("grep x --file=../y", "path traversal not allowed"),
            ("cat /etc/passwd", "path outside work repo and workspace: /etc/passwd"),
            ("cat /workshop/../etc", "path traversal not allowed"),
            ("grep x --file=/etc/passwd", "path outside work repo and workspace: /etc/passwd"),
            ("grep -f/etc/passwd x", "path outside work repo and workspace: /etc/passwd"),
        ] {
            let error = judged(command).expect_err(command);
            assert!(error.starts_with(reason), "{command}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_words_make_the_check_panic_and_no_absolute_path_passes(words in prop::collection::vec(".*", 0..4), tail in "[a-z/.]{0,12}") {
            let programs = Config::default().programs;
            let _ = check(&programs, &words, |_| false);
            let words = ["cat".to_owned(), format!("/{tail}")];
            prop_assert!(check(&programs, &words, |_| false).is_err());
        }
    }
}
