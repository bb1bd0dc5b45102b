//! The program: parses the command line and runs the command.

use std::process::ExitCode;
use std::thread::available_parallelism;

use bindery::cli;
use bindery::cluster::api_error::{describe, describe_for_command};
use bindery::commands::{check, explain, serve, uninstall};
use clap::Parser;

/// The maximum number of worker threads. Most of the work is waiting, so more threads would only use more memory.
const MAX_THREADS: usize = 4;

fn main() -> anyhow::Result<ExitCode> {
    let processors = available_parallelism().map_or(MAX_THREADS, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(MAX_THREADS))
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> anyhow::Result<ExitCode> {
    // kube and the webhook both use this provider.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    let (command, done) = match cli::Cli::parse().command {
        cli::Command::Serve(flags) => {
            return Ok(match serve::serve(*flags).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("bindery serve: {}", describe(&error));
                    ExitCode::FAILURE
                }
            });
        }
        cli::Command::Explain(flags) => ("explain", explain::explain(flags).await),
        cli::Command::Check(flags) => ("check", check::check(*flags).await),
        cli::Command::Uninstall(flags) => ("uninstall", uninstall::uninstall(flags).await),
    };
    // The help of these commands documents the exit statuses.
    Ok(match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bindery {command}: {}", describe_for_command(&error));
            ExitCode::from(2)
        }
    })
}
