//! Time that the webhook adds to the creation of a claim, and what a review waits for.
//!
//! The same claim is created with a class of Bindery, with another class, and without a class. For the last two the API
//! server does not call Bindery. The three take turns, so that other load on the machine affects all of them. The added
//! time is the difference between a quantile with a class of Bindery and the same quantile with another class.
//!
//! The waits are from the metric `bindery_review_wait_seconds`. A review looks up the claim (API server) and the directory
//! (NFS server) in parallel. The time in which it waits for both is shown separately, so the shares add up to 100 %.
//! Encoding, TLS and the wake-up after an answer count as waiting. The rest is Bindery's own code, including waits for a
//! processor.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::json;

use crate::admin_port::Reviews;
use crate::bed::Bed;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

/// Claims of each kind in a round.
const CLAIMS: u32 = 300;
/// Claims of each kind before the measurement, so that connections are open and code is in memory.
const WARM_UP: u32 = 20;
const MOST_AT_A_TIME: usize = 16;

struct Round {
    name: &'static str,
    at_a_time: usize,
    /// The targets of the quantiles of the added time.
    expected: [Option<Expected>; 2],
    /// The names of the two parts of the table: claims and reviews.
    parts: [&'static str; 2],
}

const ROUNDS: [Round; 2] = [
    Round {
        name: "alone",
        at_a_time: 1,
        expected: [Some(Expected::AtMost(5.0)), Some(Expected::AtMost(20.0))],
        parts: [
            "Creating a claim, one at a time, 300 of each kind",
            "Where the time of these reviews goes",
        ],
    },
    Round {
        name: "crowd",
        at_a_time: MOST_AT_A_TIME,
        expected: [None, None],
        parts: [
            "Creating a claim, 16 at a time, 300 of each kind",
            "Where the time of those reviews goes",
        ],
    },
];

/// Indices of `Admission::classes`.
const OURS: usize = 0;
const OTHER: usize = 1;
const NONE: usize = 2;

struct Admission {
    place: Place,
    classes: [String; 3],
}

/// Measures all rounds.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "admission").await?;
    let classes = [
        place.class("ours", &Bed::get().provisioner, json!({})).await?,
        place.class("other", "nobody.example.com/nothing", json!({})).await?,
        String::new(),
    ];
    let admission = Admission { place, classes };
    admission.place.warm_up(MOST_AT_A_TIME).await?;
    admission.create("warm-up", WARM_UP, MOST_AT_A_TIME).await?;
    for round in &ROUNDS {
        admission.measure(round, table).await?;
    }
    Ok(())
}

impl Admission {
    async fn measure(&self, round: &Round, table: &mut Table) -> Result<()> {
        let before = Reviews::read(&Bed::get().metrics).await?;
        let times = self.create(round.name, CLAIMS, round.at_a_time).await?;
        let spent = Reviews::read(&Bed::get().metrics).await? - before;

        let mut part = table.part(round.parts[0]);
        for (quantile, name, expected) in [(0.5, "p50", round.expected[0]), (0.99, "p99", round.expected[1])] {
            let [ours, other, none] = [OURS, OTHER, NONE].map(|class| times[class].quantile(quantile));
            let added = ours - other;
            part.figure(format!("added by the webhook, {name}"), added, Unit::Ms, expected);
            part.note(format!("  with a class of Bindery, {name}"), ours, Unit::Ms);
            part.note(
                format!("  with another class, without a call of the webhook, {name}"),
                other,
                Unit::Ms,
            );
            part.note(
                format!("  without a class, without a call of the webhook, {name}"),
                none,
                Unit::Ms,
            );
        }

        ensure!(
            (spent.count - f64::from(CLAIMS)).abs() < 0.5,
            "Bindery counts {} reviews that created a volume, but {CLAIMS} claims were created",
            spent.count
        );
        let mut part = table.part(round.parts[1]);
        part.note("one review, mean", 1000.0 * spent.total / spent.count, Unit::Ms);
        for (what, time) in [
            ("waits for the API server", spent.api - spent.both),
            ("waits for the NFS server", spent.nfs - spent.both),
            ("waits for both at the same time", spent.both),
            ("its own code", spent.total - (spent.api + spent.nfs - spent.both)),
        ] {
            part.note(format!("  {what}"), 100.0 * time / spent.total, Unit::Percent);
        }
        Ok(())
    }

    /// Creates this number of claims of each kind, in turn. Returns the times of each kind.
    async fn create(&self, prefix: &str, claims: u32, at_a_time: usize) -> Result<[Times; 3]> {
        let turns = (0..claims).flat_map(|turn| [OURS, OTHER, NONE].map(|class| (turn, class)));
        let created: Vec<(usize, Duration)> = stream::iter(turns)
            .map(async |(turn, class)| -> Result<(usize, Duration)> {
                let name = format!("{prefix}-{class}-{turn}");
                let (took, volume) = self.place.create(&name, &self.classes[class]).await?;
                if class == OURS {
                    volume.with_context(|| format!("claim {name} came back without a volume"))?;
                }
                Ok((class, took))
            })
            .buffer_unordered(at_a_time)
            .try_collect()
            .await?;
        let mut times = [const { Times::new() }; 3];
        for (class, took) in created {
            times[class].push(took);
        }
        Ok(times)
    }
}
