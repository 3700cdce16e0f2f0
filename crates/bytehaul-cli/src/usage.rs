//! How a wrong command line is reported: one line that says what is wrong, and hints, never a secret value.

use std::fmt;
use std::io::Write;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::exit::Exit;

/// Arguments that cannot be carried out. Nothing was tried.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct UsageError {
    message: String,
    hint: Option<String>,
}

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong, without the hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Writes it to stderr.
    pub(crate) fn report(&self) -> Exit {
        // Without a stderr there is nobody to tell.
        let _ = write!(std::io::stderr(), "{self}");
        Exit::Usage
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bytehaul: {}", self.message)?;
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Answers what the argument parser has to say: help and version on stdout, errors in the form of all others.
pub(crate) fn report(error: &clap::Error, typed: impl Iterator<Item = String>) -> Exit {
    let rendered = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = write!(std::io::stdout(), "{rendered}");
            Exit::Complete
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = write!(std::io::stderr(), "{rendered}");
            Exit::Usage
        }
        _ => from_parser(&rendered, &command_of(typed)).report(),
    }
}

/// The parser's paragraphs as one line: `error: …` lines are joined, a `tip:` becomes the hint.
fn from_parser(rendered: &str, command: &str) -> UsageError {
    let mut paragraphs = rendered.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let message: Vec<&str> = first.lines().map(str::trim).collect();
    let message = message.join(" ");
    let tip = paragraphs
        .flat_map(str::lines)
        .find_map(|line| line.trim().strip_prefix("tip: "));
    let help = || format!("run '{command} --help' for the options");
    UsageError::new(message.strip_prefix("error: ").unwrap_or(&message))
        .hint(tip.map_or_else(help, str::to_owned))
}

/// The command that was typed, with its sub-commands: `bytehaul get`.
fn command_of(typed: impl Iterator<Item = String>) -> String {
    let mut known = &Cli::command();
    let mut words = vec![known.get_name().to_owned()];
    for word in typed.skip(1) {
        let Some(command) = known.find_subcommand(&word) else {
            break;
        };
        known = command;
        words.push(word);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn check(line: &str, expected: &str) {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(
            from_parser(
                &error.render().to_string(),
                &command_of(line.split(' ').map(str::to_owned))
            )
            .to_string(),
            expected
        );
    }

    #[test]
    fn the_parsers_errors_are_one_line_and_a_hint() {
        check(
            "bytehaul get -x 0 http://h/",
            "bytehaul: invalid value '0' for '--connections <N>': neither 'auto' nor a number from 1\n\
             hint: run 'bytehaul get --help' for the options\n",
        );
        check(
            "bytehaul get --overwite http://h/",
            "bytehaul: unexpected argument '--overwite' found\nhint: a similar argument exists: '--overwrite'\n",
        );
        check(
            "bytehaul get --file-allocation x http://h/",
            "bytehaul: invalid value 'x' for '--file-allocation <HOW>' [possible values: none, prealloc]\n\
             hint: run 'bytehaul get --help' for the options\n",
        );
    }

    #[test]
    fn help_is_that_of_the_command() {
        let check = |line: &str, expected: &str| {
            assert_eq!(command_of(line.split(' ').map(str::to_owned)), expected);
        };
        check("bytehaul", "bytehaul");
        check("./x put -x 0 get", "bytehaul put");
        check("bytehaul uploads abort --all", "bytehaul uploads abort");
        check("bytehaul fetch", "bytehaul");
    }

    #[test]
    fn a_hint_is_a_line_of_its_own() {
        assert_eq!(UsageError::new("a").to_string(), "bytehaul: a\n");
        assert_eq!(
            UsageError::new("a").hint("b").to_string(),
            "bytehaul: a\nhint: b\n"
        );
    }
}
