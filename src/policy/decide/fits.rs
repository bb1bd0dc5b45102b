//! Whether a volume has what a claim asks for.

use crate::model::claim::Claim;
use crate::model::data_source::DataSource;
use crate::model::volume::Volume;

/// Whether a volume fits a claim; the error says what differs. The controller manager does not check this if the volume
/// names the claim. A bound claim may request more than its volume has: see [`crate::policy::expansion`].
pub fn fits(claim: &Claim, volume: &Volume) -> Result<(), String> {
    let class = claim.class.as_deref().unwrap_or_default();
    if class != volume.class {
        return Err(format!("its class is {class:?}, the volume's is {:?}", volume.class));
    }
    let restored = volume.record.as_ref().ok().and_then(|record| record.restored.as_ref());
    match (restored, &claim.data_source) {
        (None, DataSource::Archive(_)) => {
            return Err("it names an Archive, and the volume was not made from one".to_owned());
        }
        (Some(restored), DataSource::Archive(name)) if !restored.is_for(&claim.data_source) => {
            return Err(format!(
                "it names Archive {name}, and the volume was made for a claim that names {}",
                restored.named
            ));
        }
        (None, _) | (Some(_), DataSource::Archive(_)) => {}
        (Some(restored), _) => {
            return Err(format!(
                "it names no Archive, and the volume was made from Archive {}",
                restored.name
            ));
        }
    }
    fits_modes_and_size(claim, volume).map_err(|differs| format!("it {differs}"))
}

/// Whether the volume has the access modes and the size that the claim asks for. The error is the rest of a sentence
/// about the claim.
pub(super) fn fits_modes_and_size(claim: &Claim, volume: &Volume) -> Result<(), String> {
    if let Some(mode) = claim
        .access_modes
        .iter()
        .find(|mode| !volume.access_modes.contains(mode))
    {
        return Err(format!(
            "asks for access mode {mode}, the volume has {}",
            volume.access_modes.join(", ")
        ));
    }
    let capacity = volume.capacity.as_ref();
    match claim.request.as_ref().filter(|_| claim.capacity.is_none()) {
        Some(request) if request.bytes > capacity.map_or(0, |capacity| capacity.bytes) => Err(format!(
            "asks for {}, the volume has {}",
            request.written,
            capacity.map_or("no size", |capacity| &capacity.written)
        )),
        _ => Ok(()),
    }
}
