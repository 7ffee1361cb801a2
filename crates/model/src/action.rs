//! What is asked for.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One kind of right that a request needs. The names are the Cedar action identifiers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }
        impl Action {
            /// Every action there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The Cedar identifier, as in `Action::"select"`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
        impl FromStr for Action {
            type Err = ();
            fn from_str(s: &str) -> Result<Self, ()> {
                match s { $($name => Ok(Self::$variant),)* _ => Err(()) }
            }
        }
    };
}

actions! {
    /// Open a session and use what carries no data of its own: transactions, harmless settings, `SHOW`, `EXPLAIN` itself. Resource: `Connection`.
    Connect = "connect",
    /// Read rows of a table, view, sequence. Resource: `Table`.
    Select = "select",
    /// Add rows. Resource: `Table`.
    Insert = "insert",
    /// Change rows. Resource: `Table`.
    Update = "update",
    /// Remove rows. Resource: `Table`.
    Delete = "delete",
    /// Remove all rows at once. Resource: `Table`.
    Truncate = "truncate",
    /// Lock a table or rows (`LOCK`, `FOR UPDATE`). Resource: `Table`.
    Lock = "lock",
    /// Call a function or procedure that may have effects. Resource: `Function`.
    Call = "call",
    /// Run code given in the statement (`DO`). Resource: `Connection`.
    Execute = "execute",
    /// Create an object (any `CREATE`). Resource: the object.
    Create = "create",
    /// Change an object's definition (`ALTER`, `COMMENT`, `SECURITY LABEL`). Resource: the object.
    Alter = "alter",
    /// Remove an object (any `DROP`). Resource: the object.
    Drop = "drop",
    /// Change who may do what (`GRANT`, `REVOKE`, default privileges, ownership). Resource: the object.
    Grant = "grant",
    /// Maintenance (`VACUUM`, `ANALYZE`, `REINDEX`, `CLUSTER`, `REFRESH`, `CHECKPOINT`). Resource: `Table` or `Connection`.
    Maintain = "maintain",
    /// Change a setting that changes meaning, for the session. Resource: `Setting`.
    Set = "set",
    /// Change a setting of the server (`ALTER SYSTEM`). Resource: `Setting`.
    Configure = "configure",
    /// Become another role (`SET ROLE`, `SET SESSION AUTHORIZATION`). Resource: `Role`.
    Assume = "assume",
    /// Listen on a channel. Resource: `Channel`.
    Listen = "listen",
    /// Send on a channel. Resource: `Channel`.
    Notify = "notify",
    /// Read a file of the server (`COPY … FROM '/file'`). Resource: `File`.
    ReadFile = "read_file",
    /// Write a file of the server (`COPY … TO '/file'`). Resource: `File`.
    WriteFile = "write_file",
    /// Run a program on the server (`COPY … PROGRAM`). Resource: `Program`.
    RunProgram = "run_program",
    /// Load a library into the server (`LOAD`). Resource: `File`.
    LoadLibrary = "load_library",
    /// Stream the write-ahead log. Resource: `Connection`.
    Replicate = "replicate",
    /// See a value in clear. Resource: `Column` or `DataType`. Not allowed means masked, never an error.
    Reveal = "reveal",
    /// Forward what could not be understood. Resource: `Opaque`.
    Opaque = "opaque",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
