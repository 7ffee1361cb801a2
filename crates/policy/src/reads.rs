//! Which attributes of the context a policy reads.
use serde_json::Value;

/// The attributes of the context, in the order of the schema.
pub(crate) const ATTRIBUTES: [&str; 15] = [
    "approved",
    "approvers",
    "approver_groups",
    "has_where",
    "as_root",
    "command",
    "statements",
    "client_ip",
    "tls",
    "now",
    "hour",
    "minute",
    "weekday",
    "actor",
    "on_behalf_of",
];

/// Attributes that change within a session for the same request. What is approved is no such thing:
/// whether a request counts as approved is asked for separately, and a verdict with real approvers is
/// never remembered.
const CHANGING: [&str; 4] = ["now", "hour", "minute", "weekday"];

/// A set of attributes of the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(u16);

impl Reads {
    /// The context as a whole, or an attribute that is not known: any attribute may be read.
    const WHOLE: Self = Self(1 << 15);

    /// Whether the attribute may be read.
    pub(crate) fn contains(self, attribute: &str) -> bool {
        self.0 & (Self::one(attribute).0 | Self::WHOLE.0) != 0
    }

    /// Both sets together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it reads an approval by name.
    pub(crate) fn asks_approval(self) -> bool {
        ["approved", "approvers", "approver_groups"].into_iter().any(|a| self.0 & Self::one(a).0 != 0)
    }

    /// Whether the context is read as a whole.
    pub(crate) const fn whole(self) -> bool {
        self.0 & Self::WHOLE.0 != 0
    }

    /// Whether nothing that it reads changes within a session.
    pub(crate) fn lasts(self) -> bool {
        !CHANGING.into_iter().any(|a| self.contains(a))
    }

    /// What a policy reads, given as Cedar's JSON. A use of the context as a whole, and anything that is
    /// not plainly the reading of one attribute, counts as reading everything.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut reads = Self::default();
        let mut todo = vec![policy];
        while let Some(json) = todo.pop() {
            match json {
                Value::Object(map) => {
                    if let Some(attribute) = attribute_of_context(map) {
                        reads = reads.and(Self::one(attribute));
                    } else if map.get("Var").is_some_and(|v| v == "context") {
                        reads = reads.and(Self::WHOLE);
                    } else {
                        todo.extend(map.values());
                    }
                }
                Value::Array(items) => todo.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        reads
    }

    fn one(attribute: &str) -> Self {
        ATTRIBUTES.iter().position(|a| *a == attribute).map_or(Self::WHOLE, |n| Self(1 << n))
    }
}

fn attribute_of_context(map: &serde_json::Map<String, Value>) -> Option<&str> {
    let access = if map.len() == 1 { map.get(".").or_else(|| map.get("has")) } else { None }?;
    let left = access.get("left")?;
    (left.get("Var")? == "context").then_some(())?;
    access.get("attr")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> Reads {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let policy = cedar_policy::Policy::parse(None, text).unwrap();
        Reads::of(&policy.to_json().unwrap())
    }

    #[test]
    fn what_is_read() {
        assert_eq!(of("true"), Reads::default());
        assert!(of("resource has now").lasts());
        assert!(of("\"context.hour\" == principal.id").lasts());
        assert!(!of("context.hour >= 8").lasts());
        assert!(!of("context[\"weekday\"] == 1").lasts());
        assert!(!of("if principal.x then [context.now].contains(1) else true").lasts());
        assert!(!of("context has minute").lasts());
        assert!(!of("{a: context}.a.tls").lasts(), "the whole context");
        assert!(!of("context.of_a_later_schema").lasts());
        assert!(of("context.approved && context.has_where").lasts());
        assert!(of("!context.approved").asks_approval());
        assert!(of("context.approver_groups.contains(\"dba\")").asks_approval());
        assert!(!of("context.tls").asks_approval());
    }
}
