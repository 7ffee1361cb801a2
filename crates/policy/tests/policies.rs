//! The policies that are handed out, and those of the documentation, do what they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests"
)]
use doorward_model::Timestamp;
use doorward_policy::{CaseFile, Engine, LoadError, Source, load, read_files};
use std::path::{Path, PathBuf};

/// Monday, 2 March 2026, 10:00 UTC.
const MONDAY: Timestamp = Timestamp::from_secs(1_772_445_600);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a file of cases with the policies it names, and returns how many cases there were.
fn run(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let file = CaseFile::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let folder = path.parent().unwrap();
    let files: Vec<PathBuf> = file.policies.iter().map(|p| folder.join(p)).collect();
    assert!(!files.is_empty(), "{}: names no policies", path.display());
    let loaded = load(&read_files(&files).unwrap()).unwrap_or_else(|e| panic!("{}", e[0]));
    assert!(loaded.warnings().is_empty(), "{}", loaded.warnings()[0]);
    let no_sql = |_: &str| Err("these cases name accesses".to_owned());
    let results = file.run(&Engine::new(loaded), None, &no_sql, MONDAY);
    let failed: Vec<String> = results.iter().filter(|r| r.failure.is_some()).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}:\n{}", path.display(), failed.join("\n"));
    results.len()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.file_name().unwrap().to_str().unwrap().ends_with(ending)).collect()
}

#[test]
fn the_sample_policies_do_what_they_say() {
    assert!(run(&root().join("policies/orders.test.toml")) > 20);
}

#[test]
fn every_example_has_cases_and_passes_them() {
    let folder = root().join("policies/examples");
    let examples = files(&folder, ".cedar");
    assert!(examples.len() >= 8, "{examples:?}");
    for example in examples {
        assert!(run(&example.with_extension("test.toml")) >= 2, "{}", example.display());
    }
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
            out.push((language.to_owned(), text.join("\n")));
        }
    }
    out
}

#[test]
fn every_policy_of_the_documentation_is_loaded_and_tested() {
    let blocks = blocks(&std::fs::read_to_string(root().join("docs/policy.md")).unwrap());
    let mut tested = 0;
    for (n, (language, text)) in blocks.iter().enumerate() {
        if language != "cedar" {
            continue;
        }
        let engine = engine(text).unwrap_or_else(|e| panic!("{}\n{text}", e[0]));
        assert!(engine.loaded().warnings().is_empty(), "{}", engine.loaded().warnings()[0]);
        let (language, cases) = &blocks[n + 1];
        assert_eq!(language, "toml", "no cases follow\n{text}");
        let no_sql = |_: &str| Err("these cases name accesses".to_owned());
        for result in CaseFile::parse(cases).unwrap().run(&engine, None, &no_sql, MONDAY) {
            assert!(result.failure.is_none(), "{result}\n{text}");
            tested += 1;
        }
    }
    assert!(tested >= 15, "{tested}");
}

#[test]
fn the_documentation_names_every_action_and_attribute() {
    let page = std::fs::read_to_string(root().join("docs/policy.md")).unwrap();
    for action in doorward_model::Action::ALL {
        assert!(page.contains(&format!("`{action}`")), "{action}");
        assert!(doorward_policy::SCHEMA.contains(action.as_str()), "{action}");
    }
    for right in doorward_model::Administration::ALL {
        assert!(page.contains(&format!("`{right}`")), "{right}");
        assert!(doorward_policy::SCHEMA.contains(right.as_str()), "{right}");
    }
    for kind in doorward_model::DataType::ALL {
        assert!(page.contains(&format!("`{}`", kind.as_str())), "{kind:?}");
    }
}

#[test]
fn the_example_of_the_design_is_valid() {
    // As written there, with the identifiers that every policy needs.
    let text = r#"
        @id("a") permit (principal in Group::"analysts", action == Action::"select", resource in Connection::"orders");
        @id("b") forbid (principal, action == Action::"reveal", resource is Column) when { resource.tags.contains("pii") };
        @id("c") permit (principal, action == Action::"connect", resource)
        when { resource.hasTag("environment") && resource.getTag("environment") == "prod" };"#;
    engine(text).unwrap();
}

fn engine(text: &str) -> Result<Engine, Vec<LoadError>> {
    Engine::load(&[Source { name: "policies".into(), text: text.into() }])
}
