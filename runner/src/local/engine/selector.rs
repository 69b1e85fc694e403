//! Label selectors, as compiled policies use them.

use crate::local::fault::Fault;
use flowproof_core::scenario::Labels;

/// A label selector; the empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) equal: Vec<(String, String)>,
    pub(crate) expressions: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) key: String,
    pub(crate) operator: Operator,
    pub(crate) values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub(crate) fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.expressions.is_empty()
    }

    /// Whether it only says which labels must be absent.
    pub(crate) fn only_excludes(&self) -> bool {
        let excludes = |one: &Expression| matches!(one.operator, Operator::NotIn | Operator::DoesNotExist);
        self.equal.is_empty() && !self.expressions.is_empty() && self.expressions.iter().all(excludes)
    }

    /// Whether it selects an object with these labels (semantics 52).
    pub(crate) fn selects(&self, labels: &Labels, fault: Option<Fault>) -> bool {
        let mut equal = self.equal.iter().map(|(key, value)| labels.get(key) == Some(value));
        let equal = if fault == Some(Fault::MatchLabelsAny) && !self.equal.is_empty() {
            equal.any(|matches| matches)
        } else {
            equal.all(|matches| matches)
        };
        equal
            && (fault == Some(Fault::ExpressionsIgnored)
                || self.expressions.iter().all(|expression| expression.matches(labels, fault)))
    }
}

impl Expression {
    fn matches(&self, labels: &Labels, fault: Option<Fault>) -> bool {
        let value = labels.get(&self.key);
        let listed = |value: &String| match fault {
            Some(Fault::InFirstValueOnly) => self.values.first() == Some(value),
            _ => self.values.contains(value),
        };
        match (self.operator, value) {
            (Operator::In, value) => value.is_some_and(listed),
            (Operator::NotIn | Operator::DoesNotExist, None) => fault != Some(Fault::NotInNeedsKey),
            (Operator::NotIn, Some(value)) if fault == Some(Fault::NotInAny) => {
                self.values.iter().any(|other| other != value)
            }
            (Operator::NotIn, Some(value)) => !self.values.contains(value),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, Some(_)) => false,
        }
    }
}
