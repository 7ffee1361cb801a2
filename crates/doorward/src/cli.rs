//! The command line, as `--help` shows it.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// A gateway that decides, holds, masks and records what agents ask of your infrastructure.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway and its API until SIGTERM; SIGHUP or a changed policy file reloads.
    Serve(ConfigArg),
    /// Check configuration and policies without running.
    Check(ConfigArg),
    /// Policies: check, test, explain, schema.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Connections: list, register, change, try, remove.
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// Requests that wait for a human.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Credentials for upstreams that the gateway keeps: set, replace, delete.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Sessions, live and recorded.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write the state of a gateway into one archive (tar), while it runs.
    Backup(BackupArgs),
    /// Make a state folder of such an archive. The gateway goes on from it with a log of its own.
    Restore(RestoreArgs),
    /// Where the gateway sends its audit log.
    #[command(subcommand)]
    Exports(ExportsCommand),
    /// API keys, for machines without an identity provider.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Sign in at a gateway, for the commands that use its API: by a code on any device, or by a browser on this machine.
    Login(LoginArgs),
    /// Sign out again.
    Logout(GatewayArgs),
    /// What a token says, and whether this gateway would accept it. With --for: a short-lived user name and password in
    /// exchange for it, for drivers that cannot send a token.
    Token(TokenArgs),
    /// Print a kubeconfig for a cluster behind this gateway. No token is in it.
    Kubeconfig(KubeconfigArgs),
    /// What kubectl and its kin run for a token (`ExecCredential`): from a file, the environment, or GitHub Actions.
    KubeToken(KubeTokenArgs),
    /// Get a certificate to log in over SSH with: over your own key, in exchange for your token.
    SshCert(SshCertArgs),
    /// Print what belongs into ~/.ssh/config to reach machines by their names here.
    SshConfig(SshConfigArgs),
    /// The keys by which SSH callers know this gateway, and changing them.
    #[command(subcommand)]
    SshHostKey(SshHostKeyCommand),
    /// For trying and testing only: an issuer that signs whatever you ask for.
    #[command(subcommand)]
    Dev(DevCommand),
}

