//! The objects that Events are about.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use crate::model::claim::{Claim, Name};
use crate::model::volume::{ClaimRef, Volume};

/// An object that an Event can be about.
pub trait Subject {
    /// Returns the reference to the object; `None` if it has no name yet.
    fn reference(&self) -> Option<ObjectReference>;
}

impl<K: Resource<DynamicType = ()>> Subject for K {
    fn reference(&self) -> Option<ObjectReference> {
        Some(self.object_ref(&()))
    }
}

impl Subject for Volume {
    fn reference(&self) -> Option<ObjectReference> {
        Some(reference("PersistentVolume", &self.name, &self.uid))
    }
}

impl Subject for ClaimRef {
    fn reference(&self) -> Option<ObjectReference> {
        let uid = self.uid.as_ref()?;
        Some(ObjectReference {
            namespace: Some(self.namespace.clone()),
            ..reference("PersistentVolumeClaim", &self.name, uid)
        })
    }
}

impl Subject for Claim {
    fn reference(&self) -> Option<ObjectReference> {
        let Name::Given(name) = &self.name else { return None };
        Some(ObjectReference {
            namespace: Some(self.namespace.clone()),
            ..reference("PersistentVolumeClaim", name, &self.uid)
        })
    }
}

fn reference(kind: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
