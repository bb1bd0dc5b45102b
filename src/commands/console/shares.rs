//! The shares, and how full they are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;

use super::objects::Objects;
use super::view::Facts;
use crate::commands::age;
use crate::model::names::SHARES_KEY;
use crate::model::share_space::ShareSpace;

/// A share of the page.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Share {
    place: String,
    volumes: usize,
    size: Option<u64>,
    available: Option<u64>,
    /// How long ago the space was measured.
    measured: Option<String>,
    /// Why it is not known.
    why: Option<String>,
}

/// Returns the shares that objects name, and those that Bindery has measured.
pub(super) fn of(facts: &Facts<'_>) -> Vec<Share> {
    let row = |(share, volumes): ((String, String), usize)| {
        let space = facts.recorded.get(&share);
        let age = |time: &String| Some(age::since(time.parse().ok()?, facts.now));
        Share {
            place: format!("{}:{}", share.0, share.1),
            volumes,
            size: space.and_then(|space| space.size),
            available: space.and_then(|space| space.available),
            measured: space.and_then(|space| age(&space.measured_at)),
            why: match space {
                Some(ShareSpace { size: Some(_), .. }) => None,
                Some(space) => Some(match space.down_since.as_ref().and_then(age) {
                    Some(age) => format!("its server has not answered for {age}"),
                    None => "its server does not tell it, or refuses the share".to_owned(),
                }),
                None => Some(
                    facts
                        .objects
                        .shares
                        .clone()
                        .err()
                        .unwrap_or_else(|| "not measured".to_owned()),
                ),
            },
        }
    };
    facts.all_shares().into_iter().map(row).collect()
}

/// Returns what Bindery has recorded about shares, by server and path.
pub(super) fn recorded(objects: &Objects) -> BTreeMap<(String, String), ShareSpace> {
    let map = objects.shares.as_ref().ok().and_then(Option::as_ref);
    map.map(measured).unwrap_or_default()
}

/// Reads what Bindery has measured from its `ConfigMap`: nothing if that is not valid.
fn measured(map: &ConfigMap) -> BTreeMap<(String, String), ShareSpace> {
    let text = map.data.as_ref().and_then(|data| data.get(SHARES_KEY));
    let shares: Option<Vec<ShareSpace>> = text.and_then(|text| serde_json::from_str(text).ok());
    let named = |share: ShareSpace| ((share.server.clone(), share.share.clone()), share);
    shares.into_iter().flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured_in(text: &str) -> usize {
        measured(&serde_json::from_value(json!({"data": {SHARES_KEY: text}})).unwrap()).len()
    }

    #[test]
    fn what_is_not_valid_is_not_measured() {
        let share =
            r#"[{"server": "nas1", "share": "/a", "size": 10, "available": 4, "measuredAt": "2026-11-30T00:00:00Z"}]"#;
        assert_eq!(measured_in(share), 1);
        for text in ["no JSON", "null", "[3]", "[]"] {
            assert_eq!(measured_in(text), 0, "{text}");
        }
    }
}
