//! Commands of every day stay readable: none of these needs the permit for what is not understood.
use doorward_model::{Action, Resource};
use doorward_shell::{Login, analyse};

#[test]
fn commands_of_every_day_are_read() {
    let texts = include_str!("everyday.txt");
    let mut opaque = Vec::new();
    for text in texts.lines() {
        for access in analyse(text.as_bytes(), Login::default()).facts.accesses.iter() {
            if let (Action::Opaque, Resource::Opaque { what }) = (&access.action, &access.resource) {
                opaque.push(format!("{text}: {what}"));
            }
        }
    }
    assert!(opaque.is_empty(), "{}", opaque.join("\n"));
    assert!(texts.lines().count() > 200);
}
