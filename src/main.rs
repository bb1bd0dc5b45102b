//! The program: parses the command line and runs the command.

use std::process::ExitCode;
use std::thread::available_parallelism;

use bindery::cli;
use bindery::cluster::api_error::{describe, describe_for_command};
use bindery::commands::{check, explain, serve, uninstall};
use clap::Parser;

/// The most worker threads. The work is mostly waiting; more threads would only need more memory.
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
        cli::Command::Check(flags) => ("check", check::check(flags).await),
        cli::Command::Uninstall(flags) => ("uninstall", uninstall::uninstall(flags).await),
    };
    // The exit statuses that the help of these commands documents.
    Ok(match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bindery {command}: {}", describe_for_command(&error));
            ExitCode::from(2)
        }
    })
}
