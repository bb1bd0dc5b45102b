//! Prints the demonstration: headings, commands with their output, and facts. Uses colours only in a terminal.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The width at which lines of text are wrapped.
const WIDTH: usize = 110;

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";
const CYAN: &str = "1;36";

/// The standard output, and the folder in which commands run.
pub struct Screen {
    colours: bool,
    folder: PathBuf,
    chapters: u32,
}

impl Screen {
    /// Creates it. Colours are not used if the output is not a terminal, or if `NO_COLOR` is set
    /// (<https://no-color.org>).
    pub fn new(folder: PathBuf) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        Self {
            colours: std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            folder,
            chapters: 0,
        }
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints a heading.
    pub fn chapter(&mut self, text: &str) {
        self.chapters += 1;
        let heading = format!("{}. {text}", self.chapters);
        println!("\n  {}", self.painted(&heading, CYAN));
    }

    /// Prints a result.
    pub fn fact(&self, text: &str) {
        println!("     {}", self.painted(text, GREEN));
    }

    /// Writes a file for the next commands.
    pub fn file(&self, name: &str, content: &str) -> Result<()> {
        std::fs::write(self.folder.join(name), content).with_context(|| name.to_owned())
    }

    /// Runs a command and shows it with its output. It must succeed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        self.show_command(words);
        let (succeeded, output) = self.output(words)?;
        self.show(&output, None);
        ensure!(succeeded, "{} failed", words.join(" "));
        Ok(output)
    }

    /// Runs a command that must be refused, and shows its output.
    pub fn run_refused(&self, words: &[&str]) -> Result<()> {
        self.show_command(words);
        let (succeeded, output) = self.output(words)?;
        self.show(&output, Some(RED));
        ensure!(!succeeded, "{} was not refused", words.join(" "));
        Ok(())
    }

    fn show_command(&self, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        println!("     {}", self.painted(&format!("$ {}", words.join(" ")), BOLD));
    }

    fn show(&self, output: &str, colour: Option<&str>) {
        for line in output.lines() {
            // Tables and manifests are not wrapped, because they would lose their columns.
            let has_columns = line.contains("  ");
            for part in if has_columns {
                vec![line.to_owned()]
            } else {
                broken(line)
            } {
                let part = colour.map_or(part.clone(), |colour| self.painted(&part, colour));
                println!("     {part}");
            }
        }
    }

    /// Runs a program of the cluster without showing it. Returns whether it succeeded, and its output.
    fn output(&self, words: &[&str]) -> Result<(bool, String)> {
        let program = match words[0] {
            "kubectl" => std::env::var_os("KUBECTL").context("KUBECTL is not set: run `make demo`")?,
            "bindery" => std::env::var_os("BINDERY_BIN").context("BINDERY_BIN is not set: run `make demo`")?,
            name => name.into(),
        };
        let mut command = Command::new(
            std::path::absolute(&program)
                .ok()
                .filter(|path| path.exists())
                .unwrap_or(program.into()),
        );
        let output = command.args(&words[1..]).current_dir(&self.folder).output();
        let output = output.with_context(|| format!("{} cannot be run", words[0]))?;
        // Warnings are printed before the result, as in a terminal.
        let text = [output.stderr, output.stdout].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Returns a word as it is typed in a shell.
fn quoted(word: &str) -> String {
    if word.contains(['?', '&', ' ']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// Wraps a line between words.
fn broken(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + word.len() < WIDTH {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}
