//! Names as the server resolves them.
use super::{Environment, functions};
use doorward_model::{Name, Resource};
use pg_raw_parse::{Node, list::NodeList, nodes};

/// The strings of a list of names; a `*` or anything else is left out.
pub(super) fn strings(list: &NodeList) -> Vec<&str> {
    list.iter().filter_map(Node::as_str).collect()
}

/// A dotted name with quotes where needed, so that no two names look the same.
pub(crate) fn dotted(parts: &[&str]) -> String {
    let mut out = String::new();
    for part in parts {
        if !out.is_empty() {
            out.push('.');
        }
        let plain = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if plain && !part.is_empty() {
            out.push_str(part);
        } else {
            out.push('"');
            out.push_str(&part.replace('"', "\"\""));
            out.push('"');
        }
    }
    out
}

impl Environment {
    /// Where an object without a schema is made.
    pub(super) fn creation_schema(&self) -> Name {
        self.search_path.iter().find(|s| !is_temporary_schema(s)).cloned().unwrap_or_else(|| "?".into())
    }

    /// The relation that a name means.
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> (Name, Name) {
        let short: Name = name.into();
        if let Some(schema) = schema {
            return if is_temporary_schema(schema) { ("pg_temp".into(), short) } else { (schema.into(), short) };
        }
        let mut path = Vec::with_capacity(self.search_path.len() + 2);
        if !self.search_path.iter().any(|s| is_temporary_schema(s)) {
            path.push("pg_temp");
        }
        if !self.search_path.iter().any(|s| &**s == "pg_catalog") {
            path.push("pg_catalog");
        }
        path.extend(self.search_path.iter().map(|s| &**s));
        let system = name.starts_with("pg_");
        let mut system_later = false;
        for schema in path {
            if is_temporary_schema(schema) {
                if self.temporary.contains(name) {
                    return ("pg_temp".into(), short);
                }
            } else if schema == "pg_catalog" && !system {
                // Every relation of pg_catalog starts with `pg_`: nothing to look up.
            } else if self.catalogue.named(schema, name).is_some() {
                return (schema.into(), short);
            } else if schema == "pg_catalog" {
                system_later = true;
            }
        }
        if system_later {
            return ("pg_catalog".into(), short);
        }
        (self.creation_schema(), short)
    }

    /// The relation that a node of the tree means.
    pub(super) fn range_var(&self, r: &nodes::RangeVar) -> (Name, Name) {
        self.relation(r.schemaname(), r.relname().unwrap_or_default())
    }

    /// The functions that a call may reach and that need `call`. Empty: harmless.
    pub(super) fn functions(&self, parts: &[&str]) -> Vec<Resource> {
        let function = |schema: &str, name: &str| Resource::Function { schema: schema.into(), name: name.into() };
        match parts {
            [name] => {
                let builtin = functions::builtin(name);
                let mut out = self.users_functions(name);
                match builtin {
                    Some(true) => {}
                    Some(false) => out.push(function("pg_catalog", name)),
                    None if out.is_empty() => out.push(function(&self.creation_schema(), name)),
                    None => {}
                }
                out
            }
            ["pg_catalog", name] if functions::builtin(name) == Some(true) => Vec::new(),
            [schema, name] => vec![function(schema, name)],
            [_, schema, name] => vec![function(schema, name)],
            _ => vec![Resource::Opaque { what: format!("a function named {}", dotted(parts)).into() }],
        }
    }
}

impl Environment {
    /// The functions of a name in the search path that are not the server's own.
    pub(super) fn users_functions(&self, name: &str) -> Vec<Resource> {
        let found = self.catalogue.functions_named(name);
        let found = found.filter(|f| &*f.schema != "pg_catalog" && self.search_path.contains(&f.schema));
        found.map(|f| Resource::Function { schema: f.schema.clone(), name: name.into() }).collect()
    }
}

pub(super) fn is_temporary_schema(schema: &str) -> bool {
    schema == "pg_temp" || schema.starts_with("pg_temp_") || schema.starts_with("pg_toast_temp_")
}
