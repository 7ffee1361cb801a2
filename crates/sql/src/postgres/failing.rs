//! Expressions that never fail, whatever the values.
use super::{children::children, names};
use pg_raw_parse::{Node, nodes};

/// Functions of texts that have a value for any, of any length that a column can have.
const TOTAL: &[&str] = &["lower", "upper", "btrim", "ltrim", "rtrim", "md5", "concat", "concat_ws"];

/// Types that any text can be cast to.
const PLAIN: &[&str] = &["text", "varchar"];

/// Whether an expression, as the server writes it, joins texts and nothing else: it has a value whatever they are, if the column is a
/// text of any length. What is not known may fail.
pub fn never_fails(expression: &str) -> bool {
    let Ok(tree) = pg_raw_parse::parse(&format!("SELECT {expression}")) else { return false };
    let mut statements = tree.stmts();
    let (Some(Node::SelectStmt(select)), None) = (statements.next(), statements.next()) else { return false };
    let mut todo: Vec<Node<'_>> = select.target_list().iter().map(nodes::ResTarget::val).collect();
    todo.len() == 1 && {
        let mut all = true;
        while let (true, Some(node)) = (all, todo.pop()) {
            all = is_total(node);
            if !matches!(node, Node::ColumnRef(_) | Node::A_Const(_) | Node::TypeName(_)) {
                all &= children(node, &mut |child| todo.push(child));
            }
        }
        all
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "whatever else there is may fail")]
fn is_total(node: Node<'_>) -> bool {
    match node {
        Node::None | Node::ColumnRef(_) | Node::A_Const(_) | Node::CoalesceExpr(_) => true,
        Node::NodeList(_) | Node::String(_) => true,
        // The server writes no schema but where it is another than its own.
        Node::FuncCall(call) => {
            matches!(names::strings(call.funcname())[..], [name] | ["pg_catalog", name] if TOTAL.contains(&name))
        }
        Node::A_Expr(e) => names::strings(e.name()) == ["||"],
        Node::TypeCast(cast) => cast.type_name().is_some_and(|of| {
            let name: Vec<&str> = of.names().iter().filter_map(|part| part.sval()).collect();
            of.typmods().is_empty() && matches!(name[..], [name] | ["pg_catalog", name] if PLAIN.contains(&name))
        }),
        Node::TypeName(of) => of.typmods().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_joins_texts_never_fails() {
        for total in [
            "(name || ' '::text)",
            "((COALESCE(name, ''::text) || ' '::text) || email)",
            "lower(((name)::text || (email)::text))",
        ] {
            assert!(never_fails(total), "{total}");
        }
        for may_fail in [
            "(factor * salary)",
            "((name || ssn))::character varying(20)",
            "(ssn)::integer",
            "('x'::text || (factor / salary))",
            "f(name)",
            "public.lower(name)",
            // It fails of texts with more words than fit.
            "to_tsvector('english'::regconfig, ((COALESCE(name, ''::text) || ' '::text) || email))",
            "\"left\"(name, salary)",
            "repeat(name, salary)",
            "",
        ] {
            assert!(!never_fails(may_fail), "{may_fail}");
        }
    }
}
