//! Explains errors of the API server: what they mean, and what to do.
//!
//! No text of a library is shown to a user. The message of the API server is shown if it refuses a request, because it
//! says what must be changed.

use std::error::Error as StdError;
use std::io;

use kube::Error;
use kube::config::{InferConfigError, KubeconfigError};
use kube::core::Status;
use kube::runtime::watcher;
use tower::timeout::error::Elapsed;

use crate::model::names::is_object_name;
use crate::model::os_error;

/// The most characters of the API server's message that are shown.
const LONGEST_QUOTE: usize = 500;
/// The reason that kube sets if the answer is not a Status, for example the error page of a proxy.
const NOT_A_STATUS: &str = "Failed to parse error data";

/// A failed request to the API server. Its text is the reason, to be used after a colon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ApiFault {
    /// The kind of failure.
    pub kind: Kind,
    why: String,
}

/// The kind of a failure, which decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Temporary: the same request may succeed later.
    Transient,
    /// The object exists already, was changed, or a test in a patch failed.
    Conflict,
    /// The object does not exist.
    NotFound,
    /// A right is missing. An API server that has just started answers so, too, until it has read the RBAC objects.
    Forbidden,
    /// An administrator must change something else.
    Refused,
}

impl ApiFault {
    /// Returns the error for a request that was not answered in time.
    pub fn timeout() -> Self {
        Self::transient("the API server did not answer in time")
    }

    /// Returns whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind == Kind::Transient
    }

    /// Returns whether the same request may succeed later, or after an administrator has granted a right.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Forbidden)
    }

    /// Converts an error of a create request. Such a request has no test, so 422 means that the object is not valid.
    pub fn from_create(error: &Error) -> Self {
        match error {
            Error::Api(status) if status.code == 422 => Self::refused(status),
            error => error.into(),
        }
    }

    /// Converts an error for the user of a command, who has a kubeconfig.
    pub fn from_command(error: &Error) -> Self {
        let usual = Self::from(error);
        let why = match error {
            Error::Api(status) if status.code == 401 => {
                "the API server did not accept the credentials of the kubeconfig's user (401)".to_owned()
            }
            Error::Api(status) if status.code == 403 => match missing_right(&status.message) {
                Some(right) => format!("the kubeconfig's user lacks the right to {right} (403)"),
                None => return usual,
            },
            Error::Auth(_) => "the credentials of the kubeconfig's user could not be read".to_owned(),
            _ => return usual,
        };
        Self::new(usual.kind, why)
    }

    fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    fn transient(why: impl Into<String>) -> Self {
        Self::new(Kind::Transient, why)
    }

    fn from_status(status: &Status) -> Self {
        let code = status.code;
        match code {
            401 => Self::transient("the API server did not accept the token of Bindery's ServiceAccount (401)"),
            // An API server that has just started may know role bindings before it knows the roles.
            403 if status.message.contains("RBAC:") && status.message.contains("not found") => Self::transient(
                "the API server does not know the roles of Bindery's ServiceAccount (403); if this lasts, an administrator \
                 has to apply Bindery's RBAC again (the chart, or deploy/base/rbac.yaml)",
            ),
            403 => missing_right(&status.message).map_or_else(
                || Self::refused(status),
                |right| {
                    Self::new(
                        Kind::Forbidden,
                        format!(
                            "Bindery's ServiceAccount lacks the right to {right}; if this lasts, an administrator has \
                             to apply Bindery's RBAC again (the chart, or deploy/base/rbac.yaml)"
                        ),
                    )
                },
            ),
            404 if status.reason != NOT_A_STATUS => Self::new(Kind::NotFound, "the object does not exist (404)"),
            408 | 504 => Self::transient(format!("the API server did not finish the request in time ({code})")),
            409 => Self::new(
                Kind::Conflict,
                "the object exists already, or was changed meanwhile (409)",
            ),
            // The continue token of a list has expired.
            410 => Self::transient("the API server no longer has the requested version (410)"),
            // A failed test of a JSON patch has no causes; an object that is not valid has.
            422 if names_no_field(status) => Self::new(Kind::Conflict, "the object was changed meanwhile (422)"),
            429 => Self::transient("the API server had too many requests to answer (429)"),
            0 | 500.. => Self::transient(match failed_webhook(&status.message) {
                Some(webhook) => format!(
                    "the API server reported an internal error ({code}): its admission webhook {webhook} could not be called"
                ),
                None => format!("the API server reported an internal error ({code})"),
            }),
            _ => Self::refused(status),
        }
    }

    fn refused(status: &Status) -> Self {
        let code = status.code;
        let message = status.message.trim().trim_end_matches('.');
        let why = if message.is_empty() || status.reason == NOT_A_STATUS {
            format!(
                "the request was refused with code {code} by the API server or by a proxy before it; an administrator has \
                 to find out which"
            )
        } else {
            let message: String = message.chars().take(LONGEST_QUOTE).collect();
            format!(
                "the API server refused the request ({code}): {message}; an administrator has to change what is named there"
            )
        };
        Self::new(Kind::Refused, why)
    }
}

