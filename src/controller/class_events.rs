//! Writes an Event if a class is invalid, as soon as the class is created or changed. Claims of the class are refused
//! with the same text.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::model::names::reason;
use crate::policy::class::{Class, REPLACE_CLASS};
use crate::policy::groups;

/// Checks every class of this provisioner when it is created or changed. Never returns.
pub async fn run(ctx: &Context) {
    let cluster = &ctx.cluster;
    let mut classes = std::pin::pin!(cluster.classes.events());
    while let Some(class) = classes.next().await {
        let exists = cluster.classes.get(&ObjectRef::from(&*class)).is_some();
        if !exists || class.provisioner != ctx.installation.provisioner {
            continue;
        }
        let name = class.name_any();
        let read = Class::read(&class, &ctx.defaults);
        let conflict = groups::conflict(&class, &cluster.classes.store().state());
        let mistakes = [
            conflict.map(|conflict| format!("{conflict}; {REPLACE_CLASS}")),
            read.as_ref()
                .err()
                .map(|invalid| format!("{invalid}; {}", invalid.remedy())),
        ];
        let mistakes: Vec<_> = mistakes.into_iter().flatten().collect();
        let (reason, note) = match read {
            _ if !mistakes.is_empty() => (
                reason::CLASS_BROKEN,
                format!(
                    "StorageClass {name}: {}; until then its claims are refused",
                    mistakes.join("; ")
                ),
            ),
            Ok(read) if !read.warnings.is_empty() => (
                reason::CLASS_WARNINGS,
                format!("StorageClass {name}: {}", read.warnings.join("; ")),
            ),
            _ => continue,
        };
        ctx.events.warn(&*class, reason, note);
    }
}
