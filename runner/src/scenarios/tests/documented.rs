//! The examples of `docs/scenario-format.md` are read, and every key is described there.

use flowproof_core::parse::{self, Loaded, json_schema};
use serde_json::Value;

const PAGE: &str = include_str!("../../../../docs/scenario-format.md");

/// The manifests to which the example with `manifests` refers.
const RENDERED: &str = "
{ apiVersion: v1, kind: Pod, metadata: { name: web, namespace: shop }, spec: { containers: [{ name: c }] } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: api, namespace: shop }, spec: { containers: [{ name: c, ports: [{ name: http, containerPort: 80 }] }] } }
---
{ apiVersion: v1, kind: Pod, metadata: { name: db, namespace: shop }, spec: { containers: [{ name: c, ports: [{ containerPort: 5432 }] }] } }
";

/// The YAML blocks of the page.
fn examples() -> Vec<&'static str> {
    PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_are_read() {
    let schema = jsonschema::draft202012::new(&json_schema()).expect("the schema is one");
    let (mut scenarios, mut deviations) = (0, 0);
    for example in examples() {
        let problems = if example.starts_with("- cni:") {
            deviations += 1;
            parse::deviations("docs", example.as_bytes(), &["block-misses-pods"]).err()
        } else {
            scenarios += 1;
            let load: &mut parse::Load<'_> = &mut |path| match path {
                "rendered.yaml" => Ok(vec![Loaded { name: path.to_owned(), bytes: RENDERED.into() }]),
                _ => Err("there is no such file".to_owned()),
            };
            parse::scenario("docs", example.as_bytes(), load).err()
        };
        assert_eq!(problems, None, "{example}");
        let value: Value = serde_saphyr::from_str(example).expect("it is YAML");
        assert_eq!(schema.is_valid(&value), value.is_object(), "{example}");
    }
    assert_eq!((scenarios, deviations), (5, 1));
}

#[test]
fn every_key_is_described() {
    let schema = json_schema();
    for path in ["", "/$defs/workload", "/$defs/service", "/$defs/step", "/$defs/expect"] {
        let keys =
            schema.pointer(&format!("{path}/properties")).and_then(Value::as_object).expect("properties");
        for key in keys.keys() {
            assert!(PAGE.contains(&format!("| `{key}` |")), "{path}/{key} has no row");
        }
    }
}
