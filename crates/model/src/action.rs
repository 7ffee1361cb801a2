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
    /// Read a file of the upstream (`COPY … FROM '/file'`, `< file`, SFTP). Resource: `File`.
    ReadFile = "read_file",
    /// Create or write a file of the upstream (`COPY … TO '/file'`, `> file`, SFTP). Resource: `File`.
    WriteFile = "write_file",
    /// Remove or move away a file or directory. Resource: `File`.
    RemoveFile = "remove_file",
    /// Change a file's attributes: mode, owner, times. Resource: `File`.
    AlterFile = "alter_file",
    /// See that a file exists, its attributes, the names in a directory. Resource: `File`.
    ListFiles = "list_files",
    /// Run a program on the upstream (`COPY … PROGRAM`, a command over SSH). Resource: `Program`.
    RunProgram = "run_program",
    /// Open an interactive shell. Resource: `Connection`.
    Shell = "shell",
    /// Open a shell whose lines Doorward reads, each of which is decided. Resource: `Connection`.
    GovernedShell = "governed_shell",
    /// Start a subsystem of SSH (RFC 4254 §6.5). Resource: `Object` of kind `subsystem`.
    Subsystem = "subsystem",
    /// Copy files by the protocol of `scp` (`scp -t`, `scp -f`). Resource: `File`.
    Scp = "scp",
    /// Copy files by the protocol of `rsync` (`rsync --server`). Resource: `File`.
    Rsync = "rsync",
    /// Fetch from a repository (`git-upload-pack`, `git-upload-archive`). Resource: `File`.
    GitUploadPack = "git_upload_pack",
    /// Push to a repository (`git-receive-pack`). Resource: `File`.
    GitReceivePack = "git_receive_pack",
    /// Have the upstream connect somewhere for the caller (`ssh -L`, `-D`, `-W`). Resource: `Host`, `File` for a socket.
    Forward = "forward",
    /// Have the upstream listen for the caller (`ssh -R`). Resource: `Host`, `File` for a socket.
    ForwardRemote = "forward_remote",
    /// Let the upstream use the caller's SSH agent. Resource: `Connection`.
    ForwardAgent = "forward_agent",
    /// Let the upstream use the caller's X display. Resource: `Connection`.
    ForwardX11 = "forward_x11",
    /// Give the upstream's programs an environment variable. Resource: `Variable`.
    SetVariable = "set_variable",
    /// Read an object of Kubernetes. Resource: `ApiObject`, `Pod`.
    Get = "get",
    /// Read all objects of a kind. Resource: `ApiObject`.
    List = "list",
    /// Read all objects of a kind, and be told as they change. Resource: `ApiObject`, `Pod`.
    Watch = "watch",
    /// Change some of an object (`PATCH`, server-side apply). Resource: `ApiObject`, `Pod`.
    Patch = "patch",
    /// Remove all objects of a kind. Resource: `ApiObject`, `Pod` for each that there is.
    DeleteCollection = "deletecollection",
    /// Run a program in a container. Resource: `Pod`.
    Exec = "exec",
    /// Take over the terminal of a container. Resource: `Pod`.
    Attach = "attach",
    /// Connect to ports of a pod. Resource: `Pod`.
    PortForward = "portforward",
    /// Copy files with `kubectl cp`. Resource: `Pod`.
    Cp = "cp",
    /// Talk HTTP to a pod, service or node through the API server. Resource: `ApiObject`, `Pod`.
    Proxy = "proxy",
    /// Read what a container has written. Resource: `Pod`.
    Log = "log",
    /// Put a container into a pod that runs. Resource: `Pod`.
    Debug = "debug",
    /// Have a pod leave its node. Resource: `Pod`.
    Evict = "evict",
    /// Change how many there are. Resource: `ApiObject`.
    Scale = "scale",
    /// Approve or sign a request for a certificate. Resource: `ApiObject`.
    Approve = "approve",
    /// Give somebody a role; put a pod onto a node. Resource: `ApiObject`, `Pod`.
    Bind = "bind",
    /// Change what a role allows. Resource: `ApiObject`.
    Escalate = "escalate",
    /// Speak in the name of somebody else; get a token of a service account. Resource: `ApiObject`.
    Impersonate = "impersonate",
    /// Load a library into the server (`LOAD`). Resource: `File`.
    LoadLibrary = "load_library",
    /// Stream the write-ahead log. Resource: `Connection`.
    Replicate = "replicate",
    /// See a value in clear. Resource: `Column` or `DataType`. Not allowed means masked, never an error.
    Reveal = "reveal",
    /// Have a statement that cannot be rewritten decide by a column that is masked. Resource: `Column`. A permit counts only
    /// where its scope names it.
    Filter = "filter",
    /// Use what could tell of masked columns past their masks: code, functions that run texts, statistics. Resource: what is
    /// used. A permit counts only where its scope names it.
    Bypass = "bypass",
    /// Forward what could not be understood. Resource: `Opaque`.
    Opaque = "opaque",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Action {
    /// Whether a permit has to name it: one for every action does not give it.
    pub const fn has_to_be_named(self) -> bool {
        matches!(self, Self::Filter | Self::Bypass)
    }
}
