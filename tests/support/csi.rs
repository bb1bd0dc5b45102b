//! The object of a CSI driver.

use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolume};
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::bed::Bed;
use super::scene::from;

/// Creates the object of a CSI driver, as its project does, unless it exists.
pub async fn install(driver: &str) {
    let drivers: Api<CSIDriver> = Api::all(Bed::get().admin().await);
    let object = json!({"metadata": {"name": driver}, "spec": {"attachRequired": false, "fsGroupPolicy": "File"}});
    match drivers.create(&PostParams::default(), &from(object)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("{error}"),
    }
}

/// Returns what a CSI driver gets to know of a volume.
pub fn source(volume: &PersistentVolume) -> &CSIPersistentVolumeSource {
    let spec = volume.spec.as_ref().expect("a spec");
    spec.csi.as_ref().expect("a volume that a CSI driver mounts")
}
