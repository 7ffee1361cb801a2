//! Targets of the Kubernetes API as they come: no panic, and what is written anew is read as what it was written from. Objects
//! as an API server may send them: no panic, and however they are cut, the same comes of them.
#![no_main]
use doorward_kubernetes::{
    Target,
    facts::{self, Known},
    object,
    split::{Form, Piece, Splitter},
};

fn split(form: Form, text: &[u8], cuts: usize) -> Option<Vec<Piece>> {
    let (mut splitter, mut out) = (Splitter::new(form), Vec::new());
    for bytes in text.chunks(cuts) {
        splitter.push(bytes, &mut out).ok()?;
    }
    splitter.finish(&mut out).ok()?;
    // Text may come in several pieces.
    out.retain(|piece| !matches!(piece, Piece::Text(_)));
    Some(out)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = head.split_once(' ').unwrap_or(("GET", head));
    for form in [Form::Whole, Form::List, Form::Watch] {
        assert_eq!(split(form, body.as_bytes(), 3), split(form, body.as_bytes(), usize::MAX));
    }
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
