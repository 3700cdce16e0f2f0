//! Until when a signed URL is good: as a plan writes it, and as the URL itself says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use url::Url;

use crate::rfc3339::{from_unix, parse};

/// What a URL signed in a known way says of its own expiry: AWS and Google (V4), OSS (V4), the older forms of all three, and
/// Azure SAS.
pub(super) fn of_url(url: &Url) -> Option<SystemTime> {
    let find = |name: &str| {
        let mut pairs = url.query_pairs();
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    };
    for [date, life] in [
        ["x-amz-date", "x-amz-expires"],
        ["x-goog-date", "x-goog-expires"],
        ["x-oss-date", "x-oss-expires"],
    ] {
        if let (Some(date), Some(life)) = (find(date), find(life)) {
            return basic(&date)?.checked_add(Duration::from_secs(life.parse().ok()?));
        }
    }
    if find("sig").is_some() {
        return parse(&find("se")?);
    }
    find("signature")?;
    from_unix(find("expires")?.parse().ok()?)
}

/// `20260131T120000Z`.
fn basic(text: &str) -> Option<SystemTime> {
    let digits = |range: std::ops::Range<usize>| text.get(range);
    let extended = format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0..4)?,
        digits(4..6)?,
        digits(6..8)?,
        digits(9..11)?,
        digits(11..13)?,
        digits(13..15)?
    );
    parse(&extended)
}

/// A plan's `expires_at`: text or a number in, a number out.
pub(super) mod serde {
    use std::fmt;

    use ::serde::de::{Error, Visitor};
    use ::serde::{Deserializer, Serializer};

    use super::*;

    pub(in crate::presigned) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => {
                let life = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                serializer.serialize_u64(life.as_secs())
            }
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::presigned) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        deserializer.deserialize_any(Expiry)
    }

    struct Expiry;

    impl Visitor<'_> for Expiry {
        type Value = Option<SystemTime>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time as RFC 3339 text or seconds since 1970")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
            let at = from_unix(seconds);
            at.map(Some).ok_or_else(|| E::custom("no such time"))
        }

        fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
            self.visit_i64(i64::try_from(seconds).map_err(|_| E::custom("no such time"))?)
        }

        fn visit_f64<E: Error>(self, seconds: f64) -> Result<Self::Value, E> {
            let life = Duration::try_from_secs_f64(seconds.max(0.0));
            let at = life.ok().and_then(|life| UNIX_EPOCH.checked_add(life));
            at.map(Some).ok_or_else(|| E::custom("no such time"))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            let at = parse(text);
            at.map(Some)
                .ok_or_else(|| E::custom("a time that is neither RFC 3339 nor seconds since 1970"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_signed_url_says_when_it_expires() {
        let check = |query: &str, expected: Option<u64>| {
            let url = Url::parse(&format!("https://h/k?{query}")).unwrap();
            let at = expected.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(of_url(&url), at, "{query}");
        };
        let signed = "X-Amz-Date=20260131T123456Z&X-Amz-Expires=900&X-Amz-Signature=x";
        check(signed, Some(1_769_863_796));
        let signed = "x-oss-expires=4&x-oss-date=20260131T123456Z";
        check(signed, Some(1_769_862_900));
        let sas = "sv=2023-11-03&se=2026-01-31T12%3A34%3A56Z&sig=x";
        check(sas, Some(1_769_862_896));
        let old = "OSSAccessKeyId=a&Expires=1769862896&Signature=x";
        check(old, Some(1_769_862_896));
        check("Expires=1769862896", None);
        check("X-Amz-Date=now&X-Amz-Expires=900", None);
        let huge = format!("X-Amz-Date=20260131T123456Z&X-Amz-Expires={}", u64::MAX);
        check(&huge, None);
        check("", None);
    }

    proptest! {
        /// No text makes it panic.
        #[test]
        fn any_text_is_read(text in "[0-9TZ:.+ -]{0,30}|.{0,30}") {
            let _ = basic(&text);
        }
    }
}
