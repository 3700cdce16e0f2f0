//! Times as signers write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `20260131T120000Z`. Times that no signer can mean, before 1970 or after 9999, become the nearest that one can.
pub(crate) fn basic(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = seconds.min(LAST);
    let (days, of_day) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// What `httpdate` can write without a panic: no year after 9999.
#[cfg(any(feature = "azure", feature = "oss", feature = "s3"))]
pub(crate) fn within_reason(at: SystemTime) -> SystemTime {
    at.clamp(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(LAST))
}

/// The day of the Gregorian calendar, so many days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted in years that begin in March, from 1 March 0000.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month < 10 {
        true => (year, month + 3),
        false => (year + 1, month - 9),
    };
    (era * 400 + year, month, day)
}

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times() {
        let check = |seconds: u64, expected: &str| assert_eq!(basic(at(seconds)), expected);
        check(0, "19700101T000000Z");
        check(1_769_862_896, "20260131T123456Z");
        check(1_709_164_800, "20240229T000000Z");
        check(4_107_542_399, "21000228T235959Z");
        check(4_107_542_400, "21000301T000000Z");
        check(LAST, "99991231T235959Z");
        check(LAST + 1, "99991231T235959Z");
        assert_eq!(
            basic(UNIX_EPOCH - Duration::from_secs(9)),
            "19700101T000000Z"
        );
    }

    proptest! {
        /// The same second as an independent writer says.
        #[test]
        fn agrees_with_http_dates(seconds in 0..=LAST) {
            let http = httpdate::fmt_http_date(at(seconds));
            let ours = basic(at(seconds));
            prop_assert_eq!(&ours[9..15], http[17..25].replace(':', ""));
            prop_assert_eq!(&ours[6..8], &http[5..7]);
            prop_assert_eq!(&ours[..4], &http[12..16]);
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(&http[8..11]).unwrap() / 3 + 1;
            prop_assert_eq!(&ours[4..6], format!("{month:02}"));
        }
    }
}
