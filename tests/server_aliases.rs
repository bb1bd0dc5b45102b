//! One NFS server with two addresses. A directory still has only one volume, and cleanup keeps a directory that another
//! volume names.

use std::net::IpAddr;
use std::path::PathBuf;

#[cfg(feature = "failpoints")]
use bindery::failpoints::Point;
use bindery::model::directory::NfsVersion;
use serde_json::{Value, json};

use crate::layouts::DENIED;
use crate::support::bindery::Bindery;
use crate::support::kind::{Server, server_for};
use crate::support::relay::Relay;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// An NFS server with two addresses, and a Bindery whose class names the first one.
pub struct AliasedServer {
    pub server: Box<dyn Server>,
    other: Relay,
    pub bindery: Bindery,
    pub scene: Scene,
}

impl AliasedServer {
    pub async fn with(version: NfsVersion, parameters: Value) -> Self {
        let server = server_for(version);
        let other = Relay::to(&*server);
        let bindery = Bindery::start(&[&format!("--nfs-server={}", server.address())]).await;
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": parameters})).await;
        Self {
            server,
            other,
            bindery,
            scene,
        }
    }

    pub fn alias(&self) -> IpAddr {
        self.other.address()
    }

    /// Creates a class that names the server by its second address, and returns a claim of that class.
    pub async fn claim_by_alias(&self, name: &str, mut parameters: Value) -> Value {
        let class = format!("{}-elsewhere", self.scene.name);
        parameters["server"] = json!(self.alias().to_string());
        self.scene.class(&class, json!({"parameters": parameters})).await;
        self.scene
            .claim_with(name, json!({"spec": {"storageClassName": class}}))
    }

    /// Returns the local path of a directory in the export.
    pub fn place(&self, directory: &str) -> PathBuf {
        self.server.export_dir().join(directory)
    }
}

fn shared() -> Value {
    json!({"subDir": "shared-${pvc.metadata.namespace}", "existingDirectory": "adopt", "onDelete": "delete"})
}

#[tokio::test]
async fn a_directory_has_one_volume_under_all_names_of_its_server() {
    let two = AliasedServer::with(NfsVersion::V4, shared()).await;
    let (_, volume) = two.scene.bound(two.scene.claim("one")).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    std::fs::write(directory.join("precious"), "").unwrap();
    let second = two.claim_by_alias("two", shared()).await;
    let refused = two.scene.refused(second).await;
    let begins = format!(
        "{DENIED}directory shared-{0} of share {1}:/export is the same as directory shared-{0} of share {2}:/export of \
         volume {3}, which claim {0}/one uses; ",
        two.scene.name,
        two.alias(),
        two.server.address(),
        volume_name(&volume),
    );
    assert!(refused.starts_with(&begins), "{refused}");
    assert!(directory.join("precious").exists());
    two.scene.delete("one").await;
    two.scene.until_gone(&volume).await;
    eventually("the directory is gone", async || (!directory.exists()).then_some(())).await;
    two.bindery.unregister().await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_claim_refused_because_of_another_volume_leaves_no_volume_after_a_crash() {
    let mut two = AliasedServer::with(NfsVersion::V4, shared()).await;
    two.scene.bound(two.scene.claim("one")).await;
    let second = two.claim_by_alias("two", shared()).await;
    two.bindery.kill();
    two.bindery.run_until_crash(Point::VolumeCreated).await;
    let refused = two.scene.refused(second).await;
    assert!(refused.contains("uses; both names lead"), "{refused}");
    two.bindery.unregister().await;
}

#[tokio::test]
async fn nfsv3_and_nfsv4_paths_of_one_export_are_one_directory() {
    let mut parameters = shared();
    parameters["nfsVersion"] = json!("3");
    let two = AliasedServer::with(NfsVersion::V3, parameters).await;
    let (_, volume) = two.scene.bound(two.scene.claim("one")).await;
    let second = two.claim_by_alias("two", shared()).await;
    let refused = two.scene.refused(second).await;
    assert!(
        refused.contains(" is the same as directory ") && refused.contains(volume_name(&volume)),
        "{refused}"
    );
    two.bindery.unregister().await;
}

#[tokio::test]
async fn overlaps_in_nested_exports_are_found_under_another_server_name() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"});
    let two = AliasedServer::with(NfsVersion::V4, parameters).await;
    let (_, volume) = two.scene.bound(two.scene.claim("outer")).await;
    let inside = json!({"share": format!("/export/{}/outer", two.scene.name), "subDir": "x"});
    let second = two.claim_by_alias("inner", inside).await;
    let refused = two.scene.refused(second).await;
    assert!(
        refused.contains(" overlaps with directory ") && refused.contains(volume_name(&volume)),
        "{refused}"
    );
    two.bindery.unregister().await;
}

#[tokio::test]
async fn a_new_claim_under_another_server_name_never_gets_the_old_directory() {
    let parameters = json!({"subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}", "onDelete": "delete"});
    let two = AliasedServer::with(NfsVersion::V4, parameters.clone()).await;
    let (_, old) = two.scene.bound(two.scene.claim("data")).await;
    let directory = two.place(annotation(&old, "sub-dir").unwrap());
    std::fs::write(directory.join("precious"), "").unwrap();
    let again = two.claim_by_alias("data", parameters).await;
    two.scene.delete("data").await;
    eventually("the old claim is gone", async || {
        let claim = two.scene.claims().get_opt("data").await.expect("claims");
        claim.is_none().then_some(())
    })
    .await;
    // The claim waits for the cleanup of the old directory, or is created after that cleanup.
    let (_, new) = two.scene.bound(again).await;
    two.scene.until_gone(&old).await;
    assert_ne!(volume_name(&old), volume_name(&new));
    assert!(directory.exists() && !directory.join("precious").exists());
    two.bindery.unregister().await;
}

#[tokio::test]
async fn cleanup_keeps_a_directory_that_another_volume_names_under_another_server_name() {
    let two = AliasedServer::with(NfsVersion::V4, shared()).await;
    let (_, volume) = two.scene.bound(two.scene.claim("one")).await;
    let directory = two.place(annotation(&volume, "sub-dir").unwrap());
    std::fs::write(directory.join("precious"), "").unwrap();
    // The test creates the volume itself, because the webhook would refuse the claim.
    let other = copy_of(&volume, &format!("second-{}", two.scene.name), two.alias());
    two.scene.volumes_create(other).await;
    two.scene.delete("one").await;
    two.scene.until_gone(&volume).await;
    assert!(directory.join("precious").exists());
    let message = two.scene.event(volume_name(&volume), "DirectoryRetained").await;
    let names = format!("volume second-{} uses it too, as directory ", two.scene.name);
    assert!(
        message.contains(&names) && message.contains("the same NFSv4 server owner"),
        "{message}"
    );
    two.bindery.unregister().await;
}

/// Returns a volume with the annotations of another one, without a claim, and with this server address.
pub fn copy_of(volume: &k8s_openapi::api::core::v1::PersistentVolume, name: &str, server: IpAddr) -> Value {
    let mut second = json!(volume);
    second["metadata"] = json!({
        "name": name,
        "annotations": second["metadata"]["annotations"],
        "labels": second["metadata"]["labels"],
        "finalizers": ["bindery.dev/cleanup"],
    });
    second["spec"]["nfs"]["server"] = json!(server.to_string());
    second["spec"].as_object_mut().unwrap().remove("claimRef");
    second.as_object_mut().unwrap().remove("status");
    second
}
