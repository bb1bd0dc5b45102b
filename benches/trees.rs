//! Deletion of large directories: files per second, and peak memory of Bindery.
//!
//! The files are created directly on the server's disk. The time is measured from the move of the directory to the trash
//! until all files are gone. The time before the move is mostly spent in kube-controller-manager.

use std::fs::{File, create_dir_all, read_dir};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::sleep;

use crate::TIME_LIMIT;
use crate::bed::Bed;
use crate::place::Place;
use crate::process::Peak;
use crate::started::PAUSE;
use crate::table::{Expected, Table, Unit};

const FILES: u32 = 100_000;

/// The shape of a tree: number of chains of directories, depth of each chain, files in each directory.
struct Shape(&'static str, [u32; 3]);

const SHAPES: [Shape; 3] = [
    Shape("1,000 directories", [1_000, 1, 100]),
    Shape("one directory", [1, 1, FILES]),
    Shape("100 chains of 100 directories", [100, 100, 10]),
];

/// Measures each shape.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let bed = Bed::get();
    let place = Place::new(client, "trees").await?;
    let parameters = json!({"onDelete": "delete", "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}"});
    let class = place.class("ours", &bed.provisioner, parameters).await?;
    let mut part = table.part("100,000 files, removed after their claim is deleted");
    for (number, Shape(called, shape)) in SHAPES.iter().enumerate() {
        let name = format!("tree-{number}");
        let (_, volume) = place.create(&name, &class).await?;
        let volume = volume.context("a claim came back without a volume")?;
        let directory = bed.export.join(format!("trees-{name}"));
        let made = directory.clone();
        let shape = *shape;
        tokio::task::spawn_blocking(move || fill(&made, shape)).await??;
        place.bound(&name).await?;

        let peak = Peak::begin()?;
        place.delete(&name).await?;
        let time = gone(client, &volume, directory).await?;
        part.note(
            format!("in {called}: files removed per second"),
            f64::from(FILES) / time,
            Unit::Files,
        );
        part.expect(
            format!("in {called}: peak memory"),
            peak.end()?,
            Unit::Megabytes,
            Expected::AtMost(40.0),
        );
    }
    Ok(())
}

fn fill(directory: &Path, [chains, depth, files]: [u32; 3]) -> Result<()> {
    for chain in 0..chains {
        let mut place = directory.join(format!("chain-{chain}"));
        for _ in 0..depth {
            create_dir_all(&place).with_context(|| place.display().to_string())?;
            for file in 0..files {
                File::create(place.join(format!("a-file-of-an-ordinary-name-{file}.dat")))?;
            }
            place.push("d");
        }
    }
    Ok(())
}

/// Returns the seconds from the move of the directory until the volume and all files are gone.
pub async fn gone(client: &Client, volume: &str, directory: PathBuf) -> Result<f64> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let deleted = Instant::now();
    while directory.exists() {
        ensure!(deleted.elapsed() < TIME_LIMIT, "{} stays", directory.display());
        sleep(PAUSE).await;
    }
    let left = Instant::now();
    while volumes.get_metadata_opt(volume).await?.is_some() || is_in_trash(volume)? {
        ensure!(left.elapsed() < TIME_LIMIT, "volume {volume}, or its directory, stays");
        sleep(PAUSE).await;
    }
    Ok(left.elapsed().as_secs_f64())
}

fn is_in_trash(volume: &str) -> Result<bool> {
    let trash = Bed::get().export.join(".bindery-trash");
    for entry in read_dir(trash)? {
        if entry?.file_name().to_string_lossy().contains(volume) {
            return Ok(true);
        }
    }
    Ok(false)
}
