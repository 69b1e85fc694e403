//! Turns logical names into real ones: namespaces get the run's suffix, and manifests are rewritten to match.
//!
//! What is rewritten in a manifest, whatever its kind:
//! - `metadata.namespace`, and `metadata.name` of a cluster-scoped object (it gets the suffix, so that runs can go side by side);
//! - every label or selector key that names a namespace ([`NAMESPACE_KEYS`]), as `key: name` or as a requirement with `values`;
//! - `$namespace(NAME)`, `$ip4(NAMESPACE/WORKLOAD)` and `$ip6(NAMESPACE/WORKLOAD)` in any text.
//!
//! Only namespaces that the scenario declares are rewritten; `kube-system` stays `kube-system`.

use crate::scenario::{
    Labels, Manifest, ObjectRef,
    flow::Family,
    name::{Qualified, Workload},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::IpAddr};

/// Label and selector keys whose values are names of namespaces.
pub const NAMESPACE_KEYS: [&str; 7] = [
    "kubernetes.io/metadata.name",
    "k8s:io.kubernetes.pod.namespace",
    "io.kubernetes.pod.namespace",
    "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
    "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name",
    "projectcalico.org/name",
    "projectcalico.org/namespace",
];

/// Replaces an address that a pod does not have. Nobody has this one (RFC 5737, RFC 3849), so a rule that names a family that the
/// cluster lacks neither allows nor excepts anything.
const NOBODY4: &str = "192.0.2.255";
const NOBODY6: &str = "2001:db8:ffff::ffff";

/// Turns logical names into real ones.
#[derive(Debug, Clone)]
pub struct Names {
    suffix: String,
    namespaces: Vec<String>,
    live: BTreeMap<String, String>,
}

/// Current addresses of the workloads.
pub type Addresses = BTreeMap<Workload, Vec<IpAddr>>;

impl Names {
    /// Makes the names of one lane: the suffix (`k7x2q9-0`) is appended to each of these namespaces.
    pub fn new(suffix: impl Into<String>, namespaces: impl IntoIterator<Item = String>) -> Self {
        Self { suffix: suffix.into(), namespaces: namespaces.into_iter().collect(), live: BTreeMap::new() }
    }

    /// Adds the logical namespaces that represent namespaces of the cluster. There, the suffix is appended to the names of what
    /// is in them instead, because the namespaces are not the run's.
    #[must_use]
    pub fn with_live(self, live: BTreeMap<String, String>) -> Self {
        Self { live, ..self }
    }

    /// The name of the object that holds the shadows in a namespace of the cluster.
    #[must_use]
    pub fn holder(&self) -> String {
        format!("flowproof-{}", self.suffix)
    }

    /// The real name of a namespace.
    #[must_use]
    pub fn namespace(&self, logical: &str) -> String {
        if let Some(live) = self.live.get(logical) {
            live.clone()
        } else if self.namespaces.iter().any(|name| name == logical) {
            format!("{logical}-{}", self.suffix)
        } else {
            logical.to_owned()
        }
    }

    /// The real name of a pod or Service.
    #[must_use]
    pub fn qualified(&self, logical: &Qualified) -> Qualified {
        let name = if self.live.contains_key(&logical.namespace) {
            format!("{}-{}", logical.name, self.suffix)
        } else {
            logical.name.clone()
        };
        Qualified::new(self.namespace(&logical.namespace), name)
    }

    /// The real name of an object.
    #[must_use]
    pub fn object(&self, logical: &ObjectRef) -> ObjectRef {
        let mut real = logical.clone();
        match &mut real.namespace {
            Some(namespace) => *namespace = self.namespace(namespace),
            None => real.name = format!("{}-{}", real.name, self.suffix),
        }
        real
    }

    /// Replaces real names with logical ones in a text of the cluster, such as an API server's message.
    #[must_use]
    pub fn logical(&self, text: &str) -> String {
        text.replace(&format!("-{}", self.suffix), "")
    }

    /// The manifest as the cluster gets it. If a workload has no address in a family, its placeholder becomes an address that
    /// nobody has.
    #[must_use]
    pub fn manifest(&self, manifest: &Manifest, addresses: &Addresses) -> Value {
        let mut value = self.value(&manifest.value, addresses);
        let real = self.object(&manifest.object);
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("name".into(), real.name.into());
            if let Some(namespace) = real.namespace {
                metadata.insert("namespace".into(), namespace.into());
            }
        }
        value
    }

    /// The manifest under its logical names, with every placeholder replaced.
    #[must_use]
    pub fn logical_manifest(manifest: &Manifest, addresses: &Addresses) -> Value {
        Self::new("", []).value(&manifest.value, addresses)
    }

    fn value(&self, value: &Value, addresses: &Addresses) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, addresses)),
            Value::Array(items) => items.iter().map(|item| self.value(item, addresses)).collect(),
            Value::Object(fields) => Value::Object(self.fields(fields, addresses)),
            other => other.clone(),
        }
    }

    fn fields(&self, fields: &Map<String, Value>, addresses: &Addresses) -> Map<String, Value> {
        let about_namespaces =
            fields.get("key").and_then(Value::as_str).is_some_and(|key| NAMESPACE_KEYS.contains(&key));
        let rewritten = |(key, value): (&String, &Value)| {
            let value = match value {
                Value::String(name) if NAMESPACE_KEYS.contains(&key.as_str()) => {
                    Value::String(self.named_namespace(name, addresses))
                }
                Value::Array(names) if about_namespaces && key == "values" => {
                    let real = |name: &Value| {
                        name.as_str()
                            .map_or_else(|| name.clone(), |n| self.named_namespace(n, addresses).into())
                    };
                    names.iter().map(real).collect()
                }
                other => self.value(other, addresses),
            };
            (key.clone(), value)
        };
        fields.iter().map(rewritten).collect()
    }

    /// The real name of a namespace that is written by its logical name or as a placeholder.
    fn named_namespace(&self, name: &str, addresses: &Addresses) -> String {
        self.namespace(&self.text(name, addresses))
    }

    fn text(&self, text: &str, addresses: &Addresses) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            match placeholder(rest) {
                Some((Placeholder::Namespace(name), length)) => {
                    out.push_str(&self.namespace(name));
                    rest = &rest[length..];
                }
                Some((Placeholder::Address(family, workload), length)) => {
                    out.push_str(&address(&workload, family, addresses));
                    rest = &rest[length..];
                }
                None => {
                    out.push('$');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }
}

