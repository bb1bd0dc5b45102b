//! Tests of the messages.

use kube::core::Status;

use super::Error;

#[test]
fn a_policy_that_could_not_be_written_on_another_volume_names_that_volume() {
    let status = Status::failure("", "Conflict").with_code(409).boxed();
    let error = Error::PolicyNotWritten("pvc-2".to_owned(), kube::Error::Api(status));
    assert_eq!(
        error.to_string(),
        "could not write onDelete of this volume on volume pvc-2, whose directory also holds its files: a request to \
         the API server failed: the object exists already, or was changed meanwhile (409)"
    );
}
