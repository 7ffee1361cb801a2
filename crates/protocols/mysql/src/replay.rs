//! A recording of a session as people read it: statements, outcomes and result tables.
//!
//! Memory is bounded: rows beyond those shown are counted, and where a message is too long the rest is not read.
mod answers;
#[cfg(test)]
mod tests;

use crate::{
    capabilities::Capabilities,
    codec::{
        self,
        client::{self, Bound, Command},
        rows::Value,
    },
    facts,
};
use doorward_sql_session::replay::{
    Options, Replay, Script, Shown, Side, Table, clipped, printable, printable_bytes, statement,
};
use std::collections::{HashMap, VecDeque};

/// The longest message that is read, in bytes: the session's own bound.
const LONGEST: usize = 64 << 20;
/// How many statements and unanswered commands are remembered.
const MOST_NAMES: usize = 10_000;

/// The bytes of one direction until they make up a message.
#[derive(Debug, Default)]
struct Stream {
    buffer: Vec<u8>,
    /// Bytes came that are not of the protocol: the rest cannot be read.
    lost: bool,
}

impl Stream {
    /// The next whole message, with its number; an error once, where nothing more can be read.
    fn next(&mut self) -> Option<Result<(u8, Vec<u8>), String>> {
        if self.lost {
            return None;
        }
        match codec::message(&self.buffer, LONGEST) {
            Ok(None) => None,
            Ok(Some(message)) => {
                let (wire, read) = (message.wire, (message.sequence, message.payload.to_vec()));
                self.buffer.drain(..wire);
                Some(Ok(read))
            }
            Err(e) => {
                *self = Self { lost: true, ..Self::default() };
                Some(Err(e.to_string()))
            }
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    kind: u8,
    unsigned: bool,
}

/// A prepared statement.
#[derive(Debug, Default)]
struct Prepared {
    text: String,
    parameters: usize,
    types: Vec<u16>,
    long: Vec<u16>,
    /// Columns of its open cursor.
    cursor: Vec<Field>,
}

/// A command that has an answer.
#[derive(Debug)]
enum Owed {
    /// Results: of a prepared statement, in the binary protocol, or of a text.
    Results(Option<u32>),
    /// OK, EOF or an error, or a text.
    Simple,
    /// A log-in within the session: it ends with OK or an error.
    Login,
    Prepare(String),
    FieldList,
    /// Rows of a cursor.
    Fetch(u32),
}

/// The place within the first answer that is owed.
#[derive(Debug, Default)]
enum Place {
    #[default]
    First,
    /// So many definitions of columns are to come, and an end where there is one.
    Columns(usize),
    Rows,
    /// So many definitions, of no interest, are to come.
    Definitions(usize),
}

/// Turns recorded bytes, cut anywhere, into lines for people.
#[derive(Debug)]
pub struct Replayer {
    options: Options,
    capabilities: Capabilities,
    client: Stream,
    upstream: Stream,
    statements: HashMap<u32, Prepared>,
    last_prepared: u32,
    owed: VecDeque<Owed>,
    place: Place,
    fields: Vec<Field>,
    table: Table,
    /// Bytes of a file that the client sends.
    file: Option<usize>,
}

impl Replayer {
    /// A replay from the first byte after log-in.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            capabilities: Capabilities::default(),
            client: Stream::default(),
            upstream: Stream::default(),
            statements: HashMap::new(),
            last_prepared: u32::MAX,
            owed: VecDeque::new(),
            place: Place::First,
            fields: Vec::new(),
            table: Table::default(),
            file: None,
        }
    }

    fn owe(&mut self, owed: Owed) {
        if self.owed.len() < MOST_NAMES {
            self.owed.push_back(owed);
        }
    }

    fn of_client(&mut self, number: u8, payload: &[u8], out: &mut Script) {
        if let Some(sent) = self.file
            && number != 0
        {
            self.file = (!payload.is_empty()).then_some(sent.saturating_add(payload.len()));
            if payload.is_empty() {
                out.push(format!("> {sent} bytes of a file"));
            }
            return;
        }
        if number != 0 {
            // Part of a log-in.
            return;
        }
        match client::command(payload, self.capabilities) {
            Ok(command) => self.command(&command, out),
            // Who logs in anew, and with what, is not recorded.
            Err(_) if payload.first() == Some(&0x11) => {
                out.push("> (change of user)");
                self.owe(Owed::Login);
            }
            Err(e) => {
                out.push(format!("> ({e})"));
                self.owe(Owed::Simple);
            }
        }
    }

