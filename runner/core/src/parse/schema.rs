//! The JSON Schema of the scenario format, for editors: with it, they complete keys and mark what is out of place.
//!
//! It says less than the parser checks. A schema cannot say that names must exist, that something must listen on a port, or that
//! expectations must not contradict each other.

use super::{
    expect::{KINDS, OTHERWISE},
    listener_text::MAX_LISTENERS,
    topology::MAX_NAMESPACE_LENGTH,
};
use crate::scenario::capability::Capability;
use serde_json::{Map, Value, json};

/// The JSON Schema of a scenario (draft 2020-12).
#[must_use]
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://flowproof.dev/schema/scenario.json",
        "title": "flowproof scenario",
        "description": "One claim about what a cluster's network does, and the pods and policies that test it.",
        "type": "object",
        "additionalProperties": false,
        "required": ["scenario"],
        "anyOf": [{ "required": ["workloads"] }, { "required": ["manifests"] }],
        "oneOf": [{ "required": ["expect"] }, { "required": ["steps"], "properties": { "policies": false } }],
        "properties": {
            "scenario": {
                "description": "The claim, in one sentence.", "type": "string", "minLength": 1, "maxLength": 200,
            },
            "why": { "description": "Why the claim matters.", "type": ["string", "null"] },
            "shows": { "description": "What its flows show of a network: the lines of flowproof check.", "$ref": "#/$defs/shows" },
            "families": {
                "description": "The address families that the scenario is about; both when absent.",
                "type": ["array", "null"], "minItems": 1, "items": { "enum": [4, 6] },
            },
            "manifests": {
                "description": "Files and directories of manifests, as helm template prints them: namespaces, workloads, Services and policies are taken from them.",
                "type": ["array", "null"],
                "items": {
                    "type": "object", "additionalProperties": false, "required": ["file"],
                    "properties": {
                        "file": { "description": "The path, from the scenario's own folder.", "type": "string", "minLength": 1 },
                        "namespace": { "description": "The namespace of what names none; default when absent.", "type": "string", "pattern": LABEL },
                    },
                },
            },
            "namespaces": {
                "description": "Namespaces by name. A run adds its id to each name.",
                "type": "object",
                "propertyNames": { "pattern": LABEL, "maxLength": MAX_NAMESPACE_LENGTH },
                "additionalProperties": { "$ref": "#/$defs/namespace" },
            },
            "workloads": {
                "description": "Pods by namespace/name, each played by a prober.",
                "type": "object",
                "propertyNames": { "pattern": QUALIFIED },
                "additionalProperties": { "$ref": "#/$defs/workload" },
            },
            "services": {
                "description": "Services by namespace/name.",
                "type": ["object", "null"],
                "propertyNames": { "pattern": QUALIFIED },
                "additionalProperties": { "$ref": "#/$defs/service" },
            },
            "policies": {
                "description": "What is applied in the short form; live: nothing, the policies that the cluster has are tested.",
                "anyOf": [{ "const": "live" }, { "$ref": "#/$defs/manifests" }],
            },
            "expect": { "description": "What must hold in the short form.", "$ref": "#/$defs/expect" },
            "steps": {
                "description": "The long form: changes, and what must hold after each.",
                "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" },
            },
        },
        "$defs": definitions(),
    })
}

/// A DNS label (RFC 1123).
const LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";

/// `namespace/name`.
const QUALIFIED: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";

/// One word of ports.
const PORTS: &str = "((tcp|udp)/[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*|dns(/udp|/tcp)?)";

/// The name of a port.
const PORT_NAME: &str = "[-0-9]*[a-z][-a-z0-9]*";

