//! Reads and writes the Secret with the certificates and the tokens.
//!
//! | key | value |
//! |---|---|
//! | `ca.crt` | the CAs that the API server must trust: that of the served certificate, then the previous or the next |
//! | `tls.crt`, `tls.key` | the served certificate |
//! | `next.crt`, `next.key` | the next certificate |
//! | `token` | the token in the path of the webhook |
//! | `next-token`, `token-before` | the next and the previous token, which are accepted, too |

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::issue::{self, CertifiedKey};
use super::pem;
use crate::model::names::annotation::SERVING_NAMES;

const CA: &str = "ca.crt";
const SERVING: [&str; 2] = ["tls.crt", "tls.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const TOKEN: &str = "token";
const NEXT_TOKEN: &str = "next-token";
const PREVIOUS_TOKEN: &str = "token-before";

/// The content of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificates {
    /// The DNS names in the certificates, separated by commas.
    pub names: String,
    /// The CAs that the API server must trust, in PEM.
    pub trusted: String,
    /// The served certificate.
    pub serving: CertifiedKey,
    /// The token in the path.
    pub token: String,
    /// The next certificate and token.
    pub next: Option<(CertifiedKey, String)>,
    /// The previous token.
    pub previous_token: Option<String>,
}

impl StoredCertificates {
    /// Reads a Secret. Returns nothing if it is not complete.
    pub fn read(secret: &Secret) -> Option<Self> {
        let get = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let pair = |[chain, key]: [&str; 2]| {
            Some(CertifiedKey {
                chain: get(chain)?,
                key: get(key)?,
            })
        };
        Some(Self {
            names: secret.metadata.annotations.as_ref()?.get(SERVING_NAMES)?.clone(),
            trusted: get(CA)?,
            serving: pair(SERVING)?,
            token: get(TOKEN)?,
            next: pair(NEXT).zip(get(NEXT_TOKEN)),
            previous_token: get(PREVIOUS_TOKEN),
        })
    }

    /// Issues a new certificate and token. The previous CA and token stay valid, for replicas and API servers that have
    /// not read the new ones yet.
    pub fn new(names: &[String], lifetime: SignedDuration, now: Timestamp, previous: Option<&Self>) -> Result<Self> {
        let (ca, serving) = issue::certificate(names, lifetime, now)?;
        let former = previous.and_then(|previous| pem::certificates(&previous.trusted).next());
        Ok(Self {
            names: names.join(","),
            trusted: pem::join([&*ca].into_iter().chain(former)),
            serving,
            token: issue::token()?,
            next: None,
            previous_token: previous.map(|previous| previous.token.clone()),
        })
    }

    /// Adds the next certificate and token.
    pub fn stage(&self, lifetime: SignedDuration, now: Timestamp) -> Result<Self> {
        let names: Vec<_> = self.names.split(',').map(str::to_owned).collect();
        let (ca, next) = issue::certificate(&names, lifetime, now)?;
        Ok(Self {
            trusted: pem::join(pem::certificates(&self.trusted).take(1).chain([&*ca])),
            next: Some((next, issue::token()?)),
            previous_token: None,
            ..self.clone()
        })
    }

    /// Makes the next certificate and token the served ones.
    pub fn promote(&self) -> Self {
        let Some((serving, token)) = self.next.clone() else {
            return self.clone();
        };
        let mut cas: Vec<&str> = pem::certificates(&self.trusted).collect();
        // A Secret that somebody has edited may have none.
        if !cas.is_empty() {
            cas.rotate_left(1);
        }
        Self {
            trusted: pem::join(cas),
            serving,
            token,
            next: None,
            previous_token: Some(self.token.clone()),
            ..self.clone()
        }
    }

    /// Returns whether a `caBundle` has the CA of the next certificate. True if there is no next certificate.
    pub fn announced(&self, bundle: &str) -> bool {
        let mut next = pem::certificates(&self.trusted).skip(1);
        self.next.is_none() || next.all(|ca| bundle.contains(ca))
    }

