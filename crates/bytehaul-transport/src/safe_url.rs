//! Which parts of a URL are secrets, which change from day to day, and which name the object.

mod parameters;

use std::fmt;
use std::sync::Arc;

use url::{Position, Url};

use self::parameters::{HIDDEN, Pair, Sensitivity, is_secret, sensitivity};

/// A URL that can be shown: `Display` and `Debug` are without user name, password, fragment and the values of parameters
/// that are or may be secrets.
///
/// Shown as `***` are the values of known secret parameters (signatures, credentials, tokens, keys, passwords, compared without
/// regard to case), of parameters whose names end like one, and of all others that are longer than 24 characters. Names
/// are kept, but for a parameter that is one long word without `=`. No more than 1024 characters are shown.
///
/// ```
/// use bytehaul_transport::{SafeUrl, Url};
///
/// let url = Url::parse("https://me:secret@example.com/f?v=2&X-Amz-Signature=0123#top")?;
/// assert_eq!(SafeUrl::from(&url).to_string(), "https://example.com/f?v=2&X-Amz-Signature=***");
/// assert_eq!(SafeUrl::from(&url).identity(), "https://example.com/f?v=2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Arc<Url>);

impl SafeUrl {
    /// What names the object from one run to the next, fit to be stored: without user name, password and fragment, and
    /// without the parameters of signatures (dates, expiry, credentials, tokens), names and values.
    ///
    /// Other parameters stay as they are, in their order. One that looks like a secret is stored as a 64-bit hash (FNV-1a),
    /// so that another value still makes another identity. The hash is stable over versions; it does not protect a value that
    /// can be guessed.
    pub fn identity(&self) -> String {
        let mut text = self.base();
        let mut separator = '?';
        let signed_by_azure = self.is_azure_signed();
        for pair in self.pairs() {
            let kept = match sensitivity(&pair, signed_by_azure) {
                Sensitivity::Fleeting => continue,
                Sensitivity::Plain => pair.raw.to_owned(),
                Sensitivity::Secret => {
                    format!("{}~{:016x}", pair.shown_name(), fnv1a(pair.raw.as_bytes()))
                }
            };
            text.push(separator);
            text.push_str(&kept);
            separator = '&';
        }
        text
    }

    /// Scheme, host, port and path.
    fn base(&self) -> String {
        let url = &self.0;
        let mut text = String::with_capacity(url.as_str().len());
        text.push_str(&url[..Position::AfterScheme]);
        text.push(':');
        if url.has_host() {
            text.push_str("//");
            text.push_str(&url[Position::BeforeHost..Position::AfterPort]);
        }
        text.push_str(&url[Position::BeforePath..Position::AfterPath]);
        text
    }

    /// What is shown, however long it is: for whoever has to find the object again by it, rather than to read it.
    pub fn redacted(&self) -> String {
        let mut text = self.base();
        let mut separator = '?';
        for pair in self.pairs() {
            text.push(separator);
            text.push_str(pair.shown_name());
            match pair.value {
                Some("") => text.push('='),
                Some(_) if is_secret(&pair) => text.extend(["=", HIDDEN]),
                Some(value) => text.extend(["=", value]),
                None => {}
            }
            separator = '&';
        }
        text
    }

    fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let query = self.0.query().unwrap_or_default();
        query
            .split('&')
            .filter(|raw| !raw.is_empty())
            .map(Pair::new)
    }

    /// Azure's parameter names are two letters long: they mean what they mean there only beside a signature.
    fn is_azure_signed(&self) -> bool {
        let has = |name: &str| self.pairs().any(|pair| pair.name == name);
        has("sig") && has("sv")
    }
}

impl From<&Url> for SafeUrl {
    fn from(url: &Url) -> Self {
        Self(Arc::new(url.clone()))
    }
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(Arc::new(url))
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.redacted();
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Characters of a URL that are shown: a server can send one of 64 KiB, and it would be in every message.
const MAX_SHOWN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str, identity: &str) {
        let url = SafeUrl::from(Url::parse(url).unwrap());
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("\"{shown}\""));
        assert_eq!(url.identity(), identity);
    }

    #[test]
    fn what_is_no_secret_stays() {
        check(
            "http://a:81/x/y?v=2&name=big.iso&flag",
            "http://a:81/x/y?v=2&name=big.iso&flag",
            "http://a:81/x/y?v=2&name=big.iso&flag",
        );
        check("https://[::1]/?", "https://[::1]/", "https://[::1]/");
        check(
            "http://a/?se=1&sp=2",
            "http://a/?se=1&sp=2",
            "http://a/?se=1&sp=2",
        );
    }

    #[test]
    fn userinfo_and_fragment_go() {
        check("https://u:p@a/x#t", "https://a/x", "https://a/x");
    }

    #[test]
    fn presigned_urls() {
        check(
            "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F2&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=abc&X-Amz-Security-Token=t&versionId=3",
            "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=***&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=***&X-Amz-Security-Token=***&versionId=3",
            "https://b.s3.amazonaws.com/k?versionId=3",
        );
        check(
            "https://x.blob.core.windows.net/c/b?sv=2024&sr=b&sig=abc%3D&se=2025&sp=r&snapshot=7",
            "https://x.blob.core.windows.net/c/b?sv=2024&sr=b&sig=***&se=2025&sp=r&snapshot=7",
            "https://x.blob.core.windows.net/c/b?snapshot=7",
        );
        check(
            "http://o/k?OSSAccessKeyId=id&Expires=1&Signature=s",
            "http://o/k?OSSAccessKeyId=***&Expires=1&Signature=***",
            "http://o/k",
        );
        check(
            "http://c/k?Policy=p&Key-Pair-Id=K&Signature=s",
            "http://c/k?Policy=***&Key-Pair-Id=***&Signature=***",
            "http://c/k",
        );
    }

    #[test]
    fn names_are_compared_decoded_and_without_case() {
        check(
            "http://a/?X%2Damz-SIGNATURE=abc",
            "http://a/?X%2Damz-SIGNATURE=***",
            "http://a/",
        );
    }

    #[test]
    fn what_may_be_a_secret_is_hidden_and_hashed() {
        check(
            "http://a/?key=k1",
            "http://a/?key=***",
            "http://a/?key~a21e35351a858b6b",
        );
        let long = "0123456789012345678901234";
        let url = SafeUrl::from(Url::parse(&format!("http://a/?id={long}&{long}")).unwrap());
        assert_eq!(url.to_string(), "http://a/?id=***&***");
        assert!(!url.identity().contains(long));
    }

    #[test]
    fn endless_urls_are_cut() {
        let url =
            SafeUrl::from(Url::parse(&format!("http://a/{}", "\u{e9}/".repeat(9000))).unwrap());
        assert_eq!(url.to_string().chars().count(), MAX_SHOWN + 1);
        assert!(url.identity().len() > 9000);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    proptest::proptest! {
        #[test]
        fn no_long_value_is_ever_shown(name in "[a-z]{1,8}", value in "[A-Za-z0-9_.-]{25,60}") {
            let url = SafeUrl::from(Url::parse(&format!("http://a/?{name}={value}")).unwrap());
            proptest::prop_assert!(!url.to_string().contains(&value));
            proptest::prop_assert!(!url.identity().contains(&value));
        }
    }
}
