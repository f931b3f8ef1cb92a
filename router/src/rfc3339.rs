//! Points in time as text (RFC 3339): written in UTC with milliseconds, read with any offset and precision.

const MS_PER_DAY: u64 = 24 * 3_600 * 1_000;
const NS_PER_S: i128 = 1_000_000_000;

/// `2026-01-02T03:04:05.678Z`. `unix_ms`: milliseconds since 1970-01-01T00:00:00Z.
pub fn format(unix_ms: u64) -> String {
    let (year, month, day) = date(unix_ms / MS_PER_DAY);
    let ms = unix_ms % MS_PER_DAY;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Nanoseconds since 1970-01-01T00:00:00Z; digits behind the ninth of a fraction do not count. `None`: not RFC 3339.
pub fn parse(text: &str) -> Option<i128> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4, 0..=9_999)?;
    literal(&mut rest, b"-")?;
    let month = number(&mut rest, 2, 1..=12)?;
    literal(&mut rest, b"-")?;
    let day = number(&mut rest, 2, 1..=days_of_month(year, month))?;
    literal(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2, 0..=23)?;
    literal(&mut rest, b":")?;
    let minute = number(&mut rest, 2, 0..=59)?;
    literal(&mut rest, b":")?;
    let second = number(&mut rest, 2, 0..=60)?; // 60: a leap second
    let fraction_ns = fraction(&mut rest)?;
    let offset_s = offset(&mut rest)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    rest.is_empty().then(|| i128::from(seconds) * NS_PER_S + i128::from(fraction_ns))
}

/// `.678`, or nothing.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    if literal(rest, b".").is_none() {
        return Some(0);
    }
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (fraction, behind) = rest.split_at(digits);
    *rest = behind;
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    (digits > 0).then(|| padded.fold(0, |sum, octet| sum * 10 + i64::from(octet - b'0')))
}

/// `Z`, `+01:00`: seconds ahead of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    if literal(rest, b"Zz").is_some() {
        return Some(0);
    }
    let sign = if literal(rest, b"+-")? == b'+' { 1 } else { -1 };
    let hours = number(rest, 2, 0..=23)?;
    literal(rest, b":")?;
    let minutes = number(rest, 2, 0..=59)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// One of the given octets.
fn literal(rest: &mut &[u8], expected: &[u8]) -> Option<u8> {
    let (&first, behind) = rest.split_first()?;
    *rest = if expected.contains(&first) { behind } else { return None };
    Some(first)
}

/// So many digits.
fn number(rest: &mut &[u8], digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let (text, behind) = rest.split_at_checked(digits)?;
    *rest = behind;
    let is_number = text.iter().all(u8::is_ascii_digit);
    let number = text.iter().fold(0, |sum, octet| sum * 10 + i64::from(octet.wrapping_sub(b'0')));
    Some(number).filter(|number| is_number && range.contains(number))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that leap days are last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`], from 1970 on.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_in_time() {
        let check = |text: &str, unix_ms: u64| {
            assert_eq!(format(unix_ms), text);
            assert_eq!(parse(text), Some(i128::from(unix_ms) * 1_000_000));
        };
        check("1970-01-01T00:00:00.000Z", 0);
        check("2000-02-29T23:59:59.999Z", 951_868_799_999);
        check("2026-01-02T03:04:05.678Z", 1_767_323_045_678);
        check("2100-03-01T00:00:00.000Z", 4_107_542_400_000);
    }

    #[test]
    fn every_day_has_its_own_date() {
        for day in 0..200_000 {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days(year as i64, month as i64, day_of_month as i64), day as i64);
        }
    }

    #[test]
    fn offsets_and_fractions() {
        let same = |left, right| assert_eq!(parse(left).expect(left), parse(right).expect(right));
        same("2026-01-01T01:30:00+01:30", "2026-01-01T00:00:00Z");
        same("2025-12-31t23:00:00.5-01:00", "2026-01-01 00:00:00.500000000z");
        assert_eq!(parse("1970-01-01T00:00:00.0000000019Z"), Some(1));
        assert_eq!(parse("1969-12-31T23:59:59Z"), Some(-1_000_000_000));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+1:00",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0\u{e9}Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
