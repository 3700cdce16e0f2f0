//! How byte counts, rates and times are written for people.

use std::fmt;
use std::time::Duration;

/// Bytes with three or four digits and a unit: `512 B`, `1.5 KiB`, `256.0 MiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    fn unit(self) -> &'static Unit {
        // A value that would be rounded up to 1024.0 of a unit is shown as 1.0 of the next.
        let fits = |unit: &&Unit| self.0 < (1024 << unit.shift) - (1 << unit.shift) / 20;
        UNITS.iter().find(fits).unwrap_or(&UNITS[UNITS.len() - 1])
    }

    fn number(self, unit: &Unit) -> String {
        if unit.shift == 0 {
            return self.0.to_string();
        }
        let one = 1u128 << unit.shift;
        let tenths = (u128::from(self.0) * 10 + one / 2) / one;
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit();
        write!(f, "{} {}", self.number(unit), unit.name)
    }
}

/// Bytes of a whole, with the unit once when it is the same: `12.0/64.0 MiB`, `900.0 KiB/64.0 MiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) bytes: u64,
    pub(crate) of: u64,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, whole) = (Bytes(self.bytes), Bytes(self.of));
        let unit = whole.unit();
        if bytes.unit().shift == unit.shift {
            write!(f, "{}/{whole}", bytes.number(unit))
        } else {
            write!(f, "{bytes}/{whole}")
        }
    }
}

/// A time that is still to come, in whole seconds: `12s left`, `1m 05s left`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left(pub(crate) Duration);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds < 60 => write!(f, "{seconds}s left"),
            _ => write!(f, "{} left", Time(self.0)),
        }
    }
}

/// A time with as much detail as matters: `85 ms`, `3.2 s`, `1m 05s`, `2h 03m`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis < 1_000 {
            return write!(f, "{millis} ms");
        }
        let tenths = (millis + 50) / 100;
        if tenths < 600 {
            return write!(f, "{}.{} s", tenths / 10, tenths % 10);
        }
        let seconds = (millis + 500) / 1_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours == 0 {
            write!(f, "{minutes}m {:02}s", seconds % 60)
        } else {
            write!(f, "{hours}h {minutes:02}m")
        }
    }
}

/// Bytes a second over a time; those of an instant are shown as their count a second.
pub(crate) fn mean_rate(bytes: u64, time: Duration) -> Bytes {
    let micros = time.as_micros().max(1);
    Bytes(u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX))
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

struct Unit {
    shift: u32,
    name: &'static str,
}

const UNITS: [Unit; 6] = [
    Unit {
        shift: 0,
        name: "B",
    },
    Unit {
        shift: 10,
        name: "KiB",
    },
    Unit {
        shift: 20,
        name: "MiB",
    },
    Unit {
        shift: 30,
        name: "GiB",
    },
    Unit {
        shift: 40,
        name: "TiB",
    },
    Unit {
        shift: 50,
        name: "PiB",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let check = |bytes: u64, expected: &str| assert_eq!(Bytes(bytes).to_string(), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1536, "1.5 KiB");
        check((1 << 20) - 1, "1.0 MiB");
        check(1 << 20, "1.0 MiB");
        check(256 << 20, "256.0 MiB");
        check((1 << 30) - (60 << 10), "1023.9 MiB");
        check(5 << 40, "5.0 TiB");
        check(u64::MAX, "16384.0 PiB");
    }

    #[test]
    fn parts_and_times_left() {
        assert_eq!(
            Part {
                bytes: 12 << 20,
                of: 64 << 20
            }
            .to_string(),
            "12.0/64.0 MiB"
        );
        assert_eq!(
            Part {
                bytes: 900 << 10,
                of: 64 << 20
            }
            .to_string(),
            "900.0 KiB/64.0 MiB"
        );
        assert_eq!(Part { bytes: 0, of: 10 }.to_string(), "0/10 B");
        assert_eq!(Left(Duration::from_millis(12_900)).to_string(), "12s left");
        assert_eq!(Left(Duration::from_secs(65)).to_string(), "1m 05s left");
    }

    #[test]
    fn times() {
        let check = |millis: u64, expected: &str| {
            assert_eq!(Time(Duration::from_millis(millis)).to_string(), expected);
        };
        check(0, "0 ms");
        check(999, "999 ms");
        check(1_000, "1.0 s");
        check(3_249, "3.2 s");
        check(59_940, "59.9 s");
        check(59_999, "1m 00s");
        check(65_000, "1m 05s");
        check(3_599_600, "1h 00m");
        check(7_380_000, "2h 03m");
    }

    #[test]
    fn rates_and_counts() {
        assert_eq!(
            mean_rate(10 << 20, Duration::from_secs(2)).to_string(),
            "5.0 MiB"
        );
        assert_eq!(
            mean_rate(u64::MAX, Duration::ZERO).to_string(),
            "16384.0 PiB"
        );
        assert_eq!(count(1, "retry", "retries"), "1 retry");
        assert_eq!(count(0, "retry", "retries"), "0 retries");
    }
}
