//! How closely a policy looks at the resource: what is the same for all objects of a kind need not be asked for each.
use doorward_enforce::Detail;
use serde_json::{Map, Value};

/// What a policy looks at, given as Cedar's JSON. Anything that is not plainly less counts as the object itself.
pub(crate) fn of(policy: &Value) -> Detail {
    let scope = policy.get("resource").map_or(Detail::Object, of_scope);
    policy.get("conditions").map_or(scope, of_conditions).max(scope)
}

/// The resource of the scope: `resource`, `resource is T`, `resource in E`, `resource == E`.
fn of_scope(scope: &Value) -> Detail {
    let within = |entity: Option<&Value>| entity.map_or(Detail::Object, of_entity);
    match scope.get("op").and_then(Value::as_str) {
        Some("All") => Detail::Kind,
        Some("is") => scope.get("in").map_or(Detail::Kind, |place| within(place.get("entity"))),
        Some("in") => within(scope.get("entity")),
        _ => Detail::Object,
    }
}

/// What something is in.
fn of_entity(entity: &Value) -> Detail {
    match entity.get("type").and_then(Value::as_str) {
        Some("Connection") => Detail::Kind,
        Some("Namespace") => Detail::Place,
        _ => Detail::Object,
    }
}

fn of_conditions(conditions: &Value) -> Detail {
    let mut detail = Detail::Kind;
    let mut todo = vec![conditions];
    while let Some(json) = todo.pop() {
        match json {
            Value::Object(map) => match use_of_resource(map) {
                Some(known) => detail = detail.max(known),
                None => todo.extend(map.values()),
            },
            Value::Array(items) => todo.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    detail
}

/// What an expression looks at, where it is a use of the resource.
fn use_of_resource(map: &Map<String, Value>) -> Option<Detail> {
    if map.get("Var").is_some_and(|v| v == "resource") {
        return Some(Detail::Object);
    }
    let (operator, operands) = if map.len() == 1 { map.iter().next()? } else { return None };
    let is_resource = |value: &Value| value.get("Var").is_some_and(|v| v == "resource");
    operands.get("left").filter(|left| is_resource(left))?;
    Some(match operator.as_str() {
        "." | "has" => match operands.get("attr").and_then(Value::as_str) {
            Some("kind" | "group" | "resource" | "connection") => Detail::Kind,
            Some("namespace") if operator == "has" => Detail::Place,
            Some("namespace") => Detail::Namespace,
            _ => Detail::Object,
        },
        "is" if operands.get("in").is_none() => Detail::Kind,
        "in" => operands.get("right").map_or(Detail::Object, of_places),
        _ => Detail::Object,
    })
}

/// `E`, or `[E, …]`, as values of Cedar's JSON.
fn of_places(places: &Value) -> Detail {
    if let Some(entity) = places.pointer("/Value/__entity") {
        return of_entity(entity);
    }
    let Some(all) = places.get("Set").and_then(Value::as_array) else { return Detail::Object };
    all.iter().map(of_places).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scope: &str, condition: &str) -> Detail {
        let text = format!("permit(principal, action, {scope}) when {{ {condition} }};");
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        of(&policy.to_json().unwrap())
    }

    #[test]
    fn what_is_the_same_for_all_is_known() {
        for (scope, condition) in [
            ("resource", "principal has tags && context.approved"),
            ("resource is Pod", "true"),
            ("resource in Connection::\"k\"", "resource.kind == \"secrets\""),
            ("resource is Pod in Connection::\"k\"", "resource is Pod || [\"a\"].contains(resource.kind)"),
            ("resource", "resource in Connection::\"k\""),
        ] {
            assert_eq!(check(scope, condition), Detail::Kind, "{scope} {condition}");
        }
        for (scope, condition) in [
            ("resource in Namespace::\"k/a\"", "true"),
            ("resource is Pod in Namespace::\"k/a\"", "true"),
            ("resource", "resource has namespace"),
            ("resource", "resource in [Namespace::\"k/a\", Namespace::\"k/b\"]"),
        ] {
            assert_eq!(check(scope, condition), Detail::Place, "{scope} {condition}");
        }
        let labels = "resource has namespace && resource.namespace.hasTag(\"a\")";
        assert_eq!(check("resource", labels), Detail::Namespace);
        for (scope, condition) in [
            ("resource == Pod::\"k/a/pods/x\"", "true"),
            ("resource in Pod::\"k/a/pods/x\"", "true"),
            ("resource", "resource.hasTag(\"a\")"),
            ("resource", "resource.name like \"a*\""),
            ("resource", "resource is Pod in Namespace::\"k/a\""),
            ("resource", "{a: resource}.a.kind == \"b\""),
            ("resource", "resource in principal.places"),
            ("resource", "resource == Pod::\"k\""),
            ("resource", "if context.approved then resource.privileged else false"),
        ] {
            assert_eq!(check(scope, condition), Detail::Object, "{scope} {condition}");
        }
    }
}
