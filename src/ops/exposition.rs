//! The two formats in which metrics are served: OpenMetrics, and the older text format of Prometheus.
//!
//! A client that accepts OpenMetrics gets it, as Prometheus does. Others get the older format: `promtool check metrics`,
//! and collectors that know only that one.

use std::borrow::Cow;
use std::fmt::Write;

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Text,
}

impl Format {
    /// Returns the format for a client, from its header `Accept`.
    pub fn accepted(accept: &str) -> Self {
        let is_open_metrics = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let refused = |part: &str| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            parts.next() == Some("application/openmetrics-text") && !parts.any(refused)
        };
        if accept.split(',').map(str::trim).any(is_open_metrics) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// Returns the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Converts a text from `OpenMetrics` to this format.
    pub fn convert(self, open_metrics: String) -> String {
        match self {
            Self::OpenMetrics => open_metrics,
            Self::Text => to_text(&open_metrics),
        }
    }
}

/// In the older format, the name of a counter and of an info has its suffix in the comments, too, an info is a gauge, and
/// units and the mark of the end do not exist.
fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        let comment = line.strip_prefix("# ").and_then(|comment| comment.split_once(' '));
        match comment.and_then(|(word, rest)| Some((word, rest.split_once(' ')?))) {
            // The type follows, and decides the suffix.
            Some(("HELP", said)) => help = Some(said),
            Some(("TYPE", (name, kind))) => {
                let (name, kind) = match kind {
                    "counter" => (Cow::Owned(format!("{name}_total")), kind),
                    "info" => (Cow::Owned(format!("{name}_info")), "gauge"),
                    _ => (Cow::Borrowed(name), kind),
                };
                if let Some((_, said)) = help.take() {
                    let _ = writeln!(text, "# HELP {name} {said}");
                }
                let _ = writeln!(text, "# TYPE {name} {kind}");
            }
            Some(_) => {}
            None if line.starts_with('#') => {}
            None => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_clients_that_accept_it() {
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            // What Prometheus 2 sends.
            (
                "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain, application/openmetrics-text; q=0.4", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text; q=0", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_a_counter_as_its_samples_do() {
        let open_metrics = "\
# HELP bindery_build Version.
# TYPE bindery_build info
bindery_build_info{version=\"1\"} 1
# HELP bindery_volume_steps Steps, by outcome.
# TYPE bindery_volume_steps counter
bindery_volume_steps_total{outcome=\"bound\"} 2
# HELP bindery_share_size_bytes Size.
# TYPE bindery_share_size_bytes gauge
# UNIT bindery_share_size_bytes bytes
bindery_share_size_bytes 3
# EOF
";
        let text = "\
# HELP bindery_build_info Version.
# TYPE bindery_build_info gauge
bindery_build_info{version=\"1\"} 1
# HELP bindery_volume_steps_total Steps, by outcome.
# TYPE bindery_volume_steps_total counter
bindery_volume_steps_total{outcome=\"bound\"} 2
# HELP bindery_share_size_bytes Size.
# TYPE bindery_share_size_bytes gauge
bindery_share_size_bytes 3
";
        assert_eq!(Format::Text.convert(open_metrics.to_owned()), text);
        assert_eq!(Format::OpenMetrics.convert(open_metrics.to_owned()), open_metrics);
    }
}
