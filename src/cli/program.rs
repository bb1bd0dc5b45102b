//! The names under which the program is called: `bindery`, or `kubectl bindery` as a plugin of kubectl.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;

/// The file name by which kubectl finds the plugin.
const PLUGIN: &str = "kubectl-bindery";
/// The file name that kubectl calls to complete a command line of the plugin.
const COMPLETER: &str = "kubectl_complete-bindery";

/// The command that the plugin does not have.
pub const SERVE: &str = "serve";
/// What the plugin is. `bindery` also is the server.
const ABOUT: &str = "Shows what the claims of Bindery, the Kubernetes NFS provisioner, get and use, and restores archives of \
                     deleted claims";

/// The name under which the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `bindery`.
    Bindery,
    /// `kubectl bindery`.
    Plugin,
    /// `kubectl_complete-bindery`: all arguments are words to complete.
    Completer,
}

impl Program {
    /// Returns the program with this path.
    pub fn called_as(path: &OsStr) -> Self {
        match Path::new(path).file_name().and_then(OsStr::to_str) {
            Some(PLUGIN) => Self::Plugin,
            Some(COMPLETER) => Self::Completer,
            _ => Self::Bindery,
        }
    }

    /// Returns the words that a user types to call the program.
    pub fn words(self) -> &'static str {
        match self {
            Self::Bindery => "bindery",
            Self::Plugin | Self::Completer => "kubectl bindery",
        }
    }

    /// Returns the name of the file that runs when a user types these words.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bindery => "bindery",
            Self::Plugin | Self::Completer => PLUGIN,
        }
    }

    /// Returns the definition of the commands. Usage and examples have the words of this program.
    pub fn command(self) -> Command {
        let command = Cli::command();
        if self == Self::Bindery {
            return command;
        }
        // The provisioner runs in pods, where nobody calls it as a plugin. All arguments are accepted, so that each call
        // gets the same answer.
        let any = Arg::new("any")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .action(ArgAction::Append);
        let serve = Command::new(SERVE).about("The plugin has no such command").hide(true);
        let command = command.mut_subcommand(SERVE, |_| serve.disable_help_flag(true).arg(any));
        let command = command.mut_subcommands(|sub| match sub.get_after_help().map(ToString::to_string) {
            Some(examples) => sub.after_help(in_words(&examples)),
            None => sub,
        });
        command.name(PLUGIN).bin_name(self.words()).about(ABOUT)
    }
}

/// Returns examples with the words of the plugin.
fn in_words(examples: &str) -> String {
    let line = |line: &str| match line.strip_prefix("  bindery ") {
        Some(rest) => format!("  kubectl bindery {rest}"),
        None => line
            .replace("<(bindery ", "<(kubectl bindery ")
            .replace("/bindery.fish", "/kubectl-bindery.fish"),
    };
    examples.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_decides() {
        let table = [
            ("bindery", Program::Bindery),
            ("/usr/local/bin/kubectl-bindery", Program::Plugin),
            ("kubectl_complete-bindery", Program::Completer),
            ("/opt/bindery-linux-amd64", Program::Bindery),
            ("", Program::Bindery),
        ];
        for (path, program) in table {
            assert_eq!(Program::called_as(OsStr::new(path)), program, "{path}");
        }
    }

    #[test]
    fn the_plugin_has_the_words_of_kubectl_and_no_serve() {
        let mut plugin = Program::Plugin.command();
        let help = plugin.render_help().to_string();
        assert!(help.contains("Usage: kubectl bindery <COMMAND>"), "{help}");
        assert!(!help.contains("\n  serve"), "{help}");
        assert!(help.starts_with("Shows what the claims of Bindery"), "{help}");
        let archives = plugin.find_subcommand_mut("archives").unwrap();
        let help = archives.render_help().to_string();
        assert!(help.contains("\n  kubectl bindery archives -A -o wide"), "{help}");
        let help = Program::Bindery.command().render_help().to_string();
        assert!(
            help.contains("Usage: bindery <COMMAND>") && help.contains("serve"),
            "{help}"
        );
    }
}