impl From<&Error> for ApiFault {
    fn from(error: &Error) -> Self {
        let unreachable = |why: Option<String>| {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            Self::transient(format!("the API server could not be reached{why}"))
        };
        match error {
            Error::Api(status) => Self::from_status(status),
            Error::Service(cause) if is_time_out(cause.as_ref()) => Self::timeout(),
            // There is no connection, or it ended before the answer was complete.
            Error::Service(cause) => unreachable(connection_failure(cause.as_ref())),
            Error::HyperError(cause) => unreachable(connection_failure(cause)),
            Error::RustlsTls(_) => unreachable(None),
            Error::SerdeError(_)
            | Error::FromUtf8(_)
            | Error::ReadEvents(_)
            | Error::LinesCodecMaxLineLengthExceeded => {
                Self::transient("the API server's answer was incomplete or not readable")
            }
            // The token could not be read. The kubelet renews tokens.
            Error::Auth(_) => Self::transient("Bindery's credentials for the API server could not be read"),
            Error::HttpError(_) | Error::BuildRequest(_) | Error::Discovery(_) => Self::new(
                Kind::Refused,
                "the request could not be built; this is a fault in Bindery, please report it",
            ),
            Error::ProxyProtocolUnsupported { .. }
            | Error::ProxyProtocolDisabled { .. }
            | Error::TlsRequired
            | Error::InferConfig(_)
            | Error::InferKubeconfig(_) => Self::new(
                Kind::Refused,
                "the kubeconfig, or the pod's in-cluster configuration, cannot be used; check its server, proxy and \
                 certificates",
            ),
        }
    }
}

impl From<Error> for ApiFault {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&watcher::Error> for ApiFault {
    fn from(error: &watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error.into(),
            watcher::Error::WatchError(status) => Self::from_status(status),
            watcher::Error::NoResourceVersion => Self::transient("the API server's list has no version to watch from"),
        }
    }
}

/// Describes an error of `bindery serve` for a user. Errors of libraries are replaced by Bindery's description.
pub fn describe(error: &anyhow::Error) -> String {
    join_causes(error, |error| error.into())
}

/// Describes an error of a command that uses a kubeconfig.
pub fn describe_for_command(error: &anyhow::Error) -> String {
    join_causes(error, ApiFault::from_command)
}

fn join_causes(error: &anyhow::Error, fault: fn(&Error) -> ApiFault) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        // The text of the causes before it is complete.
        if cause.is::<InferConfigError>() {
            break;
        }
        let library = if let Some(error) = cause.downcast_ref::<Error>() {
            Some(fault(error).to_string())
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            Some(os_error::words(error))
        } else if cause.is::<KubeconfigError>() {
            Some("it is missing, cannot be read, or is not a kubeconfig".to_owned())
        } else {
            None
        };
        let is_last = library.is_some();
        words.push(library.unwrap_or_else(|| cause.to_string()));
        if is_last {
            break;
        }
    }
    words.join(": ")
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns whether the request timed out.
fn is_time_out(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(<dyn StdError + 'static>::is::<Elapsed>)
}

/// Returns why there is no connection, if that is known.
fn connection_failure(error: &(dyn StdError + 'static)) -> Option<String> {
    causes(error).find_map(|cause| {
        // hyper-util has no type for this error.
        if cause.to_string() == "dns error" {
            return Some("the name of its host does not resolve".to_owned());
        }
        let error = cause.downcast_ref::<io::Error>()?;
        match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => Some("its certificate or its TLS is not accepted".to_owned()),
            // An error of another library. Its cause may say more.
            Some(_) => None,
            None => Some(os_error::words(error)),
        }
    })
}

/// Returns the missing right, such as "create persistentvolumes". Returns nothing if the message has another form:
/// admission policies refuse with the same code.
fn missing_right(message: &str) -> Option<String> {
    let (_, from_verb) = message.split_once("\" cannot ")?;
    let (verb, from_resource) = from_verb.split_once(" resource \"")?;
    let (resource, _) = from_resource.split_once('"')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|letter| letter.is_ascii_lowercase());
    is_verb.then(|| format!("{verb} {resource}"))
}

/// Returns the webhook that the API server could not call.
fn failed_webhook(message: &str) -> Option<&str> {
    let (_, from_name) = message.split_once("failed calling webhook \"")?;
    let (name, _) = from_name.split_once('"')?;
    is_object_name(name).then_some(name)
}

fn names_no_field(status: &Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.causes.is_empty())
}

#[cfg(test)]
mod tests;