fn definitions() -> Value {
    let source = "(any|[-a-z0-9*]+/[-a-z0-9*]+)";
    let target =
        format!("({source}|service +{source}|node +of +{source}|ip +[0-9a-fA-F.:]+|cluster-dns|self)");
    let written: Vec<&str> =
        Capability::ALL.iter().filter(|capability| !capability.is_read()).map(|c| c.word()).collect();
    json!({
        "shows": { "type": ["array", "null"], "items": { "enum": written } },
        "labels": {
            "type": ["object", "null"],
            "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
        },
        "labelChange": {
            "description": "Labels to set; null removes one.",
            "type": "object", "minProperties": 1,
            "additionalProperties": { "type": ["string", "null"], "maxLength": 63, "pattern": LABEL_VALUE },
        },
        "namespace": {
            "type": ["object", "null"], "additionalProperties": false,
            "properties": { "labels": { "$ref": "#/$defs/labels" } },
        },
        "workload": workload(),
        "service": {
            "type": "object", "additionalProperties": false, "required": ["selector", "ports"],
            "properties": {
                "selector": { "description": "Labels of the pods behind it.", "$ref": "#/$defs/labels" },
                "ports": {
                    "description": "tcp/80, tcp/80 -> 8080, tcp/80 -> http, dns.",
                    "type": "array", "minItems": 1,
                    "items": {
                        "type": "string",
                        "pattern": "^ *((tcp|udp)/[0-9]+|dns(/udp|/tcp)?) *(-> *[-a-z0-9]+ *)?$",
                    },
                },
            },
        },
        "manifests": {
            "type": ["array", "null"],
            "items": {
                "anyOf": [
                    {
                        "type": "object", "additionalProperties": false, "required": ["file"],
                        "properties": {
                            "file": { "description": "A file of manifests, relative to this one.", "type": "string" },
                        },
                    },
                    {
                        "type": "object", "required": ["apiVersion", "kind"],
                        "properties": { "apiVersion": { "type": "string" }, "kind": { "type": "string" } },
                    },
                ],
            },
        },
        "flow": {
            "description": "SOURCE -> TARGET [PORTS] [established], for example app/api -> data/postgres tcp/5432",
            "type": "string",
            "pattern": format!("^ *{source} *-> *{target}( +({PORTS}|{PORT_NAME}))*( +established)? *$"),
        },
        "expect": expect(),
        "step": {
            "type": "object", "additionalProperties": false, "required": ["expect"],
            "properties": {
                "step": { "description": "What happens, in a few words.", "type": ["string", "null"] },
                "apply": { "description": "Objects to create or update.", "$ref": "#/$defs/manifests" },
                "delete": {
                    "description": "Objects that an earlier step applied: NetworkPolicy data/postgres.",
                    "$ref": "#/$defs/oneOrMore",
                },
                "label": {
                    "description": "Labels to change, of a workload (ns/name) or of a namespace (namespace NAME).",
                    "type": ["object", "null"],
                    "propertyNames": { "pattern": "^(namespace +[-a-z0-9]+|[-a-z0-9]+/[-a-z0-9]+)$" },
                    "additionalProperties": { "$ref": "#/$defs/labelChange" },
                },
                "restart": {
                    "description": "Workloads to delete and start again.", "$ref": "#/$defs/oneOrMore",
                },
                "expect": { "description": "What must hold then.", "$ref": "#/$defs/expect" },
                "shows": { "description": "As above, for this step.", "$ref": "#/$defs/shows" },
            },
        },
        "oneOrMore": {
            "anyOf": [
                { "type": ["string", "null"] },
                { "type": "array", "items": { "type": "string" } },
            ],
        },
    })
}

/// The value of a label.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// What a workload, or its sidecar, listens on.
fn listeners(description: &str) -> Value {
    json!({
        "description": description,
        "type": ["array", "null"], "maxItems": MAX_LISTENERS,
        "items": {
            "anyOf": [
                { "type": "string", "pattern": format!("^ *{PORTS}( +{PORTS})* *$") },
                {
                    "type": "object", "minProperties": 1, "maxProperties": 1,
                    "propertyNames": { "pattern": "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$" },
                    "additionalProperties": {
                        "type": "string", "pattern": "^ *((tcp|udp)/[0-9]+|dns/udp|dns/tcp) *$",
                    },
                },
            ],
        },
    })
}

