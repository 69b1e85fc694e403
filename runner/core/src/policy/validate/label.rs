//! Label selectors (`ValidateLabelSelector` in `k8s.io/apimachinery/pkg/apis/meta/v1/validation`).

use super::{Violation, field::Field};
use crate::name::{is_label_key, is_label_value};

const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

/// Checks a label selector.
pub(super) fn selector(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(selector) = field.object(&["matchLabels", "matchExpressions"], found) else { return };
    if let Some(labels) = selector.get("matchLabels").mapping(found) {
        for (name, value) in labels.all() {
            key(name, &value, found);
            label(&value, found);
        }
    }
    for item in selector.get("matchExpressions").items(found) {
        let Some(expression) = item.object(&["key", "operator", "values"], found) else { continue };
        let name = expression.get("key");
        key(name.text(found).unwrap_or_default(), &name, found);
        let values = expression.get("values");
        let given = values.items(found);
        match expression.get("operator").one_of(OPERATORS, found) {
            Some("In" | "NotIn") if given.is_empty() => {
                values.wrong("required with the operators In and NotIn", found);
            }
            Some("Exists" | "DoesNotExist") if !given.is_empty() => {
                values.wrong("may not be set with the operators Exists and DoesNotExist", found);
            }
            _ => {}
        }
        for value in given {
            label(&value, found);
        }
    }
}

fn key(key: &str, at: &Field<'_>, found: &mut Vec<Violation>) {
    if !is_label_key(key) {
        at.wrong(format!("'{key}' is no label key"), found);
    }
}

fn label(value: &Field<'_>, found: &mut Vec<Violation>) {
    match value.text(found) {
        Some(text) if !is_label_value(text) => value.wrong(format!("'{text}' is no label value"), found),
        None if value.is_null() => value.wrong("must be text", found),
        _ => {}
    }
}
