//! Times as an operator writes them: `2h` ago, `today`, a date, or a date and a time, in UTC.

use mail::Timestamp;

use operate::filter::parse_age;

/// A time, as lines of the log have it: these texts sort as the times do.
pub(super) type When = String;

/// What a time is when it says only a day or a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Its beginning.
    First,
    /// Its end.
    Last,
}

/// Reads a time; `None` where it is none.
pub(super) fn parse(text: &str, now: Timestamp, edge: Edge) -> Option<When> {
    const DAY_MS: u64 = 86_400_000;
    let before = |ms: u64| {
        let at = Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms));
        at.rfc3339().to_string()
    };
    match text {
        "now" => return Some(before(0)),
        "today" => return parse(&before(0)[..10], now, edge),
        "yesterday" => return parse(&before(DAY_MS)[..10], now, edge),
        _ => {}
    }
    if let Some(age) = parse_age(text) {
        return Some(before(u64::try_from(age.as_millis()).ok()?));
    }
    let text = text.trim_end_matches(['Z', 'z']).replace([' ', 't'], "T");
    // As much of it as is missing.
    let rest = match edge {
        Edge::First => "0000-01-01T00:00:00.000Z",
        Edge::Last => "9999-12-31T23:59:59.999Z",
    };
    if !matches!(text.len(), 10 | 16 | 19 | 23) || !fits(&text) {
        return None;
    }
    Some(format!("{text}{}", &rest[text.len()..]))
}

/// Whether a text is the beginning of a time.
fn fits(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddd";
    let is_formed = text.bytes().zip(FORM).all(|(b, form)| {
        if *form == b'd' {
            b.is_ascii_digit()
        } else {
            b == *form
        }
    });
    let number = |from: usize, len: usize| {
        let part = text.get(from..from + len);
        part.map_or(Some(None), |part| part.parse().ok().map(Some))
    };
    let within = |from: usize, lowest: u32, highest: u32| {
        let number: Option<Option<u32>> = number(from, 2);
        number.is_some_and(|n| n.is_none_or(|n| (lowest..=highest).contains(&n)))
    };
    is_formed
        && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_operators_write_them() {
        // 2026-11-23T23:50:00Z
        let now = Timestamp::from_unix_ms(1_795_477_800_000);
        for (text, first) in [
            ("now", "2026-11-23T23:50:00.000Z"),
            ("2h", "2026-11-23T21:50:00.000Z"),
            ("1d", "2026-11-22T23:50:00.000Z"),
            ("today", "2026-11-23T00:00:00.000Z"),
            ("yesterday", "2026-11-22T00:00:00.000Z"),
            ("2026-11-20", "2026-11-20T00:00:00.000Z"),
            ("2026-11-20T10:05", "2026-11-20T10:05:00.000Z"),
            ("2026-11-20 10:05:06", "2026-11-20T10:05:06.000Z"),
            ("2026-11-20T10:05:06.789Z", "2026-11-20T10:05:06.789Z"),
        ] {
            assert_eq!(
                parse(text, now, Edge::First).as_deref(),
                Some(first),
                "{text}"
            );
        }
        let last = parse("2026-11-20", now, Edge::Last);
        assert_eq!(last.as_deref(), Some("2026-11-20T23:59:59.999Z"));
        for text in [
            "",
            "2",
            "h",
            "2026",
            "2026-13-01",
            "2026-11-32",
            "11/20",
            "2026-11-20T25:00",
        ] {
            assert_eq!(parse(text, now, Edge::First), None, "{text}");
        }
    }
}
