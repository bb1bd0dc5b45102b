//! The memory that Bindery's own code allocates for a review, and for each cached volume and claim.
//!
//! The allocations are counted in this process, on one thread, without API calls, NFS calls, TLS and HTTP.

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure as counted};
use anyhow::{Error, Result, bail};
use bindery::cluster::cache::{CachedClaim, CachedVolume};
use bindery::model::claim::Claim;
use bindery::model::namespace::Namespace;
use bindery::model::volume::{Installation, NewVolume, Origin};
use bindery::policy::class::Defaults;
use bindery::policy::decide::{Decision, Facts, decide};
use bindery::webhook::review::{Answer, Request};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_str, from_value, json, to_string};
use uuid::Uuid;

use crate::table::{Table, Unit};

const REVIEW: &str = include_str!("../webhook/reviews/create.json");
const OURS: &str = "bindery.dev/nfs";

/// Measures all of it.
pub fn measure(table: &mut Table) -> Result<()> {
    let mut part = table.part("Allocations of a review, from its body to the answer");
    for (what, provisioner) in [
        ("a claim of another class", "nobody.example.com/nothing"),
        ("a claim that gets a volume", OURS),
    ] {
        let class = class(provisioner)?;
        // The first call makes the allocations that happen only once.
        answer(&class)?;
        let spent = counted(|| drop(black_box(answer(&class))));
        part.note(what, exact(spent.count_total), Unit::Count);
        part.note("  total", exact(spent.bytes_total), Unit::Bytes);
        part.note("  peak", exact(spent.bytes_max), Unit::Bytes);
    }

    let request = request()?;
    let Some(new) = provisioned(&request, &class(OURS)?)? else {
        bail!("the recorded claim gets no volume");
    };
    let (volume, claim) = (json!(new.build(Origin::New, &installation())), &request.object);
    let mut part = table.part("Memory per cached object, without the entry of the cache");
    part.note("a volume", heap_size::<CachedVolume>(&volume)?, Unit::Bytes);
    part.note(
        "  as a complete API object",
        heap_size::<PersistentVolume>(&volume)?,
        Unit::Bytes,
    );
    part.note("a waiting claim", heap_size::<CachedClaim>(claim)?, Unit::Bytes);
    part.note(
        "  as a complete API object",
        heap_size::<PersistentVolumeClaim>(claim)?,
        Unit::Bytes,
    );
    Ok(())
}

fn request() -> Result<Request> {
    Request::read(REVIEW.as_bytes()).map_err(Error::msg)
}

fn class(provisioner: &str) -> Result<StorageClass> {
    let parameters = json!({"server": "nas1.example.com", "share": "/export/volumes"});
    Ok(from_value(
        json!({"metadata": {"name": "nfs"}, "provisioner": provisioner, "parameters": parameters}),
    )?)
}

fn installation() -> Installation {
    Installation {
        provisioner: OURS.to_owned(),
        instance: Uuid::from_u128(1).to_string(),
    }
}

fn provisioned(request: &Request, class: &StorageClass) -> Result<Option<Box<NewVolume>>> {
    let claim: PersistentVolumeClaim = from_value(request.object.clone())?;
    let verdict = decide(&Facts {
        claim: &Claim::read(&claim, &request.namespace),
        class: Some(class),
        namespace: &Namespace::default(),
        volume: None,
        candidates: &[],
        csi_drivers: &[],
        classes: &[],
        defaults: &Defaults::default(),
        installation: &installation(),
        restore: None,
        seed: Uuid::from_u128(2),
    });
    match verdict.decision {
        Decision::Pass(_) => Ok(None),
        Decision::Provision(new) => Ok(Some(new)),
        Decision::Deny(why) => bail!(why),
    }
}

/// Returns the body of the answer and the body of the volume.
fn answer(class: &StorageClass) -> Result<(String, Option<String>)> {
    let request = request()?;
    let Some(new) = provisioned(&request, class)? else {
        return Ok((Answer::Allow.review(&request.uid, &[]).to_string(), None));
    };
    let answer = Answer::with_volume(&request.object, &new.claim.1, &new.name, OURS);
    let volume = to_string(&new.build(Origin::New, &installation()))?;
    Ok((answer.review(&request.uid, &[]).to_string(), Some(volume)))
}

/// Returns the heap size of an object in an `Arc`, as in the cache.
fn heap_size<K: DeserializeOwned>(object: &Value) -> Result<f64> {
    let object = object.to_string();
    let _: K = from_str(&object)?;
    let AllocationInfo { bytes_current, .. } = counted(|| {
        std::mem::forget(black_box(from_str::<K>(&object).map(Arc::new)));
    });
    Ok(exact(u64::try_from(bytes_current)?))
}

/// Converts a count. All counts are far below 2^53, so the result is exact.
#[allow(clippy::cast_precision_loss)]
fn exact(count: u64) -> f64 {
    count as f64
}
