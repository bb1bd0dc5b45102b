//! Reports mistakes in a class when the class is created or changed, not only when the first claim needs it.
//!
//! Until it is corrected, every claim of the class is refused with the same text.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::model::names::reason;
use crate::policy::class::{Class, REPLACE_CLASS};
use crate::policy::groups;

/// Checks every class of this provisioner. Never returns.
pub async fn run(ctx: &Context) {
    let cluster = &ctx.cluster;
    let mut classes = std::pin::pin!(cluster.classes.events());
    while let Some(class) = classes.next().await {
        let is_there = cluster.classes.get(&ObjectRef::from(&*class)).is_some();
        if !is_there || class.provisioner != ctx.installation.provisioner {
            continue;
        }
        let name = class.name_any();
        let conflict = groups::conflict(&class, &cluster.classes.store().state());
        let (reason, note) = match Class::read(&class, &ctx.defaults) {
            Ok(_) if let Some(conflict) = conflict => (
                reason::CLASS_BROKEN,
                format!("StorageClass {name}: {conflict}; {REPLACE_CLASS}; until then its claims are refused"),
            ),
            Err(invalid) => (
                reason::CLASS_BROKEN,
                format!(
                    "StorageClass {name}: {invalid}; {}; until then its claims are refused",
                    invalid.remedy()
                ),
            ),
            Ok(read) if !read.warnings.is_empty() => (
                reason::CLASS_WARNINGS,
                format!("StorageClass {name}: {}", read.warnings.join("; ")),
            ),
            Ok(_) => continue,
        };
        ctx.events.warn(&*class, reason, note);
    }
}