    /// Returns the Secret to write; it replaces `found`.
    pub fn secret(&self, name: &str, found: Option<&Secret>) -> Secret {
        let mut data = vec![
            (CA, &self.trusted),
            (SERVING[0], &self.serving.chain),
            (SERVING[1], &self.serving.key),
            (TOKEN, &self.token),
        ];
        if let Some((next, token)) = &self.next {
            data.extend([(NEXT[0], &next.chain), (NEXT[1], &next.key), (NEXT_TOKEN, token)]);
        }
        data.extend(self.previous_token.as_ref().map(|token| (PREVIOUS_TOKEN, token)));
        let bytes = |(key, text): (&str, &String)| (key.to_owned(), ByteString(text.clone().into_bytes()));
        // Labels and annotations that others set are kept.
        let mut metadata = found.map(|found| found.metadata.clone()).unwrap_or_default();
        metadata.name = Some(name.to_owned());
        metadata.managed_fields = None;
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(SERVING_NAMES.to_owned(), self.names.clone());
        Secret {
            metadata,
            data: Some(data.into_iter().map(bytes).collect()),
            // The type of a Secret cannot be changed.
            type_: Some(
                found
                    .and_then(|found| found.type_.clone())
                    .unwrap_or("kubernetes.io/tls".to_owned()),
            ),
            ..Secret::default()
        }
    }
}

/// Returns whether Bindery created a Secret.
pub fn is_ours(secret: &Secret) -> bool {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(SERVING_NAMES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: SignedDuration = SignedDuration::from_hours(24);

    fn state() -> StoredCertificates {
        StoredCertificates::new(&["a.svc".to_owned(), "b.svc".to_owned()], LIFE, now(), None).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn certificates(text: &str) -> Vec<&str> {
        pem::certificates(text).collect()
    }

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let first = state();
        let staged = first.stage(LIFE, now()).unwrap();
        for state in [&first, &staged, &staged.promote()] {
            assert_eq!(
                StoredCertificates::read(&state.secret("bindery-tls", None)).as_ref(),
                Some(state)
            );
        }
    }

    #[test]
    fn a_secret_that_lacks_a_key_is_not_used() {
        for key in [CA, SERVING[0], SERVING[1], TOKEN] {
            let mut secret = state().secret("bindery-tls", None);
            secret.data.as_mut().unwrap().remove(key);
            assert_eq!(StoredCertificates::read(&secret), None, "{key}");
        }
    }

    #[test]
    fn the_next_ca_is_trusted_before_its_certificate_is_served_and_the_previous_ca_afterwards() {
        let first = state();
        let staged = first.stage(LIFE, now()).unwrap();
        let promoted = staged.promote();
        let [one, two] = certificates(&staged.trusted)[..] else {
            panic!("{staged:?}")
        };
        assert_eq!(certificates(&first.trusted), [one]);
        assert_eq!(certificates(&promoted.trusted), [two, one]);
        assert_eq!((&staged.serving, &staged.token), (&first.serving, &first.token));
        assert_eq!(Some((promoted.serving.clone(), promoted.token.clone())), staged.next);
        assert_eq!(promoted.previous_token, Some(first.token));
        let again = promoted.stage(LIFE, now()).unwrap();
        assert_eq!(certificates(&again.trusted)[0], two, "and no earlier CA");
        assert_eq!((certificates(&again.trusted).len(), again.previous_token), (2, None));
    }

    #[test]
    fn labels_and_annotations_of_others_are_kept() {
        let mut found = state().secret("bindery-tls", None);
        found
            .metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert("a".to_owned(), "b".to_owned());
        found.metadata.labels = Some([("c".to_owned(), "d".to_owned())].into());
        let again = state().secret("bindery-tls", Some(&found));
        assert_eq!(again.metadata, found.metadata);
    }

    #[test]
    fn a_new_certificate_leaves_the_previous_ca_trusted() {
        let first = state();
        let second = StoredCertificates::new(&["a.svc".to_owned()], LIFE, now(), Some(&first)).unwrap();
        assert_eq!(certificates(&second.trusted)[1], certificates(&first.trusted)[0]);
        assert_eq!(second.previous_token, Some(first.token));
    }
}
