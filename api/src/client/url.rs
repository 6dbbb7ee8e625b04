//! Paths and queries from names that may hold anything.

use std::fmt::Write;

/// The path of a resource under `/v3`, each segment encoded.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = format!("/v{}", crate::API_VERSION);
    for segment in segments {
        path.push('/');
        encode(segment, &mut path);
    }
    path
}

/// A query with its question mark, or nothing without parameters.
pub(crate) fn query(parameters: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        query.push(if query.is_empty() { '?' } else { '&' });
        encode(name, &mut query);
        query.push('=');
        encode(value, &mut query);
    }
    query
}

/// Appends text with everything but RFC 3986's unreserved characters escaped.
fn encode(text: &str, url: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segments: &[&str], expected: &str) {
        assert_eq!(path(segments), expected);
    }

    #[test]
    fn a_segment_stays_one_segment() {
        check(&["tribes"], "/v3/tribes");
        check(&["tribes", "core", "status"], "/v3/tribes/core/status");
        check(&["tribes", "a-b.c_d~e"], "/v3/tribes/a-b.c_d~e");
        check(&["tribes", "a/b"], "/v3/tribes/a%2Fb");
        check(&["tribes", "../node"], "/v3/tribes/..%2Fnode");
        check(&["tribes", "a?wait=1#x"], "/v3/tribes/a%3Fwait%3D1%23x");
        check(&["tribes", "a b+c"], "/v3/tribes/a%20b%2Bc");
        check(&["tribes", "100%"], "/v3/tribes/100%25");
        check(&["tribes", "a\r\nHost: x"], "/v3/tribes/a%0D%0AHost%3A%20x");
        check(&["tribes", "Düsseldorf"], "/v3/tribes/D%C3%BCsseldorf");
        check(&["tribes", ""], "/v3/tribes/");
    }

    #[test]
    fn a_query_is_encoded_too() {
        assert_eq!(query(&[]), "");
        assert_eq!(query(&[("tribe", "a&b=c")]), "?tribe=a%26b%3Dc");
        assert_eq!(query(&[("tribe", "core"), ("wait", "0.5")]), "?tribe=core&wait=0.5");
    }
}
