//! `bindery uninstall --keep-data`: takes leave of every volume, so that nothing waits for a Bindery that is gone.
//!
//! Order: the Lease is taken, so that no replica runs, or nothing is done; the webhook configuration goes, so that nothing new
//! comes; then each volume, in one write of its own, or two for one that goes. Cut short anywhere, a second run does what is
//! left. What becomes of which volume is for [`crate::policy::uninstall`] to say.

mod replicas;
mod volumes;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use self::replicas::Agreement;
use self::volumes::Volumes;
use crate::cli;
use crate::cluster::api_error::describe_for_command;
use crate::cluster::client::{connect, instance};
use crate::cluster::lease::Term;
use crate::cluster::patch;
use crate::model::directory::Directory;
use crate::model::names;
use crate::model::volume::{Installation, Volume};
use crate::policy::uninstall::UninstallStep;

/// Uninstalls as the flags say, and returns the exit status that [`cli::Command::Uninstall`] promises.
pub async fn uninstall(flags: cli::Uninstall) -> ExitCode {
    match run(flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bindery uninstall: {}", describe_for_command(&error));
            ExitCode::from(2)
        }
    }
}

/// Whether no volume waits for Bindery any more.
async fn run(flags: cli::Uninstall) -> Result<bool> {
    let cli::Uninstall {
        keep_data: _,
        unfinished,
        dry_run,
        provisioner_name,
        instance: id,
        webhook_configuration,
        namespace,
        lease,
        without_lease,
        kubeconfig,
    } = flags;
    let client = connect(kubeconfig).await?;
    let installation = Installation {
        provisioner: provisioner_name,
        instance: instance(id, &client).await?,
    };
    let uninstall = Uninstall {
        volumes: Volumes::new(client.clone(), installation, unfinished, dry_run),
        configuration: webhook_configuration,
        client: client.clone(),
        dry_run,
    };
    match replicas::agreement(&client, &namespace, &lease).await? {
        // Nothing is written, the Lease neither.
        Agreement::Lease { holder } if dry_run => {
            if let Some(holder) = holder {
                println!("Lease {namespace}/{lease}: held by {holder}, which must not run any more");
            }
            uninstall.carry_out(None).await
        }
        Agreement::Lease { holder } => {
            if let Some(holder) = holder {
                println!("Lease {namespace}/{lease}: held by {holder}; waiting whether that one still lives ...");
            }
            replicas::without(client, &namespace, &lease, async |term| {
                uninstall.carry_out(Some(&term)).await
            })
            .await
        }
        Agreement::None if without_lease => uninstall.carry_out(None).await,
        Agreement::None => {
            if !uninstall.volumes.held().await?.0.is_empty() {
                bail!(
                    "there is no Lease {namespace}/{lease}, and volumes wait for Bindery: its replicas agree by another Lease. \
                     Say which with --namespace and --lease, or --without-lease if you know that none runs"
                );
            }
            println!("Lease {namespace}/{lease}: not there, and no volume waits for Bindery");
            uninstall.carry_out(None).await
        }
    }
}

/// What is done, where.
struct Uninstall {
    volumes: Volumes,
    configuration: String,
    client: Client,
    dry_run: bool,
}

impl Uninstall {
    /// Does it, as long as the term holds, and tells it. Whether no volume waits for Bindery any more.
    async fn carry_out(&self, term: Option<&Term>) -> Result<bool> {
        let would = if self.dry_run { "would be " } else { "" };
        remove_configuration(&self.client, &self.configuration, self.dry_run, would).await?;
        let (mut gone, mut left) = (0, 0);
        let (waiting, not_ours) = self.volumes.held().await?;
        for volume in waiting {
            if term.is_some_and(|term| !term.holds()) {
                bail!("the Lease was lost, so a replica may run by now: nothing more was done; try again");
            }
            let (name, place) = (volume.name.clone(), place(&volume));
            let begun = volume.deleting;
            let step = self.volumes.take_leave(volume).await?;
            match step {
                UninstallStep::Leave | UninstallStep::LookAtClaim => {}
                UninstallStep::Keep => println!("volume {name}: {would}let go; its data stays{place}"),
                UninstallStep::Delete => {
                    println!(
                        "volume {name}: {would}deleted, for no claim ever had it; an empty directory may stay{place}"
                    );
                }
                UninstallStep::Unfinished if begun => {
                    println!("volume {name}: its cleanup has begun; left as it is{place}")
                }
                UninstallStep::Unfinished => {
                    println!("volume {name}: its claim waits for Bindery to make sure of it; left as it is{place}");
                }
            }
            gone += usize::from(matches!(step, UninstallStep::Keep | UninstallStep::Delete));
            left += usize::from(step == UninstallStep::Unfinished);
        }
        for volume in not_ours {
            println!(
                "volume {}: left as it is, for this installation did not make it ({}). To remove the finalizer and keep the \
                 directory: {}",
                volume.name,
                volume.maker(),
                volume.let_go()
            );
        }
        println!("{gone} volumes {would}let go, {left} left");
        if left > 0 {
            println!(
                "what is left waits for Bindery: start it again until those volumes are gone, or give their cleanup up with \
                 --unfinished"
            );
        }
        Ok(left == 0)
    }
}

/// Where a volume's data is, as far as it says so.
fn place(volume: &Volume) -> String {
    let Ok(record) = &volume.record else {
        return String::new();
    };
    let at = |directory: &Directory| format!("{}:{}", record.share.server(), record.share.join(directory));
    // Elsewhere only if its removal has begun.
    let elsewhere = volume.may_be_at();
    let places: Vec<String> = [&record.directory].into_iter().chain(&elsewhere).map(at).collect();
    format!(" at {}", places.join(", or at "))
}

/// Deletes the webhook configuration, if all that is in it is ours.
async fn remove_configuration(client: &Client, name: &str, dry_run: bool, would: &str) -> Result<()> {
    let about = || format!("webhook configuration {name}");
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let Some(found) = configurations.get_opt(name).await.with_context(about)? else {
        println!("webhook configuration {name}: not there");
        return Ok(());
    };
    if let Some(foreign) = found.webhooks.iter().flatten().find(|one| one.name != names::WEBHOOK) {
        println!(
            "webhook configuration {name}: left as it is, for webhook {} in it is not Bindery's",
            foreign.name
        );
        return Ok(());
    }
    if !dry_run {
        let exactly = DeleteParams {
            preconditions: Some(Preconditions {
                uid: found.metadata.uid,
                resource_version: found.metadata.resource_version,
            }),
            ..DeleteParams::default()
        };
        match configurations.delete(name, &exactly).await {
            Err(error) if patch::is_not_found(&error) => {}
            deleted => drop(deleted.with_context(about)?),
        }
    }
    println!("webhook configuration {name}: {would}deleted");
    Ok(())
}
