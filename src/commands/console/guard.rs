//! Decides who may see the page: only a browser on this machine that knows the address.

use axum::http::header::HOST;
use axum::http::{HeaderMap, Method, StatusCode};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The rules for requests.
#[derive(Clone, Debug)]
pub struct Guard {
    port: u16,
    /// A random path segment.
    secret: String,
}

impl Guard {
    /// Creates a guard with a new secret.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            secret: Uuid::new_v4().simple().to_string(),
        }
    }

    /// Returns the address of the page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.secret)
    }

    /// Returns the path below the secret, or the answer to a request that is refused.
    pub fn path<'a>(&self, method: &Method, headers: &HeaderMap, path: &'a str) -> Result<&'a str, StatusCode> {
        // A page of another site can have a name that resolves to 127.0.0.1. Its requests have that name as the host.
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        if host != Some(&format!("127.0.0.1:{}", self.port)) && host != Some(&format!("localhost:{}", self.port)) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        // Browsers say whether a page of another site has sent the request.
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if !matches!(site, None | Some("same-origin" | "none")) {
            return Err(StatusCode::FORBIDDEN);
        }
        if method != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (secret, rest) = path
            .trim_start_matches('/')
            .split_once('/')
            .ok_or(StatusCode::NOT_FOUND)?;
        let is_known: bool = secret.as_bytes().ct_eq(self.secret.as_bytes()).into();
        if is_known { Ok(rest) } else { Err(StatusCode::NOT_FOUND) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_the_whole_address_from_this_machine_is_answered() {
        let guard = Guard {
            port: 8001,
            secret: "s3cret".to_owned(),
        };
        let asked = |method: Method, host: &str, site: &str, path: &str| {
            let mut headers = HeaderMap::new();
            if !host.is_empty() {
                headers.insert(HOST, host.parse().unwrap());
            }
            if !site.is_empty() {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            guard
                .path(&method, &headers, path)
                .map(str::to_owned)
                .map_err(|code| code.as_u16())
        };
        let (here, page) = ("127.0.0.1:8001", "/s3cret/");
        let table = [
            (asked(Method::GET, here, "", page), Ok("")),
            (asked(Method::GET, here, "none", "/s3cret/data"), Ok("data")),
            (asked(Method::GET, "localhost:8001", "same-origin", page), Ok("")),
            (asked(Method::GET, "evil.example:8001", "", page), Err(421)),
            (asked(Method::GET, "127.0.0.1:8002", "", page), Err(421)),
            (asked(Method::GET, "", "", page), Err(421)),
            (asked(Method::GET, here, "cross-site", page), Err(403)),
            (asked(Method::GET, here, "same-site", page), Err(403)),
            (asked(Method::POST, here, "", page), Err(405)),
            (asked(Method::HEAD, here, "", page), Err(405)),
            (asked(Method::GET, here, "", "/"), Err(404)),
            (asked(Method::GET, here, "", "/s3cret"), Err(404)),
            (asked(Method::GET, here, "", "/s3cre/"), Err(404)),
            (asked(Method::GET, here, "", "/data"), Err(404)),
        ];
        for (index, (answer, expected)) in table.into_iter().enumerate() {
            assert_eq!(answer, expected.map(str::to_owned), "row {index}");
        }
        assert_eq!(guard.url(), "http://127.0.0.1:8001/s3cret/");
        assert_ne!(Guard::new(1).secret, Guard::new(1).secret);
    }
}
