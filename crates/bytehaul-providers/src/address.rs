//! Which texts are URLs that an upload can be sent to.

use url::Url;

use crate::ProtocolError;

/// Reads the URL of a setting. A fragment is dropped: it is never sent.
///
/// # Errors
/// No `http` or `https` URL. The text itself is not in the error: it may hold a signature.
pub(crate) fn parse(text: &str) -> Result<Url, ProtocolError> {
    let mut url =
        Url::parse(text.trim()).map_err(|error| ProtocolError::parameter("URL", error))?;
    if !matches!(url.scheme(), "http" | "https") {
        let what = format!("{} is neither http nor https", url.scheme());
        return Err(ProtocolError::parameter("URL", what));
    }
    url.set_fragment(None);
    Ok(url)
}

/// What of a URL may be shown: its host, or that it has none.
pub(crate) fn shown(text: &str) -> String {
    let host = Url::parse(text.trim())
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| "(no host)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_addresses_alone() {
        let check = |text: &str, expected: Option<&str>| {
            let url = parse(text).ok().map(String::from);
            assert_eq!(url.as_deref(), expected, "{text}");
        };
        check("http://a.test/up?k=v", Some("http://a.test/up?k=v"));
        check(" https://a.test/up#part ", Some("https://a.test/up"));
        check("HTTP://u:p@A.test:80", Some("http://u:p@a.test/"));
        for text in [
            "",
            "up",
            "//a.test/",
            "ftp://a.test/",
            "http://",
            "http://a b/",
            "file:///etc",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn errors_hold_no_part_of_the_address() {
        for text in ["gopher://h/?key=s3cret", "http://[s3cret]/?s3cret"] {
            assert!(!parse(text).unwrap_err().to_string().contains("s3cret"));
            assert!(!shown(text).contains("s3cret"));
        }
    }
}
