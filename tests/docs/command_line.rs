//! The flags, as `--help` has them.

use std::fmt::Write;

use bindery::cli::{Cli, ClusterArgs};
use clap::{Arg, ArgAction, Args, Command, CommandFactory};

use super::page::check_part;

#[test]
fn the_page_of_the_command_line_has_every_flag() {
    let mut cli = Cli::command();
    cli.build();
    let mut text = String::new();
    let shared = ClusterArgs::augment_args(Command::new("shared"));
    let shared: Vec<String> = shared.get_arguments().map(row).collect();
    let is_shown = |command: &&Command| command.get_name() != "help" && !command.is_hide_set();
    for command in cli.get_subcommands().filter(is_shown) {
        describe(&mut text, command, &shared);
    }
    let _ = writeln!(
        text,
        "### Flags of the cluster\n\nThe flags of kubectl that choose the cluster and the user.\n"
    );
    let _ = writeln!(text, "{}\n{}", header("flag"), shared.join("\n"));
    check_part("docs/cli.md", "command line", text.trim_end_matches('\n'));
}

/// Describes a command. Its rows that are in `shared`, too, are described once for all commands.
fn describe(text: &mut String, command: &Command, shared: &[String]) {
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let paragraphs: Vec<String> = about
        .split("\n\n")
        .map(|paragraph| wrapped(&full_stop(paragraph)))
        .collect();
    let _ = writeln!(
        text,
        "### `bindery {}`\n\n{}\n",
        command.get_name(),
        paragraphs.join("\n\n")
    );
    let of_command = |arg: &&Arg| !matches!(arg.get_id().as_str(), "help" | "version");
    for title in ["argument", "flag"] {
        let args: Vec<&Arg> = command.get_arguments().filter(of_command).collect();
        let args: Vec<&Arg> = args
            .into_iter()
            .filter(|arg| arg.is_positional() == (title == "argument"))
            .collect();
        if args.is_empty() {
            continue;
        }
        let rows: Vec<String> = args.into_iter().map(row).collect();
        // `serve` has one of these flags only.
        let has_all = shared.last().is_some_and(|last| rows.contains(last));
        let own: Vec<&str> = rows
            .iter()
            .filter(|row| !has_all || !shared.contains(row))
            .map(String::as_str)
            .collect();
        if !own.is_empty() {
            let _ = writeln!(text, "{}\n{}\n", header(title), own.join("\n"));
        }
        if has_all {
            let _ = writeln!(text, "And the [flags of the cluster](#flags-of-the-cluster).\n");
        }
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<&str> = examples
            .lines()
            .skip(1)
            .map(|line| line.strip_prefix("  ").unwrap_or(line))
            .collect();
        let _ = writeln!(text, "```sh\n{}\n```\n", lines.join("\n"));
    }
}

fn header(title: &str) -> String {
    format!("| {title} | environment | default | meaning |\n|---|---|---|---|")
}

/// Returns the row of a table for an argument or a flag.
fn row(arg: &Arg) -> String {
    let (meaning, default) = meaning(arg);
    let row = format!("| {} | {} | {default} | {meaning} |", spelling(arg), environment(arg));
    row.replace("|  |", "| |").replace("|  |", "| |")
}

/// Returns the names and the value of a flag, such as `-n, --namespace NAMESPACE`.
fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let value = names.iter().map(|name| format!(" {name}")).filter(|_| takes_value);
    let value: String = value.collect();
    if arg.is_positional() {
        return format!("`{}`", value.trim());
    }
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let long = arg.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    format!("`{short}{long}{value}`")
}

fn environment(arg: &Arg) -> String {
    let name = arg.get_env().and_then(|name| name.to_str());
    name.map_or_else(String::new, |name| format!("`{name}`"))
}

/// Returns the meaning of a flag, and its default: from clap, or from the brackets at the end of the help.
fn meaning(arg: &Arg) -> (String, String) {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = help
        .strip_suffix("].")
        .or_else(|| help.strip_suffix(']'))
        .and_then(|help| help.rsplit_once(" [default: "));
    let (help, default) = parts.map_or((&*help, None), |(help, default)| (help, Some(default.to_owned())));
    let mut text = full_stop(help);
    if arg.get_action().takes_values() {
        for value in arg.get_possible_values() {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            let colon = if help.is_empty() { "" } else { ": " };
            let _ = write!(text, " `{}`{colon}{}", value.get_name(), full_stop(&help));
        }
    }
    if arg.is_required_set() {
        text.push_str(" Required.");
    }
    let values = arg.get_default_values().iter();
    let values: Vec<String> = values.map(|value| format!("`{}`", value.to_string_lossy())).collect();
    // A flag without a value is off by default.
    let own = if matches!(arg.get_action(), ArgAction::SetTrue) {
        String::new()
    } else {
        values.join(", ")
    };
    (plain(&text), plain(&default.unwrap_or(own)))
}

/// Escapes characters that have a meaning in Markdown.
fn plain(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Wraps a text into lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= 120 {
            let _ = write!(line, " {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// Adds a full stop. clap removes it from the end of the first paragraph.
fn full_stop(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ':']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}
