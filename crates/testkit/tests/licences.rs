//! Every dependency's licence is one that `deny.toml` allows. cargo-deny checks more, where it is installed.
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The list `allow` under `[licenses]`.
fn allowed() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(format!("{ROOT}/deny.toml"))?;
    let (_, section) = text.split_once("[licenses]").context("deny.toml without [licenses]")?;
    let (_, list) = section.split_once("allow = [").context("[licenses] without allow")?;
    let (list, _) = list.split_once(']').context("allow without an end")?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be met by allowed licences. Old manifests write `/` for OR.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, allowed)?;
    ensure!(rest.is_empty(), "`{expression}`: `{}` is left over", rest.join(" "));
    Ok(met)
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn next_if(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        next(rest);
    }
    found
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    let mut met = both(rest, allowed)?;
    while next_if(rest, "OR") {
        met |= both(rest, allowed)?;
    }
    Ok(met)
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    let mut met = one(rest, allowed)?;
    while next_if(rest, "AND") {
        met &= one(rest, allowed)?;
    }
    Ok(met)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Result<bool> {
    let first = next(rest).context("a licence is missing")?;
    if first == "(" {
        let met = either(rest, allowed)?;
        ensure!(next_if(rest, ")"), "a parenthesis is not closed");
        return Ok(met);
    }
    if next_if(rest, "WITH") {
        let exception = next(rest).context("an exception is missing")?;
        return Ok(allowed.contains(&format!("{first} WITH {exception}")));
    }
    Ok(allowed.contains(first))
}

/// The platform that this test was built for: packages of others need not have been downloaded.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().find_map(|l| l.strip_prefix("host: ")).context("rustc names no host")?.to_owned())
}

#[test]
fn every_dependency_has_an_allowed_licence() -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host()?])
        .current_dir(ROOT)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    ensure!(packages.len() > 50, "only {} packages: this looks at the wrong thing", packages.len());
    let allowed = allowed()?;
    let mut bad = Vec::new();
    for package in packages {
        let name = package.get("name").and_then(Value::as_str).unwrap_or("?");
        match package.get("license").and_then(Value::as_str) {
            Some(licence) if is_met(licence, &allowed).with_context(|| name.to_owned())? => {}
            other => bad.push(format!("{name}: {}", other.unwrap_or("names no licence"))),
        }
    }
    if !bad.is_empty() {
        bail!("licences that deny.toml does not allow:\n{}", bad.join("\n"));
    }
    Ok(())
}

#[test]
fn expressions_are_understood() -> Result<()> {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR MIT) AND BSL-1.0", false),
        ("MIT OR GPL-3.0 AND BSL-1.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_met(expression, &allowed)?, met, "{expression}");
    }
    assert!(is_met("MIT OR", &allowed).is_err() && is_met("(MIT", &allowed).is_err());
    Ok(())
}
