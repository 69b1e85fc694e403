//! The metadata of an object (`ValidateObjectMeta` of `k8s.io/apimachinery/pkg/api/validation`).

use super::{Violation, field::Field, label};
use crate::scenario::name::{is_label, is_label_key, is_subdomain};

/// The fields of `ObjectMeta`. Those that the API server fills in itself are accepted as they are.
const FIELDS: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// Most bytes of all annotations together, keys and values.
const ANNOTATIONS: usize = 256 * 1024;

/// Checks `metadata`.
pub(super) fn check(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(metadata) = field.object(FIELDS, found) else { return };
    let (name, generated) = (metadata.get("name"), metadata.get("generateName"));
    let has_name = name.text_or_empty(found).is_none_or(|text| !text.is_empty());
    let has_prefix = generated.text_or_empty(found).is_none_or(|text| !text.is_empty());
    if !has_name && !has_prefix {
        name.wrong("required", found);
    }
    if let Some(text) = name.value.as_str().filter(|text| !text.is_empty() && !is_subdomain(text)) {
        name.wrong(format!("'{text}' is not a valid name: {SUBDOMAIN}"), found);
    }
    if let Some(text) = generated.value.as_str().filter(|text| !text.is_empty()) {
        // A dash at the end is fine, because the API server appends to it.
        let start = text.strip_suffix('-').unwrap_or(text);
        if !is_subdomain(&format!("{start}a")) {
            generated.wrong(format!("'{text}' is not a valid start of a name: {SUBDOMAIN}"), found);
        }
    }
    let namespace = metadata.get("namespace");
    if let Some(text) = namespace.text_or_empty(found).filter(|text| !text.is_empty() && !is_label(text)) {
        namespace.wrong(
            format!(
                "'{text}' is not a valid name: lower-case letters, digits and '-', at most 63 (RFC 1123)"
            ),
            found,
        );
    }
    label::labels(&metadata.get("labels"), found);
    annotations(&metadata.get("annotations"), found);
    for item in metadata.get("finalizers").items(found) {
        if item.text_or_empty(found).is_some_and(|text| !is_label_key(text)) {
            item.wrong("is not a valid name of a finalizer", found);
        }
    }
    for item in metadata.get("ownerReferences").items(found) {
        let known = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
        let Some(owner) = item.object(&known, found) else { continue };
        for field in ["apiVersion", "kind", "name", "uid"] {
            let field = owner.get(field);
            if field.text_or_empty(found) == Some("") {
                field.wrong("must not be empty", found);
            }
        }
    }
}

const SUBDOMAIN: &str = "lower-case letters, digits, '-' and '.', at most 253 (RFC 1123)";

fn annotations(field: &Field<'_>, found: &mut Vec<Violation>) {
    let Some(annotations) = field.mapping(found) else { return };
    let mut size = 0;
    for (key, value) in annotations.all() {
        // A key has the form of a label's key, whatever the case of its prefix.
        if !is_label_key(&key.to_lowercase()) {
            value.wrong(format!("'{key}' is not a valid key of an annotation"), found);
        }
        size += key.len() + value.text_or_empty(found).map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        field.wrong("has more than 256 KiB", found);
    }
}
