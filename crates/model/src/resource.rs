//! What a request touches.
use crate::{ApiObject, ConnectionName, Pod};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    sync::Arc,
};

/// A name as the upstream holds it: already folded and unquoted.
pub type Name = Arc<str>;

/// A kind of sensitive value that recognizers find in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// Payment card number (ISO/IEC 7812, Luhn).
    CreditCard,
    /// United States social security number.
    UsSsn,
    /// E-mail address.
    Email,
    /// Telephone number.
    Phone,
    /// International bank account number (ISO 13616).
    Iban,
    /// IPv4 or IPv6 address.
    IpAddress,
    /// Cloud credential or API key.
    ApiKey,
    /// PEM private key.
    PrivateKey,
    /// JSON Web Token (RFC 7519).
    Jwt,
}

impl DataType {
    /// Every kind there is.
    pub const ALL: &'static [Self] = &[
        Self::CreditCard,
        Self::UsSsn,
        Self::Email,
        Self::Phone,
        Self::Iban,
        Self::IpAddress,
        Self::ApiKey,
        Self::PrivateKey,
        Self::Jwt,
    ];

    /// The Cedar identifier, as in `DataType::"credit_card"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreditCard => "credit_card",
            Self::UsSsn => "us_ssn",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::IpAddress => "ip_address",
            Self::ApiKey => "api_key",
            Self::PrivateKey => "private_key",
            Self::Jwt => "jwt",
        }
    }
}

/// What an action is asked on. Every resource lives in the session's connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Resource {
    /// The session's connection itself.
    Connection,
    /// A database of the connection.
    Database {
        /// Its name.
        name: Name,
    },
    /// A schema.
    Schema {
        /// Its name.
        name: Name,
    },
    /// A table, view, materialised view, sequence, index or foreign table.
    Table {
        /// Its schema; `pg_temp` for what the session made for itself.
        schema: Name,
        /// Its name.
        name: Name,
    },
    /// A column of a table.
    Column {
        /// The table's schema.
        schema: Name,
        /// The table.
        table: Name,
        /// The column.
        name: Name,
    },
    /// A function, procedure or aggregate (all overloads of the name).
    Function {
        /// Its schema; `?` where the search path decides and nothing is known.
        schema: Name,
        /// Its name.
        name: Name,
    },
    /// A setting (GUC).
    Setting {
        /// Its name, lower case.
        name: Name,
    },
    /// A role or user of the upstream.
    Role {
        /// Its name.
        name: Name,
    },
    /// A notification channel.
    Channel {
        /// Its name.
        name: Name,
    },
    /// A file on the upstream's machine.
    File {
        /// Its path as written.
        path: Name,
    },
    /// A program on the upstream's machine.
    Program {
        /// The command line: as written, or as read by a shell, each word quoted where it has to be.
        command: Name,
        /// The program's file name, without its directory; as written where it could not be read.
        name: Name,
        /// Its arguments, where they are known.
        arguments: Arc<[Name]>,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: Name,
    },
    /// A host and port that the upstream connects to, or listens on.
    Host {
        /// A name or an address, in lower case.
        host: Name,
        /// The port.
        port: u16,
    },
    /// Any other object of the upstream: type, extension, publication, server, policy…
    Object {
        /// Its kind, lower case, as in `DROP <kind>`.
        kind: Name,
        /// Its qualified name.
        name: Name,
    },
    /// An object of the Kubernetes API that is no pod, or a collection of any.
    ApiObject(Arc<ApiObject>),
    /// A pod of Kubernetes, or one that an object would make.
    Pod(Arc<Pod>),
    /// A field of objects of a kind whose values are to be protected.
    Field {
        /// The kind of the objects, as in RBAC: `secrets`, `customers.example.com`; `*` for any.
        kind: Name,
        /// Where in them, as a JSONPath (RFC 9535): `$.data[*]`.
        path: Name,
        /// The namespace of the object; none for objects of the cluster.
        namespace: Option<Name>,
    },
    /// A kind of sensitive value in text.
    DataType {
        /// Which.
        data_type: DataType,
    },
    /// Something that could not be understood.
    Opaque {
        /// What was not understood, in words.
        what: Name,
    },
}

