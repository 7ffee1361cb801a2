//! Holds the layers of ARCHITECTURE.md against what Cargo knows.
use std::{collections::BTreeMap, process::Command};

/// Every crate of the product and its layer: imports go to lower layers only, except where noted.
const LAYERS: &[(&str, u8)] = &[
    ("doorward-model", 0),
    ("doorward-wire", 0),
    ("doorward-detect", 0),
    ("doorward-enforce", 1),
    ("doorward-sql", 1),
    ("doorward-policy", 2),
    ("doorward-record", 2),
    ("doorward-store", 2),
    ("doorward-identity", 2),
    ("doorward-postgres", 2),
    ("doorward-gateway", 3),
    ("doorward-control", 4),
    ("doorward", 5),
    ("doorward-testkit", 9),
];

/// Crates that only one crate of ours may name.
const WRAPPED: &[(&str, &[&str])] =
    &[("sqlx", &["doorward-store"]), ("cedar-policy", &["doorward-policy"]), ("pg_raw_parse", &["doorward-sql"])];

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
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut out = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let used = package["dependencies"].as_array().expect("dependencies");
        let used = used.iter().filter(|d| d["kind"] != "dev").map(|d| d["name"].as_str().expect("a name").to_owned());
        out.insert(package["name"].as_str().expect("a name").to_owned(), used.collect());
    }
    out
}

#[test]
fn imports_go_to_lower_layers_only() {
    let layer: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    for (package, used) in dependencies() {
        let own = *layer.get(package.as_str()).unwrap_or_else(|| panic!("{package} has no layer: add it to LAYERS"));
        for dependency in used.iter().filter(|d| d.starts_with("doorward")) {
            let its = layer[dependency.as_str()];
            // policy and record fill traits of enforce; everything else goes down strictly.
            assert!(its < own, "{package} (L{own}) imports {dependency} (L{its})");
        }
    }
}

#[test]
fn gateway_and_control_do_not_know_each_other() {
    let all = dependencies();
    assert!(!all["doorward-control"].contains(&"doorward-gateway".to_owned()));
    assert!(!all["doorward-gateway"].contains(&"doorward-control".to_owned()));
}

#[test]
fn protocols_are_pure() {
    let all = dependencies();
    for banned in BANNED_IN_PROTOCOLS {
        assert!(!all["doorward-postgres"].contains(&(*banned).to_owned()), "doorward-postgres imports {banned}");
    }
}

#[test]
fn some_libraries_have_one_door() {
    for (package, used) in dependencies() {
        for (library, allowed) in WRAPPED {
            if used.iter().any(|d| d == library) {
                assert!(allowed.contains(&package.as_str()), "{package} imports {library}");
            }
        }
    }
}
