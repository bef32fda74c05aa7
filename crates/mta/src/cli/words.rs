//! Times, sizes and counts as people read them.

/// A time in its largest unit, or its two largest: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let with = |large: String, small: u64, unit: &str| {
        if small == 0 {
            large
        } else {
            format!("{large} {small} {unit}")
        }
    };
    if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min")
    } else if days == 0 {
        with(format!("{hours} h"), minutes % 60, "min")
    } else {
        with(format!("{days} d"), hours % 24, "h")
    }
}

/// Octets: `512 B`, `4.1 KiB`, `20.0 MiB`.
pub(crate) fn size(octets: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if octets < 1024 {
        return format!("{octets} B");
    }
    let mut unit = 0;
    let mut whole = octets;
    while whole >= 1024 * 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        whole / 1024,
        whole % 1024 * 10 / 1024,
        UNITS[unit]
    )
}

/// A number and its noun: `1 message`, `2 messages`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// A number that may be long: `10,001`.
pub(crate) fn grouped(number: u64) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", grouped(number / 1000), number % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short_and_do_not_lie() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (86_400, "1 d"),
            (5 * 86_400 + 3 * 3_600, "5 d 3 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (octets, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (4_198, "4.0 KiB"),
            (1_048_576, "1.0 MiB"),
            (26_214_400, "25.0 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(octets), text);
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (10_000_001, "10,000,001"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            count(1, "message") + &count(0, "recipient"),
            "1 message0 recipients"
        );
    }
}
