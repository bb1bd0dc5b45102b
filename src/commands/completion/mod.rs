//! `bindery completion`: completes command lines in shells, and for kubectl.
//!
//! The script of a shell calls the program with the environment variable [`VARIABLE`], and kubectl calls
//! `kubectl_complete-bindery`. Both get the commands, flags and values of [`crate::cli`], and names from the cluster
//! ([`names`]).

mod names;

use std::ffi::OsString;
use std::io::Write;

use anyhow::{Context, Result};
use clap_complete::CompleteEnv;
use clap_complete::engine::{CompletionCandidate, complete};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::cli::program::Program;
use crate::cli::{Completion, Shell};

/// The environment variable by which the script of a shell asks for completions.
const VARIABLE: &str = "BINDERY_COMPLETE";

/// The script that kubectl calls. It is the same for every shell.
const KUBECTL: &str = "\
#!/bin/sh
# kubectl runs this program to complete `kubectl bindery`. It must be in PATH under the name kubectl_complete-bindery.
exec kubectl-bindery __complete -- \"$@\"
";

/// Prints the script of a shell.
pub fn completion(flags: &Completion, program: Program) -> Result<bool> {
    let mut script = Vec::new();
    let name = program.file_name();
    let mut write = |shell: &dyn EnvCompleter| {
        let written = shell.write_registration(VARIABLE, name, name, name, &mut script);
        written.context("the script could not be written")
    };
    match flags.shell {
        Shell::Bash => write(&Bash)?,
        Shell::Zsh => write(&Zsh)?,
        Shell::Fish => write(&Fish)?,
        Shell::Kubectl => script.extend(KUBECTL.as_bytes()),
    }
    print(&script);
    Ok(true)
}

/// Answers the script of a shell, if it has started the program. Returns whether it has.
pub fn answer_shell(program: Program) -> bool {
    let words: Vec<OsString> = std::env::args_os().collect();
    // After `--` there is the command line that is completed, with the name of the program.
    let line: Vec<OsString> = words.iter().skip_while(|word| *word != "--").skip(2).cloned().collect();
    let command = || names::attach(program.command(), line.clone());
    let asked = CompleteEnv::with_factory(command).var(VARIABLE);
    let directory = std::env::current_dir().ok();
    // A shell that the program does not know gets nothing.
    asked.try_complete(&words, directory.as_deref()).unwrap_or(true)
}

/// Answers kubectl: one completion a line, with its description after a tab, and then a colon and a number that tells
/// kubectl's script what to do.
pub fn answer_kubectl(words: &[OsString]) {
    let mut command = names::attach(Program::Plugin.command(), words.to_vec());
    let mut line = vec![OsString::from(Program::Plugin.file_name())];
    line.extend(words.iter().cloned());
    if words.is_empty() {
        line.push(OsString::new());
    }
    let (last, directory) = (line.len() - 1, std::env::current_dir().ok());
    let found = complete(&mut command, line, last, directory.as_deref()).unwrap_or_default();
    // As kubectl does, flags are offered only after a dash.
    let is_flag = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().starts_with('-');
    let wants_flag = words.last().is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let is_wanted = |candidate: &&CompletionCandidate| !candidate.is_hide_set() && (wants_flag || !is_flag(candidate));
    let found: Vec<_> = found.iter().filter(is_wanted).collect();
    let text: String = found.iter().map(|candidate| line_for_kubectl(candidate)).collect();
    // A folder is not the end of a path.
    let is_folder = |candidate: &&CompletionCandidate| candidate.get_value().to_string_lossy().ends_with('/');
    let directive = NO_FILES + if found.iter().any(is_folder) { NO_SPACE } else { 0 };
    print(format!("{text}:{directive}\n").as_bytes());
}

/// Adds no space after the completion.
const NO_SPACE: u8 = 2;
/// Does not complete the names of files by itself.
const NO_FILES: u8 = 4;

fn line_for_kubectl(candidate: &CompletionCandidate) -> String {
    let value = candidate.get_value().to_string_lossy();
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    match help.lines().next() {
        Some(help) => format!("{value}\t{help}\n"),
        None => format!("{value}\n"),
    }
}

fn print(text: &[u8]) {
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text);
}
