//! The namespace in which the object of an archive is: the namespace of the claim, or Bindery's own.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::model::archive::{Archive, Home};
use crate::model::names::is_object_name;
use crate::model::volume::Volume;
use crate::policy::archives::{Place, is_same_namespace};

/// A namespace, as the API server has it.
struct Live {
    uid: String,
    created: Option<Timestamp>,
    is_ending: bool,
}

/// Returns the namespace of a volume's claim, if it is still the same one and is not being deleted.
pub async fn home(ctx: &Context, volume: &Volume) -> Result<Option<Home>, Error> {
    let Some(claim) = &volume.claim else { return Ok(None) };
    let Some(live) = live(ctx, &claim.namespace).await? else {
        return Ok(None);
    };
    let is_same = is_same_namespace(volume.namespace_uid.as_deref(), volume.created, &live.uid, live.created);
    Ok((is_same && !live.is_ending).then(|| Home {
        name: claim.namespace.clone(),
        uid: live.uid,
    }))
}

/// The namespace in which an object is.
pub struct ObjectNamespace {
    /// Its kind.
    pub place: Place,
    /// Whether it is being deleted, or is gone.
    pub ends: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// Returns the namespace in which an object is.
pub async fn namespace_of(ctx: &Context, archive: &Archive) -> Result<ObjectNamespace, Error> {
    let namespace = archive.metadata.namespace.as_deref().unwrap_or_default();
    let live = live(ctx, namespace).await?;
    let uid = live.as_ref().map(|live| &*live.uid);
    Ok(ObjectNamespace {
        place: kind(ctx, archive, namespace, uid),
        ends: live.as_ref().is_none_or(|live| live.is_ending),
        created: live.as_ref().and_then(|live| live.created),
    })
}

/// Returns whether Bindery's own namespace is being deleted, or is gone.
pub async fn own_namespace_ends(ctx: &Context) -> Result<bool, Error> {
    let live = live(ctx, &ctx.options.own_namespace).await?;
    Ok(live.is_none_or(|live| live.is_ending))
}

fn kind(ctx: &Context, archive: &Archive, namespace: &str, uid: Option<&str>) -> Place {
    let spec = &archive.spec;
    if namespace == ctx.options.own_namespace {
        Place::Own
    } else if spec.claim_namespace.as_deref() == Some(namespace)
        && uid.is_some()
        && spec.namespace_uid.as_deref() == uid
    {
        Place::OfClaim
    } else {
        Place::Other
    }
}

async fn live(ctx: &Context, name: &str) -> Result<Option<Live>, Error> {
    if !is_object_name(name) {
        return Ok(None);
    }
    let namespaces: Api<Namespace> = Api::all(ctx.cluster.client.clone());
    let found = namespaces.get_metadata_opt(name).await?;
    Ok(found.map(|found| Live {
        uid: found.metadata.uid.unwrap_or_default(),
        created: found.metadata.creation_timestamp.map(|time| time.0),
        is_ending: found.metadata.deletion_timestamp.is_some(),
    }))
}
