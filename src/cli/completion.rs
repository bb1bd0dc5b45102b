//! The arguments of `bindery completion`, and of the hidden command that completes.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// Examples of the command.
pub const EXAMPLES: &str = "\
Examples:
  # bash, in ~/.bashrc
  source <(bindery completion bash)

  # zsh, in ~/.zshrc after compinit
  source <(bindery completion zsh)

  # fish
  bindery completion fish > ~/.config/fish/completions/bindery.fish

  # kubectl bindery, in every shell in which kubectl completes; ~/.local/bin must be in PATH
  bindery completion kubectl > ~/.local/bin/kubectl_complete-bindery
  chmod +x ~/.local/bin/kubectl_complete-bindery";

/// What completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// The shell bash
    Bash,
    /// The shell zsh
    Zsh,
    /// The shell fish
    Fish,
    /// The completion of kubectl, in every shell
    Kubectl,
}

/// Arguments of `bindery completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// What completes.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `bindery __complete`.
#[derive(Debug, Args)]
pub struct Complete {
    /// The words of the command line after the name of the program. The last one is completed.
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}
