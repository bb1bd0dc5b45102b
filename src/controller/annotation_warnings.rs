//! Reports annotations that have no effect, when a claim is bound. The Event is on the object with the annotation.
//!
//! kubectl shows the same text as a warning when the claim is created. The Event is for administrators of the
//! namespace, and for users whose tool shows no warnings.

use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::model::claim::Claim;
use crate::model::names::{self, reason};
use crate::policy::annotations::{AnnotatedObject, Annotations};
use crate::policy::class::Class;

/// Writes an Event for each annotation of the claim or of its namespace that has no effect. If the class cannot be
/// read, writes nothing.
pub async fn report(ctx: &Context, claim: &Claim) {
    let namespace = ctx.cluster.namespaces.get(&ObjectRef::new(&claim.namespace));
    let of_namespace = namespace
        .as_ref()
        .and_then(|namespace| namespace.metadata.annotations.as_ref());
    let is_of_bindery = |key: &String| key.starts_with(names::PREFIX);
    if !claim
        .annotations
        .keys()
        .chain(of_namespace.into_iter().flat_map(|all| all.keys()))
        .any(is_of_bindery)
    {
        return;
    }
    let Some(class) = &claim.class else { return };
    let Ok(Some(class)) = ctx.cluster.class(class).await else {
        return;
    };
    let Ok(class) = Class::read(&class, &ctx.defaults) else {
        return;
    };
    let annotations = Annotations::read(AnnotatedObject::Claim, &claim.annotations, &class.claim_overrides);
    for warning in annotations.warnings(&class.name) {
        ctx.events.warn(claim, reason::IGNORED, warning);
    }
    if let (Some(namespace), Some(of_namespace)) = (&namespace, of_namespace) {
        let annotations = Annotations::read(AnnotatedObject::Namespace, of_namespace, &class.namespace_overrides);
        for warning in annotations.warnings(&class.name) {
            ctx.events.warn(&**namespace, reason::IGNORED, warning);
        }
    }
}
