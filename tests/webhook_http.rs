//! HTTP requests to the webhook by a client other than the API server.

use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::caller::Caller;

/// Sends a request to the bed's webhook, and returns status and body.
async fn send(method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
    let url: http::Uri = Bed::get().webhook.parse().unwrap();
    let url = format!("https://{}{path}", url.authority().unwrap());
    Caller::trusting_any_certificate()
        .send(method, &url, body)
        .await
        .unwrap()
}

/// Returns the path that the API server uses.
async fn path() -> String {
    let url: http::Uri = Bed::get().review_url().await.parse().unwrap();
    url.path().to_owned()
}

async fn post(body: impl Into<Vec<u8>>) -> (u16, String) {
    send("POST", &path().await, body.into()).await
}

#[tokio::test]
async fn a_body_that_is_not_an_admission_review_gets_400() {
    let (status, text) = post("{").await;
    assert_eq!(status, 400);
    assert!(text.starts_with("the body is not an AdmissionReview: "), "{text}");
    let (status, text) = post(json!({"apiVersion": "v1", "kind": "Pod"}).to_string()).await;
    assert_eq!(
        (status, text.as_str()),
        (
            400,
            "the body is a v1 Pod; expected admission.k8s.io/v1 AdmissionReview"
        )
    );
}

#[tokio::test]
async fn a_body_over_3_mib_gets_413() {
    assert_eq!(post(vec![b' '; (3 << 20) + 1]).await.0, 413);
    assert_eq!(post(vec![b' '; 3 << 20]).await.0, 400);
}

#[tokio::test]
async fn requests_to_other_paths_get_404_and_other_methods_get_405() {
    let path = path().await;
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(send(method, &path, vec![]).await.0, 405, "{method}");
    }
    let nearly = format!("{}0", &path[..path.len() - 1]);
    let nearly = if nearly == path { path.replace('0', "1") } else { nearly };
    for path in ["/", "/mutate", "/mutate/", &nearly, &format!("{path}/x")] {
        for method in ["GET", "POST"] {
            assert_eq!(send(method, path, vec![]).await.0, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_review_of_another_resource_is_allowed_unchanged() {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "operation": "UPDATE",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
        },
    });
    let (status, text) = post(review.to_string()).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &answer["response"]),
        (200, &json!({"uid": "u-1", "allowed": true}))
    );
}

#[tokio::test]
async fn metrics_count_reviews_by_their_outcome() {
    let scene = crate::support::scene::Scene::new().await;
    scene.bound(scene.claim("data")).await;
    scene
        .refused(scene.claim_with("disk", json!({"spec": {"volumeMode": "Block"}})))
        .await;
    let url: http::Uri = Bed::get().metrics.parse().unwrap();
    let text = crate::support::bindery::get(url.authority().unwrap().as_str(), url.path())
        .await
        .unwrap();
    let count = |sample: &str| -> f64 {
        let line = text
            .lines()
            .find(|line| line.starts_with(sample))
            .unwrap_or_else(|| panic!("{sample}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(count("bindery_review_duration_seconds_count{outcome=\"provision\"}") >= 1.0);
    assert!(count("bindery_review_duration_seconds_count{outcome=\"deny\"}") >= 1.0);
    assert!(count("bindery_review_wait_seconds_count{on=\"nfs\"}") >= 2.0);
    assert!(count("bindery_volume_steps_total{outcome=\"bound\"}") >= 1.0);
}
