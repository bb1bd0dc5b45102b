use kube::core::response::StatusDetails;
use serde_json::json;

use super::*;

fn api(code: u16, message: &str) -> Error {
    Error::Api(Status::failure(message, "Reason").with_code(code).boxed())
}

fn with_causes(code: u16, message: &str) -> Error {
    let cause = json!({"reason": "FieldValueInvalid", "message": "Invalid value", "field": "spec.capacity"});
    let details: StatusDetails = serde_json::from_value(json!({"causes": [cause]})).unwrap();
    Error::Api(
        Status::failure(message, "Invalid")
            .with_code(code)
            .with_details(details)
            .boxed(),
    )
}

fn service(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Service(cause.into())
}

const RBAC: &str = "persistentvolumes is forbidden: User \"system:serviceaccount:bindery:bindery\" cannot create resource \
                    \"persistentvolumes\" in API group \"\" at the cluster scope";

fn internal_error(code: u16) -> String {
    format!("the API server reported an internal error ({code})")
}

fn refused(code: u16, message: &str) -> String {
    format!(
        "the API server refused the request ({code}): {message}; an administrator has to change what is named there"
    )
}

/// Every result of a failed request, with its kind and its message.
#[test]
fn each_error_has_its_kind_and_its_message() {
    let library = || std::io::Error::other("library text");
    let no_json = || serde_json::from_str::<Status>("<html>library text").unwrap_err();
    let no_text = || String::from_utf8(vec![0xff]).unwrap_err();
    let no_uri = || http::Request::builder().uri("library text").body(()).unwrap_err();
    let unreachable = "the API server could not be reached";
    let unreadable = "the API server's answer was incomplete or not readable";
    let table: Vec<(Error, Kind, String)> = vec![
        // No answer.
        (service(library()), Kind::Transient, unreachable.to_owned()),
        (service(Elapsed::new()), Kind::Transient, "the API server did not answer in time".to_owned()),
        (service(service(Elapsed::new())), Kind::Transient, "the API server did not answer in time".to_owned()),
        (Error::SerdeError(no_json()), Kind::Transient, unreadable.to_owned()),
        (Error::FromUtf8(no_text()), Kind::Transient, unreadable.to_owned()),
        (Error::ReadEvents(library()), Kind::Transient, unreadable.to_owned()),
        (Error::LinesCodecMaxLineLengthExceeded, Kind::Transient, unreadable.to_owned()),
        // The API server has an error, or is overloaded.
        (api(500, "error reading from server: EOF"), Kind::Transient, internal_error(500)),
        (api(501, "library text"), Kind::Transient, internal_error(501)),
        (api(502, "library text"), Kind::Transient, internal_error(502)),
        (api(503, "library text"), Kind::Transient, internal_error(503)),
        (api(504, "library text"), Kind::Transient, "the API server did not finish the request in time (504)".to_owned()),
        (api(408, "library text"), Kind::Transient, "the API server did not finish the request in time (408)".to_owned()),
        (
            api(429, "library text"),
            Kind::Transient,
            "the API server had too many requests to answer (429)".to_owned(),
        ),
        (
            api(410, "library text"),
            Kind::Transient,
            "the API server no longer has the requested version (410)".to_owned(),
        ),
        (
            api(401, "Unauthorized"),
            Kind::Transient,
            "the API server did not accept the token of Bindery's ServiceAccount (401)".to_owned(),
        ),
        (api(0, "library text"), Kind::Transient, internal_error(0)),
        // The object does not exist, or has changed.
        (api(404, "library text"), Kind::NotFound, "the object does not exist (404)".to_owned()),
        (
            api(409, "library text"),
            Kind::Conflict,
            "the object exists already, or was changed meanwhile (409)".to_owned(),
        ),
        (
            api(422, "library text"),
            Kind::Conflict,
            "the object was changed meanwhile (422)".to_owned(),
        ),
        // An administrator must change something.
        (
            api(403, RBAC),
            Kind::Forbidden,
            "Bindery's ServiceAccount lacks the right to create persistentvolumes; if this lasts, an administrator has to apply \
             Bindery's RBAC again (the chart, or deploy/base/rbac.yaml)"
                .to_owned(),
        ),
        (
            api(403, "admission webhook \"volumes.example.com\" denied the request: volumes need a label."),
            Kind::Refused,
            refused(403, "admission webhook \"volumes.example.com\" denied the request: volumes need a label"),
        ),
        (
            with_causes(422, "spec.capacity: Invalid value"),
            Kind::Refused,
            refused(422, "spec.capacity: Invalid value"),
        ),
        (api(400, "no JSON"), Kind::Refused, refused(400, "no JSON")),
        (api(405, "not allowed"), Kind::Refused, refused(405, "not allowed")),
        (api(413, "too large"), Kind::Refused, refused(413, "too large")),
        (api(415, "no such type"), Kind::Refused, refused(415, "no such type")),
        (
            Error::Api(Status::failure("<html>library text", NOT_A_STATUS).with_code(403).boxed()),
            Kind::Refused,
            "the request was refused with code 403 by the API server or by a proxy before it; an administrator has to find \
             out which"
                .to_owned(),
        ),
        (
            Error::HttpError(no_uri()),
            Kind::Refused,
            "the request could not be built; this is a fault in Bindery, please report it".to_owned(),
        ),
        (
            Error::TlsRequired,
            Kind::Refused,
            "the kubeconfig, or the pod's in-cluster configuration, cannot be used; check its server, proxy and certificates"
                .to_owned(),
        ),
    ];
    for (error, kind, words) in table {
        let fault = ApiFault::from(&error);
        assert_eq!((fault.kind, fault.to_string()), (kind, words), "{error:?}");
        assert_eq!(fault.is_transient(), kind == Kind::Transient, "{error:?}");
        assert_eq!(
            fault.may_pass(),
            [Kind::Transient, Kind::Forbidden].contains(&kind),
            "{error:?}"
        );
        assert!(!fault.to_string().contains("library text"), "{fault}");
    }
}

