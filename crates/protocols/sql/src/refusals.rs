//! What is refused before any policy is asked, in words for the caller.
use doorward_enforce::{Refusal, RefusalKind};
use doorward_model::{Facts, Resource};
use doorward_sql::SourceColumn;

/// A refusal that has no policy behind it.
pub fn not_understood(message: String, hint: Option<&str>) -> Refusal {
    Refusal { kind: RefusalKind::NotUnderstood, message, detail: None, hint: hint.map(str::to_owned) }
}

/// A statement that would carry a hidden column to where no mask reaches it.
pub fn carries(command: &str, source: &SourceColumn) -> Refusal {
    let column = source.column.as_deref().unwrap_or("*");
    let column = format!("{}.{}.{column}", source.schema, source.table);
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: it would carry the masked column `{column}` to where no mask reaches it"),
        detail: Some(format!("reveal on Column `{column}` is not allowed")),
        hint: Some("leave the column out, or have someone who may see it run the statement".into()),
    }
}

/// A statement that decides by a hidden column, and cannot be written so that it does not see it.
pub fn weighs(command: &str, source: &SourceColumn, obstacle: Option<&str>) -> Refusal {
    let column = source.column.as_deref().unwrap_or("*");
    let column = format!("{}.{}.{column}", source.schema, source.table);
    let why = obstacle.unwrap_or("a text so large");
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: what it does depends on the masked column `{column}`"),
        detail: Some(format!("reveal on Column `{column}` is not allowed, and {why} cannot be rewritten without it")),
        hint: Some(
            "name rows by other columns and write plain values, or have `filter` on that column permitted by a policy"
                .into(),
        ),
    }
}

/// A statement that decides or computes by a column whose mask is made here, of the value: the server would have to have
/// the one or the other.
pub fn weighs_itself(command: &str, source: &SourceColumn) -> Refusal {
    let column = format!("{}.{}.{}", source.schema, source.table, source.column.as_deref().unwrap_or("*"));
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: what it does depends on the masked column `{column}`"),
        detail: Some(format!(
            "reveal on Column `{column}` is not allowed, and the server cannot make what its mask shows: such a column may be \
             shown, and nothing may be found, sorted, joined or computed by it"
        )),
        hint: Some("show the column as it is, or have `filter` on it permitted by a policy".into()),
    }
}

/// A statement that would write a mask over what it hides.
pub fn writes_mask(command: &str, source: &SourceColumn, mask: &str) -> Refusal {
    let column = format!("{}.{}.{}", source.schema, source.table, source.column.as_deref().unwrap_or("*"));
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: it would write the mask `{mask}` into the masked column `{column}`"),
        detail: Some("that is what Doorward shows in place of a value, and the value would be lost".into()),
        hint: Some("leave the column out of what is written back".into()),
    }
}

/// A statement that would define something over hidden columns.
pub fn defines_over_hidden(command: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: it defines something over columns that you may not see"),
        detail: None,
        hint: Some("someone who may reveal the columns can run it".into()),
    }
}

/// A comment or label on something with hidden columns: tags may be in it.
pub fn says_of_hidden(command: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!(
            "{command} refused: it is on a table with columns that you may not see, whose tags may be in it"
        ),
        detail: None,
        hint: Some("someone who may reveal the columns can run it".into()),
    }
}

/// A text of which nothing may be sent, because it was not understood: it says what, where the facts do.
pub fn nothing_sent(facts: &Facts) -> Refusal {
    let what = facts.accesses.iter().find_map(|access| {
        let Resource::Opaque { what } = &access.resource else { return None };
        Some(format!(" ({what})"))
    });
    let (command, what) = (&facts.command, what.unwrap_or_default());
    not_understood(format!("{command} refused: it was not understood{what}, and nothing was sent"), None)
}

/// One name too many.
pub fn too_many_statements(most: usize) -> Refusal {
    not_understood(format!("more than {most} prepared statements in one session"), None)
}
