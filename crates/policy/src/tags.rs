//! What a policy calls sensitive: the tags and the kinds of values (`DataType`) that it names.
use doorward_enforce::PolicyInfo;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A policy that looks at tags or kinds of values.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// What is known of it.
    pub info: &'a PolicyInfo,
    /// Whether it forbids; else it permits.
    pub forbids: bool,
    /// What it names.
    pub named: &'a Named,
}

/// The tags and kinds of values that a policy names. For people to find their way: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Tags, as in `resource.tags.contains("pii")`.
    pub tags: BTreeSet<String>,
    /// Whether it looks at the tags of a resource without saying which.
    pub any_tags: bool,
    /// Kinds of values, as in `DataType::"email"`.
    pub data_types: BTreeSet<String>,
    /// Whether it is about values of any kind, as in `resource is DataType`.
    pub any_data_type: bool,
}

impl Named {
    /// What a policy names, given as Cedar's JSON.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut out = Self::default();
        let mut todo = vec![policy];
        while let Some(json) = todo.pop() {
            match json {
                Value::Object(map) => out.part(map, &mut todo),
                Value::Array(items) => todo.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        // One that is named is no longer any.
        out.any_data_type &= out.data_types.is_empty();
        out
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn part<'v>(&mut self, map: &'v Map<String, Value>, todo: &mut Vec<&'v Value>) {
        if map.get("type").is_some_and(|t| t == "DataType") {
            self.data_types.extend(map.get("id").and_then(Value::as_str).map(str::to_owned));
        }
        self.any_data_type |= map.get("entity_type").is_some_and(|t| t == "DataType");
        if are_tags(map) {
            self.any_tags = true;
            return;
        }
        let is = |side: &str| map.get(side).and_then(Value::as_object).is_some_and(are_tags);
        let other = match (is("left"), is("right")) {
            (true, false) => map.get("right"),
            (false, true) => map.get("left"),
            (true, true) | (false, false) => None,
        };
        let Some(other) = other else { return todo.extend(map.values()) };
        let words = words(other);
        self.any_tags |= words.is_empty();
        self.tags.extend(words);
    }
}

/// Whether this reads the attribute `tags` of something.
fn are_tags(map: &Map<String, Value>) -> bool {
    map.get(".").and_then(|access| access.get("attr")).is_some_and(|attribute| attribute == "tags")
}

/// The texts of a literal, or of a set of them.
fn words(json: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![json];
    while let Some(json) = todo.pop() {
        match json {
            Value::Object(map) => {
                todo.extend(map.iter().filter(|(k, _)| matches!(&***k, "Value" | "Set")).map(|(_, v)| v))
            }
            Value::Array(items) => todo.extend(items),
            Value::String(word) => out.push(word.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Named {
        Named::of(&cedar_policy::Policy::parse(None, text).unwrap().to_json().unwrap())
    }

    fn tags(condition: &str) -> (Vec<String>, bool) {
        let named = of(&format!("forbid(principal, action, resource) when {{ {condition} }};"));
        (named.tags.into_iter().collect(), named.any_tags)
    }

    #[test]
    fn tags_that_are_named_are_found_however_they_are_asked_for() {
        let some = |words: &[&str]| (words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), false);
        assert_eq!(tags("resource.tags.contains(\"pii\")"), some(&["pii"]));
        assert_eq!(
            tags("resource is Column && resource.tags.containsAny([\"pii\", \"card\"])"),
            some(&["card", "pii"])
        );
        assert_eq!(tags("[\"a\", \"b\"].containsAll(resource.tags)"), some(&["a", "b"]));
        assert_eq!(tags("!(resource.tags.contains(\"a\") || resource.tags == [\"b\"])"), some(&["a", "b"]));
        assert_eq!(tags("resource.name == \"pii\" && context.command == \"tags\""), some(&[]));
        assert_eq!(tags("resource.tags.isEmpty()"), (vec![], true));
        assert_eq!(tags("resource.tags.contains(principal.subject)"), (vec![], true));
    }

    #[test]
    fn kinds_of_values_are_found_in_scopes_and_conditions() {
        let types = |text: &str| (of(text).data_types.into_iter().collect::<Vec<_>>(), of(text).any_data_type);
        let one = (vec!["email".to_owned()], false);
        assert_eq!(types("permit(principal, action, resource == DataType::\"email\");"), one);
        let among =
            "permit(principal, action, resource is DataType) when { [DataType::\"email\"].contains(resource) };";
        assert_eq!(types(among), one);
        assert_eq!(types("permit(principal, action, resource is DataType);"), (vec![], true));
        assert_eq!(types("permit(principal, action, resource) when { resource is DataType };"), (vec![], true));
        assert!(of("permit(principal, action, resource);").is_empty());
    }
}
