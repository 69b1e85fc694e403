//! Reads saved outcomes of every version so far; older ones are converted first.

use super::{Outcome, SCHEMA_NAME, SCHEMA_VERSION};
use serde_json::{Map, Value, json};

/// Why a text is not a saved outcome that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or it is cut off.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but not a saved run.
    #[error("it is not a saved run: its \"schema\" is {0}, not \"{SCHEMA_NAME}/N\"")]
    OtherSchema(String),
    /// A later flowproof wrote it.
    #[error(
        "it has version {found}, and this flowproof reads up to version {SCHEMA_VERSION}: a later flowproof wrote it"
    )]
    Newer {
        /// The version that it has.
        found: u32,
    },
    /// Its schema is known, but its content does not fit.
    #[error("it says that it is a saved run, and is not: {0}")]
    Malformed(String),
}

/// Reads a saved outcome of any version up to [`SCHEMA_VERSION`]; the result has the current one.
pub fn read(text: &str) -> Result<Outcome, ReadError> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| ReadError::NotJson(error.to_string()))?;
    let version = version(&value)?;
    if version > SCHEMA_VERSION {
        return Err(ReadError::Newer { found: version });
    }
    if version < 2 {
        from_1(&mut value);
    }
    value["schema"] = schema().into();
    serde_json::from_value(value).map_err(|error| ReadError::Malformed(error.to_string()))
}

/// The current text of [`Outcome::schema`].
#[must_use]
pub fn schema() -> String {
    format!("{SCHEMA_NAME}/{SCHEMA_VERSION}")
}

fn version(value: &Value) -> Result<u32, ReadError> {
    let schema = value.get("schema").unwrap_or(&Value::Null);
    let number = schema.as_str().and_then(|text| text.strip_prefix(SCHEMA_NAME)?.strip_prefix('/'));
    match number.map(str::parse) {
        Some(Ok(version)) if version > 0 => Ok(version),
        _ => Err(ReadError::OtherSchema(schema.to_string())),
    }
}

/// Converts version 1: it listed nodes by name, the unusable ones separately as `name: reason`, and had no arguments.
fn from_1(value: &mut Value) {
    let Some(outcome) = value.as_object_mut() else { return };
    outcome.entry("arguments").or_insert_with(|| json!([]));
    let Some(cluster) = outcome.get_mut("cluster").and_then(Value::as_object_mut) else { return };
    let node = |name: &str, unusable: Option<&str>| json!({"name": name, "unusable": unusable, "kubelet": "", "os_image": "", "kernel": "", "container_runtime": ""});
    let texts = |cluster: &mut Map<String, Value>, key| match cluster.remove(key) {
        Some(Value::Array(texts)) => texts,
        _ => Vec::new(),
    };
    let used = texts(cluster, "nodes");
    let unusable = texts(cluster, "unusable_nodes");
    let used = used.iter().filter_map(Value::as_str).map(|name| node(name, None));
    let unusable = unusable
        .iter()
        .filter_map(|text| text.as_str()?.split_once(": "))
        .map(|(name, why)| node(name, Some(why)));
    let nodes: Vec<Value> = used.chain(unusable).collect();
    cluster.insert("nodes".to_owned(), nodes.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION_1: &str = include_str!("read/version-1.json");

    #[test]
    fn version_1_is_still_read() {
        let outcome = read(VERSION_1).expect("it is readable");
        assert_eq!(outcome.schema, "flowproof.run/2");
        let nodes: Vec<(&str, Option<&str>)> =
            outcome.cluster.nodes.iter().map(|node| (node.name.as_str(), node.unusable.as_deref())).collect();
        assert_eq!(nodes, [("node1", None), ("node2", None), ("node3", Some("cordoned"))]);
        assert!(outcome.tally().total() > 0 && outcome.arguments.is_empty());
        let again = serde_json::to_string(&outcome).expect("it is JSON");
        assert_eq!(read(&again).as_ref(), Ok(&outcome), "what is written now reads back as it was");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let with = |schema: &str| VERSION_1.replacen("\"flowproof.run/1\"", schema, 1);
        assert!(matches!(read("{"), Err(ReadError::NotJson(_))));
        assert_eq!(read("[]"), Err(ReadError::OtherSchema("null".into())));
        assert_eq!(
            read(&with("\"flowproof.runs/1\"")),
            Err(ReadError::OtherSchema("\"flowproof.runs/1\"".into()))
        );
        assert_eq!(
            read(&with("\"flowproof.run/0\"")),
            Err(ReadError::OtherSchema("\"flowproof.run/0\"".into()))
        );
        assert_eq!(read(&with("\"flowproof.run/99\"")), Err(ReadError::Newer { found: 99 }));
        assert!(matches!(read(r#"{"schema": "flowproof.run/2"}"#), Err(ReadError::Malformed(_))));
    }
}
