//! Times as RFC 3339 writes them, and the shorter forms that servers and back ends write instead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads RFC 3339 text, or seconds since 1970 in decimal. `None`: it is neither, or no clock has such a time.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
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

/// Seconds since 1970. `None`: no clock has such a time.
pub(crate) fn from_unix(seconds: i64) -> Option<SystemTime> {
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
            let _ = parse(&text);
        }
    }
}
