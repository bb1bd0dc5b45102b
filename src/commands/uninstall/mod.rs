//! `bindery uninstall --keep-data`: removes Bindery's finalizer from every volume and every archive, so that Bindery can be
//! removed.
//!
//! Order: acquire the Lease, so that no replica runs; delete the webhook configuration, so that no new volumes are
//! created; then change each volume, in one write, or two if it is deleted; then each archive. If the command is interrupted, a second run
//! does the rest. [`crate::policy::uninstall`] decides what is done with each volume.

mod archives;
mod replicas;
mod volumes;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use self::archives::Archives;
use self::volumes::Volumes;
use crate::cli;
use crate::cluster::client::installation;
use crate::cluster::lease::{Term, holder};
use crate::cluster::patch;
use crate::commands::connect::connect;
use crate::model::directory::Directory;
use crate::model::names;
use crate::model::volume::Volume;
use crate::policy::uninstall::UninstallStep;

/// Runs `bindery uninstall`. Returns `true` if no volume of this installation has Bindery's finalizer any more.
pub async fn uninstall(flags: cli::Uninstall) -> Result<bool> {
    let cli::Uninstall {
        keep_data: _,
        unfinished,
        dry_run,
        provisioner_name,
        instance,
        webhook_configuration,
        namespace,
        lease,
        without_lease,
        cluster,
    } = flags;
    let client = connect(cluster).await?;
    let installation = installation(provisioner_name, instance, &client).await?;
    let uninstall = Uninstall {
        archives: Archives::new(client.clone(), installation.clone(), dry_run),
        volumes: Volumes::new(client.clone(), installation, unfinished, dry_run),
        configuration: webhook_configuration,
        client: client.clone(),
        dry_run,
    };
    let found = replicas::read_lease(&client, &namespace, &lease).await?;
    if let Some(holder) = found.as_ref().and_then(holder) {
        let next = if dry_run {
            ". Stop that replica before you uninstall"
        } else {
            "; checking whether that replica still runs ..."
        };
        println!("Lease {namespace}/{lease}: held by {holder}{next}");
    }
    if found.is_none() && !without_lease {
        if !uninstall.volumes.with_finalizer().await?.0.is_empty() {
            bail!(
                "Lease {namespace}/{lease} does not exist, but volumes have Bindery's finalizer, so the replicas use \
                 another Lease. Name it with --namespace and --lease. If you know that no replica runs, set --without-lease"
            );
        }
        println!("Lease {namespace}/{lease}: does not exist; no volume has Bindery's finalizer");
    }
    if found.is_none() || dry_run {
        return uninstall.run(None).await;
    }
    let work = async |term| uninstall.run(Some(&term)).await;
    replicas::while_holding_lease(client, &namespace, &lease, work).await
}

/// One run of the command.
struct Uninstall {
    archives: Archives,
    volumes: Volumes,
    configuration: String,
    client: Client,
    dry_run: bool,
}

impl Uninstall {
    /// Deletes the webhook configuration, processes all volumes, and prints each step. Stops with an error if the Lease
    /// is lost. Returns `true` if no volume of this installation has Bindery's finalizer any more.
    async fn run(&self, term: Option<&Term>) -> Result<bool> {
        let would = if self.dry_run { "would be " } else { "" };
        remove_configuration(&self.client, &self.configuration, self.dry_run, would).await?;
        let (mut done, mut skipped) = (0, 0);
        let (own, others) = self.volumes.with_finalizer().await?;
        for volume in own {
            if term.is_some_and(|term| !term.holds()) {
                bail!("the Lease was lost, so a replica may run. Stop all replicas and run this command again");
            }
            let (name, place) = (volume.name.clone(), place(&volume));
            let is_deleting = volume.deleting;
            let step = self.volumes.process(volume).await?;
            match step {
                UninstallStep::Leave | UninstallStep::LookUpClaim => {}
                UninstallStep::Keep => println!("volume {name}: finalizer {would}removed; its data stays{place}"),
                UninstallStep::Delete => {
                    println!(
                        "volume {name}: {would}deleted, because no claim ever used it; an empty directory may remain{place}"
                    );
                }
                UninstallStep::Unfinished if is_deleting => {
                    let data = if place.is_empty() { "" } else { "; its data is" };
                    println!("volume {name}: skipped, because its cleanup has begun{data}{place}");
                }
                UninstallStep::Unfinished => {
                    println!(
                        "volume {name}: skipped, because its claim waits until Bindery has created the directory{place}"
                    );
                }
            }
            done += usize::from(matches!(step, UninstallStep::Keep | UninstallStep::Delete));
            skipped += usize::from(step == UninstallStep::Unfinished);
        }
        for volume in others {
            println!(
                "volume {}: skipped, because this installation did not create it ({}). To remove the finalizer and keep the \
                 directory: {}",
                volume.name,
                volume.owner(),
                volume.release_command()
            );
        }
        let released = self.archives.release_all(term).await?;
        if released > 0 {
            println!("archives: finalizer of {released} objects {would}removed; their directories stay");
        }
        println!("volumes {would}done: {done}, skipped: {skipped}");
        if skipped > 0 {
            println!(
                "Start Bindery again until the skipped volumes are gone, or remove their finalizer with --unfinished \
                 and keep what is left of their data"
            );
        }
        Ok(skipped == 0)
    }
}

/// Returns where a volume's data is, as " at ...", or an empty text if the volume does not record it.
fn place(volume: &Volume) -> String {
    let Ok(record) = &volume.record else {
        return String::new();
    };
    let at = |directory: &Directory| format!("{}:{}", record.share.server(), record.share.join(directory));
    // A volume has other places only if its cleanup has begun.
    let elsewhere = volume.may_be_at();
    let places: Vec<String> = [&record.directory].into_iter().chain(&elsewhere).map(at).collect();
    format!(" at {}", places.join(", or at "))
}

/// Deletes the webhook configuration, unless it has a webhook that is not Bindery's.
async fn remove_configuration(client: &Client, name: &str, dry_run: bool, would: &str) -> Result<()> {
    let about = || format!("webhook configuration {name}");
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let Some(found) = configurations.get_opt(name).await.with_context(about)? else {
        println!("webhook configuration {name}: does not exist");
        return Ok(());
    };
    if let Some(foreign) = found.webhooks.iter().flatten().find(|one| one.name != names::WEBHOOK) {
        println!(
            "webhook configuration {name}: skipped, because its webhook {} is not Bindery's",
            foreign.name
        );
        return Ok(());
    }
    if !dry_run {
        let if_unchanged = DeleteParams {
            preconditions: Some(Preconditions {
                uid: found.metadata.uid,
                resource_version: found.metadata.resource_version,
            }),
            ..DeleteParams::default()
        };
        match configurations.delete(name, &if_unchanged).await {
            Err(error) if patch::is_not_found(&error) => {}
            deleted => drop(deleted.with_context(about)?),
        }
    }
    println!("webhook configuration {name}: {would}deleted");
    Ok(())
}
