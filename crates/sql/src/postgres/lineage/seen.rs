//! Whether all of a statement was read.
//!
//! INVARIANT: whatever names a column, or asks another query, was looked at; else the statement is not understood, and shows,
//! moves and weighs whatever it could. So a place of the grammar that the reading does not know of hides nothing.
use super::*;

/// Where in the tree what was read stands.
#[derive(Default)]
pub(super) struct Seen(Vec<usize>);

/// Which node it is.
pub(super) fn node_at<T>(node: &T) -> usize {
    std::ptr::from_ref(node).addr()
}

impl Seen {
    pub(super) fn saw(&mut self, node: usize) {
        self.0.push(node);
    }

    /// Whether nothing of a statement was left out.
    pub(super) fn is_all_of(&mut self, node: Node<'_>) -> bool {
        if !is_read(node) {
            return true;
        }
        self.0.sort_unstable();
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            let place = if let Node::ColumnRef(c) = node {
                node_at(c)
            } else if let Node::SubLink(link) = node {
                node_at(link)
            } else if let (true, Node::FuncCall(call)) = (older::is_system_user(node), node) {
                node_at(call)
            } else if matches!(node, Node::TypeName(_)) {
                // Names in it are modifiers of the type.
                continue;
            } else {
                children(node, &mut |child| todo.push(child));
                continue;
            };
            if self.0.binary_search(&place).is_err() {
                return false;
            }
            children(node, &mut |child| todo.push(child));
        }
        true
    }
}

/// Statements that may read rows of tables. In the others (definitions) what names columns is not evaluated now.
#[allow(clippy::wildcard_enum_match_arm, reason = "as in the reading itself")]
fn is_read(node: Node<'_>) -> bool {
    match node {
        Node::SelectStmt(_)
        | Node::InsertStmt(_)
        | Node::UpdateStmt(_)
        | Node::DeleteStmt(_)
        | Node::MergeStmt(_)
        | Node::CallStmt(_) => true,
        Node::ExplainStmt(s) => is_read(s.query()),
        Node::CreateTableAsStmt(s) => is_read(s.query()),
        Node::ViewStmt(s) => is_read(s.query()),
        Node::DeclareCursorStmt(s) => is_read(s.query()),
        Node::PrepareStmt(s) => is_read(s.query()),
        // `WHERE` of COPY FROM is about what the caller sends, and may not ask.
        Node::CopyStmt(s) => !s.is_from,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_is_missed() {
        for (text, is_all) in [
            ("select 1", true),
            ("select x", false),
            ("select 1 limit (select 1)", false),
            ("explain select exists (select)", false),
            ("values (1) order by x", false),
            ("insert into t (a[(select 1)]) values (1)", false),
            ("merge into t using u on true when not matched then insert values (u.x)", false),
            ("select 'x'::geometry(point)", true),
            ("copy t from stdin where x > 1", true),
            ("create table t (a int check (a > 0))", true),
        ] {
            let tree = pg_raw_parse::parse(text).unwrap();
            let node = tree.stmts().next().unwrap();
            assert_eq!(Seen::default().is_all_of(node), is_all, "{text}");
            let env = Environment::default();
            let mut reading = Reading::new(&env, INLINE_DEPTH);
            reading.statement(node);
            assert!(reading.seen.is_all_of(node), "{text}");
        }
    }
}
