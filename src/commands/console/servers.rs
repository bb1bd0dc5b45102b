//! The NFS servers, and what does not work on them.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;

use super::facts::{Facts, phase, time_of};
use super::rows::{Problem, Server};
use crate::commands::age;
use crate::model::names::reason;
use crate::storage::Fault;

/// A record or a warning that is older than this says nothing about the present.
const RECENT: SignedDuration = SignedDuration::from_mins(30);

/// Returns the servers of all shares. Whether a server answers is what Bindery has recorded. Another problem is the newest
/// warning about an object on it.
pub(super) fn of(facts: &Facts<'_>) -> Vec<Server> {
    let mut servers: BTreeMap<String, Server> = BTreeMap::new();
    for ((server, _), volumes) in facts.all_shares() {
        let row = servers.entry(server.clone()).or_insert_with(|| Server {
            problem: outage(facts, &server),
            name: server,
            volumes: 0,
        });
        row.volumes += volumes;
    }
    let mut newest: HashMap<String, Timestamp> = HashMap::new();
    for (server, event) in warnings(facts) {
        let Some(row) = servers.get_mut(&server) else { continue };
        let at = time_of(event);
        let known = newest.get(&server);
        if known.is_none_or(|known| *known < at) && (known.is_some() || row.problem.is_none()) {
            row.problem = Some(problem(facts, event));
            newest.insert(server, at);
        }
    }
    servers.into_values().collect()
}

/// Returns that a server does not answer, as Bindery has recorded it.
fn outage(facts: &Facts<'_>, server: &str) -> Option<Problem> {
    let down = facts.recorded.values().filter_map(|share| {
        let since: Timestamp = share.down_since.as_ref()?.parse().ok()?;
        let is_recent = is_recent(facts, share.measured_at.parse().ok()?);
        (share.server == server && is_recent).then_some((since, share))
    });
    let (since, share) = down.min_by_key(|(since, _)| *since)?;
    let path = &share.share;
    Some(Problem {
        message: format!("It has not answered for {}.", age::since(since, facts.now)),
        source: format!("kubectl bindery check --server {server} --share {path} tells more"),
    })
}

/// Returns the warnings about objects on servers that still hold, each with the server.
fn warnings<'a>(facts: &Facts<'a>) -> Vec<(String, &'a Event)> {
    let holds = |server: &str, event: &Event| {
        let at = time_of(event);
        let fault = fault(event);
        // The server has answered after the warning.
        let is_over = fault.is_some_and(Fault::unanswered) && {
            let mut shares = facts.recorded.values();
            shares.any(|share| {
                let measured: Option<Timestamp> = share.measured_at.parse().ok();
                share.server == server && share.size.is_some() && measured.is_some_and(|measured| measured > at)
            })
        };
        let is_of_storage = fault.is_some() || event.reason.as_deref() == Some(reason::LOST);
        is_of_storage && is_recent(facts, at) && !is_over
    };
    let of_objects = objects_on_servers(facts).into_iter();
    let with_event = of_objects.filter_map(|(server, uid, has_volume)| {
        let event = *facts.warnings.get(uid.as_str())?;
        let is_done = has_volume && event.reason.as_deref() == Some(reason::PROVISIONING_FAILED);
        (!is_done && holds(&server, event)).then_some((server, event))
    });
    with_event.collect()
}

fn is_recent(facts: &Facts<'_>, at: Timestamp) -> bool {
    facts.now.duration_since(at) <= RECENT
}

/// Returns how a call to the server failed, if a warning is about one. Bindery writes it as the action, and adds for some
/// cleanups that the directory was moved before.
fn fault(event: &Event) -> Option<Fault> {
    let action = event.action.as_deref()?;
    let kind = action.find("AfterMove").map_or(action, |end| &action[..end]);
    Fault::named(kind)
}

fn problem(facts: &Facts<'_>, event: &Event) -> Problem {
    let about = event.regarding.clone().unwrap_or_default();
    let (kind, name) = (about.kind.unwrap_or_default(), about.name.unwrap_or_default());
    let object = match about.namespace.filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    Problem {
        message: event.note.clone().unwrap_or_default(),
        source: format!("{object}, {} ago", age::since(time_of(event), facts.now)),
    }
}

/// Returns the server that each object needs, the uid of the object, and whether it has a volume that was provisioned.
fn objects_on_servers(facts: &Facts<'_>) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    for volume in facts.volumes.values() {
        if let Ok(record) = &volume.record {
            all.push((record.share.server().to_owned(), volume.uid.clone(), volume.ready));
        }
    }
    for claim in facts.objects.claims.iter().flatten() {
        let server = facts
            .class(claim)
            .and_then(|class| class.parameters.as_ref()?.get("server").cloned());
        let of_volume = || {
            let name = claim.spec.as_ref()?.volume_name.as_ref()?;
            let record = facts.volumes.get(name)?.record.as_ref().ok()?;
            Some(record.share.server().to_owned())
        };
        if let Some((server, uid)) = of_volume().or(server).zip(claim.uid()) {
            all.push((server, uid, phase(claim) == "Bound"));
        }
    }
    for archive in facts.objects.archives.iter().flatten() {
        if let Some(uid) = archive.uid() {
            all.push((archive.spec.server.clone(), uid, false));
        }
    }
    all
}
