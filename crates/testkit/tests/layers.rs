//! Holds the layers of ARCHITECTURE.md against what Cargo knows.
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, process::Command};

/// Every crate of the product and its layer: imports go to lower layers only, except where noted.
const LAYERS: &[(&str, u8)] = &[
    ("doorward-model", 0),
    ("doorward-wire", 0),
    ("doorward-detect", 0),
    ("doorward-terminal", 0),
    ("doorward-enforce", 1),
    ("doorward-sql", 1),
    ("doorward-shell", 1),
    ("doorward-policy", 2),
    ("doorward-record", 2),
    ("doorward-store", 2),
    ("doorward-identity", 2),
    ("doorward-sql-session", 2),
    ("doorward-saml", 2),
    ("doorward-signin", 3),
    ("doorward-postgres", 3),
    ("doorward-mysql", 3),
    ("doorward-ssh", 3),
    ("doorward-kubernetes", 3),
    ("doorward-gateway", 4),
    ("doorward-export", 4),
    ("doorward-notify", 4),
    ("doorward-secrets", 3),
    ("doorward-ui", 4),
    ("doorward-control", 5),
    ("doorward", 6),
    ("doorward-testkit", 9),
];

/// Crates that only one crate of ours may name.
const WRAPPED: &[(&str, &[&str])] = &[
    ("sqlx", &["doorward-store"]),
    ("cedar-policy", &["doorward-policy"]),
    ("pg_raw_parse", &["doorward-sql"]),
    ("russh", &["doorward-gateway"]),
];

/// Protocol crates are pure: no runtime, no network.
const BANNED_IN_PROTOCOLS: &[&str] = &[
    "tokio",
    "tokio-rustls",
    "rustls",
    "hyper",
    "reqwest",
    "axum",
    "rand",
    "doorward-policy",
    "doorward-store",
    "doorward-record",
];

/// Normal and build dependencies of each member, by name; dev-dependencies do not count.
fn dependencies() -> Result<BTreeMap<String, Vec<String>>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut out = BTreeMap::new();
    for package in list(&metadata, "packages")? {
        let used =
            list(package, "dependencies")?.iter().filter(|d| d.get("kind").and_then(Value::as_str) != Some("dev"));
        out.insert(name(package)?, used.map(name).collect::<Result<_>>()?);
    }
    Ok(out)
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("cargo metadata without `{key}`"))
}

fn name(value: &Value) -> Result<String> {
    Ok(value.get("name").and_then(Value::as_str).context("cargo metadata without a name")?.to_owned())
}

/// What one crate of ours depends on.
fn of(package: &str) -> Result<Vec<String>> {
    dependencies()?.remove(package).with_context(|| format!("no crate `{package}`"))
}

#[test]
fn imports_go_to_lower_layers_only() -> Result<()> {
    let layer: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let layer_of = |name: &str| layer.get(name).with_context(|| format!("`{name}` has no layer: add it to LAYERS"));
    for (package, used) in dependencies()? {
        let own = layer_of(&package)?;
        for dependency in used.iter().filter(|d| d.starts_with("doorward")) {
            let its = layer_of(dependency)?;
            // The words of the model are everybody's, also within the lowest layer.
            assert!(its < own || dependency == "doorward-model", "{package} (L{own}) imports {dependency} (L{its})");
        }
    }
    Ok(())
}

#[test]
fn gateway_and_control_do_not_know_each_other() -> Result<()> {
    assert!(!of("doorward-control")?.contains(&"doorward-gateway".to_owned()));
    assert!(!of("doorward-gateway")?.contains(&"doorward-control".to_owned()));
    Ok(())
}

#[test]
fn protocols_are_pure() -> Result<()> {
    let protocols = ["doorward-postgres", "doorward-mysql", "doorward-ssh", "doorward-kubernetes"];
    for protocol in protocols.into_iter().chain(["doorward-sql-session"]) {
        let used = of(protocol)?;
        for banned in BANNED_IN_PROTOCOLS {
            assert!(!used.contains(&(*banned).to_owned()), "{protocol} imports {banned}");
        }
        let others = used.iter().filter(|d| protocols.contains(&d.as_str()));
        assert_eq!(others.count(), 0, "{protocol} imports another protocol");
    }
    Ok(())
}

#[test]
fn some_libraries_have_one_door() -> Result<()> {
    for (package, used) in dependencies()? {
        for (library, allowed) in WRAPPED {
            if used.iter().any(|d| d == library) {
                assert!(allowed.contains(&package.as_str()), "{package} imports {library}");
            }
        }
    }
    Ok(())
}
