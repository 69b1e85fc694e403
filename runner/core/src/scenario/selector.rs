//! Label selectors: `matchLabels` and `matchExpressions`, as the Kubernetes API defines them.

use crate::scenario::Labels;
use serde_json::Value;
use std::fmt;

/// A label selector; all its requirements must hold (`LabelSelector` in `k8s.io/apimachinery/pkg/apis/meta/v1`).
///
/// ```
/// use flowproof_core::scenario::selector::Selector;
/// let selector = Selector::from_json(&serde_json::json!({ "matchLabels": { "role": "api" } })).unwrap();
/// assert!(selector.matches(&[("role".to_owned(), "api".to_owned())].into()));
/// assert!(!selector.matches(&Default::default()));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// Why JSON is not a label selector that the API server would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A part has the wrong type or is missing.
    #[error("'{field}' of a label selector must be {expected}")]
    Type {
        /// Which part.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// There is no such part.
    #[error("a label selector has no field '{0}': there are matchLabels and matchExpressions")]
    Field(String),
    /// There is no such operator.
    #[error("there is no operator '{0}': there are In, NotIn, Exists, DoesNotExist")]
    Operator(String),
    /// The values do not fit the operator.
    #[error("the operator {operator} {rule}")]
    Values {
        /// The operator.
        operator: String,
        /// `needs values` or `takes no values`.
        rule: &'static str,
    },
}

impl Selector {
    /// The selector of a map of labels, as a Service has it. An empty map selects everything, unlike a Service's.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        let requirements = labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In(vec![value.clone()]),
        });
        Self { requirements: requirements.collect() }
    }

    /// Reads a selector; `null` and `{}` match everything.
    pub fn from_json(json: &Value) -> Result<Self, SelectorError> {
        let mut selector = Self::default();
        if json.is_null() {
            return Ok(selector);
        }
        let fields =
            json.as_object().ok_or(SelectorError::Type { field: "the whole", expected: "a mapping" })?;
        for (field, value) in fields {
            match field.as_str() {
                _ if value.is_null() => {}
                "matchLabels" => selector.add_labels(value)?,
                "matchExpressions" => selector.add_expressions(value)?,
                _ => return Err(SelectorError::Field(field.clone())),
            }
        }
        Ok(selector)
    }

    /// Whether an object with these labels is selected. `NotIn` and `DoesNotExist` hold if the key is absent.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that it requires of a label, if a requirement allows only one.
    #[must_use]
    pub fn only_value_of(&self, key: &str) -> Option<&str> {
        self.on(key).find_map(|requirement| match &requirement.operator {
            Operator::In(values) if values.len() == 1 => Some(values[0].as_str()),
            _ => None,
        })
    }

    /// What these labels lack to be selected, each as a clause: `role=api, where it has role=web`.
    pub fn missing<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = String> + 'a {
        self.requirements.iter().filter(|requirement| !requirement.holds(labels)).map(|requirement| {
            match labels.get(&requirement.key) {
                Some(value) => format!("{requirement}, where it has {}={value}", requirement.key),
                None => format!("{requirement}, where it has no such label"),
            }
        })
    }

    /// Labels that it selects, made from these with as few changes as possible. `None` if that fails, as it does for a selector
    /// that contradicts itself.
    #[must_use]
    pub fn satisfied_from(&self, labels: &Labels) -> Option<Labels> {
        let mut labels = labels.clone();
        for requirement in &self.requirements {
            if requirement.holds(&labels) {
                continue;
            }
            let key = requirement.key.clone();
            match &requirement.operator {
                Operator::In(values) => {
                    let fits = |value: &&String| {
                        let trial = [(key.clone(), (*value).clone())].into();
                        self.on(&key).all(|other| other.holds(&trial))
                    };
                    labels.insert(key.clone(), values.iter().find(fits)?.clone());
                }
                Operator::Exists | Operator::NotIn(_) | Operator::DoesNotExist => {
                    if self.on(&key).any(|other| other.operator == Operator::Exists) {
                        labels.insert(key.clone(), self.unlisted_value(&key));
                    } else {
                        labels.remove(&key);
                    }
                }
            }
        }
        self.matches(&labels).then_some(labels)
    }

    /// What it requires of a key.
    fn on(&self, key: &str) -> impl Iterator<Item = &Requirement> {
        self.requirements.iter().filter(move |requirement| requirement.key == key)
    }

    /// A value that none of its lists for this key has.
    fn unlisted_value(&self, key: &str) -> String {
        let mut value = "flowproof".to_owned();
        let listed = |value: &String| {
            self.on(key).any(|requirement| {
                matches!(&requirement.operator, Operator::In(values) | Operator::NotIn(values) if values.contains(value))
            })
        };
        while listed(&value) {
            value.push('x');
        }
        value
    }

    /// Sets of labels that it just fails to select: for each requirement, one that differs from a selected set in that label.
    #[must_use]
    pub fn neighbours(&self) -> Vec<Labels> {
        let Some(good) = self.satisfied_from(&Labels::new()) else { return Vec::new() };
        let broken = self.requirements.iter().map(|requirement| {
            let mut labels = good.clone();
            let key = requirement.key.clone();
            match &requirement.operator {
                Operator::In(_) | Operator::DoesNotExist => labels.insert(key, "other".to_owned()),
                Operator::NotIn(values) => labels.insert(key, values.first()?.clone()),
                Operator::Exists => labels.remove(&key),
            };
            (!self.matches(&labels)).then_some(labels)
        });
        broken.flatten().collect()
    }

    fn add_labels(&mut self, labels: &Value) -> Result<(), SelectorError> {
        let wrong = SelectorError::Type { field: "matchLabels", expected: "a mapping from text to text" };
        for (key, value) in labels.as_object().ok_or_else(|| wrong.clone())? {
            let value = text(value).ok_or_else(|| wrong.clone())?;
            self.requirements.push(Requirement { key: key.clone(), operator: Operator::In(vec![value]) });
        }
        Ok(())
    }

    fn add_expressions(&mut self, expressions: &Value) -> Result<(), SelectorError> {
        let expressions = expressions
            .as_array()
            .ok_or(SelectorError::Type { field: "matchExpressions", expected: "a list" })?;
        for expression in expressions {
            let text = |field| {
                expression
                    .get(field)
                    .and_then(Value::as_str)
                    .ok_or(SelectorError::Type { field, expected: "text" })
            };
            let requirement = Requirement {
                key: text("key")?.to_owned(),
                operator: operator(text("operator")?, expression.get("values"))?,
            };
            self.requirements.push(requirement);
        }
        Ok(())
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Shows the selector as `kubectl -l` takes it: `role=api,tier in (1, 2),!legacy`; `everything` when it is empty.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("everything");
        }
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Operator::In(values) => write!(f, "{key} in ({})", values.join(", ")),
            Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0]),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(", ")),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

