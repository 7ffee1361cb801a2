//! What goes over a copy of `kubectl cp`, cut anywhere: no panic, and the cuts do not matter.
#![no_main]
use doorward_kubernetes::{Target, copy::Copying};

fn told(data: &[u8], cut: usize) -> String {
    let path = "/api/v1/namespaces/a/pods/p/exec?command=tar&command=xmf&command=-&command=-C&command=/tmp";
    let mut copying = Copying::of(&Target::parse("POST", path).expect("a target")).expect("a copy");
    let mut out = String::new();
    for piece in data.chunks(cut) {
        out.push_str(&format!("{:?}", copying.see(true, &[&[0], piece].concat())));
    }
    format!("{}{:?}", out.replace("[]", ""), copying.finish()).replace("][", ", ")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    assert_eq!(told(data, usize::from(*cut) + 1), told(data, usize::MAX));
});
