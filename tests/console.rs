//! `kubectl bindery console`: the page, in a real browser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use bindery::model::share_space::ShareSpace;
use bindery::model::space::Space;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::support::bed::Bed;
use crate::support::bindery::get;
use crate::support::browser::Browser;
use crate::support::plugin::Plugin;
use crate::support::scene::{Scene, annotation, directory, from};
use crate::support::wait::eventually;

/// A command that serves the page. It ends with this value.
struct Console {
    child: Child,
    url: String,
    _plugin: Plugin,
}

impl Console {
    fn start(arguments: &[&str]) -> Self {
        let plugin = Plugin::install();
        let mut command = plugin.command("kubectl");
        command.args(["bindery", "console", "--no-browser"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("a line").unwrap();
        let url = first.strip_prefix("The page is at ").expect("the address").to_owned();
        Self {
            child,
            url,
            _plugin: plugin,
        }
    }

    /// Returns host and path of the page.
    fn place(&self) -> (&str, &str) {
        let rest = self.url.strip_prefix("http://").unwrap();
        rest.split_at(rest.find('/').unwrap())
    }

    /// Returns what the page shows.
    async fn data(&self) -> Value {
        let (address, path) = self.place();
        let answer = get(address, &format!("{path}data")).await.expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).expect("JSON")
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end();
    }
}

/// A scene with a volume, an archive, and a claim that waits for a server that does not answer.
async fn scene() -> Scene {
    let parameters = json!({"parameters": {"server": Bed::get().server, "share": Bed::get().share}});
    let scene = Scene::with_class(parameters).await;
    scene.bound(scene.claim("live")).await;
    let (_, volume) = scene.bound(scene.claim("data")).await;
    std::fs::write(directory(&volume).join("precious"), "data").unwrap();
    scene.delete("data").await;
    scene.until_gone(&volume).await;
    scene.until_archived("data").await;
    let down = format!("{}-down", scene.name);
    scene
        .class(&down, json!({"parameters": {"server": "127.0.0.4", "share": "/srv"}}))
        .await;
    let waits = scene.claim_with("waits", json!({"spec": {"storageClassName": down}}));
    scene.create(waits).await.unwrap();
    scene.event("waits", "ProvisioningFailed").await;
    scene
}

#[tokio::test]
async fn a_browser_shows_what_is_stored_and_what_waits() {
    let scene = scene().await;
    let name = &scene.name;
    let archive = scene.until_archived("data").await.metadata.name.unwrap();
    let mut console = Console::start(&["-n", name]);
    let browser = Browser::start().await;
    browser.look(1280, "light").await;
    browser.open(&console.url).await;
    browser
        .until("the page is drawn", "document.querySelectorAll('section').length === 5")
        .await;

    shows_the_sections(&browser, &scene, &archive).await;
    works_by_the_keyboard(&browser, name, &archive).await;
    reads_again_and_draws_only_texts(&browser, &scene).await;

    // Nobody can get an archive that was restored, and a use that was measured has its age.
    let changed = "const row = view.archives.rows[0]; row.phase = 'Restored'; \
                   row.used = {bytes: 1536, isIncomplete: true, measured: '3d'}; draw(); \
                   return [document.querySelectorAll('button[aria-label^=Restore]').length, \
                   document.getElementById('archives').innerText.replace(/\\s+/g, ' ')]";
    let shown = browser.run(changed).await;
    assert_eq!(shown[0], 0);
    assert!(shown[1].as_str().unwrap().contains("1.5 KiB+ 3d ago"), "{shown}");

    // Nothing is wider than a narrow window, and colors follow the system.
    let color = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(color).await;
    browser.look(400, "dark").await;
    assert_ne!(browser.run(color).await, light);
    assert_eq!(
        browser
            .run("return document.documentElement.scrollWidth <= innerWidth")
            .await,
        true
    );

    // No address of others was asked, and the browser has refused nothing that the page does.
    let origins =
        "return [...new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))]";
    let (address, _) = console.place();
    assert_eq!(browser.run(origins).await, json!([format!("http://{address}")]));
    assert_eq!(browser.log().await, Vec::<String>::new());

    console.end();
    let says = "document.getElementById('notes').innerText.startsWith('The command `kubectl bindery console` does not answer.')";
    browser.press(&["\u{e00c}"]).await;
    browser.run("document.getElementById('refresh').click()").await;
    browser.until("the page says that the command has ended", says).await;
}

async fn shows_the_sections(browser: &Browser, scene: &Scene, archive: &str) {
    let (name, bed) = (scene.name.as_str(), Bed::get());
    let waiting = browser.text("#waiting").await;
    assert!(
        waiting.contains(&format!("{name}/waits")) && waiting.contains("127.0.0.4"),
        "{waiting}"
    );
    // The Bindery of the bed has recorded it.
    let outage = "It has not answered for";
    let script = format!(
        "document.getElementById('servers').innerText.includes({})",
        json!(outage)
    );
    browser.until("the outage is shown", &script).await;
    let shares = browser.text("#shares").await;
    assert!(shares.contains(&format!("{}:{}", bed.server, bed.share)), "{shares}");
    let (_, volume) = scene.until_bound("live").await;
    let volumes = browser.text("#volumes").await;
    let place = format!(
        "{}:{}/{}",
        bed.server,
        bed.share,
        annotation(&volume, "sub-dir").unwrap()
    );
    for expected in [name, "live", "1 GiB", "1 volume, 1 GiB requested", "archive", &place] {
        assert!(volumes.contains(expected), "{expected}: {volumes}");
    }
    let archives = browser.text("#archives").await;
    assert!(
        archives.contains(archive) && archives.contains("Available") && archives.contains("never"),
        "{archives}"
    );
    assert_eq!(browser.run("return document.title").await, "(1) Bindery");
    let tiles = browser.text("#tiles").await;
    assert!(tiles.starts_with("1\nclaim waits"), "{tiles}");
}

async fn works_by_the_keyboard(browser: &Browser, name: &str, archive: &str) {
    // The claim that gets an archive back, by the keyboard alone.
    browser
        .run("document.querySelector('button[aria-label^=Restore]').focus()")
        .await;
    browser.press(&["\u{e007}"]).await;
    browser
        .until("the dialog is open", "document.getElementById('restore').open")
        .await;
    let manifest = Plugin::install().bindery(&["restore", "-n", name, archive]).success();
    assert_eq!(browser.text("#manifest").await.trim(), manifest.trim());
    browser.press(&["\u{e00c}"]).await;
    browser
        .until("Escape closes it", "!document.getElementById('restore').open")
        .await;
    let focused = browser
        .run("return document.activeElement.getAttribute('aria-label')")
        .await;
    assert_eq!(focused, json!(format!("Restore {archive}")));
    browser.press(&["/", "x", "y", "z"]).await;
    browser
        .until(
            "the filter hides the volume",
            "document.getElementById('volumes').innerText.includes('No volume matches')",
        )
        .await;
}

async fn reads_again_and_draws_only_texts(browser: &Browser, scene: &Scene) {
    let name = scene.name.as_str();
    let markup = "<img src=x onerror=\"document.body.id='attack'\">";
    let claim = scene.claims().get("waits").await.unwrap();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(1);
    let event: Event = from(json!({
        "metadata": {"name": "markup", "namespace": name}, "note": markup, "reason": "Markup", "type": "Warning", "action": "a",
        "reportingController": "bindery", "reportingInstance": "bindery", "eventTime": format!("{later:.6}"),
        "regarding": {"kind": "PersistentVolumeClaim", "namespace": name, "name": "waits", "uid": claim.metadata.uid},
    }));
    let events: Api<Event> = Api::namespaced(scene.client.clone(), name);
    events.create(&PostParams::default(), &event).await.unwrap();
    browser
        .until(
            "the new Event is shown",
            &format!(
                "document.getElementById('waiting').innerText.includes({})",
                json!(markup)
            ),
        )
        .await;
    assert_eq!(
        browser.run("return [document.images.length, document.body.id]").await,
        json!([0, ""])
    );
}

#[tokio::test]
async fn a_user_without_rights_reads_what_is_not_shown_and_why() {
    let scene = scene().await;
    let user = format!("viewer-{}", scene.name);
    scene.grant(&user, "view").await;
    let console = Console::start(&["-n", &scene.name, "--as", &user]);
    let data = eventually("the user has the role", async || {
        let data = console.data().await;
        data["volumes"]["rows"].is_array().then_some(data)
    })
    .await;
    let lacks = |right: &str| format!("the kubeconfig's user lacks the right to {right} (403)");
    assert_eq!(
        data["notes"],
        json!([
            format!(
                "Directories and use of volumes are not shown: PersistentVolumes could not be read: {}.",
                lacks("list persistentvolumes")
            ),
            format!(
                "StorageClasses are not shown: StorageClasses could not be read: {}.",
                lacks("list storageclasses")
            ),
        ])
    );
    let volumes = data["volumes"]["rows"].as_array().unwrap();
    assert_eq!(
        (volumes.len(), &volumes[0]["claim"], &volumes[0]["place"]),
        (1, &json!("live"), &Value::Null)
    );
    let share = format!("{}:{}", Bed::get().server, Bed::get().share);
    let why = format!(
        "ConfigMap bindery-shares of namespace bindery could not be read: {}",
        lacks("get configmaps")
    );
    let shares = json!([{"place": share, "volumes": 0, "size": null, "available": null, "measured": null, "why": why}]);
    assert_eq!(data["shares"]["rows"], shares, "the archive names it");

    let outsider = Console::start(&["-n", &scene.name, "--as", "outsider"]);
    let data = outsider.data().await;
    let unreadable = format!("claims could not be read: {}", lacks("list persistentvolumeclaims"));
    assert_eq!(data["volumes"], json!({"unreadable": unreadable}));
    assert_eq!(data["waiting"], data["volumes"]);
    let unreadable = format!(
        "the archives of namespace {} could not be listed: {}",
        scene.name,
        lacks("list archives")
    );
    assert_eq!(data["archives"], json!({"unreadable": unreadable}));
    let browser = Browser::start().await;
    browser.open(&outsider.url).await;
    browser
        .until("the page is drawn", "document.querySelectorAll('section').length === 5")
        .await;
    assert!(browser.text("#archives").await.contains(&unreadable));
}

#[tokio::test]
async fn the_space_that_bindery_has_measured_is_shown() {
    let scene = scene().await;
    let maps: Api<ConfigMap> = Api::namespaced(scene.client.clone(), &scene.name);
    let space = Space {
        total: 4096,
        available: 1024,
        files: None,
    };
    let hour_ago = Timestamp::now() - SignedDuration::from_mins(60);
    let share = ShareSpace::new("nas1".to_owned(), "/a".to_owned(), Some(space), hour_ago);
    let map = json!({"metadata": {"name": "bindery-shares"}, "data": {"shares.json": json!([share]).to_string()}});
    maps.create(&PostParams::default(), &from(map)).await.unwrap();
    // The namespace of the scene stands for that of Bindery.
    let console = Console::start(&["-n", &scene.name, "--bindery-namespace", &scene.name]);
    let rows = console.data().await["shares"]["rows"].take();
    let row =
        json!({"place": "nas1:/a", "volumes": 0, "size": 4096, "available": 1024, "measured": "60m", "why": null});
    assert!(rows.as_array().unwrap().contains(&row), "{rows}");
    maps.delete("bindery-shares", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn only_a_browser_of_this_machine_that_knows_the_address_is_answered() {
    let scene = Scene::new().await;
    let console = Console::start(&["-n", &scene.name]);
    let (address, path) = console.place();
    let ask = async |request: String| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let status = async |method: &str, path: &str, headers: &str| {
        let answer = ask(format!(
            "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        ))
        .await;
        assert!(!answer.to_lowercase().contains("access-control-"), "{answer}");
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let here = format!("Host: {address}\r\n");
    assert_eq!(status("GET", path, &here).await, 200);
    assert_eq!(
        status("GET", path, "Host: evil.example\r\n").await,
        421,
        "DNS rebinding"
    );
    assert_eq!(status("GET", "/", &here).await, 404);
    assert_eq!(status("GET", "/data", &here).await, 404);
    assert_eq!(status("GET", &format!("{path}other"), &here).await, 404);
    assert_eq!(status("POST", path, &here).await, 405);
    assert_eq!(
        status(
            "GET",
            &format!("{path}data"),
            &format!("{here}Sec-Fetch-Site: cross-site\r\n")
        )
        .await,
        403
    );
    let port = address.rsplit_once(':').unwrap().1;
    let elsewhere = tokio::net::TcpStream::connect(format!("127.0.0.2:{port}")).await;
    assert!(elsewhere.is_err(), "only 127.0.0.1 listens");

    let page = ask(format!("GET {path} HTTP/1.1\r\n{here}Connection: close\r\n\r\n")).await;
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    let policy = head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "))
        .unwrap();
    let nonce = policy
        .split_once("script-src 'nonce-")
        .unwrap()
        .1
        .split_once('\'')
        .unwrap()
        .0;
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    );
    assert!(body.contains(&format!("<script nonce=\"{nonce}\">")) && !body.contains("NONCE"));
    for header in [
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
    ] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let printed = Plugin::install().bindery(&["console", "--no-browser", "--port", &port]);
    let expected = format!(
        "kubectl bindery console: port {port} of 127.0.0.1 cannot be used; choose another one with --port, or 0: another \
         program uses the address\n"
    );
    assert_eq!((printed.status, printed.err), (Some(2), expected));
}