fn workload() -> Value {
    json!({
        "type": ["object", "null"], "additionalProperties": false,
        "properties": {
            "labels": { "description": "Labels of the pod.", "$ref": "#/$defs/labels" },
            "listens": listeners(
                "What it answers on: tcp/5432, udp/53, tcp/8000-8010, dns; with a port name: http: tcp/8080.",
            ),
            "sidecar": listeners(
                "What its native sidecar answers on, an init container with restartPolicy: Always; written as in listens.",
            ),
            "node": {
                "description": "Where it runs: the name of a node, same-as ns/workload, or other-than ns/workload.",
                "type": ["string", "null"],
            },
            "nodeSelector": { "description": "Labels that its node must have.", "$ref": "#/$defs/labels" },
            "tolerations": {
                "description": "Tolerations, as in the Kubernetes API.",
                "type": ["array", "null"],
                "items": {
                    "type": "object", "additionalProperties": false,
                    "properties": {
                        "key": { "type": "string" },
                        "operator": { "enum": ["Exists", "Equal", "Lt", "Gt"] },
                        "value": { "type": "string" },
                        "effect": { "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"] },
                        "tolerationSeconds": { "type": "integer" },
                    },
                },
            },
            "hostNetwork": {
                "description": "Whether it uses its node's network; false when absent.", "type": ["boolean", "null"],
            },
            "like": {
                "description": "The live workload whose shadow it is: deployment/NAME, statefulset/, daemonset/, job/ or pod/NAME.",
                "type": ["string", "null"], "pattern": "^ *(deployment|statefulset|daemonset|job|pod)/[-a-z0-9.]+ *$",
            },
            "in": {
                "description": "The live namespace that the shadow's namespace stands for; of the same name when absent.",
                "type": ["string", "null"], "pattern": format!("^ *{} *$", LABEL.trim_matches(['^', '$'])),
            },
        },
    })
}

fn expect() -> Value {
    let mut properties: Map<String, Value> = KINDS
        .iter()
        .map(|(kind, _)| {
            let description = match *kind {
                "allow" => "Flows that get through, there and back.",
                "deny" => "Flows that do not arrive, however they are denied.",
                "drop" => "Flows that do not arrive and whose source hears nothing.",
                "reject" => "Flows that do not arrive and whose source is told.",
                "policy" => "Flows that do what the policies say; what these leave open is tried and told.",
                _ => "Flows that no line with globs, and not 'otherwise', is about.",
            };
            let flows = json!({
                "description": description, "type": ["array", "null"], "items": { "$ref": "#/$defs/flow" },
            });
            ((*kind).to_owned(), flows)
        })
        .collect();
    properties.insert(
        "otherwise".to_owned(),
        json!({
            "description": "What holds between all other pairs of workloads, on all listeners; unchecked when absent. policy: what the policies say.",
            "enum": OTHERWISE,
        }),
    );
    json!({
        "description": "What must hold; policy stands for: whatever the policies say, between all pairs.",
        "type": ["object", "string"], "pattern": "^policy$",
        "additionalProperties": false, "minProperties": 1, "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{document, expect, service, step, topology};
    use super::json_schema;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_schema_has_exactly_the_fields_of_the_parser() {
        let schema = json_schema();
        for (path, fields) in [
            ("/properties", document::SCENARIO_FIELDS),
            ("/$defs/namespace/properties", topology::NAMESPACE_FIELDS),
            ("/$defs/workload/properties", topology::WORKLOAD_FIELDS),
            ("/$defs/service/properties", service::SERVICE_FIELDS),
            ("/$defs/step/properties", step::STEP_FIELDS),
            ("/$defs/expect/properties", expect::EXPECT_FIELDS),
        ] {
            let found =
                schema.pointer(path).and_then(Value::as_object).expect("the path leads to properties");
            let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
            let wanted: BTreeSet<&str> = fields.iter().copied().collect();
            assert_eq!(found, wanted, "{path}");
        }
    }
}