/// A placeholder in a manifest's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder<'a> {
    /// `$namespace(NAME)`: the real name of a namespace.
    Namespace(&'a str),
    /// `$ip4(NAMESPACE/WORKLOAD)`, `$ip6(…)`: an address of a workload.
    Address(Family, Workload),
}

/// Returns the placeholder at the start of a text that begins with `$`, and its length in bytes.
#[must_use]
pub fn placeholder(text: &str) -> Option<(Placeholder<'_>, usize)> {
    let (keyword, rest) = text.strip_prefix('$')?.split_once('(')?;
    let (argument, _) = rest.split_once(')')?;
    let placeholder = match keyword {
        "namespace" => Placeholder::Namespace(argument),
        "ip4" => Placeholder::Address(Family::V4, argument.parse().ok()?),
        "ip6" => Placeholder::Address(Family::V6, argument.parse().ok()?),
        _ => return None,
    };
    Some((placeholder, keyword.len() + argument.len() + 3))
}

fn address(workload: &Workload, family: Family, addresses: &Addresses) -> String {
    let known =
        addresses.get(workload).and_then(|all| all.iter().find(|address| Family::of(**address) == family));
    known.map_or_else(|| if family == Family::V4 { NOBODY4 } else { NOBODY6 }.to_owned(), ToString::to_string)
}

/// The labels of a real namespace as selectors see them, including `kubernetes.io/metadata.name`.
#[must_use]
pub fn namespace_labels(real: &str, labels: &Labels) -> Labels {
    let mut all = labels.clone();
    all.insert("kubernetes.io/metadata.name".into(), real.into());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Places, Position};
    use serde_json::json;

    fn names() -> Names {
        Names::new("k7x2-0", ["app".to_owned(), "data".to_owned()])
    }

    fn addresses() -> Addresses {
        [(Qualified::new("app", "api"), vec!["10.1.0.7".parse().expect("an address")])].into()
    }

    fn rewrite(namespace: Option<&str>, value: Value) -> Value {
        let object = ObjectRef {
            api_version: "networking.k8s.io/v1".into(),
            kind: "NetworkPolicy".into(),
            namespace: namespace.map(str::to_owned),
            name: "p".into(),
        };
        names().manifest(
            &Manifest { object, value, at: Position::default(), places: Places::default() },
            &addresses(),
        )
    }

    #[test]
    fn selectors_on_names_follow_their_namespaces() {
        let value = json!({"metadata": {"name": "p", "namespace": "data"}, "spec": {"ingress": [{"from": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "app", "team": "app"}}},
            {"namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["$namespace(app)", "kube-system"]},
                {"key": "team", "operator": "In", "values": ["app"]}]}}]}]}});
        let expected = json!({"metadata": {"name": "p", "namespace": "data-k7x2-0"}, "spec": {"ingress": [{"from": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "app-k7x2-0", "team": "app"}}},
            {"namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["app-k7x2-0", "kube-system"]},
                {"key": "team", "operator": "In", "values": ["app"]}]}}]}]}});
        assert_eq!(rewrite(Some("data"), value), expected);
    }

    #[test]
    fn cluster_scoped_objects_get_a_name_of_their_own() {
        assert_eq!(
            rewrite(None, json!({"metadata": {"name": "p"}})),
            json!({"metadata": {"name": "p-k7x2-0"}})
        );
    }

    #[test]
    fn placeholders_are_replaced_and_other_dollars_stay() {
        let value = json!({"metadata": {}, "a": ["$ip4(app/api)/32", "$ip6(app/api)/128", "x-$namespace(app)-$namespace(other)"],
            "b": "$5 $(x) $ip4(app) $"});
        let expected = json!({"metadata": {"name": "p", "namespace": "data-k7x2-0"},
            "a": ["10.1.0.7/32", "2001:db8:ffff::ffff/128", "x-app-k7x2-0-other"], "b": "$5 $(x) $ip4(app) $"});
        assert_eq!(rewrite(Some("data"), value), expected);
    }

    #[test]
    fn what_is_in_a_live_namespace_bears_the_run_in_its_own_name() {
        let names = names().with_live([("shop".to_owned(), "payments".to_owned())].into());
        assert_eq!(names.qualified(&Qualified::new("shop", "api")), Qualified::new("payments", "api-k7x2-0"));
        assert_eq!(names.qualified(&Qualified::new("app", "api")), Qualified::new("app-k7x2-0", "api"));
        assert_eq!(names.holder(), "flowproof-k7x2-0");
    }

    #[test]
    fn messages_speak_in_logical_names_again() {
        assert_eq!(names().logical("pods \"api\" in data-k7x2-0"), "pods \"api\" in data");
    }
}
