//! What the bodies of functions name, and which of them run over rows: those that a trigger, a constraint, a default, an index, a
//! policy, a rule, a view, an operator or a cast calls, and those that they call.
use super::{
    Row,
    reach::{DEEPEST, is_own},
    text,
};
use doorward_model::Name;
use doorward_sql::Mentions;

/// Those of extensions are not looked at.
fn is_users(row: &&Row) -> bool {
    !is_own(text(row, 1)) && row.get(6).is_none_or(Option::is_none)
}

/// The functions that run over the rows of relations. `rows` as below; whether a function has a search path of its own at 9.
pub(super) fn codes(rows: &[Row]) -> Vec<(u32, (Name, Name))> {
    let mut out = Vec::new();
    for row in rows.iter().filter(is_users).filter(|row| text(row, 9) != "t") {
        let relations = text(row, 8).split_ascii_whitespace().filter_map(|oid| oid.parse().ok());
        out.extend(relations.map(|oid| (oid, (text(row, 1).into(), text(row, 2).into()))));
    }
    out
}

/// `rows` as in [`super::reach::reaches`]; the relations that a function is used by at 8, NULL where nothing uses it.
pub(super) fn mentions(rows: &[Row]) -> Mentions {
    // Of bodies that are not told, nothing is known.
    let mut left: Vec<(&Row, &str)> =
        rows.iter().filter(is_users).filter_map(|row| Some((row, row.get(7)?.as_deref()?))).collect();
    let mut out = Mentions::default();
    left.iter().for_each(|(_, body)| out.add(body, false));
    for depth in 0..=DEEPEST {
        let is_used = |row: &Row| row.get(8).is_some_and(Option::is_some);
        let (run, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|(row, _)| match depth {
            0 => is_used(row),
            // What is called deeper may be called.
            DEEPEST => out.names(text(row, 2)),
            _ => out.runs(text(row, 2)),
        });
        let is_done = run.is_empty();
        run.iter().for_each(|(_, body)| out.add(body, true));
        left = rest;
        if is_done {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_by_what_runs_runs_too() {
        let row = |name: &str, extension: Option<&str>, body: &str, used: Option<&str>| -> Row {
            let all = ["1", "public", name, "v", "f", "plpgsql"].map(|value| Some(value.to_owned()));
            let rest = [extension, Some(body), used].map(|value| value.map(str::to_owned));
            all.into_iter().chain(rest).collect()
        };
        let rows = [
            row("audits", None, "begin perform Log_It(new.ssn); end", Some("7")),
            row("log_it", None, "begin insert into audit_log values (t); end", None),
            row("alone", None, "begin insert into elsewhere values (1); end", None),
            row("of_it", Some("ext"), "begin insert into of_ext values (1); end", Some("7")),
        ];
        let found = mentions(&rows);
        assert!(found.runs("log_it") && found.runs("audit_log"));
        assert!(found.names("elsewhere") && !found.runs("elsewhere"));
        assert!(!found.names("of_ext"));
        assert_eq!(codes(&rows), [(7, ("public".into(), "audits".into()))]);
    }
}
