//! Reads the values of options: durations, numbers of deployments, tolerances, `KEY=VALUE` pairs, tolerations.

use super::Failure;
use crate::run::Jobs;
use flowproof_core::{scenario::Labels, tools::compare::Tolerance};
use serde_json::{Value, json};
use std::time::Duration;

/// Reads `250ms`, `15s`, `2m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("'{text}' is not a duration; write 250ms, 15s, 2m or 1h30m"))?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Reads a number of deployments, or `auto`.
pub fn jobs(text: &str) -> Result<Jobs, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(Jobs::Auto),
        (_, Ok(jobs)) if jobs > 0 => Ok(Jobs::Fixed(jobs)),
        _ => Err(format!("'{text}' is not a number of deployments; write auto, or a number from 1")),
    }
}

/// Reads `slower=2x`.
pub fn tolerance(text: &str) -> Result<Tolerance, String> {
    let factor =
        text.strip_prefix("slower=").and_then(|factor| factor.trim_end_matches('x').parse::<f64>().ok());
    match factor {
        Some(factor) if factor.is_finite() && factor >= 1.0 => Ok(Tolerance { slower: Some(factor) }),
        _ => Err(format!("'{text}' is not a tolerance; write slower=2x, with a factor of 1 or more")),
    }
}

/// Reads the `KEY=VALUE` pairs of an option.
pub fn pairs(option: &str, pairs: &[String]) -> Result<Labels, Failure> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{option} {text}: write it as KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    pairs.iter().map(pair).collect()
}

/// Reads `KEY[=VALUE][:EFFECT]`, or `*` for every taint.
pub fn toleration(text: &str) -> Result<Value, Failure> {
    if text == "*" {
        return Ok(json!({"operator": "Exists"}));
    }
    let (taint, effect) = text.split_once(':').map_or((text, None), |(taint, effect)| (taint, Some(effect)));
    if let Some(effect) = effect
        && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
    {
        let message = format!(
            "--toleration {text}: '{effect}' is not an effect; there are NoSchedule, PreferNoSchedule, NoExecute"
        );
        return Err(Failure::usage(message));
    }
    let mut toleration = match taint.split_once('=') {
        Some((key, value)) => json!({"key": key, "operator": "Equal", "value": value}),
        None => json!({"key": taint, "operator": "Exists"}),
    };
    if let Some(effect) = effect {
        toleration["effect"] = effect.into();
    }
    Ok(toleration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert!(duration("15").is_err());
        assert!(duration("-3s").is_err());
    }

    #[test]
    fn jobs_are_a_number_or_auto() {
        assert_eq!((jobs("auto"), jobs("3")), (Ok(Jobs::Auto), Ok(Jobs::Fixed(3))));
        for wrong in ["0", "-1", "many", ""] {
            assert!(jobs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tolerance_is_a_factor() {
        assert_eq!(tolerance("slower=2x"), Ok(Tolerance { slower: Some(2.0) }));
        assert_eq!(tolerance("slower=1.5"), Ok(Tolerance { slower: Some(1.5) }));
        for wrong in ["slower", "slower=0.5x", "slower=NaN", "slower=inf", "faster=2x", "2x"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }
}
