//! Writes an Event if a class is invalid, as soon as the class is created or changed. Claims of the class are refused
//! with the same text.

use futures::StreamExt;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use crate::model::choices::{CsiDriver, SourceKind};
use crate::model::names::reason;
use crate::policy::class::{Class, REPLACE_CLASS};
use crate::policy::{csi, groups};

/// The mistake of a class whose CSI driver is not installed. If the API server does not answer, there is none: each claim of
/// the class is checked again.
async fn missing_driver(ctx: &Context, class: &StorageClass, read: Option<&Class>) -> Option<String> {
    let settings = &read?.settings;
    if settings.source != Some(SourceKind::Csi) {
        return None;
    }
    let installed = ctx.cluster.installed(csi::drivers(class)).await.ok()?;
    csi::not_installed(settings.driver.unwrap_or(CsiDriver::Nfs), &installed)
}

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
            missing_driver(ctx, &class, read.as_ref().ok()).await,
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
