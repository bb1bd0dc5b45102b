//! Writes values for programs, as JSON and as YAML.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// Returns a value as JSON, with a line feed at the end.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).context("the output could not be written as JSON")?;
    Ok(text + "\n")
}

/// Returns a value as YAML, with a line feed at the end.
pub fn yaml(value: &impl Serialize) -> Result<String> {
    let value: Value = serde_json::to_value(value).context("the output could not be written as YAML")?;
    let text = serde_saphyr::to_string(&value).context("the output could not be written as YAML")?;
    Ok(text.trim_end().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_back_as_the_same_value() {
        let value = json!({
            "apiVersion": "v1",
            "texts": ["yes", "no", "1e3", "0777", "a: b", "# c", "- d", "", "null", "~", " e ", "f\ng", "2026-11-30", "'"],
            "numbers": [1, -2, 0.5],
            "nothing": null,
            "map": {"true": true, "a b": {"c": []}},
        });
        let text = yaml(&value).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");
    }
}
