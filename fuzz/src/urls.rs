//! URLs with secrets in them, and the file names that are taken from them.

use bytehaul_transport::file_name::name_from_url;
use bytehaul_transport::{SafeUrl, Url};

use crate::headers::harmless;

/// What is shown and what is stored hold neither user, password nor signature; what is stored does not depend on them.
pub fn safe_url(data: &[u8]) {
    let Ok(mut url) = std::str::from_utf8(data)
        .map_err(drop)
        .and_then(|text| Url::parse(text).map_err(drop))
    else {
        return;
    };
    if url.as_str().contains(SECRET) {
        // The word stands where it is no secret: fuzzers learn it from the comparison below.
        return;
    }
    if let Some(name) = name_from_url(&url) {
        harmless(&name);
    }
    let plain = SafeUrl::from(&url).identity();
    let has_user = url.set_username(SECRET).is_ok() && url.set_password(Some(SECRET)).is_ok();
    url.set_fragment(Some(SECRET));
    if has_user {
        assert_eq!(SafeUrl::from(&url).identity(), plain);
    }
    url.query_pairs_mut()
        .append_pair("X-Amz-Signature", SECRET)
        .append_pair("token", SECRET);
    let safe = SafeUrl::from(&url);
    for shown in [safe.to_string(), format!("{safe:?}"), safe.identity()] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

const SECRET: &str = "fuzzedsecret";
