//! Labels and label selectors (`ValidateLabels` and `ValidateLabelSelector` of `k8s.io/apimachinery/pkg/apis/meta/v1/validation`).

use super::{Violation, field::Field};
use crate::scenario::name::{is_label_key, is_label_value};

const FIELDS: &[&str] = &["matchLabels", "matchExpressions"];
const EXPRESSION: &[&str] = &["key", "operator", "values"];
const OPERATORS: &[&str] = &["In", "NotIn", "Exists", "DoesNotExist"];

/// Checks a label selector of one of the API server's own objects.
pub(super) fn selector(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(selector) = field.object(FIELDS, found) else { return };
    labels(&selector.get("matchLabels"), found);
    for item in selector.get("matchExpressions").items(found) {
        let Some(expression) = item.object(EXPRESSION, found) else { continue };
        let name = expression.get("key");
        if let Some(text) = name.text_or_empty(found) {
            key(text, &name, found);
        }
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

/// Checks a label selector of a custom resource: only its types, because the API server does not look into it.
pub(super) fn typed_selector(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(selector) = field.object(FIELDS, found) else { return };
    if let Some(labels) = selector.get("matchLabels").mapping(found) {
        for (_, value) in labels.all() {
            value.text(found);
        }
    }
    for item in selector.get("matchExpressions").items(found) {
        if !item.is_there("a mapping", found) {
            continue;
        }
        let Some(expression) = item.object(EXPRESSION, found) else { continue };
        for field in ["key", "operator"] {
            let field = expression.get(field);
            if field.is_null() {
                field.wrong("required", found);
            }
            field.text(found);
        }
        for value in expression.get("values").items(found) {
            if value.is_there("text", found) {
                value.text(found);
            }
        }
    }
}

/// Checks a mapping of labels; null is the empty value.
pub(super) fn labels(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(labels) = field.mapping(found) else { return };
    for (name, value) in labels.all() {
        key(name, &value, found);
        label(&value, found);
    }
}

fn key(key: &str, at: &Field<'_>, found: &mut Vec<Violation>) {
    if !is_label_key(key) {
        at.wrong(format!("'{key}' is not a valid label key"), found);
    }
}

fn label(value: &Field<'_>, found: &mut Vec<Violation>) {
    if let Some(text) = value.text_or_empty(found).filter(|text| !is_label_value(text)) {
        value.wrong(format!("'{text}' is not a valid label value"), found);
    }
}
