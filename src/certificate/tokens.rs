//! The secret tokens in the path of the webhook. Only the API server knows them.

use jiff::Timestamp;
use subtle::{Choice, ConstantTimeEq};

use super::secret::StoredCertificates;

/// The tokens that are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    current: String,
    next: Option<String>,
    /// The token, and the time until which it is accepted.
    previous: Option<(String, Timestamp)>,
}

impl Tokens {
    /// Returns the tokens in the Secret.
    pub fn of(state: &StoredCertificates) -> Self {
        let expires = state
            .serving
            .validity()
            .map(|validity| validity.previous_token_expires());
        Self {
            current: state.token.clone(),
            next: state.next.as_ref().map(|(_, token)| token.clone()),
            previous: state.previous_token.clone().zip(expires),
        }
    }

    /// Returns the token for the webhook configuration.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Returns whether a token is accepted. It takes the same time for every token.
    pub fn accept(&self, token: &str, now: Timestamp) -> bool {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until);
        let all = [
            Some(&self.current),
            self.next.as_ref(),
            previous.map(|(token, _)| token),
        ];
        let is = |known: &String| known.as_bytes().ct_eq(token.as_bytes());
        let found = all
            .into_iter()
            .flatten()
            .fold(Choice::from(0), |found, known| found | is(known));
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_the_next_and_for_a_while_the_previous_token_are_accepted() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let tokens = Tokens {
            current: "b".to_owned(),
            next: Some("c".to_owned()),
            previous: Some(("a".to_owned(), now)),
        };
        let earlier = now - jiff::SignedDuration::from_secs(1);
        let accepted = |at| ["a", "b", "c", "", "d", "bb"].map(|token| tokens.accept(token, at));
        assert_eq!(accepted(earlier), [true, true, true, false, false, false]);
        assert_eq!(accepted(now), [false, true, true, false, false, false]);
    }
}