impl Resource {
    /// The Cedar entity type, as in `Table::"…"`.
    pub const fn entity_type(&self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::Database { .. } => "Database",
            Self::Schema { .. } => "Schema",
            Self::Table { .. } => "Table",
            Self::Column { .. } => "Column",
            Self::Function { .. } => "Function",
            Self::Setting { .. } => "Setting",
            Self::Role { .. } => "Role",
            Self::Channel { .. } => "Channel",
            Self::File { .. } => "File",
            Self::Program { .. } => "Program",
            Self::Variable { .. } => "Variable",
            Self::Host { .. } => "Host",
            Self::Object { .. } => "Object",
            Self::ApiObject(_) => "ApiObject",
            Self::Pod(_) => "Pod",
            Self::Field { .. } => "Field",
            Self::DataType { .. } => "DataType",
            Self::Opaque { .. } => "Opaque",
        }
    }

    /// The name within the connection: `public.customers.ssn`. Parts that are not plain
    /// lower-case identifiers are in double quotes, so that no two resources of one type share a name.
    pub fn local_id(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Connection => {}
            Self::Database { name }
            | Self::Schema { name }
            | Self::Setting { name }
            | Self::Role { name }
            | Self::Channel { name } => push_part(&mut out, name),
            Self::Variable { name } => out.push_str(name),
            Self::Table { schema, name } | Self::Function { schema, name } => {
                push_part(&mut out, schema);
                push_part(&mut out, name);
            }
            Self::Column { schema, table, name } => {
                push_part(&mut out, schema);
                push_part(&mut out, table);
                push_part(&mut out, name);
            }
            Self::File { path } => out.push_str(path),
            Self::Program { command, .. } => out.push_str(command),
            Self::Host { host, port } => {
                let _infallible = write!(out, "{host}:{port}");
            }
            Self::Object { kind, name } => {
                let _infallible = write!(out, "{kind}:{name}");
            }
            Self::ApiObject(object) => out.push_str(&object.local_id()),
            Self::Pod(pod) => out.push_str(&pod.object.local_id()),
            Self::Field { kind, path, namespace } => {
                let _infallible = write!(out, "{}/{kind}:{path}", namespace.as_deref().unwrap_or("-"));
            }
            Self::DataType { data_type } => out.push_str(data_type.as_str()),
            Self::Opaque { what } => out.push_str(what),
        }
        out
    }
}

fn push_part(out: &mut String, part: &str) {
    if !out.is_empty() {
        out.push('.');
    }
    let plain = part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_' || b == b'?')
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'$' | b'?'));
    if plain {
        out.push_str(part);
    } else {
        out.push('"');
        out.push_str(&part.replace('"', "\"\""));
        out.push('"');
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.local_id();
        if id.is_empty() { f.write_str(self.entity_type()) } else { write!(f, "{} `{id}`", self.entity_type()) }
    }
}

/// What policy and attribute sources know of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// Its name.
    pub name: ConnectionName,
    /// Its kind: `postgres`, …
    pub kind: String,
    /// The database the session is on, where there is one.
    pub database: Option<Name>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Tags by local identifier: `public.customers.ssn`, `public.customers`; fields of Kubernetes as `KIND:PATH`,
    /// whatever the namespace.
    pub tags: BTreeMap<String, BTreeSet<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_do_not_collide() {
        let a = Resource::Table { schema: "a.b".into(), name: "c".into() };
        let b = Resource::Table { schema: "a".into(), name: "b.c".into() };
        assert_eq!(a.local_id(), "\"a.b\".c");
        assert_eq!(b.local_id(), "a.\"b.c\"");
        let quoted = Resource::Table { schema: "public".into(), name: "\"Orders".into() };
        assert_eq!(quoted.local_id(), "public.\"\"\"Orders\"");
    }
}
