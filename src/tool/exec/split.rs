//! A command line into words: quotes and backslashes as in a shell, and nothing else of it.

/// What only a shell could do. `Display` tells the model what to write instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SplitError {
    #[error("the command has an unclosed quote")]
    UnclosedQuote,
    #[error("the command ends in a backslash")]
    TrailingBackslash,
    #[error(
        "there is no shell, so \"{0}\" has no meaning here; run one program, and put single quotes around literal text"
    )]
    Shell(char),
    #[error("the command contains a control character")]
    Control,
}

/// Characters that a shell would act on outside quotes.
const SHELL: &[char] = &[';', '|', '&', '<', '>', '$', '(', ')', '`', '*', '?', '['];
/// Characters that a shell would act on inside double quotes.
const SHELL_IN_DOUBLE_QUOTES: &[char] = &['$', '`'];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Splits `command` into words, of which there may be none.
pub(super) fn split(command: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    // `Some` from a word's first character on, so that `''` is a word.
    let mut word: Option<String> = None;
    let mut quote = Quote::None;
    let mut characters = command.trim().chars();
    while let Some(character) = characters.next() {
        if character.is_control() && !(character == '\t' || (character == '\n' && quote != Quote::None)) {
            return Err(if character == '\n' { SplitError::Shell(';') } else { SplitError::Control });
        }
        match (quote, character) {
            (Quote::None, ' ' | '\t') => words.extend(word.take()),
            (Quote::None, '\'') => (quote, word) = (Quote::Single, Some(word.unwrap_or_default())),
            (Quote::None, '"') => (quote, word) = (Quote::Double, Some(word.unwrap_or_default())),
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None, '~') if word.is_none() => return Err(SplitError::Shell('~')),
            (Quote::None, _) if SHELL.contains(&character) => return Err(SplitError::Shell(character)),
            (Quote::Double, _) if SHELL_IN_DOUBLE_QUOTES.contains(&character) => {
                return Err(SplitError::Shell(character));
            }
            (Quote::None | Quote::Double, '\\') => {
                let next = characters.next().ok_or(SplitError::TrailingBackslash)?;
                if next.is_control() {
                    return Err(SplitError::Control);
                }
                let word = word.get_or_insert_default();
                // Inside double quotes a backslash escapes only what would otherwise act.
                if quote == Quote::Double && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote != Quote::None {
        return Err(SplitError::UnclosedQuote);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_what_a_shell_would_make_of_them() {
        for (command, words) in [
            ("ls -la", vec!["ls", "-la"]),
            ("  git   log\t-5 ", vec!["git", "log", "-5"]),
            ("echo 'a b' \"c d\"", vec!["echo", "a b", "c d"]),
            ("echo a'b c'd", vec!["echo", "ab cd"]),
            ("echo ''", vec!["echo", ""]),
            ("echo \"it's\" 'say \"hi\"'", vec!["echo", "it's", "say \"hi\""]),
            ("echo a\\ b \"\\\"\\n\"", vec!["echo", "a b", "\"\\n"]),
            ("grep '$x;|&<>()`*?[' f", vec!["grep", "$x;|&<>()`*?[", "f"]),
            ("git show HEAD~1 a\\;b", vec!["git", "show", "HEAD~1", "a;b"]),
            ("echo 'two\nlines'", vec!["echo", "two\nlines"]),
            ("", vec![]),
        ] {
            assert_eq!(split(command), Ok(words.into_iter().map(str::to_owned).collect()), "{command}");
        }
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused() {
        for (command, error) in [
            ("echo x; ls", SplitError::Shell(';')),
            ("a | b", SplitError::Shell('|')),
            ("a & b", SplitError::Shell('&')),
            ("a > b", SplitError::Shell('>')),
            ("a < b", SplitError::Shell('<')),
            ("echo $HOME", SplitError::Shell('$')),
            ("echo \"$HOME\"", SplitError::Shell('$')),
            ("echo \"`id`\"", SplitError::Shell('`')),
            ("(ls)", SplitError::Shell('(')),
            ("ls *.md", SplitError::Shell('*')),
            ("cat ~/.ssh/id", SplitError::Shell('~')),
            ("ls\nid", SplitError::Shell(';')),
            ("echo 'a", SplitError::UnclosedQuote),
            ("echo \"a", SplitError::UnclosedQuote),
            ("echo \\", SplitError::TrailingBackslash),
            ("echo a\0b", SplitError::Control),
            ("echo '\u{1b}[2J'", SplitError::Control),
        ] {
            assert_eq!(split(command), Err(error), "{command:?}");
        }
    }

    fn quoted(word: &str) -> String {
        format!("'{}'", word.replace('\'', "'\\''"))
    }

    proptest! {
        #[test]
        fn splitting_never_panics_and_yields_no_control_characters(command in ".*") {
            for word in split(&command).unwrap_or_default() {
                prop_assert!(!word.contains('\0'));
            }
        }

        #[test]
        fn quoted_words_come_back_as_they_were(words in prop::collection::vec("[ -~äß☃]{0,8}", 0..6)) {
            let command = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&command), Ok(words));
        }
    }
}
