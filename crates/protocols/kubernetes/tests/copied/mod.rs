//! What goes over a copy of `kubectl cp`, cut anywhere. Shared with `fuzz/`.
use doorward_kubernetes::{Target, copy::Copying};

fn told(data: &[u8], cut: usize) -> (Vec<String>, String) {
    let path = "/api/v1/namespaces/a/pods/p/exec?command=tar&command=xmf&command=-&command=-C&command=/tmp";
    let mut copying = Copying::of(&Target::parse("POST", path).expect("a target")).expect("a copy");
    let mut files = Vec::new();
    for piece in data.chunks(cut) {
        let seen = copying.see(true, &[&[0], piece].concat());
        files.extend(seen.iter().map(|file| file.to_json().to_string()));
    }
    (files, copying.finish().to_json().to_string())
}

/// How many files there were; the cuts do not matter.
pub fn play(data: &[u8]) -> usize {
    let Some((cut, data)) = data.split_first() else { return 0 };
    let whole = told(data, usize::MAX);
    assert_eq!(told(data, usize::from(*cut) + 1), whole);
    whole.0.len()
}
