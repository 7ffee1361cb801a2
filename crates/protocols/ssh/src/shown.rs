//! What people are shown of a held request besides its line.
use crate::facts::Meaning;
use doorward_enforce::Shown;
use doorward_model::Action;

/// What has been set for what is to run on a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Variables that were let through, in order.
    pub environment: &'a [(String, String)],
    /// Where a line of a governed shell would run, if that is known.
    pub directory: Option<&'a str>,
}

/// Everything that has a say in what would run; `payload` is what is decided.
pub fn shown(via: &str, meaning: &Meaning, payload: &[u8], around: Around<'_>) -> Shown {
    let mut shown = Shown::default();
    // Packets of SFTP are no text, and are told by what they ask for.
    if via != "sftp" && std::str::from_utf8(payload).is_err() {
        shown.add("Its bytes", payload.escape_ascii().to_string());
    }
    if !around.environment.is_empty() {
        let each = around.environment.iter().map(|(name, value)| format!("{}={value:?}", name.escape_debug()));
        shown.add("Environment that the caller has set", each.collect::<Vec<_>>().join("\n"));
    }
    if let Some(directory) = around.directory {
        shown.add("Directory", directory);
    }
    shown.notes.extend(note(via, meaning).map(str::to_owned));
    shown
}

/// What is no part of it, in words.
fn note(via: &str, meaning: &Meaning) -> Option<&'static str> {
    let has = |action| meaning.facts.accesses.iter().any(|access| access.action == action);
    match via {
        "exec" | "subsystem" => {
            Some("What the caller sends to its standard input is not shown here, and no part of what is approved.")
        }
        "shell" if has(Action::GovernedShell) => Some("Each line that is typed in it is decided by itself."),
        "shell" => Some("What is typed in it is not shown here, and no part of what is approved."),
        "line" => Some(
            "It runs in a shell in which other lines have run before: what they have set stays set. What is typed while it \
             runs is no part of what is approved.",
        ),
        "channel" => Some("What goes through the connection is not shown here, and no part of what is approved."),
        "sftp" if has(Action::WriteFile) => {
            Some("What is written into the file is not shown here, and no part of what is approved.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Login, facts};

    #[test]
    fn what_runs_is_shown_with_what_is_set_for_it() {
        let login = Login { is_root: false };
        let command = b"ls \xff";
        let environment = [("LANG".to_owned(), "C\nx".to_owned())];
        let around = Around { environment: &environment, directory: None };
        let shown = shown("exec", &facts::exec(command, login), command, around);
        let parts: Vec<_> = shown.parts.iter().map(|p| (p.name.as_str(), p.text.as_str())).collect();
        assert_eq!(
            parts,
            [("Its bytes", "ls \\xff"), ("Environment that the caller has set", "LANG=\"C\\nx\"")],
            "bytes that are no text are not lost in it"
        );
        assert!(shown.notes[0].contains("standard input"), "{shown:?}");
    }
}
