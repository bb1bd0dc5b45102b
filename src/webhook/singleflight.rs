//! Calls for one claim that come at the same time share one review, and so one volume.
//!
//! Ten parallel server-side applies of a claim are up to ten calls, of which nine would make a volume that nobody gets. Only
//! what is asked in the same words is shared: `managedFields` apart, which say who asks and when.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::Value;
use tokio::sync::oneshot;

use super::review::{Answer, Request};

/// How a review ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// What the API server is told.
    pub answer: Answer,
    /// For the metrics.
    pub outcome: &'static str,
    /// What the claim's user reads besides.
    pub warnings: Vec<String>,
}

impl Done {
    /// A review that ended in a panic: the claim is admitted as it is, and caught up with.
    pub fn unknown() -> Self {
        Self {
            answer: Answer::Allow,
            outcome: "panic",
            warnings: Vec::new(),
        }
    }
}

type Running = Shared<BoxFuture<'static, Done>>;

/// The reviews that are under way. Clones speak of the same.
#[derive(Clone, Default)]
pub struct Together(Arc<Mutex<HashMap<Key, (Value, Running)>>>);

/// Namespace and name.
type Key = (String, String);

impl Together {
    /// The review that answers this request: one under way, or that which `begin` begins. It goes on whoever stops listening.
    pub fn review(&self, request: Request, begin: impl FnOnce(Request) -> BoxFuture<'static, Done>) -> Running {
        let Some(key) = key(&request) else {
            return begin(request).shared();
        };
        let same = words(&request.object);
        match self.under_way().entry(key) {
            Entry::Occupied(other) if other.get().0 != same => begin(request).shared(),
            Entry::Occupied(other) => {
                tracing::debug!(claim = ?other.key(), "a call joins one that is under way");
                other.get().1.clone()
            }
            Entry::Vacant(place) => {
                let (here, key, (end, ended)) = (self.clone(), place.key().clone(), oneshot::channel());
                let work = begin(request);
                // Its place is free when it has ended, and not when somebody has heard of it: all may have hung up.
                tokio::spawn(async move {
                    let done = work.await;
                    here.under_way().remove(&key);
                    let _ = end.send(done);
                });
                let running = ended.map(|done| done.unwrap_or_else(|_| Done::unknown()));
                place.insert((same, running.boxed().shared())).1.clone()
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, (Value, Running)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing for what is not shared: no claim, one that gets its name from us, or a dry run, which makes nothing.
fn key(request: &Request) -> Option<Key> {
    let name = request.object["metadata"]["name"]
        .as_str()
        .filter(|name| !name.is_empty())?;
    let shared = request.creates_a_claim() && !request.dry_run;
    shared.then(|| (request.namespace.clone(), name.to_owned()))
}

fn words(object: &Value) -> Value {
    let mut words = object.clone();
    if let Some(metadata) = words["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    words
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;

    use super::*;

    fn request(change: impl FnOnce(&mut Value)) -> Request {
        let mut request = json!({
            "uid": "u-1",
            "namespace": "team-a",
            "operation": "CREATE",
            "resource": {"group": "", "resource": "persistentvolumeclaims"},
            "object": {"metadata": {"name": "data"}, "spec": {"storageClassName": "fast"}},
        });
        change(&mut request);
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        Request::read(review.to_string().as_bytes()).unwrap()
    }

    /// How many reviews these requests make, if all come before the first ends.
    async fn reviews(requests: Vec<Request>) -> usize {
        let together = Together::default();
        let (mut ends, mut running) = (Vec::new(), Vec::new());
        for request in requests {
            running.push(together.review(request, |_| {
                let (end, ended) = oneshot::channel::<()>();
                ends.push(end);
                async move {
                    let _ = ended.await;
                    Done {
                        answer: Answer::Allow,
                        outcome: "provision",
                        warnings: Vec::new(),
                    }
                }
                .boxed()
            }));
        }
        let begun = ends.len();
        drop(ends);
        join_all(running).await;
        assert!(together.under_way().is_empty(), "something is left");
        begun
    }

    #[tokio::test]
    async fn calls_for_one_claim_in_the_same_words_are_one_review() {
        let by = |manager: &str| {
            let fields = json!([{"manager": manager}]);
            request(|request| request["object"]["metadata"]["managedFields"] = fields)
        };
        assert_eq!(reviews(vec![by("a"), by("b"), request(|_| ())]).await, 1);
    }

    #[tokio::test]
    async fn calls_that_differ_are_not() {
        let larger = request(|request| request["object"]["spec"]["size"] = json!(2));
        let elsewhere = request(|request| request["namespace"] = json!("team-b"));
        let other = request(|request| request["object"]["metadata"]["name"] = json!("other"));
        assert_eq!(reviews(vec![request(|_| ()), larger, elsewhere, other]).await, 4);
        let dry = || request(|request| request["dryRun"] = json!(true));
        assert_eq!(reviews(vec![dry(), dry()]).await, 2);
        let generated = || request(|request| request["object"]["metadata"] = json!({"generateName": "data-"}));
        assert_eq!(reviews(vec![generated(), generated()]).await, 2);
    }
}
