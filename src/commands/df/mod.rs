//! `bindery df`: shows the space of volumes, archives and shares, as the leader has measured it.
//!
//! It reads objects with the rights of its user, and asks no NFS server. What the user may not read is left out, and named.
//! [`items`] takes the fields out of the objects, [`sums`] adds them up, [`print`](mod@print) makes tables.

mod items;
mod print;
mod read;
mod shown;
mod sums;

use std::io::Write;

use anyhow::{Result, bail};

use self::items::Item;
use self::read::Reader;
use self::shown::Shown;
use crate::cli::df::{Df, Format, Kind};
use crate::cli::program::Program;
use crate::commands::connect::connect;
use crate::commands::serialize;

/// Runs `bindery df`. Returns whether everything could be read.
pub async fn df(flags: Df, program: Program) -> Result<bool> {
    if flags.by.is_some() && flags.kind == Some(Kind::Shares) {
        bail!("--by has no effect on shares, which have no namespace and no class; leave --by or `shares` out");
    }
    let client = connect(flags.cluster.clone()).await?;
    let all = flags.all_namespaces || flags.by.is_some() && flags.namespace.is_none();
    let namespace = match &flags.namespace {
        _ if all => None,
        Some(namespace) => Some(namespace.clone()),
        None => Some(client.default_namespace().to_owned()),
    };
    let reader = Reader::new(client, namespace.clone());
    let is_wanted = |kind: Kind| match flags.kind {
        Some(wanted) => wanted == kind,
        // Shares have no sums.
        None => kind != Kind::Shares || flags.by.is_none(),
    };
    let mut problems = Vec::new();
    let mut shown = Shown::default();
    if is_wanted(Kind::Volumes) {
        shown.volumes = keep(reader.volumes().await, &mut problems);
    }
    if is_wanted(Kind::Archives) {
        shown.archives = keep(reader.archives().await, &mut problems);
    }
    if is_wanted(Kind::Shares) {
        let shares = reader.shares(&flags.bindery_namespace, &flags.shares_record).await;
        shown.shares = keep(shares, &mut problems);
    }
    if shown.volumes.is_none() && shown.archives.is_none() && shown.shares.is_none() {
        bail!("{}", problems.join("; "));
    }
    for problem in &problems {
        eprintln!("{} df: {problem}", program.words());
    }
    for items in [&mut shown.volumes, &mut shown.archives].into_iter().flatten() {
        items::sort(items, flags.sort);
    }
    if let Some(shares) = &mut shown.shares {
        items::sort_shares(shares, flags.sort);
    }
    if let Some(by) = flags.by {
        let add_up = |items: Option<Vec<Item>>| items.map(|items| sums::add_up(&items, by, flags.sort));
        shown.volume_sums = add_up(shown.volumes.take());
        shown.archive_sums = add_up(shown.archives.take());
    }
    let text = match flags.output {
        Some(Format::Json) => serialize::json(&shown)?,
        Some(Format::Yaml) => serialize::yaml(&shown)?,
        Some(Format::Wide) => print::tables(&shown, flags.by, namespace.as_deref(), true),
        None => print::tables(&shown, flags.by, namespace.as_deref(), false),
    };
    // This fails if the program at the other end has closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(problems.is_empty())
}

/// Returns what was read. A problem is added to the list.
fn keep<T>(read: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    read.map_err(|problem| problems.push(problem)).ok()
}