#[derive(Args, Debug)]
pub(crate) struct ConfigArg {
    /// The configuration.
    #[arg(long, short, env = "DOORWARD_CONFIG", default_value = "doorward.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files against the schema.
    Check {
        /// The files; those of the configuration where none are given.
        files: Vec<PathBuf>,
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Run policy tests.
    Test {
        /// The test files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        config: ConfigArg,
        /// Policy files; those of the configuration where none are given.
        #[arg(long)]
        policy: Vec<PathBuf>,
    },
    /// Show how a statement is decided, what would be sent, and what its results are made of. It is not run.
    ///
    /// By the configuration alone nothing is known of the schema: with --live a running gateway reads it.
    Explain {
        /// The statement.
        statement: String,
        /// On which connection.
        #[arg(long)]
        connection: String,
        #[command(flatten)]
        who: Who,
        /// The database, where the connection leads to any.
        #[arg(long)]
        database: Option<String>,
        #[command(flatten)]
        config: ConfigArg,
        /// Ask a running gateway (--url, --token): with the policies in force there, and the schema of the database.
        #[arg(long)]
        live: bool,
        #[command(flatten)]
        api: Box<ApiArgs>,
    },
    /// Print the Cedar schema that policies are checked against.
    Schema,
    /// Print the roles of the gateway's administrators as they are shipped: policies.
    Roles,
}

/// Somebody made up.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// Who asks: `issuer/subject`.
    #[arg(long, default_value = "dev/you")]
    pub(crate) principal: String,
    /// A group they are in; may be given more than once.
    #[arg(long = "group")]
    pub(crate) groups: Vec<String>,
    /// A person rather than an agent.
    #[arg(long)]
    pub(crate) user: bool,
    /// The person that the agent acts for: `issuer/subject`. Both are asked.
    #[arg(long = "for", conflicts_with = "user")]
    pub(crate) person: Option<String>,
    /// A group that person is in; may be given more than once.
    #[arg(long = "for-group", requires = "person")]
    pub(crate) person_groups: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// List the secrets that the gateway keeps: never what they are.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Keep a secret, or replace it: new log-ins at the upstream take it at once.
    Set {
        /// Its name, as in `credential = { secret = "NAME" }`.
        name: String,
        /// The file that it is in; standard input where it is not given.
        #[arg(long, short = 'f')]
        file: Option<PathBuf>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Have another key take over: the gateway reads `[secrets] key` and `old_keys` of its configuration anew, and wraps
    /// all secrets by `key`, while log-ins go on.
    Rewrap {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a secret that no connection uses.
    Delete {
        /// Which.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// The archive; - for standard output.
    #[arg(long)]
    pub(crate) to: PathBuf,
    /// Leave the keys out: keep a copy of STATE_DIR/keys elsewhere.
    #[arg(long)]
    pub(crate) without_keys: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// The archive; - for standard input.
    #[arg(long)]
    pub(crate) from: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionsCommand {
    /// List them: those of a running gateway, or with --config those of a file.
    List {
        /// A configuration file to read, in place of asking a gateway.
        #[arg(long, short, env = "DOORWARD_CONFIG")]
        config: Option<PathBuf>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show one, with what it is made of.
    Show {
        /// Which.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Register one, or change one that was registered. It is tried first, and served at once.
    Set {
        /// What it is called.
        name: String,
        /// The keys of a `[[connections]]` table without its name, as TOML or JSON (- for standard input). The credential is
        /// `secret = "NAME"` (`doorward secrets set NAME`).
        #[arg(long, short)]
        file: PathBuf,
        /// Also where the upstream cannot be used now.
        #[arg(long)]
        no_test: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Try whether its upstream can be reached and lets the gateway in. Exit status 1 where not.
    Test {
        /// Which.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Look at some rows of each table, and propose tags for what columns seem to hold: with counts, never values.
    Classify {
        /// Which: of PostgreSQL, MySQL or MariaDB.
        name: String,
        /// How many rows of each table, up to 1,000.
        #[arg(long, default_value_t = 200)]
        sample: u32,
        /// The database, where the connection leads to any.
        #[arg(long)]
        database: Option<String>,
        /// Store the tags with the connection, which ends its sessions. One of the configuration file is changed there.
        #[arg(long)]
        apply: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Remove one that was registered, and end its sessions.
    Delete {
        /// Which.
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// Where the gateway is.
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    /// The API of the gateway.
    #[arg(long, env = "DOORWARD_URL", default_value = "http://127.0.0.1:8443")]
    pub(crate) url: String,
    /// A certificate authority to trust for it, in PEM.
    #[arg(long, env = "DOORWARD_CA")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
    /// The identity provider, where the gateway has several.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// By a browser on this machine, also where the provider has a sign-in by code.
    #[arg(long)]
    pub(crate) browser: bool,
    /// Print the address, and open no browser.
    #[arg(long)]
    pub(crate) no_open: bool,
}

/// Where the gateway's API is, and who asks.
#[derive(Args, Debug)]
pub(crate) struct ApiArgs {
    /// The API of the gateway.
    #[arg(long, env = "DOORWARD_URL", default_value = "http://127.0.0.1:8443")]
    pub(crate) url: String,
    /// Your identity token, or an API key; what `doorward login` got where there is none.
    #[arg(long, env = "DOORWARD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with your identity token.
    #[arg(long, env = "DOORWARD_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A certificate authority to trust for the API, in PEM.
    #[arg(long, env = "DOORWARD_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List them, newest first.
    List {
        /// pending, approved, denied, expired, withdrawn or all.
        #[arg(
            long,
            default_value = "pending",
            hide_possible_values = true,
            value_parser = ["pending", "approved", "denied", "expired", "withdrawn", "all"]
        )]
        state: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show one: who asks, the whole statement with its parameters, what it would do.
    Show {
        /// Which.
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Say yes.
    Approve {
        /// Which.
        id: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Say no.
    Deny {
        /// Which.
        id: String,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Let one through alone, in an emergency, where a policy lets you. It is written down as that, and others are told.
    BreakGlass {
        /// Which.
        id: String,
        /// Why. It may not be empty.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print changes as they come, until Ctrl-C.
    Watch {
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// Where the gateway keeps its state.
#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    /// The state directory; that of the configuration where it is not given.
    #[arg(long, env = "DOORWARD_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
}

/// From where something is read: from a gateway's API where --url (or DOORWARD_URL) says so, or where there is no
/// configuration here and you are signed in at one gateway; else from the state directory, offline.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// The API of the gateway, to read from it. A state directory that is named goes before it.
    #[arg(long, env = "DOORWARD_URL")]
    pub(crate) url: Option<String>,
    /// Your identity token, or an API key; what `doorward login` got where there is none.
    #[arg(long, env = "DOORWARD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with your identity token.
    #[arg(long, env = "DOORWARD_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A certificate authority to trust for the API, in PEM.
    #[arg(long, env = "DOORWARD_CA")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What sessions are looked for: of the API.
#[derive(Args, Debug)]
pub(crate) struct SessionSearch {
    /// Of this caller: a part of ISSUER/SUBJECT.
    #[arg(long)]
    pub(crate) principal: Option<String>,
    /// On this connection.
    #[arg(long)]
    pub(crate) connection: Option<String>,
    /// That touched this: a part of a table, column, file, program, object.
    #[arg(long)]
    pub(crate) table: Option<String>,
    /// With this command: a part of it, as "DROP TABLE".
    #[arg(long)]
    pub(crate) command: Option<String>,
    /// With a request that was handled so: forward, hold, refuse.
    #[arg(long, value_parser = ["forward", "hold", "refuse"])]
    pub(crate) outcome: Option<String>,
    /// At most so many, of the API.
    #[arg(long, short = 'n', default_value_t = 100)]
    pub(crate) last: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportsCommand {
    /// How each stands: how far it is, what is left, the last failure.
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List them: your own, or with --all everybody's.
    List {
        /// Everybody's.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Make a key that acts as you, within a scope. Its secret is printed this once, on standard output alone.
    Create {
        /// What it is called.
        name: String,
        /// An action that it is for, by its name in policies; may be given more than once. All where none is given.
        #[arg(long = "action")]
        actions: Vec<String>,
        /// A connection that it is for; may be given more than once. All where none is given.
        #[arg(long = "connection")]
        connections: Vec<String>,
        /// How many days it is good for: 1 to 366.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=366))]
        days: u64,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Revoke a key, for good.
    Revoke {
        /// Which: its id.
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List sessions, newest first: recorded ones; from the API past and open ones, with --live those that are open now.
    List {
        /// Only those that are open now: from the API.
        #[arg(long)]
        live: bool,
        #[command(flatten)]
        search: SessionSearch,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Show what is known of a recorded session, and whether its recording is whole.
    Show {
        /// Which.
        id: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Play a session at the pace it had: statements, outcomes and result tables; what commands wrote; requests. On a
    /// terminal, a terminal is played as it looked: space pauses, + and - change the speed, q ends.
    Replay {
        /// Which.
        id: String,
        /// Times as fast; 0 prints it at once.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// Rows shown of each result, lines of what each command writes.
        #[arg(long, default_value_t = 50)]
        rows: usize,
        /// Which channel of an SSH session; of the terminals, the first.
        #[arg(long)]
        channel: Option<u32>,
        /// Which request of a Kubernetes session: with head and body; of `exec` and `attach`, what they showed.
        #[arg(long)]
        request: Option<u32>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write a recording as JSON lines, pcapng or asciicast.
    Export {
        /// Which.
        id: String,
        /// The format.
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
        /// Which channel of an SSH session becomes an asciicast; of the terminals, the first.
        #[arg(long)]
        channel: Option<u32>,
        /// Which `exec` or `attach` of a Kubernetes session becomes an asciicast; of the terminals, the first.
        #[arg(long)]
        request: Option<u32>,
        /// Where to; standard output where it is not given.
        #[arg(long, short = 'f')]
        file: Option<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// End a live session.
    Kill {
        /// Which.
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
    /// For Wireshark.
    Pcapng,
    /// For asciinema and its players: a terminal of an SSH or Kubernetes session (version 3).
    Asciicast,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print entries, oldest first; from the API the last 100, where no -n says otherwise.
    List {
        /// Of this session only.
        #[arg(long)]
        session: Option<String>,
        /// Of this kind only (`request`, `authenticated`, …); may be given more than once.
        #[arg(long = "event")]
        events: Vec<String>,
        /// Not before this time (RFC 3339).
        #[arg(long)]
        since: Option<String>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        until: Option<String>,
        /// The last so many entries only.
        #[arg(long, short = 'n')]
        last: Option<usize>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Check that no entry was changed, removed, reordered or cut off. Offline this program does it; from the API, the
    /// gateway.
    Verify {
        /// The folder of the log; that of the state directory where it is not given.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The gateway's public key in PEM; that of the state directory where it is not given.
        #[arg(long)]
        key: Option<PathBuf>,
        /// A head that the log is known to have had, as an earlier verify printed it.
        #[arg(long)]
        at_least: Option<String>,
        /// A file with lines that others have of the log: an export, a file of an exporter, a copy of a file of the log or of its
        /// `head`, or heads, one a line. One that the log does not have is an error. May be given several times.
        #[arg(long, value_name = "FILE")]
        against: Vec<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Write entries as JSON lines.
    Export {
        /// Where to; standard output where it is not given.
        #[arg(long, short = 'f')]
        file: Option<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// How a token, or what is given for it, is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenOutput {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// With --for: the password alone; the user name goes to standard error.
    Password,
    /// With --for: variables for a shell (`eval "$(…)"`).
    Env,
    /// With --for: an option file for `--defaults-extra-file`.
    MyCnf,
}

#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// The token; with --for that of --token-file or the environment, else from standard input where it is not given.
    pub(crate) token: Option<String>,
    /// Get a short-lived user name and password for this connection from the running gateway.
    #[arg(long = "for", value_name = "CONNECTION")]
    pub(crate) connection: Option<String>,
    /// With --for: how long one may log in with it: 5m, 1h. Never longer than the token; 15 minutes where it is not given.
    #[arg(long, requires = "connection")]
    pub(crate) ttl: Option<String>,
    /// With --for: the API of the gateway.
    #[arg(long, env = "DOORWARD_URL", default_value = "http://127.0.0.1:8443")]
    pub(crate) url: String,
    /// With --for: a file with your identity token.
    #[arg(long, env = "DOORWARD_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// With --for: a certificate authority to trust for the API, in PEM.
    #[arg(long, env = "DOORWARD_CA")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: TokenOutput,
}

/// Where a caller's token comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenSource {
    /// A file with your identity token, read each time.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// The environment variable that holds it, such as that of GitLab's `id_tokens`.
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    pub(crate) token_env: Option<String>,
    /// Whom a token is asked for where the job runs in GitHub Actions.
    #[arg(long, default_value = "doorward")]
    pub(crate) audience: String,
}

#[derive(Args, Debug)]
pub(crate) struct KubeTokenArgs {
    #[command(flatten)]
    pub(crate) source: TokenSource,
}

/// The version of `client.authentication.k8s.io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecApi {
    /// kubectl 1.22 and later.
    #[default]
    V1,
    /// Older ones.
    V1beta1,
}

#[derive(Args, Debug)]
pub(crate) struct KubeconfigArgs {
    /// The connection.
    pub(crate) connection: String,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// The cluster's URL as callers reach it, `https://host:port`; with it the configuration is not read.
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// The authority of the gateway's certificate (PEM); that of the configuration where it vouches for itself.
    #[arg(long)]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: TokenSource,
    /// With --token-file: no plugin, kubectl reads the file itself.
    #[arg(long, requires = "token_file")]
    pub(crate) no_plugin: bool,
    /// The version of the plugin's API.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) exec_api: ExecApi,
    /// The program that kubectl runs for a token; this one where it is not given.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec_command: Option<String>,
    /// Where to; standard output where it is not given. A file that is there is not written over.
    #[arg(long, short = 'f')]
    pub(crate) file: Option<PathBuf>,
    /// YAML for people, JSON for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// The key of an SSH client.
#[derive(Args, Debug)]
pub(crate) struct SshKeyArgs {
    /// The private key, which is never read if its .pub file is there; ~/.ssh/doorward, made where it is missing.
    #[arg(long, short = 'i')]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SshCertArgs {
    #[command(flatten)]
    pub(crate) key: SshKeyArgs,
    /// How long it is to be good for: 30m, 8h. Never longer than your token.
    #[arg(long, default_value = "1h")]
    pub(crate) ttl: String,
    /// Do nothing, and say nothing, if there is one that is good for five more minutes.
    #[arg(long)]
    pub(crate) if_needed: bool,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SshConfigArgs {
    #[command(flatten)]
    pub(crate) key: SshKeyArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SshHostKeyCommand {
    /// Print the public keys: what is shown, and what comes next.
    Show(StateArgs),
    /// Make the next key, and announce it: clients with `UpdateHostKeys` learn it when they log in.
    Prepare(StateArgs),
    /// Show the next key from now on, in place of the old one.
    Rotate(StateArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Serve a development issuer: discovery and keys, on loopback only.
    Issuer {
        /// Where its key is kept.
        #[arg(long, env = "DOORWARD_DEV_DIR", default_value = ".doorward-dev")]
        dir: PathBuf,
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:9180")]
        listen: SocketAddr,
    },
    /// Print a token signed by the development issuer.
    Token {
        /// Who it is for.
        #[arg(long)]
        sub: String,
        /// A group they are in; may be given more than once.
        #[arg(long = "group")]
        groups: Vec<String>,
        /// An agent that acts for them (`act`, RFC 8693): it holds the token, and both are asked for what it does.
        #[arg(long)]
        act: Option<String>,
        /// A group that the agent is in; may be given more than once.
        #[arg(long = "act-group", requires = "act")]
        act_groups: Vec<String>,
        /// Further claims, `name=value`; the value is JSON if it reads as JSON, else text.
        #[arg(long = "claim")]
        claims: Vec<String>,
        /// How long it is valid: 30s, 15m, 1h, 2d.
        #[arg(long, default_value = "1h")]
        ttl: String,
        /// Whom it is for.
        #[arg(long = "audience", default_value = "doorward")]
        audience: Vec<String>,
        /// The issuer's URL; that of the issuer last served from the folder where it is not given.
        #[arg(long)]
        issuer: Option<String>,
        /// Where the issuer's key is kept.
        #[arg(long, env = "DOORWARD_DEV_DIR", default_value = ".doorward-dev")]
        dir: PathBuf,
    },
}

impl SessionSearch {
    /// Whether anything is looked for.
    pub(crate) const fn is_any(&self) -> bool {
        self.principal.is_some()
            || self.connection.is_some()
            || self.table.is_some()
            || self.command.is_some()
            || self.outcome.is_some()
    }
}
