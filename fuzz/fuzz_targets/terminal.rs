//! Bytes of a target on their way to who looks at a replay, and keys of a caller on their way to a governed shell.
#![no_main]
use doorward_ssh::{editor::Editor, replay::SafeTerminal};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut out = String::new();
    SafeTerminal::default().push(data, &mut out);
    let (mut editor, mut shown) = (Editor::new(u32::from(data.first().copied().unwrap_or_default())), Vec::new());
    editor.begin("$ ", &mut shown);
    for key in data {
        if editor.key(*key, &mut shown).is_some() {
            editor.begin("$ ", &mut shown);
        }
    }
});
