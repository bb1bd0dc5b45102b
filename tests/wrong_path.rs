//! Requests without the webhook's secret path: they always get a 404 that the client can read.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::bed::Bed;
use crate::support::bindery::get;

/// Paths that are not the secret path.
const PATHS: [&str; 6] = [
    "/",
    "/webhook",
    "/mutate",
    "/mutate/",
    "/mutate/00000000000000000000000000000000",
    "/mutate/x/y",
];
/// The name in the bed's certificate.
const SERVING_NAME: &str = "bindery.bindery.svc";
const SIZES: [usize; 3] = [0, 2 << 10, 5 << 20];
/// The number of repetitions. Some answers could be lost only sometimes.
const TIMES: usize = 5;

/// Connects to the bed's webhook as the API server does.
async fn connect(protocol: &[u8]) -> TlsStream<TcpStream> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(Bed::get().admin().await);
    let configuration = configurations.get("bindery").await.unwrap();
    let bundle = configuration
        .webhooks
        .unwrap()
        .remove(0)
        .client_config
        .ca_bundle
        .unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle.0) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let url: http::Uri = Bed::get().webhook.parse().unwrap();
    let tcp = TcpStream::connect(url.authority().unwrap().as_str()).await.unwrap();
    let name = ServerName::try_from(SERVING_NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

async fn rejected() -> u64 {
    let url: http::Uri = Bed::get().metrics.parse().unwrap();
    let text = get(url.authority().unwrap().as_str(), url.path()).await.unwrap();
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("bindery_webhook_rejected_total{reason=\"unknown_path\"} "));
    count.map_or(0, |count| count.parse().unwrap())
}

/// Sends header and whole body, then reads the answer and returns its first line. A client that
/// expects 100-continue waits with the body for the first answer.
async fn first_line(path: &str, size: usize, expects: bool) -> String {
    let mut stream = connect(b"http/1.1").await;
    let expect = if expects { "Expect: 100-continue\r\n" } else { "" };
    let head = format!("POST {path} HTTP/1.1\r\nHost: bindery\r\n{expect}Content-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    if !expects {
        // If the connection breaks while the body is being sent, many clients do not read the answer.
        let sent = async {
            stream.write_all(&vec![b' '; size]).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return format!("the connection ended under the body: {error}");
        }
    }
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut answer).await {
            Ok(1..) => {}
            ended => return format!("{ended:?} after {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    let text = String::from_utf8(answer).unwrap();
    text.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_body_to_a_wrong_path_gets_a_404_that_the_client_can_read_over_http_1() {
    let before = rejected().await;
    let mut sent = 0;
    for path in PATHS {
        for size in SIZES {
            for expects in [false, true] {
                for _ in 0..TIMES {
                    let line = first_line(path, size, expects).await;
                    assert_eq!(line, "HTTP/1.1 404 Not Found", "{path} {size} {expects}");
                    sent += 1;
                }
            }
        }
    }
    assert!(rejected().await >= before + sent, "each is counted");
}

#[tokio::test]
async fn a_body_to_a_wrong_path_gets_a_404_that_the_client_can_read_over_http_2() {
    let before = rejected().await;
    let mut sent = 0;
    for path in PATHS {
        for size in SIZES {
            for _ in 0..TIMES {
                let stream = TokioIo::new(connect(b"h2").await);
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                let connection = tokio::spawn(connection);
                let request = http::Request::post(format!("https://bindery{path}"));
                let request = request.body(Full::new(Bytes::from(vec![b' '; size]))).unwrap();
                let status = sender
                    .send_request(request)
                    .await
                    .map(|answer| answer.status().as_u16());
                assert_eq!(status.map_err(|error| error.to_string()), Ok(404), "{path} {size}");
                connection.abort();
                sent += 1;
            }
        }
    }
    assert!(rejected().await >= before + sent, "each is counted");
}
