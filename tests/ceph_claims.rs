//! Claims on `CephFS`: Bindery makes the directories through an NFS server or a mount, and nodes mount them natively.
//! `make test-ceph` runs these tests.

mod identity;
mod native;
mod quotas;
mod snapshots;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{PersistentVolume, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::bindery::Bindery;
use crate::support::ceph::{self, on_this_machine};
use crate::support::csi::{install, source};
use crate::support::directories::chown_to;
use crate::support::mount::Mount;
use crate::support::nfs::Ganesha;
use crate::support::scene::{Scene, from};

/// The uid of Bindery.
const BINDERY: u32 = 65532;

/// How Bindery reaches `CephFS`.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Over NFS, through Ganesha with its module for Ceph.
    Nfs,
    /// Through a mount with ceph-fuse (`--mounted`).
    Mount,
}

const WAYS: [Way; 2] = [Way::Nfs, Way::Mount];

/// A Bindery with a share in `CephFS`, and a class whose volumes ceph-csi mounts.
struct Claims {
    bindery: Bindery,
    scene: Scene,
    /// The path of the share in `CephFS`.
    root: String,
    server: Option<Ganesha>,
    _mount: Option<Mount>,
}

impl Claims {
    /// Starts them, with these further parameters in the class.
    async fn with(way: Way, parameters: Value) -> Self {
        install("cephfs.csi.ceph.com").await;
        let (root, server, mount, flag, name) = match way {
            Way::Nfs => {
                let server = Ganesha::start_ceph();
                let root = format!("{}/export", server.ceph.as_ref().unwrap().path());
                let name = server.address().to_string();
                (root, Some(server), None, format!("--nfs-server={name}"), name)
            }
            Way::Mount => {
                let (mount, root) = Mount::ceph();
                // Bindery is not root here.
                chown_to(&on_this_machine(&root), BINDERY);
                let flag = format!("--mounted=nas:/export={}", mount.path().display());
                (root, None, Some(mount), flag, "nas".to_owned())
            }
        };
        let mut all = json!({
            "server": name, "share": "/export",
            "volumeSource": "csi", "csiDriver": "cephfs.csi.ceph.com",
            "csiAttribute/clusterID": "c1", "csiAttribute/fsName": "cephfs",
            "csiAttribute/rootPath": format!("{root}/${{directory}}"),
            "csi.storage.k8s.io/node-stage-secret-name": "cephfs",
            "csi.storage.k8s.io/node-stage-secret-namespace": "${pvc.namespace}",
        });
        json_patch::merge(&mut all, &parameters);
        let bindery = Bindery::start(&[&flag]).await;
        let scene = Scene::of_with(&bindery.provisioner, json!({"parameters": all})).await;
        let claims = Self {
            bindery,
            scene,
            root,
            server,
            _mount: mount,
        };
        claims.secret(&claims.scene.name, "nodes").await;
        claims
    }

    /// Creates the Secret of a namespace, with the key of this user of Ceph.
    async fn secret(&self, namespace: &str, user: &str) {
        let key = ceph::ceph(&["auth", "get-key", &format!("client.{user}")]);
        let secret = json!({"metadata": {"name": "cephfs"}, "stringData": {"userID": user, "userKey": key}});
        let secrets: Api<Secret> = Api::namespaced(self.scene.client.clone(), namespace);
        secrets.create(&PostParams::default(), &from(secret)).await.unwrap();
    }

    /// Mounts a volume as ceph-csi does on a node (`mounter: fuse`): it uses the attributes of the volume and the key in the
    /// Secret that the volume names, and nothing else.
    async fn mount_on_node(&self, volume: &PersistentVolume) -> Result<Mount, String> {
        let csi = source(volume);
        let secret = csi.node_stage_secret_ref.as_ref().unwrap();
        let secrets: Api<Secret> = Api::namespaced(self.scene.client.clone(), secret.namespace.as_ref().unwrap());
        let data = secrets.get(secret.name.as_ref().unwrap()).await.unwrap().data.unwrap();
        let value = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
        let attributes = csi.volume_attributes.as_ref().unwrap();
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), value("userKey")).unwrap();
        ceph::mount_with(
            &format!("client.{}", value("userID")),
            &attributes["rootPath"],
            &[
                &format!("--keyfile={}", key.path().display()),
                &format!("--client_mds_namespace={}", attributes["fsName"]),
            ],
        )
    }

    /// Returns a path below the share, as the administrator of Ceph sees it on this machine.
    fn below(&self, path: &str) -> PathBuf {
        on_this_machine(&self.root).join(path)
    }
}

/// Returns the directory of a volume, as the administrator of Ceph sees it on this machine.
fn place(volume: &PersistentVolume) -> PathBuf {
    let csi = source(volume);
    on_this_machine(&csi.volume_attributes.as_ref().unwrap()["rootPath"])
}
