//! Labels and their changes: what a step does to them, and what undoes it.

use std::collections::BTreeMap;

/// Labels, as Kubernetes has them.
pub type Labels = BTreeMap<String, String>;

/// Labels to set (`Some`) and to remove (`None`).
pub type LabelChange = BTreeMap<String, Option<String>>;

/// Applies a change to labels.
pub fn amend(labels: &mut Labels, change: &LabelChange) {
    for (key, value) in change {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
}

/// Returns the change that turns one set of labels into another; `None` when they are equal.
#[must_use]
pub fn difference(from: &Labels, to: &Labels) -> Option<LabelChange> {
    let removed = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), None));
    let set = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
    let change: LabelChange =
        removed.chain(set.map(|(key, value)| (key.clone(), Some(value.clone())))).collect();
    (!change.is_empty()).then_some(change)
}

/// Whether the labels include all wanted ones, with the same values.
#[must_use]
pub fn contains(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_difference_takes_a_change_back() {
        let before = labels(&[("role", "web"), ("tier", "front")]);
        let change = LabelChange::from([("role".into(), Some("api".into())), ("tier".into(), None)]);
        let mut after = before.clone();
        amend(&mut after, &change);
        assert_eq!(after, labels(&[("role", "api")]));
        let back = difference(&after, &before).expect("they differ");
        amend(&mut after, &back);
        assert_eq!(after, before);
        assert_eq!(difference(&after, &before), None);
    }

    #[test]
    fn labels_contain_what_is_there_with_the_same_value() {
        let all = labels(&[("a", "1"), ("b", "2")]);
        assert!(contains(&all, &labels(&[("a", "1")])) && contains(&all, &Labels::new()));
        assert!(!contains(&all, &labels(&[("a", "2")])) && !contains(&all, &labels(&[("c", "1")])));
    }
}
