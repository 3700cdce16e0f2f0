//! Until when a signed URL is good: as a plan writes it, and as the URL itself says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use url::Url;

/// Reads RFC 3339 text, or seconds since 1970 in decimal. `None`: it is neither, or no clock has such a time.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return from_unix(seconds);
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (year, month, day) = triple(date, '-')?;
    if date.len() != 10 || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    // Azure leaves the seconds out.
    let clock = match clock.len() {
        5 => format!("{clock}:00"),
        _ => clock.to_owned(),
    };
    let (hour, minute, second) = triple(&clock, ':')?;
    let plain = fraction.bytes().all(|byte| byte.is_ascii_digit());
    // Second 60 is a leap second.
    if clock.len() != 8 || hour > 23 || minute > 59 || second > 60 || !plain {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    from_unix(seconds - offset * 60)
}

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

fn from_unix(seconds: i64) -> Option<SystemTime> {
    // A time before 1970 has expired as surely as 1970 itself.
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds.max(0)).ok()?))
}

fn triple(text: &str, separator: char) -> Option<(i64, i64, i64)> {
    let mut numbers = text.split(separator).map(number);
    let triple = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(triple)
}

fn two(text: &str) -> Option<i64> {
    (text.len() == 2).then(|| number(text)).flatten()
}

fn number(text: &str) -> Option<i64> {
    let short = !text.is_empty() && text.len() <= 4;
    (short && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970 to a day of the Gregorian calendar, with years counted from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
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

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(parse(text).map(seconds), expected, "{text}");
    }

    #[test]
    fn times_are_read_as_written() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-01-31T12:34:56Z", Some(1_769_862_896));
        check("2026-01-31T12:34:56.789+01:30", Some(1_769_857_496));
        check("2026-01-31 12:34:56-00:30", Some(1_769_864_696));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800));
        check("2026-01-31T12:34Z", Some(1_769_862_840));
        check("1769862896", Some(1_769_862_896));
        check("-5", Some(0));
        check("0000-01-01T00:00:00Z", Some(0));
        check("9999-12-31T23:59:60Z", Some(253_402_300_800));
        for bad in [
            "",
            "tomorrow",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:34:56",
            "2026-01-31",
            "2026-1-31T12:34:56Z",
            "2026-01-31T12:34:56+0130",
            "2026-01-31T12:34:56.x+01:30",
            "2026-01-31Tü2:34:56Z",
            "2026-01-31T12:34:56+99:00",
        ] {
            check(bad, None);
        }
    }

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
        /// Any day is the one after the day before it.
        #[test]
        fn days_follow_each_other(year in 0..9999_i64, month in 1..13_i64, day in 1..29_i64) {
            let next = match (day < days_in(year, month), month) {
                (true, _) => days(year, month, day + 1),
                (false, 12) => days(year + 1, 1, 1),
                (false, _) => days(year, month + 1, 1),
            };
            prop_assert_eq!(next, days(year, month, day) + 1);
        }

        /// No text makes it panic.
        #[test]
        fn any_text_is_read(text in "[0-9TZ:.+ -]{0,30}|.{0,30}") {
            let _ = (parse(&text), basic(&text));
        }
    }
}
