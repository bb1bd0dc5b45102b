//! `bindery man`: prints the manual page.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;

use crate::cli::program::Program;

/// Prints the page of the program, with all commands.
pub fn man(program: Program) -> Result<bool> {
    let page = page(program.command()).context("the manual page could not be written")?;
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(page.as_bytes());
    Ok(true)
}

/// The lines that each part of a page begins with. Once is enough.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Returns one page: the program, and a section for each command.
fn page(mut command: Command) -> std::io::Result<String> {
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    command = command.disable_help_subcommand(true);
    command.build();
    let mut head = Vec::new();
    // The second field is a date; a page that is built again must be the same.
    let version = concat!("version ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .manual("User Commands")
        .date(version)
        .source("Bindery");
    man.render_title(&mut head)?;
    man.render_name_section(&mut head)?;
    man.render_synopsis_section(&mut head)?;
    man.render_description_section(&mut head)?;
    let head = String::from_utf8_lossy(&head).replace(PREAMBLE, "");
    let mut text = format!("{PREAMBLE}{head}");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let mut section = Vec::new();
        let man = Man::new(sub.clone());
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        // The sections of a command are parts of its own section here.
        let section = String::from_utf8_lossy(&section)
            .replace(PREAMBLE, "")
            .replace(".SH ", ".SS ");
        let title = format!("{called} {}", sub.get_name()).to_uppercase();
        text.extend([".SH ", &title, "\n", &section]);
        if let Some(help) = sub.get_after_help() {
            text += &examples(&help.to_string());
        }
    }
    Ok(text)
}

/// Returns the examples of a command, line by line as they are written.
fn examples(help: &str) -> String {
    let escaped = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) {
            format!("\\&{line}")
        } else {
            line
        }
    };
    let lines: Vec<String> = help.lines().skip(1).map(escaped).collect();
    format!(".SS EXAMPLES\n.nf\n{}\n.fi\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_no_hidden_one() {
        let page = page(Program::Plugin.command()).unwrap();
        let title = format!(
            ".TH kubectl-bindery 1 \"version {}\" Bindery \"User Commands\"",
            env!("CARGO_PKG_VERSION")
        );
        assert!(
            page.lines()
                .any(|line| line.split_whitespace().eq(title.split_whitespace())),
            "{page}"
        );
        for section in [
            ".SH NAME",
            ".SH KUBECTL BINDERY EXPLAIN",
            ".SH KUBECTL BINDERY RESTORE",
            ".SS EXAMPLES",
        ] {
            assert!(page.lines().any(|line| line == section), "{section}: {page}");
        }
        assert!(!page.contains("SERVE") && !page.contains("__complete"), "{page}");
    }
}
