//! `bindery uninstall --keep-data`: takes leave of every volume, so that nothing waits for a Bindery that is gone.
//!
//! Order: no replica runs, or nothing is done; the webhook configuration goes, so that nothing new comes; then each volume,
//! in one write of its own. Cut short anywhere, a second run does what is left. What becomes of which volume is for
//! [`crate::policy::parting`] to say.

mod replicas;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client};

use crate::connect::{connect, instance};
use crate::policy::parting::{Parting, part};
use crate::volume::{Us, Volume};
use crate::{cli, fence, names};

/// A volume may change while it is written to, by the controller manager say.
const TRIES: usize = 5;

/// Uninstalls as the flags say, and returns the exit status that [`cli::Command::Uninstall`] promises.
pub async fn uninstall(flags: cli::Uninstall) -> ExitCode {
    match run(flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bindery uninstall: {error:#}");
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
        kubeconfig,
    } = flags;
    let client = connect(kubeconfig).await?;
    let us = Us {
        provisioner: provisioner_name,
        instance: instance(id, &client).await?,
    };
    replicas::none_runs(client.clone(), &namespace, &lease).await?;
    let would = if dry_run { "would be " } else { "" };
    remove_configuration(&client, &webhook_configuration, dry_run, would).await?;

    let volumes: Api<PersistentVolume> = Api::all(client);
    let all = volumes.list(&ListParams::default()).await;
    let all = all.context("the volumes could not be read")?;
    let (mut gone, mut left) = (0, 0);
    for volume in all.iter().map(Volume::read) {
        let name = &volume.name;
        match take_leave(&volumes, volume.clone(), &us, unfinished, dry_run).await? {
            Parting::Leave => {}
            Parting::LetGo => {
                gone += 1;
                println!("volume {name}: {would}let go; its data stays{}", place(&volume));
            }
            Parting::Unfinished => {
                left += 1;
                println!("volume {name}: its cleanup has begun; left as it is{}", place(&volume));
            }
        }
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

/// Does to a volume what is to be done, and says what that was.
async fn take_leave(
    volumes: &Api<PersistentVolume>,
    mut volume: Volume,
    us: &Us,
    unfinished: bool,
    dry_run: bool,
) -> Result<Parting> {
    let about = format!("volume {} could not be let go", volume.name);
    for _ in 0..TRIES {
        let parting = part(&volume, us, unfinished);
        if parting != Parting::LetGo || dry_run {
            return Ok(parting);
        }
        match fence::let_go(volumes, &volume).await {
            Ok(()) => return Ok(parting),
            Err(error) if fence::is_outdated(&error) => {}
            Err(error) => return Err(error).context(about),
        }
        match volumes.get_opt(&volume.name).await.with_context(|| about.clone())? {
            Some(now) => volume = Volume::read(&now),
            None => return Ok(Parting::Leave),
        }
    }
    Err(anyhow!("{about}: something else changes it all the time; try again"))
}

/// Where a volume's data is, as far as it says so.
fn place(volume: &Volume) -> String {
    let Ok(record) = &volume.record else {
        return String::new();
    };
    format!(" at {}:{}", record.share.server(), record.share.join(&record.directory))
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
            Err(error) if fence::is_gone(&error) => {}
            deleted => drop(deleted.with_context(about)?),
        }
    }
    println!("webhook configuration {name}: {would}deleted");
    Ok(())
}
