//! Listen addresses, and the answers of the probes while the API server cannot be reached.
//!
//! The tests use the default ports, so each process runs in its own network namespace with only a loopback interface.

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::support::bed::Bed;
use crate::support::bindery::{Bindery, get};
use crate::support::scene::Scene;
use crate::support::wait::eventually;

const WEBHOOK: u16 = 8443;
const ADMIN: u16 = 8080;

/// A Bindery in a network namespace with one interface, `lo`. Dropping this kills it.
struct Host(Child);

impl Host {
    /// Runs these commands in a new network namespace, then Bindery with these flags.
    fn with(setup: &str, flags: &str) -> Self {
        let script = format!(
            "ip link set lo up && {setup} && echo ready && exec {} serve --kubeconfig={} --instance=a --namespace=a {flags}",
            env!("CARGO_BIN_EXE_bindery"),
            Bed::get().kubeconfig.display()
        );
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("unshare runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "the network could not be set up");
        Self(child)
    }

    /// Returns whether a process listens on this address and port in the network namespace.
    fn answers(&self, address: &str, port: u16) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
        let connected = self.inside(&["bash", "-c", &connect]).stderr(Stdio::null()).status();
        connected.expect("nsenter runs").success()
    }

    fn live(&self, address: &str) -> bool {
        let url = format!("http://{address}:{ADMIN}/livez");
        let answer = self
            .inside(&["curl", "--silent", "--globoff", "--noproxy", "*", &url])
            .output();
        answer.expect("nsenter runs").stdout == b"alive\n"
    }

    fn inside(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net=/proc/{}/ns/net", self.0.id())).args(command);
        enter
    }

    /// Waits until `/livez` answers at this address. Both ports are open then.
    async fn until_live(&self, address: &str) {
        let what = format!("/livez answers at {address}");
        eventually(&what, async || self.live(address).then_some(())).await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn by_default_ipv4_and_ipv6_are_served_whatever_the_hosts_bindv6only_setting() {
    for bindv6only in [0, 1] {
        let host = Host::with(&format!("sysctl -q net.ipv6.bindv6only={bindv6only}"), "");
        host.until_live("[::1]").await;
        assert!(host.live("127.0.0.1"), "bindv6only={bindv6only}");
        assert!(host.answers("::1", WEBHOOK) && host.answers("127.0.0.1", WEBHOOK));
    }
}

#[tokio::test]
async fn a_host_without_ipv6_addresses_is_served_over_ipv4() {
    let host = Host::with("sysctl -q net.ipv6.conf.all.disable_ipv6=1", "");
    host.until_live("127.0.0.1").await;
    assert!(host.answers("127.0.0.1", WEBHOOK));
    assert!(!host.answers("::1", ADMIN), "there is IPv6");
}

#[tokio::test]
async fn a_host_without_ipv4_addresses_is_served_over_ipv6() {
    let host = Host::with("ip -4 address flush dev lo", "");
    host.until_live("[::1]").await;
    assert!(host.answers("::1", WEBHOOK));
    assert!(!host.answers("127.0.0.1", ADMIN), "there is IPv4");
}

#[tokio::test]
async fn a_configured_address_is_the_only_one_served() {
    let host = Host::with("true", "--listen=127.0.0.1:8443 --admin-listen=[::1]:8080");
    host.until_live("[::1]").await;
    assert!(!host.answers("127.0.0.1", ADMIN));
    assert!(host.answers("127.0.0.1", WEBHOOK) && !host.answers("::1", WEBHOOK));
    let host = Host::with("true", "--admin-listen=0.0.0.0:8080");
    host.until_live("127.0.0.1").await;
    assert!(!host.answers("::1", ADMIN));
}

/// A proxy to the bed's API server that can refuse connections.
struct ApiServerProxy {
    /// A kubeconfig with the port of the proxy. The user of Bindery can read it.
    kubeconfig: NamedTempFile,
    open: Arc<AtomicBool>,
}

impl ApiServerProxy {
    fn new() -> Self {
        let mut config: Value =
            serde_saphyr::from_str(&std::fs::read_to_string(&Bed::get().bindery_kubeconfig).unwrap()).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        let server = cluster["server"]
            .as_str()
            .unwrap()
            .trim_start_matches("https://")
            .to_owned();
        // The proxy listens on the API server's address, because the certificate contains this address.
        let (host, _) = server.rsplit_once(':').unwrap();
        let listener = TcpListener::bind((host, 0)).unwrap();
        cluster["server"] = format!("https://{}", listener.local_addr().unwrap()).into();
        let kubeconfig = NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), config.to_string()).unwrap();
        std::fs::set_permissions(kubeconfig.path(), PermissionsExt::from_mode(0o644)).unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let is_open = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = is_open.load(Ordering::SeqCst).then(|| TcpStream::connect(&server));
                // If closed, the proxy ends each connection at once, as a load balancer without backends does.
                if let Some(Ok(upstream)) = upstream {
                    for (mut from, mut to) in [
                        (client.try_clone().unwrap(), upstream.try_clone().unwrap()),
                        (upstream, client),
                    ] {
                        thread::spawn(move || {
                            let _ = std::io::copy(&mut from, &mut to);
                            let _ = to.shutdown(Shutdown::Both);
                        });
                    }
                }
            }
        });
        Self { kubeconfig, open }
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn without_the_api_server_the_process_is_live_and_later_becomes_ready() {
    let gate = ApiServerProxy::new();
    let flag = format!("--kubeconfig={}", gate.kubeconfig.path().display());
    let mut bindery = Bindery::start(&[&flag]).await;
    bindery.kill();
    gate.set_open(false);

    bindery.start_process();
    let answer = eventually("/livez answers", async || get(bindery.admin(), "/livez").await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = get(bindery.admin(), "/readyz").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("waiting for: the API server"), "{answer}");
    bindery.until_log("the API server could not be reached").await;

    gate.set_open(true);
    let scene = Scene::of(&bindery.provisioner).await;
    scene.bound(scene.claim("data")).await;
    bindery.terminate();
    assert!(
        bindery.until_exit().await.success(),
        "it was not the process that was started"
    );
    bindery.unregister().await;
}

#[tokio::test]
async fn sigterm_ends_a_process_that_waits_for_the_api_server() {
    let gate = ApiServerProxy::new();
    let flag = format!("--kubeconfig={}", gate.kubeconfig.path().display());
    let mut bindery = Bindery::start(&[&flag]).await;
    bindery.kill();
    gate.set_open(false);
    bindery.start_process();
    bindery.until_log("the API server could not be reached").await;
    bindery.terminate();
    assert!(bindery.until_exit().await.success());
    assert!(bindery.log().contains("stopped before the start was complete"));
    bindery.unregister().await;
}
