//! Fields of objects whose values are to be protected: those of secrets, and what the tags of a connection name.
use doorward_model::{Name, SECRET_FIELDS};
use serde_json::{Value, json};
use serde_json_path::JsonPath;

/// A field of all objects of a kind.
#[derive(Clone, Debug)]
pub struct Field {
    /// The kind, as in RBAC: `secrets`, `customers.example.com`; `*` for any.
    pub kind: Name,
    /// Where in an object: a JSONPath (RFC 9535), without functions.
    pub path: Name,
    parsed: JsonPath,
}

/// Why a tag names no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no field: write `KIND:PATH`, such as `\"customers.example.com:$.spec.ssn\"`{1}")]
pub struct NoField(String, String);

impl Field {
    /// Reads `KIND:PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NoField> {
        let wrong = |why: &str| NoField(text.to_owned(), why.to_owned());
        let (kind, path) = text.split_once(':').ok_or_else(|| wrong(""))?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if kind != "*" && (kind.is_empty() || !kind.chars().all(plain)) {
            return Err(wrong(" (the kind is the plural in small letters, with its group)"));
        }
        let parsed = JsonPath::parse(path).map_err(|e| wrong(&format!(" (JSONPath, RFC 9535: {e})")))?;
        Ok(Self { kind: kind.into(), path: path.into(), parsed })
    }

    /// Where it is in an object, as JSON pointers (RFC 6901).
    pub(crate) fn places(&self, object: &Value) -> Vec<String> {
        let found = self.parsed.query_located(object);
        found.locations().map(serde_json_path::NormalizedPath::to_json_pointer).collect()
    }

    /// Whether what a selector asks for is in this field, or may be: then its answers tell the value.
    pub fn is_selected(&self, labels: &str, fields: &str) -> bool {
        // What is no name of a label or field among these is taken for one.
        let words = |text: &str| -> Vec<String> {
            let ends = |c: char| matches!(c, ',' | '=' | '!' | '(' | ')') || c.is_whitespace();
            text.split(ends).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
        };
        let of_labels = words(labels).into_iter().map(|name| json!({ "metadata": { "labels": { name: "" } } }));
        let mut of_fields = words(fields).into_iter().filter(|name| name.contains('.')).map(|name| {
            // What a filter picks depends on the rest of the object.
            let is_open = self.picks() && !name.starts_with("metadata.");
            let object = name.rsplit('.').fold(Value::from(""), |inner, part| json!({ part: inner }));
            is_open || !self.places(&object).is_empty()
        });
        of_fields.any(|told| told) || of_labels.into_iter().any(|object| !self.places(&object).is_empty())
    }

    /// Whether what is in the field depends on what else is in the object.
    pub fn picks(&self) -> bool {
        self.path.contains('?')
    }
}

/// The fields of a connection.
#[derive(Clone, Debug)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Those that tags name, and those of secrets.
    ///
    /// # Errors
    /// The first tag that names none.
    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, NoField> {
        let always = SECRET_FIELDS.iter().map(|(kind, path)| format!("{kind}:{path}"));
        let mut all: Vec<String> = always.collect();
        for tag in tags {
            if !all.iter().any(|known| known == tag) {
                all.push(tag.to_owned());
            }
        }
        all.iter().map(|text| Field::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Those of a kind.
    pub fn of<'a, 'k>(&'a self, kind: &'k str) -> impl Iterator<Item = &'a Field> + use<'a, 'k> {
        self.0.iter().filter(move |field| &*field.kind == "*" || &*field.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_by_kind_and_path() {
        let field = Field::parse("deployments.apps:$..env[?@.name=='PASSWORD'].value").unwrap();
        let object =
            json!({"spec": {"c": [{"env": [{"name": "A", "value": "b"}, {"name": "PASSWORD", "value": "x"}]}]}});
        assert_eq!(field.places(&object), ["/spec/c/0/env/1/value"]);
        let odd = Field::parse("secrets:$.data[*]").unwrap();
        assert_eq!(odd.places(&json!({"data": {"a/b~c": "x"}})), ["/data/a~1b~0c"]);
        for bad in ["", "secrets", "secrets:data", "Secrets:$.data", ":$.a", "secrets:$.a["] {
            assert!(Field::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn selectors_that_ask_for_it_are_known() {
        let check = |path: &str, labels: &str, fields: &str| {
            Field::parse(&format!("a.b:{path}")).unwrap().is_selected(labels, fields)
        };
        for (path, fields) in [
            ("$.spec.ssn", "spec.ssn=1"),
            ("$.spec.ssn", "metadata.name=a,spec.ssn!=1"),
            ("$.spec", "spec.ssn==1"),
            ("$..ssn", "spec.ssn=1"),
            ("$.spec[?@.a].x", "spec.town=1"),
        ] {
            assert!(check(path, "", fields), "{path} {fields}");
            assert!(!check(path, "a in (b, c),!d", "metadata.name=ssn"), "{path}");
        }
        assert!(!check("$.spec.ssn", "", "spec.town=Ulm"));
        for labels in ["a=1", "a in (1, 2)", "!a", "b,a notin (1)"] {
            assert!(check("$.metadata.labels.a", labels, ""), "{labels}");
            assert!(!check("$.metadata.labels.c", labels, ""), "{labels}");
        }
    }

    #[test]
    fn secrets_are_always_among_them() {
        let fields = Fields::new(["*:$..password", "secrets:$.data[*]"]).unwrap();
        let of = |kind: &str| fields.of(kind).map(|f| f.path.to_string()).collect::<Vec<_>>();
        assert_eq!(of("secrets"), ["$.data[*]", "$.stringData[*]", "$..password"]);
        assert_eq!(of("pods"), ["$..password"]);
        assert!(Fields::new(["nothing"]).is_err());
    }
}
