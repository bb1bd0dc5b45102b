//! The program: parses the command line and runs the command.

use std::process::ExitCode;
use std::thread::available_parallelism;

use bindery::cli::program::{Program, SERVE};
use bindery::cli::{Cli, Command};
use bindery::cluster::api_error::{describe, describe_for_command};
use bindery::commands::{archives, check, completion, console, df, explain, man, restore, serve, uninstall};
use clap::FromArgMatches;

/// The maximum number of worker threads. Most of the work is waiting, so more threads would only use more memory.
const MAX_THREADS: usize = 4;

fn main() -> anyhow::Result<ExitCode> {
    // kube and the webhook both use this provider.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    let called = std::env::args_os().next().unwrap_or_default();
    let program = Program::called_as(&called);
    // Completions start no threads: they are asked for at each press of a key.
    if completion::answer_shell(program) {
        return Ok(ExitCode::SUCCESS);
    }
    if program == Program::Completer {
        completion::answer_kubectl(&std::env::args_os().skip(1).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    let matches = program.command().get_matches();
    if program == Program::Plugin && matches.subcommand_name() == Some(SERVE) {
        eprintln!(
            "{words} has no command {SERVE}: the provisioner runs in the pods of Bindery; {words} --help lists the commands",
            words = program.words()
        );
        return Ok(ExitCode::from(2));
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Complete(flags) = &cli.command {
        completion::answer_kubectl(&flags.words);
        return Ok(ExitCode::SUCCESS);
    }
    let processors = available_parallelism().map_or(MAX_THREADS, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(MAX_THREADS))
        .enable_all()
        .build()?
        .block_on(run(cli.command, program))
}

async fn run(command: Command, program: Program) -> anyhow::Result<ExitCode> {
    let (command, done) = match command {
        Command::Serve(flags) => {
            return Ok(match serve::serve(*flags).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("bindery serve: {}", describe(&error));
                    ExitCode::FAILURE
                }
            });
        }
        Command::Explain(flags) => ("explain", explain::explain(*flags).await),
        Command::Check(flags) => ("check", check::check(*flags).await),
        Command::Archives(flags) => ("archives", archives::archives(flags).await),
        Command::Restore(flags) => ("restore", restore::restore(flags, program).await),
        Command::Console(flags) => ("console", console::console(flags).await),
        Command::Df(flags) => ("df", df::df(flags, program).await),
        Command::Uninstall(flags) => ("uninstall", uninstall::uninstall(flags).await),
        Command::Completion(flags) => ("completion", completion::completion(&flags, program)),
        Command::Man(_) => ("man", man::man(program)),
        // Answered before.
        Command::Complete(_) => return Ok(ExitCode::SUCCESS),
    };
    // The help of these commands documents the exit statuses.
    Ok(match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{} {command}: {}", program.words(), describe_for_command(&error));
            ExitCode::from(2)
        }
    })
}
