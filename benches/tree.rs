//! Deletion of a directory with 10,000 files, compared with `rm -rf` on a Linux NFS mount, and with a lower bound.
//!
//! `rm -rf` runs in the virtual machine of `tests/bed/kernel-client`, whose processor is emulated and slow. The lower
//! bound is the time to remove the same files on the server's disk, without a network, plus one NULL call per file, one
//! after the other.

use std::fs::{File, create_dir_all, remove_dir_all};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kube::Client;
use serde_json::json;

use crate::bed::Bed;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;
use crate::trees::gone;

const FILES: u32 = 10_000;
const PINGS: u32 = 2_000;

/// Measures Bindery, the NFS client of the Linux kernel, and the lower bound.
pub async fn measure(client: &Client, table: &mut Table, runs: u32) -> Result<()> {
    let bed = Bed::get();
    let place = Place::new(client, "tree").await?;
    let parameters = json!({"onDelete": "delete", "subDir": "${pvc.metadata.namespace}-${pvc.metadata.name}"});
    let class = place.class("ours", &bed.provisioner, parameters).await?;
    let (mut ours, mut kernels, mut lower_bounds) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let name = format!("tree-{run}");
        let (_, volume) = place.create(&name, &class).await?;
        let volume = volume.context("a claim came back without a volume")?;
        let directory = bed.export.join(format!("tree-{name}"));
        fill(&directory)?;
        place.bound(&name).await?;
        place.delete(&name).await?;
        ours.push(gone(client, &volume, directory).await?);

        fill(&bed.export.join("kernel"))?;
        kernels.push(tokio::task::spawn_blocking(with_kernel_client).await??);
        fill(&bed.export.join("local"))?;
        lower_bounds.push(tokio::task::spawn_blocking(lower_bound).await??);
    }
    let by = |others: &[f64]| {
        ours.iter()
            .zip(others)
            .map(|(ours, other)| ours / other)
            .collect::<Vec<_>>()
    };
    let mut part = table.part("One directory with 10,000 files removed");
    part.runs("by Bindery, after its claim is deleted", &ours, Unit::Seconds, None);
    part.runs(
        "by rm -rf on a Linux NFS mount, in a virtual machine",
        &kernels,
        Unit::Seconds,
        None,
    );
    part.runs("  ratio", &by(&kernels), Unit::Ratio, Some(Expected::AtMost(1.0)));
    part.runs(
        "lower bound: on the server's disk, plus 10,000 round trips",
        &lower_bounds,
        Unit::Seconds,
        None,
    );
    part.runs("  ratio", &by(&lower_bounds), Unit::Ratio, Some(Expected::AtMost(2.0)));
    Ok(())
}

fn fill(directory: &Path) -> Result<()> {
    create_dir_all(directory)?;
    for file in 0..FILES {
        File::create(directory.join(format!("a-file-of-an-ordinary-name-{file}.dat")))?;
    }
    Ok(())
}

/// Returns the seconds that `rm` reports.
fn with_kernel_client() -> Result<f64> {
    let bed = Bed::get();
    let mut machine = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/kernel-client"))
        .args([&bed.server, &bed.share, "4.1"])
        .env("KERNEL_CLIENT_TIMEOUT", "300")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let script = b"cut -d' ' -f1 /proc/uptime; rm -rf $MNT/kernel || exit 1; cut -d' ' -f1 /proc/uptime";
    machine.stdin.take().context("no script")?.write_all(script)?;
    let output = machine.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the virtual machine: {text}");
    let mut times = text.split_whitespace().map(str::parse::<f64>);
    let (Some(before), Some(after)) = (times.next(), times.next()) else {
        anyhow::bail!("the virtual machine: {text}");
    };
    Ok(after? - before?)
}

/// Returns the seconds for the removal on the disk plus one round trip per file.
fn lower_bound() -> Result<f64> {
    // RFC 5531: a call of procedure 0 of program 100003, version 4, without credentials, in one fragment.
    const CALL: [u32; 11] = [0x8000_0028, 1, 0, 2, 100_003, 4, 0, 0, 0, 0, 0];
    let call: Vec<u8> = CALL.iter().flat_map(|word| word.to_be_bytes()).collect();
    let began = Instant::now();
    remove_dir_all(Bed::get().export.join("local"))?;
    let local = began.elapsed().as_secs_f64();
    let mut stream = TcpStream::connect((Bed::get().server.as_str(), 2049))?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 28];
    let mut times = Times::new();
    for _ in 0..PINGS {
        let began = Instant::now();
        stream.write_all(&call)?;
        stream.read_exact(&mut answer)?;
        times.push(began.elapsed());
    }
    Ok(local + times.median() / 1000.0 * f64::from(FILES))
}
