//! A claim that gets an archive of 100,000 files, next to a claim that gets an empty directory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bindery::model::archive::{Archive, ArchivePhase};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use crate::TIME_LIMIT;
use crate::bed::Bed;
use crate::place::Place;
use crate::started::PAUSE;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

const FILES: usize = 100_000;
/// Files per directory.
const IN_DIRECTORY: usize = 1_000;
const TURNS: u32 = 30;
/// The name of the claim.
const NAME: &str = "data";
/// After it, the rate limits of all clients have recovered from earlier requests.
const BETWEEN: Duration = Duration::from_millis(300);

/// Measures both.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "restore").await?;
    let class = place
        .class(
            "ours",
            &Bed::get().provisioner,
            json!({"subDir": "restore-${pv.metadata.name}"}),
        )
        .await?;
    place.create(NAME, &class).await?;
    place.bound(NAME).await?;
    fill(&directory()?)?;
    let (mut empty, mut one_file, mut restored) = (Times::new(), Times::new(), Times::new());
    place.create("small", &class).await?;
    place.bound("small").await?;
    for turn in 0..=TURNS {
        for name in [NAME, "small"] {
            place.delete(name).await?;
            archived(&place, name).await?;
        }
        sleep(BETWEEN).await;
        let plain = format!("empty-{turn}");
        let (of_empty, _) = place.create(&plain, &class).await?;
        sleep(BETWEEN).await;
        let (of_small, _) = place.restore("small", &class).await?;
        sleep(BETWEEN).await;
        let (of_large, volume) = place.restore(NAME, &class).await?;
        ensure!(volume.is_some(), "the claim was created without its volume");
        // The first turn opens connections.
        if turn > 0 {
            empty.push(of_empty);
            one_file.push(of_small);
            restored.push(of_large);
        }
        for name in [&plain, NAME, "small"] {
            place.bound(name).await?;
        }
        place.delete(&plain).await?;
    }
    let mut part =
        table.part("The create of a claim: an empty directory, an archive without files, an archive of 100,000 files");
    for (share, name) in [(0.5, "p50"), (0.9, "p90")] {
        let [empty, small, large] = [&empty, &one_file, &restored].map(|times| times.quantile(share));
        part.note(format!("{name}, an empty directory"), empty, Unit::Ms);
        part.note(format!("{name}, an archive without files"), small, Unit::Ms);
        part.note(format!("{name}, an archive of 100,000 files"), large, Unit::Ms);
        part.expect(
            "  ratio of the two archives",
            large / small,
            Unit::Ratio,
            Expected::AtMost(1.5),
        );
        part.note(
            "  ratio of the large archive and the empty directory",
            large / empty,
            Unit::Ratio,
        );
    }
    Ok(())
}

/// Returns the only directory of this part, on this machine.
fn directory() -> Result<std::path::PathBuf> {
    let export = &Bed::get().export;
    let found = fs::read_dir(export)?.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.starts_with("restore-").then_some(path)
    });
    found.last().context("the claim has no directory")
}

fn fill(directory: &std::path::Path) -> Result<()> {
    for number in 0..FILES {
        let below = directory.join((number / IN_DIRECTORY).to_string());
        if number % IN_DIRECTORY == 0 {
            fs::create_dir(&below)?;
        }
        fs::write(below.join(number.to_string()), "x")?;
    }
    Ok(())
}

/// Waits until the claim has an archive again.
async fn archived(place: &Place, claim: &str) -> Result<()> {
    let archives: Api<Archive> = Api::namespaced(place.client.clone(), place.name);
    let began = Instant::now();
    loop {
        let found = archives.list(&ListParams::default()).await?;
        let is_it = |archive: &Archive| {
            let is_available = archive
                .status
                .as_ref()
                .is_some_and(|status| status.phase == ArchivePhase::Available);
            is_available && archive.spec.claim_name == claim
        };
        if found.items.iter().any(is_it) {
            return Ok(());
        }
        ensure!(began.elapsed() < TIME_LIMIT, "claim {claim} has no archive");
        sleep(PAUSE).await;
    }
}