#[test]
fn a_webhook_that_cannot_be_called_and_roles_that_are_not_loaded_are_transient() {
    let table = [
        (
            api(
                500,
                "Internal error occurred: failed calling webhook \"volumes.example.com\": failed to call webhook: library \
                 text",
            ),
            Kind::Transient,
            format!("{}: its admission webhook volumes.example.com could not be called", internal_error(500)),
        ),
        (
            api(403, &format!("{RBAC}: RBAC: clusterrole.rbac.authorization.k8s.io \"bindery\" not found")),
            Kind::Transient,
            "the API server does not know the roles of Bindery's ServiceAccount (403); if this lasts, an administrator has \
             to apply Bindery's RBAC again (the chart, or deploy/base/rbac.yaml)"
                .to_owned(),
        ),
    ];
    for (error, kind, words) in table {
        let fault = ApiFault::from(&error);
        assert_eq!((fault.kind, fault.to_string()), (kind, words), "{error:?}");
    }
}

#[test]
fn a_create_request_reports_a_conflict_only_with_409() {
    let made = |error: &Error| ApiFault::from_create(error);
    assert_eq!(made(&api(409, "")).kind, Kind::Conflict);
    let invalid = made(&api(422, "no more volumes"));
    assert_eq!(
        (invalid.kind, invalid.to_string()),
        (Kind::Refused, refused(422, "no more volumes"))
    );
}

#[test]
fn a_command_names_the_user_of_its_kubeconfig() {
    let message = |error| describe_for_command(&anyhow::Error::from(error).context("the claim could not be read"));
    let user = "the claim could not be read: the kubeconfig's user lacks the right to create persistentvolumes (403)";
    assert_eq!(message(api(403, RBAC)), user);
    let user =
        "the claim could not be read: the API server did not accept the credentials of the kubeconfig's user (401)";
    assert_eq!(message(api(401, "Unauthorized")), user);
    assert_eq!(
        message(api(500, "")),
        format!("the claim could not be read: {}", internal_error(500))
    );
}

#[test]
fn a_long_refusal_is_cut() {
    let fault = ApiFault::from(&api(400, &"x".repeat(5_000)));
    assert!(fault.to_string().len() < 700, "{fault}");
}

#[test]
fn a_broken_watch_has_the_same_messages() {
    let gone = watcher::Error::WatchError(Status::failure("library text", "Expired").with_code(410).boxed());
    assert_eq!(
        ApiFault::from(&gone).to_string(),
        "the API server no longer has the requested version (410)"
    );
    let unreachable = watcher::Error::InitialListFailed(service("library text"));
    assert_eq!(
        ApiFault::from(&unreachable).to_string(),
        "the API server could not be reached"
    );
}