    fn command(&mut self, command: &Command<'_>, out: &mut Script) {
        let mut said = |text: String| out.push(format!("> {text}"));
        match command {
            Command::Quit => said("(quit)".into()),
            Command::Query { text, attributes } => {
                let with = attributes.iter().filter_map(|a| a.value).collect::<Vec<_>>();
                said(format!("{}{}", statement(text), values(with.iter().map(|v| Some(*v)))));
                self.owe(Owed::Results(None));
            }
            Command::Prepare(text) => {
                self.last_prepared = u32::MAX;
                self.owe(Owed::Prepare(statement(text)));
            }
            Command::Execute(execute) => {
                let id = self.known(execute.statement);
                said(self.executed(id, execute));
                self.owe(Owed::Results(Some(id)));
            }
            Command::BulkExecute(bulk) => {
                let id = self.known(bulk.statement);
                let text = self.statements.get(&id).map_or_else(|| format!("(statement {id})"), |p| p.text.clone());
                said(format!("{text}   [many rows]"));
                self.owe(Owed::Results(Some(id)));
            }
            Command::LongData { statement, parameter, .. } => {
                if let Some(prepared) = self.statements.get_mut(statement)
                    && prepared.long.len() < MOST_NAMES
                {
                    prepared.long.push(*parameter);
                }
            }
            Command::CloseStatement(id) => drop(self.statements.remove(id)),
            Command::Fetch { statement, rows } => {
                said(format!("(fetch {rows} rows)"));
                self.owe(Owed::Fetch(*statement));
            }
            Command::FieldList { table, .. } => {
                said(format!("(columns of {})", printable_bytes(table, false)));
                self.owe(Owed::FieldList);
            }
            Command::ChangeUser(change) => {
                let user = printable_bytes(change.user, false);
                said(if user.is_empty() { "(change of user)".into() } else { format!("(change of user to {user})") });
                self.owe(Owed::Login);
            }
            Command::ProcessInfo => {
                said("SHOW PROCESSLIST".into());
                self.owe(Owed::Results(None));
            }
            Command::InitDb(_)
            | Command::CreateDb(_)
            | Command::DropDb(_)
            | Command::Refresh(_)
            | Command::Shutdown
            | Command::ProcessKill(_)
            | Command::Statistics
            | Command::Ping
            | Command::Debug
            | Command::ResetStatement(_)
            | Command::ResetConnection
            | Command::SetOption(_)
            | Command::Replication(_)
            | Command::Internal(_)
            | Command::Unknown(_) => {
                said(named(command));
                self.owe(Owed::Simple);
            }
        }
    }

    fn known(&self, id: u32) -> u32 {
        if id == u32::MAX { self.last_prepared } else { id }
    }

    /// The text of a prepared statement, with the values it was executed with.
    fn executed(&mut self, id: u32, execute: &client::Execute<'_>) -> String {
        let Some(prepared) = self.statements.get_mut(&id) else { return format!("(statement {id})") };
        let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &prepared.long };
        let Ok(parameters) = client::parameters(execute, &bound, self.capabilities) else {
            return format!("{}   (values that cannot be read)", prepared.text);
        };
        let shown = format!("{}{}", prepared.text, values(parameters.iter().map(|p| p.value)));
        prepared.types = parameters.iter().map(|p| p.kind).collect();
        prepared.long.clear();
        shown
    }
}

impl Replay for Replayer {
    fn feed(&mut self, side: Side, bytes: &[u8]) -> Vec<Shown> {
        let mut out = Script::default();
        let (stream, mark) = match side {
            Side::Client => (&mut self.client, '>'),
            Side::Upstream => (&mut self.upstream, '<'),
        };
        if !stream.lost {
            stream.buffer.extend_from_slice(bytes);
        }
        loop {
            let next = match side {
                Side::Client => self.client.next(),
                Side::Upstream => self.upstream.next(),
            };
            match (next, side) {
                (None, _) => return out.0,
                (Some(Ok((number, payload))), Side::Client) => self.of_client(number, &payload, &mut out),
                (Some(Ok((_, payload))), Side::Upstream) => {
                    if let Err(e) = self.of_upstream(&payload, &mut out) {
                        out.push(format!("< ({e})"));
                    }
                }
                (Some(Err(e)), _) => out.push(format!("{mark} ({e}; the rest is not shown)")),
            }
        }
    }

    /// Of a log-in within the session the heads of packets are there, and which command it is: what is missing is none of
    /// anybody's business. What is missing of the log-in before it is whole packets.
    fn skip(&mut self, bytes: u64) -> Vec<Shown> {
        if self.client.buffer.is_empty() {
            return Vec::new();
        }
        self.feed(Side::Client, &vec![0; usize::try_from(bytes).unwrap_or(LONGEST).min(LONGEST)])
    }

    fn gap(&mut self) {
        self.client = Stream::default();
        self.upstream = Stream::default();
        self.owed.clear();
        self.place = Place::First;
        self.table = Table::default();
        self.file = None;
    }

    fn agreed(&mut self, capabilities: u64) {
        self.capabilities = Capabilities(capabilities);
    }
}

/// Values, as they follow a statement; nothing where there are none.
fn values<'a>(values: impl Iterator<Item = Option<Value<'a>>>) -> String {
    let shown: Vec<String> = values
        .map(|v| v.map_or_else(|| "(sent ahead)".into(), |v| clipped(printable(&v.to_string(), false))))
        .collect();
    if shown.is_empty() { String::new() } else { format!("   [{}]", shown.join(", ")) }
}

/// A command without a text, by the statement that stands for it, or by its name.
fn named(command: &Command<'_>) -> String {
    if let Some(text) = facts::stands_for(command) {
        return printable(&text, false);
    }
    let name = format!("{command:?}");
    format!("({})", printable(name.split(['(', ' ']).next().unwrap_or_default(), false))
}
