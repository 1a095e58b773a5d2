//! `pkg.json`: the npm manifest that is laid over the one that wasm-pack writes.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The keys that may be set, in the order in which they are published. What is absent stays as wasm-pack wrote it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Manifest {
    name: String,
    description: String,
    license: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    repository: Repository,
    keywords: Vec<String>,
    /// Subpath to condition to file.
    exports: Map<String, Value>,
    side_effects: Value,
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engines: Option<Map<String, Value>>,
    /// How npm publishes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    publish_config: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Repository {
    r#type: String,
    url: String,
}

impl Manifest {
    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// The published manifest: `generated` by wasm-pack for one of the builds, with this one laid over it.
    pub(crate) fn lay_over(&self, mut generated: Map<String, Value>) -> Result<Map<String, Value>> {
        // These speak of one build's folder; the package holds several, which `exports` names.
        for of_one_build in ["main", "module", "types", "files", "sideEffects"] {
            generated.shift_remove(of_one_build);
        }
        let Value::Object(own) = serde_json::to_value(self)? else {
            return Ok(generated);
        };
        generated.extend(own);
        Ok(generated)
    }

    /// The files that `exports` names, relative to the package.
    pub(crate) fn exported_files(&self) -> Result<Vec<&str>> {
        let mut files = Vec::new();
        for (subpath, target) in &self.exports {
            collect_files(target, &mut files).with_context(|| format!("exports of `{subpath}`"))?;
        }
        Ok(files)
    }
}

fn collect_files<'a>(target: &'a Value, files: &mut Vec<&'a str>) -> Result<()> {
    match target {
        Value::String(file) => files.push(file.strip_prefix("./").context("a file must start with `./`")?),
        Value::Object(conditions) => {
            for inner in conditions.values() {
                collect_files(inner, files)?;
            }
        }
        other => anyhow::bail!("expected a file or conditions, found `{other}`"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file() -> Value {
        json!({
            "name": "ocap-remotes", "description": "d", "license": "MIT",
            "repository": { "type": "git", "url": "u" }, "keywords": [],
            "exports": { "./kernel": { "types": "./kernel/kernel.d.ts", "default": "./kernel/kernel.js" } },
            "sideEffects": false, "files": ["kernel"],
        })
    }

    fn error(change: impl FnOnce(&mut Value)) -> String {
        let mut text = file();
        change(&mut text);
        format!("{:#}", Manifest::parse(&text.to_string()).unwrap_err())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_and_the_known_keys() {
        let message = error(|file| file["export"] = json!({}));
        assert!(message.contains("unknown field `export`"), "{message}");
        for known in ["name", "description", "license", "repository", "keywords", "exports", "sideEffects", "files"] {
            assert!(message.contains(&format!("`{known}`")), "{message}");
        }
        let nested = error(|file| file["repository"]["uri"] = json!("x"));
        assert!(nested.contains("unknown field `uri`") && nested.contains("`url`"), "{nested}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let message = error(|file| {
            file.as_object_mut().unwrap().remove("license");
        });
        assert!(message.contains("missing field `license`"), "{message}");
    }

    #[test]
    fn it_wins_over_what_wasm_pack_wrote_and_keeps_the_rest() {
        let generated =
            json!({ "name": "x", "version": "1.2.3", "type": "module", "main": "kernel.js", "types": "kernel.d.ts" });
        let manifest = Manifest::parse(&file().to_string()).unwrap();
        let laid = Value::Object(manifest.lay_over(generated.as_object().unwrap().clone()).unwrap());
        assert_eq!(
            (&laid["name"], &laid["version"], &laid["type"]),
            (&json!("ocap-remotes"), &json!("1.2.3"), &json!("module"))
        );
        assert_eq!((laid.get("main"), laid.get("types"), laid.get("homepage")), (None, None, None));
        assert_eq!(laid["sideEffects"], json!(false));
    }

    #[test]
    fn exported_files_are_found_below_their_conditions() {
        let manifest = Manifest::parse(&file().to_string()).unwrap();
        assert_eq!(manifest.exported_files().unwrap(), ["kernel/kernel.d.ts", "kernel/kernel.js"]);
        let mut bad = file();
        bad["exports"]["./kernel"] = json!("kernel/kernel.js");
        let manifest = Manifest::parse(&bad.to_string()).unwrap();
        assert!(format!("{:#}", manifest.exported_files().unwrap_err()).contains("exports of `./kernel`"));
    }
}
