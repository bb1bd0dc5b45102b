//! Measuring volumes: files per second, calls per file, and the memory that a tree of a million files needs.
//!
//! This program measures trees with Bindery's own NFS client, without a limit of calls per second. The memory is the most
//! that the client has allocated at one time. It must not grow with the number of files.

use std::fs::{File, create_dir_all, remove_dir_all};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use allocation_counter::measure as counted;
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use bindery::model::directory::{Directory, Share};
use bindery::storage::nfs::NfsOptions;
use bindery::storage::{Measured, Measurement, Pace, Storage, Storages};
use tokio::runtime;
use tokio::time::Instant as Deadline;

use crate::bed::Bed;
use crate::table::{Expected, Table, Unit};

/// Files in each directory.
const FILES: u32 = 1_000;
/// The number of directories of each tree.
const DIRECTORIES: [u32; 2] = [10, 1_000];
/// The most memory that a million files may need more than ten thousand.
const MORE_MEMORY: f64 = 1.0;

/// Counts calls, and never waits.
#[derive(Default)]
struct Calls(AtomicU32);

#[async_trait]
impl Pace for Calls {
    async fn wait(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one measurement took.
struct Run {
    files: u32,
    seconds: f64,
    calls: f64,
    megabytes: f64,
}

/// Measures a small tree and a large one.
pub fn measure(table: &mut Table) -> Result<()> {
    let mut part = table.part("Measuring a volume, NFSv4.2, one call at a time");
    let mut memory = Vec::new();
    for directories in DIRECTORIES {
        let name = format!("usage-{directories}");
        let tree = Bed::get().export.join(&name);
        fill(&tree, directories)?;
        // Memory is counted for each thread, so everything runs on a new one.
        let run = std::thread::spawn(move || run(&name)).join();
        let run = run.map_err(|_| anyhow::anyhow!("the measurement panicked"))??;
        ensure!(
            run.files == directories * (FILES + 1),
            "{} files were counted",
            run.files
        );
        let what = format!("{} files in {directories} directories", directories * FILES);
        part.note(
            format!("{what}: files per second"),
            f64::from(run.files) / run.seconds,
            Unit::Files,
        );
        part.note(
            format!("{what}: files per call"),
            f64::from(run.files) / run.calls,
            Unit::Files,
        );
        part.note(
            format!("{what}: most memory of the client"),
            run.megabytes,
            Unit::Megabytes,
        );
        memory.push(run.megabytes);
        remove_dir_all(&tree)?;
    }
    let more = memory.last().zip(memory.first()).map(|(large, small)| large - small);
    part.expect(
        "memory that the large tree needs more".to_owned(),
        more.context("two trees")?,
        Unit::Megabytes,
        Expected::AtMost(MORE_MEMORY),
    );
    Ok(())
}

fn fill(tree: &Path, directories: u32) -> Result<()> {
    for number in 0..directories {
        let place = tree.join(format!("directory-{number}"));
        create_dir_all(&place).with_context(|| place.display().to_string())?;
        for file in 0..FILES {
            File::create(place.join(format!("a-file-of-an-ordinary-name-{file}.dat")))?;
        }
    }
    Ok(())
}

fn run(name: &str) -> Result<Run> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let calls = Calls::default();
    let mut measured = None;
    let began = Instant::now();
    let allocated = counted(|| measured = Some(runtime.block_on(measure_tree(name, &calls))));
    let seconds = began.elapsed().as_secs_f64();
    let files = measured.context("no measurement")??;
    Ok(Run {
        files,
        seconds,
        calls: f64::from(calls.0.into_inner()),
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        megabytes: allocated.bytes_max as f64 / 1e6,
    })
}

async fn measure_tree(name: &str, pace: &Calls) -> Result<u32> {
    let bed = Bed::get();
    let client = Storages::new(NfsOptions {
        uid: 0,
        gid: 0,
        machine: "bench".to_owned(),
        privileged_port: true,
    });
    let share = Share::parse(&bed.server, &bed.share)?;
    let directory = Directory::parse(name)?;
    let soon = || Deadline::now() + Duration::from_secs(20);
    let found = client.look_up(&share, &directory, soon()).await?;
    let identity = found.context("the tree is missing")?.identity;
    let measurement = Measurement::default();
    loop {
        match client
            .measure(&share, &directory, identity, &measurement, pace, soon())
            .await?
        {
            Measured::Done(used) => return Ok(u32::try_from(used.files)?),
            Measured::Remains { .. } => {}
            Measured::Missing | Measured::Another(_) => bail!("the tree is gone"),
        }
    }
}