/// Reads text; null is the empty text, as it is to the API server.
fn text(value: &Value) -> Option<String> {
    if value.is_null() { Some(String::new()) } else { value.as_str().map(str::to_owned) }
}

fn operator(name: &str, values: Option<&Value>) -> Result<Operator, SelectorError> {
    let wrong = || SelectorError::Type { field: "values", expected: "a list of texts" };
    let values = match values {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| text(value).ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
    };
    let needs_values = matches!(name, "In" | "NotIn");
    if matches!(name, "In" | "NotIn" | "Exists" | "DoesNotExist") && needs_values == values.is_empty() {
        return Err(SelectorError::Values {
            operator: name.to_owned(),
            rule: if needs_values { "needs values" } else { "takes no values" },
        });
    }
    match name {
        "In" => Ok(Operator::In(values)),
        "NotIn" => Ok(Operator::NotIn(values)),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        other => Err(SelectorError::Operator(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selectors_say_what_is_missing_and_what_would_fit() {
        let selector = Selector::from_json(&json!({
            "matchLabels": { "role": "api" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["1", "2"] },
                { "key": "tier", "operator": "NotIn", "values": ["1"] },
                { "key": "legacy", "operator": "DoesNotExist" },
                { "key": "owner", "operator": "Exists" },
            ],
        }))
        .expect("a selector");
        assert_eq!(selector.to_string(), "tier in (1, 2),tier!=1,!legacy,owner,role=api");
        let web = labels(&[("role", "web"), ("tier", "2"), ("owner", "me")]);
        let missing: Vec<String> = selector.missing(&web).collect();
        assert_eq!(missing, ["role=api, where it has role=web"]);
        let fits = selector.satisfied_from(&web).expect("it can be satisfied");
        assert_eq!(fits, labels(&[("role", "api"), ("tier", "2"), ("owner", "me")]));
        assert!(selector.matches(&selector.satisfied_from(&Labels::new()).expect("it can be satisfied")));
        let neighbours = selector.neighbours();
        assert!(
            neighbours.len() >= 4 && neighbours.iter().all(|labels| !selector.matches(labels)),
            "{neighbours:?}"
        );
        let never = json!({ "matchExpressions": [
            { "key": "a", "operator": "Exists" }, { "key": "a", "operator": "DoesNotExist" }] });
        assert_eq!(Selector::from_json(&never).expect("a selector").satisfied_from(&Labels::new()), None);
        let another = json!({ "matchExpressions": [
            { "key": "a", "operator": "Exists" }, { "key": "a", "operator": "NotIn", "values": ["x", "flowproof"] }] });
        let another = Selector::from_json(&another).expect("a selector");
        for start in [labels(&[("a", "x")]), Labels::new()] {
            let fits = another.satisfied_from(&start).expect("any third value will do");
            assert!(another.matches(&fits), "{fits:?}");
        }
    }

    #[test]
    fn selectors_match_as_the_api_says() {
        let role = |operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": "role", "operator": operator, "values": values }] });
        let none = labels(&[]);
        let api = labels(&[("role", "api"), ("tier", "1")]);
        let web = labels(&[("role", "web")]);
        let empty_value = labels(&[("role", "")]);
        // selector, labels, whether they match
        let table = [
            (json!(null), &none, true),
            (json!({}), &api, true),
            (json!({ "matchLabels": null, "matchExpressions": null }), &api, true),
            (json!({ "matchLabels": {}, "matchExpressions": [] }), &none, true),
            (json!({ "matchLabels": { "role": "api" } }), &api, true),
            (json!({ "matchLabels": { "role": "api" } }), &web, false),
            (json!({ "matchLabels": { "role": "api" } }), &none, false),
            (json!({ "matchLabels": { "role": "" } }), &empty_value, true),
            (json!({ "matchLabels": { "role": "" } }), &none, false),
            (json!({ "matchLabels": { "role": "api", "tier": "1" } }), &api, true),
            (json!({ "matchLabels": { "role": "api", "tier": "2" } }), &api, false),
            (role("In", &["api", "web"]), &web, true),
            (role("In", &["api"]), &none, false),
            (role("NotIn", &["api"]), &api, false),
            (role("NotIn", &["api"]), &web, true),
            (role("NotIn", &["api"]), &none, true),
            (role("Exists", &[]), &empty_value, true),
            (role("Exists", &[]), &none, false),
            (role("DoesNotExist", &[]), &none, true),
            (role("DoesNotExist", &[]), &web, false),
            (
                json!({ "matchLabels": { "tier": "1" }, "matchExpressions": [{ "key": "role", "operator": "NotIn", "values": ["web"] }] }),
                &api,
                true,
            ),
            (
                json!({ "matchLabels": { "tier": "1" }, "matchExpressions": [{ "key": "role", "operator": "NotIn", "values": ["api"] }] }),
                &api,
                false,
            ),
        ];
        for (selector, labels, expected) in table {
            let read = Selector::from_json(&selector).expect("the selector is valid");
            assert_eq!(read.matches(labels), expected, "{selector} on {labels:?}");
        }
    }

    #[test]
    fn what_the_api_server_rejects_is_an_error() {
        let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "role", "operator": operator, "values": values }] });
        for selector in [
            json!([]),
            json!({ "matchLabel": {} }),
            json!({ "matchLabels": { "a": 1 } }),
            json!({ "matchExpressions": {} }),
            json!({ "matchExpressions": [{ "operator": "Exists" }] }),
            expression("in", json!(["a"])),
            expression("In", json!([])),
            expression("NotIn", json!(null)),
            expression("Exists", json!(["a"])),
            expression("In", json!("a")),
        ] {
            assert!(Selector::from_json(&selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn a_service_selects_by_equality() {
        let selector = Selector::from_labels(&labels(&[("role", "api")]));
        assert!(selector.matches(&labels(&[("role", "api"), ("x", "y")])));
        assert!(!selector.matches(&labels(&[("x", "y")])));
        assert!(!selector.is_everything());
        assert!(Selector::default().is_everything());
    }
}
