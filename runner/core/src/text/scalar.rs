//! How a cluster reads a scalar without quotes.
//!
//! kubectl, Helm and the API server read YAML 1.1 and pass it on as JSON: `yes` and `n` are booleans, `0120` is octal, `80.0` is
//! the number 80. The rules are those of `resolve` in go.yaml.in/yaml/v2 and of `YAMLToJSON` in sigs.k8s.io/yaml.

use super::tree::Content;
use serde_json::Number;

/// A number that JSON cannot hold: kubectl refuses the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotFinite;

/// Reads a scalar that has neither quotes nor a tag.
pub(crate) fn read(written: &str) -> Result<Content, NotFinite> {
    match written {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Content::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Ok(Content::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Ok(Content::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => return Err(NotFinite),
        _ => {}
    }
    let number = match written.as_bytes()[0] {
        // A number that begins with a point may not have underscores.
        b'.' => decimal(written),
        b'+' | b'-' | b'0'..=b'9' => {
            let plain = written.replace('_', "");
            integer(&plain).or_else(|| decimal(&plain))
        }
        _ => None,
    };
    Ok(number.map_or_else(|| Content::Text(written.to_owned()), Content::Number))
}

/// The integer that a cluster passes on in JSON for a number such as `80.0`. `None` for an integer, a fraction, or a number that
/// is too large.
pub(crate) fn whole(number: &Number) -> Option<Number> {
    // From here on Go writes an exponent, which no integer field accepts.
    const LARGEST: f64 = 1e21;
    let value = number.as_f64().filter(|_| number.is_f64())?;
    if value.fract() != 0.0 || value.abs() >= LARGEST {
        return None;
    }
    format!("{value:.0}").parse::<i64>().ok().map(Number::from)
}

/// The text of a number that is a key (`strconv.FormatFloat` with 'g').
pub(crate) fn key_text(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(value) if value.fract() == 0.0 && value.abs() < 1e21 => format!("{value:.0}"),
        // A key has only the digits that 32 bits can distinguish.
        #[expect(clippy::cast_possible_truncation, reason = "so does Go")]
        Some(value) => (value as f32).to_string(),
        None => number.to_string(),
    }
}

/// An integer in base 10, or with a prefix in base 2, 8 or 16; a leading zero means base 8 (`strconv.ParseInt` with base 0).
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = base(digits);
    if digits.is_empty() || !digits.bytes().all(|digit| char::from(digit).is_digit(base)) {
        return None;
    }
    let value = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(value).map(Number::from);
    }
    // Without a sign it may use all 64 bits.
    let fits = i64::try_from(value).is_ok() || !text.starts_with('+');
    fits.then(|| value.into())
}

/// The base that digits are written in, and the digits without its prefix.
fn base(digits: &str) -> (u32, &str) {
    let prefixed = |prefix: [&str; 2]| prefix.into_iter().find_map(|prefix| digits.strip_prefix(prefix));
    if let Some(rest) = prefixed(["0x", "0X"]) {
        (16, rest)
    } else if let Some(rest) = prefixed(["0b", "0B"]) {
        (2, rest)
    } else if let Some(rest) = prefixed(["0o", "0O"]) {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    }
}

/// A number with a point or an exponent, or one that is not valid in base 8 (`080`).
fn decimal(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = digits(before) && digits(after) && !(before.is_empty() && after.is_empty());
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    if !is_number || !exponent_is_good {
        return None;
    }
    // A number that is too large stays text.
    let number = Number::from_f64(text.parse().ok()?)?;
    Some(whole(&number).unwrap_or(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON that a scalar becomes.
    fn json(written: &str) -> String {
        match read(written) {
            Ok(Content::Null) => "null".to_owned(),
            Ok(Content::Bool(value)) => value.to_string(),
            Ok(Content::Number(number)) => number.to_string(),
            Ok(Content::Text(text)) => format!("{text:?}"),
            Ok(_) => "a collection".to_owned(),
            Err(NotFinite) => "refused".to_owned(),
        }
    }

    #[test]
    fn scalars_are_read_as_yaml_1_1() {
        for (written, read) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nUll", "\"nUll\""),
            ("y", "true"),
            ("YES", "true"),
            ("yEs", "\"yEs\""),
            ("off", "false"),
            ("N", "false"),
            ("None", "\"None\""),
            ("80", "80"),
            ("+80", "80"),
            ("-80", "-80"),
            ("080", "80"),
            ("0120", "80"),
            ("0o120", "80"),
            ("0x50", "80"),
            ("0b1010000", "80"),
            ("8_0", "80"),
            ("1_000", "1000"),
            ("80.0", "80"),
            ("80.", "80"),
            (".8e2", "80"),
            (".5_0", "\".5_0\""),
            ("1e2", "100"),
            ("1E+2", "100"),
            ("1.20", "1.2"),
            ("-0.0", "0"),
            ("1e400", "\"1e400\""),
            ("1e21", "1e+21"),
            ("0", "0"),
            ("00000", "0"),
            ("00", "0"),
            ("-", "\"-\""),
            ("+", "\"+\""),
            (".", "\".\""),
            (".e1", "\".e1\""),
            ("1e", "\"1e\""),
            ("0x", "\"0x\""),
            ("0b2", "\"0b2\""),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("2024-01-01", "\"2024-01-01\""),
            ("12:30", "\"12:30\""),
            ("1.2.3", "\"1.2.3\""),
            (".inf", "refused"),
            ("-.Inf", "refused"),
            ("inf", "\"inf\""),
        ] {
            assert_eq!(json(written), read, "{written}");
        }
    }

    #[test]
    fn numbers_as_keys_are_text() {
        for (written, text) in [("1", "1"), ("1.5", "1.5"), ("1.20", "1.2"), ("0120", "80"), ("1.0", "1")] {
            let Ok(Content::Number(number)) = read(written) else { panic!("{written} is a number") };
            assert_eq!(key_text(&number), text);
        }
    }
}
