//! An object in the cache.

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Deref;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The fields of a kind of object that are used.
pub trait Summary: Clone + Debug + Send + Sync + 'static {
    /// The type of the full object.
    type Of: Resource<DynamicType = ()> + DeserializeOwned;

    /// Takes the fields out of the object.
    fn summarize(object: Self::Of) -> Self;
}

/// An object in the cache: its name, its version, and a summary.
#[derive(Clone, Debug)]
pub struct Cached<F> {
    meta: ObjectMeta,
    summary: F,
}

impl<F: Summary> Cached<F> {
    fn of(object: F::Of) -> Self {
        let meta = object.meta();
        let meta = ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            resource_version: meta.resource_version.clone(),
            creation_timestamp: meta.creation_timestamp.clone(),
            deletion_timestamp: meta.deletion_timestamp.clone(),
            ..ObjectMeta::default()
        };
        let summary = F::summarize(object);
        Self { meta, summary }
    }
}

impl<F> Deref for Cached<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.summary
    }
}

impl<'de, F: Summary> Deserialize<'de> for Cached<F> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        F::Of::deserialize(from).map(Self::of)
    }
}

impl<F: Summary> Resource for Cached<F> {
    type DynamicType = ();
    type Scope = <F::Of as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        F::Of::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        F::Of::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        F::Of::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        F::Of::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
