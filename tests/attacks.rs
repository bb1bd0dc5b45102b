//! Attacks on the webhook's port by a client other than the API server. None of them has a lasting effect.
//!
//! Each test starts its own Bindery. Bindery must serve the reviews of the API server during the attack.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::bed::is_class_reviewed;
use crate::support::bindery::Bindery;
use crate::support::caller::Caller;
use crate::support::scene::Scene;
use crate::support::wait::eventually;

/// Number of connections, above the limit of the webhook.
const CONNECTIONS: usize = 1_200;

struct Target {
    bindery: Bindery,
    scene: Scene,
    url: String,
}

impl Target {
    async fn with(flags: &[&str]) -> Self {
        let bindery = Bindery::start(flags).await;
        let scene = Scene::of(&bindery.provisioner).await;
        let url = bindery.review_url().await;
        Self { bindery, scene, url }
    }

    fn address(&self) -> String {
        self.url.parse::<http::Uri>().unwrap().authority().unwrap().to_string()
    }

    async fn serves(&self, name: &str) {
        let claim = self.scene.create(self.scene.claim(name)).await.unwrap();
        assert!(
            claim.spec.unwrap().volume_name.is_some(),
            "the API server could not reach the webhook"
        );
    }

    /// Limits the webhook configuration to the namespace of this scene: reviews of claims from other tests would be counted
    /// as connections, too.
    async fn apart(&self) {
        let scene_only = json!({"matchLabels": {"kubernetes.io/metadata.name": self.scene.name}});
        self.bindery
            .change_webhook(json!({"namespaceSelector": scene_only}))
            .await;
        eventually("the API server calls the webhook for this namespace only", async || {
            (!is_class_reviewed(&self.scene.client, &self.scene.name).await).then_some(())
        })
        .await;
    }

    /// Returns the number of rejected connections so far, by reason.
    async fn all_rejected(&self) -> [u64; 3] {
        [
            self.rejected("connection_limit").await,
            self.rejected("unauthenticated_timeout").await,
            self.rejected("handshake").await,
        ]
    }

    async fn rejected(&self, reason: &str) -> u64 {
        let line = format!("bindery_webhook_rejected_total{{reason=\"{reason}\"}} ");
        let metrics = self.bindery.metrics().await;
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
        count.map_or(0, |count| count.parse().unwrap())
    }

    async fn post(&self, body: impl Into<Vec<u8>>) -> (u16, String) {
        Caller::trusting_any_certificate()
            .send("POST", &self.url, body.into())
            .await
            .unwrap()
    }

    /// Sends bytes without TLS, and returns the bytes that the server sends until it closes the connection.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        // The server may close the connection before it has received everything.
        let _ = stream.write_all(bytes).await;
        until_closed(&mut stream).await
    }
}

async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset also closes the connection.
    let ended = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection stays open");
    answer
}

#[tokio::test]
async fn idle_connections_block_no_review_and_are_closed() {
    let target = Target::with(&[]).await;
    target.apart().await;
    // An API server that has not read the new CA yet also aborts a handshake.
    let before = target.all_rejected().await;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        connections.push(TcpStream::connect(target.address()).await.unwrap());
        if number % 300 == 0 {
            target.serves(&format!("among-{number}")).await;
        }
    }
    target.serves("last").await;
    for stream in &mut connections {
        assert_eq!(until_closed(stream).await, b"", "it is closed without an answer");
    }
    let counted = target.all_rejected().await;
    let rejected = counted.iter().sum::<u64>() - before.iter().sum::<u64>();
    assert_eq!(
        rejected, CONNECTIONS as u64,
        "each is counted once: {before:?} to {counted:?}"
    );
    target.bindery.unregister().await;
}

#[tokio::test]
async fn incomplete_handshakes_plain_http_and_garbage_are_disconnected() {
    let target = Target::with(&[]).await;
    // RFC 8446, 5.1: the header of a record with 512 bytes of handshake.
    let half = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    // RFC 8446, 6: an alert record, or nothing.
    let alert = |answer: Vec<u8>| assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    alert(target.raw(&half).await);
    alert(target.raw(b"POST /mutate HTTP/1.1\r\nHost: bindery\r\n\r\n").await);
    alert(target.raw(&[0; 1000]).await);
    target.serves("data").await;
    target.bindery.unregister().await;
}

#[tokio::test]
async fn tls_1_1_is_refused_and_tls_1_2_is_accepted() {
    let target = Target::with(&[]).await;
    let connect = |version: &str| {
        let output = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &target.address(),
                version,
                "-cipher",
                "DEFAULT@SECLEVEL=0",
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let (old, new) = (connect("-tls1_1"), connect("-tls1_2"));
    assert!(old.contains("SSL alert") && old.contains("Cipher is (NONE)"), "{old}");
    assert!(
        new.contains("Protocol  : TLSv1.2") && new.contains("Cipher is ECDHE"),
        "{new}"
    );
    target.bindery.unregister().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_or_too_deep_are_refused() {
    let target = Target::with(&[]).await;
    // The answer comes before the whole body is sent. A client that continues to send may find the connection closed.
    let large = Caller::trusting_any_certificate()
        .send("POST", &target.url, vec![b' '; 10 << 20])
        .await;
    assert!(large.as_ref().map_or(true, |(status, _)| *status == 413), "{large:?}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let review = format!(r#"{{"apiVersion": "admission.k8s.io/v1", "request": {{"object": {deep}}}}}"#);
    let (status, text) = target.post(review).await;
    assert!(status == 400 && text.contains("recursion limit"), "{status} {text}");
    let caller = Caller::trusting_any_certificate();
    let url = format!("{}/{}", target.bindery.webhook, "0".repeat(32));
    // The body is larger than the webhook reads and discards. So the webhook answers early, or closes the connection.
    let answer = caller.send("POST", &url, vec![b' '; 30 << 20]).await;
    assert!(
        answer.as_ref().is_err() || answer.as_ref().is_ok_and(|(status, _)| *status == 404),
        "{answer:?}"
    );
    target.serves("data").await;
    assert!(target.rejected("unknown_path").await >= 1);
    target.bindery.unregister().await;
}

#[tokio::test]
async fn endless_headers_and_missing_bodies_are_disconnected() {
    let target = Target::with(&[]).await;
    let path = target.url.parse::<http::Uri>().unwrap().path().to_owned();
    let head = format!("POST {path} HTTP/1.1\r\nHost: bindery\r\nContent-Length: 100\r\n");
    for (what, sent) in [
        ("no body", format!("{head}\r\n{{")),
        ("no end", head),
        ("nothing", String::new()),
    ] {
        let mut openssl = Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", "http/1.1", "-connect"])
            .arg(target.address())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = openssl.stdin.take().unwrap();
        stdin.write_all(sent.as_bytes()).unwrap();
        eventually(what, async || openssl.try_wait().unwrap()).await;
    }
    target.serves("data").await;
    target.bindery.unregister().await;
}

#[tokio::test]
async fn a_forged_review_creates_at_most_a_volume_that_is_removed_again() {
    let target = Target::with(&["--orphan-grace=4s"]).await;
    let scene = &target.scene;
    let review = scene.review("forged");
    let (status, answer) = target.post(review.to_string()).await;
    assert!(status == 200 && answer.contains("\"patch\""), "{status} {answer}");
    assert_eq!(scene.own_volumes().await.len(), 1);
    eventually("no volume and no directory is left", async || {
        (scene.own_volumes().await.is_empty() && scene.own_directories().is_empty()).then_some(())
    })
    .await;
    target.bindery.unregister().await;
}
