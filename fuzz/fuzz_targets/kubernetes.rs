//! Targets of the Kubernetes API as they come: no panic, and what is written anew is read as what it was written from. Objects
//! as an API server may send them: no panic.
#![no_main]
use doorward_kubernetes::{
    Target,
    facts::{self, Known},
    object,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = head.split_once(' ').unwrap_or(("GET", head));
    let json = serde_json::from_str::<serde_json::Value>(body).ok();
    if let Some(object) = &json {
        let _specs = object::pod_specs(object);
    }
    if let Ok(target) = Target::parse(method, path) {
        assert_eq!(Target::parse(method, &target.canonical()).as_ref(), Ok(&target));
        let known = Known { object: json.clone(), outcome: json, ..Known::default() };
        assert!(!facts::of(&target, &known).facts.accesses.is_empty());
    }
});
