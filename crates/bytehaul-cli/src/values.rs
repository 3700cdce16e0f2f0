//! How sizes, rates, durations and connection counts are written on the command line.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes: `512`, `512K`, `1.5M`, `2GiB`. Units are powers of 1024 and case does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let scale = size_unit(unit).ok_or_else(|| not_a("size", text, SIZES))?;
        let bytes = scaled(number, scale).ok_or_else(|| not_a("size", text, SIZES))?;
        u64::try_from(bytes)
            .map(Self)
            .map_err(|_| format!("'{text}' is more than {} bytes", u64::MAX))
    }
}

/// A number of bytes that is more than none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PositiveSize(pub(crate) u64);

impl FromStr for PositiveSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Size(0) => Err("must be more than 0".into()),
            Size(bytes) => Ok(Self(bytes)),
        }
    }
}

/// Bytes a second, written as a [`Size`] with or without `/s`; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Size(bytes) = text
            .strip_suffix("/s")
            .unwrap_or(text)
            .parse()
            .map_err(|_| not_a("rate", text, "bytes a second such as 500K or 2M"))?;
        Ok(Self(bytes))
    }
}

/// A length of time: `100ms`, `5s`, `2m`, `1h`; a bare number is seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let scale = time_unit(unit).ok_or_else(|| not_a("duration", text, DURATIONS))?;
        let micros = scaled(number, scale).ok_or_else(|| not_a("duration", text, DURATIONS))?;
        match u64::try_from(micros) {
            Ok(micros) if micros <= LONGEST_MICROS => Ok(Self(Duration::from_micros(micros))),
            Ok(_) | Err(_) => Err(format!("'{text}' is more than ten years")),
        }
    }
}

/// A length of time that is more than none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PositiveSpan(pub(crate) Duration);

impl FromStr for PositiveSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Span(Duration::ZERO) => Err("must be more than 0".into()),
            Span(time) => Ok(Self(time)),
        }
    }
}

/// A name and a value: `K=V`. The value may hold a `=`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Pair(pub(crate) String, pub(crate) String);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self(name.to_owned(), value.to_owned())),
            Some(_) | None => Err("write a name and a value as K=V".into()),
        }
    }
}

/// Connections to a server for one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Connections {
    /// The engine decides and adapts.
    Auto,
    /// This many at most.
    AtMost(NonZeroU32),
}

impl FromStr for Connections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::AtMost)
            .map_err(|_| "neither 'auto' nor a number from 1".into())
    }
}

/// The leading number of `text` and what follows it.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `number`, which may have a decimal fraction, times `scale`, rounded down. `None` when it is no number.
fn scaled(number: &str, scale: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > MOST_DECIMALS {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction_value: u64 = fraction.parse().ok()?;
    let tenths = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(
        u128::from(whole) * u128::from(scale)
            + u128::from(fraction_value) * u128::from(scale) / tenths,
    )
}

fn size_unit(unit: &str) -> Option<u64> {
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    Some(1 << shift)
}

/// Microseconds of a unit of time.
fn time_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "us" => 1,
        "ms" => 1_000,
        "" | "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    })
}

fn not_a(what: &str, text: &str, form: &str) -> String {
    format!("'{text}' is not a {what}, write {form}")
}

const SIZES: &str = "512K, 1M or 2GiB";
const DURATIONS: &str = "100ms, 5s or 2m";
const LONGEST_MICROS: u64 = 10 * 366 * 24 * 3_600 * 1_000_000;
const MOST_DECIMALS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<u64>| {
            assert_eq!(text.parse::<Size>().ok(), bytes.map(Size), "{text}");
        };
        check("0", Some(0));
        check("512", Some(512));
        check("512b", Some(512));
        check("512K", Some(512 << 10));
        check("1k", Some(1 << 10));
        check("1M", Some(1 << 20));
        check("10MB", Some(10 << 20));
        check("2GiB", Some(2 << 30));
        check("1.5M", Some(3 << 19));
        check("0.25k", Some(256));
        check("3T", Some(3 << 40));
        check("16777215.5T", Some((16_777_215 << 40) + (1 << 39)));
        check("16777216T", None);
        check("18446744073709551616", None);
        for wrong in [
            "", "K", "1X", "-1", "+1", "1 M", " 1M", "1.M", ".5M", "1.2.3", "1,5M", "0x10", "1e3",
            "1MiBs", "١",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_size_that_must_not_be_zero() {
        assert_eq!("1".parse(), Ok(PositiveSize(1)));
        assert!("0K".parse::<PositiveSize>().is_err());
        assert!("x".parse::<PositiveSize>().is_err());
    }

    #[test]
    fn rates() {
        assert_eq!("500K".parse(), Ok(Rate(500 << 10)));
        assert_eq!("2M/s".parse(), Ok(Rate(2 << 20)));
        assert_eq!("0".parse(), Ok(Rate(0)));
        for wrong in ["", "fast", "/s", "2M/m", "-1"] {
            assert!(
                wrong.parse::<Rate>().unwrap_err().contains("is not a rate"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn durations() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(
                text.parse::<Span>().ok(),
                millis.map(|ms| Span(Duration::from_millis(ms))),
                "{text}"
            );
        };
        check("100ms", Some(100));
        check("5s", Some(5_000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("30d", Some(2_592_000_000));
        check("0s", Some(0));
        check("7", Some(7_000));
        check("0.5", Some(500));
        check("1.25s", Some(1_250));
        for wrong in [
            "",
            "s",
            "5x",
            "-5s",
            "5 s",
            "99999999999999999999s",
            "9999999h",
        ] {
            check(wrong, None);
        }
        assert!("0s".parse::<PositiveSpan>().is_err());
        assert_eq!("1s".parse(), Ok(PositiveSpan(Duration::from_secs(1))));
    }

    #[test]
    fn pairs() {
        let pair = |k: &str, v: &str| Ok(Pair(k.into(), v.into()));
        assert_eq!("a=b=c".parse(), pair("a", "b=c"));
        assert_eq!("a=".parse(), pair("a", ""));
        for wrong in ["", "a", "=b"] {
            assert!(wrong.parse::<Pair>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn connections() {
        assert_eq!("auto".parse(), Ok(Connections::Auto));
        assert_eq!(
            "8".parse(),
            Ok(Connections::AtMost(NonZeroU32::new(8).unwrap()))
        );
        for wrong in ["0", "", "many", "-1", "1.5", "AUTO"] {
            assert!(wrong.parse::<Connections>().is_err(), "{wrong}");
        }
    }
}
